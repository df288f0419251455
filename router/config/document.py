"""A YAML file as plain data that remembers its lines, and refuses what YAML lets slip: a setting given twice.

Anchors and merge keys work. What a file expands to is bounded, so that a few lines of nested anchors cannot
fill the memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from router.config.problems import Place

MOST_BYTES = 1024 * 1024
MOST_VALUES = 100_000
MOST_LEVELS = 32
_QUOTED = re.compile(r"""(['"])((?:\\.|[^\\])*?)\1""")
_MERGE = "tag:yaml.org,2002:merge"


class Unparsable(Exception):
    """Text that is not YAML, or more of it than a configuration can be. `line` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass(frozen=True, slots=True)
class Document:
    """`data` as YAML's safe loader reads it; `lines` of its settings; `twice`: settings given again.

    Each of those comes with the line where it was first given; `lines` has the last, which is the one that counts.
    """

    data: Any
    lines: Mapping[Place, int]
    twice: tuple[tuple[Place, int], ...]

    def line(self, place: Place) -> int | None:
        """The line of `place`, or of the closest setting around it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return None


def parse(text: bytes) -> Document:
    """Raises Unparsable."""
    if len(text) > MOST_BYTES:
        raise Unparsable(f"the file is larger than {MOST_BYTES} bytes")
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return Document(None, {}, ())
            twice = tuple(_repeated(node))
            data = loader.construct_document(node)
            lines = dict(_lines(node))
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        raise Unparsable(_without_quotes(error.problem or "cannot be read"), line) from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count(b"\n") + 1
        raise Unparsable("it holds something other than UTF-8 text", line) from None
    except RecursionError:
        raise Unparsable("it is nested too deeply") from None
    except (ValueError, OverflowError):  # such as a date on a 31st of February
        raise Unparsable("it holds a date or number that does not exist; put it in quotes") from None
    return Document(data, lines, twice)


def _without_quotes(problem: str) -> str:
    """A parser's words without what it quotes, which may be part of a secret; single signs and token names stay."""

    def shown(quoted: re.Match[str]) -> str:
        return quoted[0] if len(quoted[2]) <= 2 or quoted[2].startswith("<") else "..."

    return "not valid YAML: " + _QUOTED.sub(shown, problem).removeprefix("but ")


def _values(root: yaml.Node) -> Iterator[tuple[Place, yaml.Node, int]]:
    """Every value under `root`, anchors followed, with its place and line. Raises Unparsable beyond the bounds."""
    waiting: list[tuple[Place, yaml.Node, int]] = [((), root, root.start_mark.line + 1)]
    seen = 0
    while waiting:
        place, node, line = waiting.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise Unparsable(f"it holds more than {MOST_VALUES} values")
        if len(place) > MOST_LEVELS:
            raise Unparsable("it is nested too deeply", line)
        yield place, node, line
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                waiting.append(((*place, str(key.value)), value, key.start_mark.line + 1))
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                waiting.append(((*place, index), item, item.start_mark.line + 1))


def _repeated(root: yaml.Node) -> Iterator[tuple[Place, int]]:
    """Settings that their mapping has already, as they were written: before merge keys are taken in."""
    for place, node, _ in _values(root):
        if not isinstance(node, yaml.MappingNode):
            continue
        first: dict[tuple[str, str], int] = {}
        for key, _value in node.value:
            name = (key.tag, str(key.value))
            if name in first and key.tag != _MERGE:
                yield (*place, name[1]), first[name]
            first.setdefault(name, key.start_mark.line + 1)


def _lines(root: yaml.Node) -> Iterator[tuple[Place, int]]:
    """Lines of all settings once merge keys are taken in. Of a setting given twice, the one that counts."""
    found: dict[Place, int] = {}
    for place, _, line in _values(root):
        found.setdefault(place, line)
    yield from found.items()
