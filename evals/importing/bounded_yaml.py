"""YAML of strangers: data only, and no more of it than was written.

The non-obvious decision: what is counted is the size with every alias written out. A few lines can name each other
so that walking through them never ends; parsing them costs nothing, which is why parsers let them pass.
"""

from __future__ import annotations

from typing import Any

import yaml

from evals.importing.draft import Unusable

MOST_NODES = 1_000_000
MOST_CHARACTERS = 4 << 20
"""What takes some ten seconds to read."""


def parsed(text: str, where: str) -> Any:
    """The one document in `text`. Raises Unusable, naming `where`."""
    if len(text) > MOST_CHARACTERS:
        raise Unusable(
            f"{where}: more than {MOST_CHARACTERS >> 20} MiB of YAML; keep long lists in CSV or JSON lines"
        )
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return None
        if _size(node, {}) > MOST_NODES:
            raise Unusable(f"{where}: aliases make more than {MOST_NODES:,} values of it")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Unusable(f"{where}: not YAML: {error}") from error
    except ValueError as error:  # such as the 31st of February
        if isinstance(error, Unusable):
            raise
        raise Unusable(f"{where}: not YAML: {error}") from error
    except RecursionError as error:
        raise Unusable(f"{where}: nested too deeply, or in itself") from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        size = 1
        if isinstance(node, yaml.MappingNode):
            size += sum(_size(key, known) + _size(value, known) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            size += sum(_size(one, known) for one in node.value)
        known[id(node)] = size
    return known[id(node)]
