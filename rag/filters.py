"""OpenAI's filters on the attributes of documents: checked, and applied in memory.

The non-obvious decision: values are compared as JSON values are. A boolean is no number, a comparison by order is
one of two numbers or of two strings (by their code points), and what is not there equals nothing: `ne` and `nin`
hold for it. PostgreSQL answers the same from the same filters.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from contracts.errors import InvalidRequest
from contracts.retrieval import Attributes

_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_KINDS = ("eq", "ne", *_ORDER, "in", "nin")
_DEEPEST = 16
_MOST_PARTS = 1000


def checked(filters: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The same filters, with nothing in them but what they need. Raises InvalidRequest, which names the part."""
    if filters is None:
        return None
    count = [0]
    return _checked(filters, "filters", 1, count)


def matches(filters: Mapping[str, Any], attributes: Attributes) -> bool:
    """Whether a document with these attributes is among what `checked` filters ask for."""
    kind = filters["type"]
    if kind in ("and", "or"):
        parts = (matches(part, attributes) for part in filters["filters"])
        return all(parts) if kind == "and" else any(parts)
    found, value = attributes.get(filters["key"]), filters["value"]
    if kind in _ORDER:
        return _kind_of(found) == _kind_of(value) and _ORDER[kind](found, value)
    if kind in ("in", "nin"):
        return any(_same(found, one) for one in value) is (kind == "in")
    return _same(found, value) is (kind == "eq")


def _checked(part: Any, where: str, depth: int, count: list[int]) -> Mapping[str, Any]:
    count[0] += 1
    if depth > _DEEPEST or count[0] > _MOST_PARTS:
        raise InvalidRequest(
            f"Filters are at most {_DEEPEST} deep and have at most {_MOST_PARTS} parts.", param="filters"
        )
    if not isinstance(part, Mapping):
        raise InvalidRequest(f"`{where}` has to be an object.", param=where)
    kind = part.get("type")
    if kind in ("and", "or"):
        parts = part.get("filters")
        if not isinstance(parts, (list, tuple)) or not parts:
            raise InvalidRequest(f"`{where}.filters` has to be a list of filters.", param=f"{where}.filters")
        inner = [_checked(one, f"{where}.filters[{at}]", depth + 1, count) for at, one in enumerate(parts)]
        return {"type": kind, "filters": inner}
    if not isinstance(kind, str) or kind not in _KINDS:
        names = ", ".join((*_KINDS, "and", "or"))
        raise InvalidRequest(f"`{where}.type` has to be one of {names}.", param=f"{where}.type")
    key = part.get("key")
    if not isinstance(key, str) or not _is_text(key):
        raise InvalidRequest(f"`{where}.key` has to be the name of an attribute.", param=f"{where}.key")
    return {"type": kind, "key": key, "value": _value(kind, part.get("value"), f"{where}.value")}


def _value(kind: str, value: Any, where: str) -> Any:
    if kind in ("in", "nin"):
        if not isinstance(value, (list, tuple)) or len(value) > _MOST_PARTS or not all(map(_is_value, value)):
            raise InvalidRequest(f"`{where}` has to be a list of strings and numbers.", param=where)
        return list(value)
    if not _is_value(value) or (kind in _ORDER and isinstance(value, bool)):
        kinds = "a string or a number" if kind in _ORDER else "a string, a number or a boolean"
        raise InvalidRequest(f"`{where}` has to be {kinds}.", param=where)
    return value


def _is_value(value: object) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    return isinstance(value, (bool, int, float)) and abs(value) < 2**63  # which NaN is not either


def _is_text(value: str) -> bool:
    return "\0" not in value and not any("\ud800" <= character <= "\udfff" for character in value)


def _kind_of(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "number"
    return "string" if isinstance(value, str) else "nothing"


def _same(found: object, value: object) -> bool:
    return found is not None and _kind_of(found) == _kind_of(value) and bool(found == value)
