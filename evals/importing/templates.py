"""Variables in other tools' texts: `{{ name }}`, `{{ name.field }}`, and nothing else.

The non-obvious decision: what is more than a variable is refused, not guessed at. A loop or a filter that was left
in a prompt as it stands would be sent to a model as text, and nobody would notice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

_MARK = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_VARIABLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.\w+|\[\d+\]|\[['\"][^'\"]+['\"]\])*)\s*-?\}\}")
_STEP = re.compile(r"\w+|\[(?:['\"](.+?)['\"]|(\d+))\]")


class Untranslatable(ValueError):
    """Something that Weir has no counterpart of; the message says what, and on which line of the text."""


def rendered(text: str, variables: Mapping[str, Any]) -> str:
    """`text` with the values of its variables; one that is no text is written as JSON.

    Raises Untranslatable for whatever is not a variable, and for one that nobody set.
    """

    def value(mark: re.Match[str]) -> str:
        line = text.count("\n", 0, mark.start()) + 1
        named = _VARIABLE.fullmatch(mark[0])
        if named is None:
            raise Untranslatable(f"line {line}: {_short(mark[0])} is more than a variable; write it out")
        found: Any = variables
        for step in _STEP.finditer(named[1]):
            key = step[1] or step[0].strip("[]'\"")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise Untranslatable(f"line {line}: nobody sets {named[1]}") from error
        return found if isinstance(found, str) else orjson.dumps(found, default=str).decode()

    return _MARK.sub(value, text)


def rendered_in(value: Any, variables: Mapping[str, Any]) -> Any:
    """`rendered` for each text in `value`, of JSON's types."""
    if isinstance(value, str):
        return rendered(value, variables)
    if isinstance(value, Mapping):
        return {key: rendered_in(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [rendered_in(one, variables) for one in value]
    return value


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."
