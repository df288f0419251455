"""OpenAI's filters as a condition on the attributes of a document, in PostgreSQL's SQL: what `rag.filters` applies.

The non-obvious decision: keys and values are parameters, always; the text is made of fixed pieces only. A
comparison by order is one of numbers, or one of strings by their code points; what is of another kind matches not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

_ORDER = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def condition(filters: Mapping[str, Any], column: str = "attributes") -> tuple[str, dict[str, Any]]:
    """SQL on the JSONB in `column`, true or false and never null, with its parameters f0, f1, ...

    `filters` are checked ones: see `rag.filters.checked`.
    """
    values: dict[str, Any] = {}
    return _condition(filters, column, values), values


def _condition(part: Mapping[str, Any], column: str, values: dict[str, Any]) -> str:
    kind = part["type"]
    if kind in ("and", "or"):
        parts: Sequence[Mapping[str, Any]] = part["filters"]
        return "(" + f" {kind.upper()} ".join(_condition(inner, column, values) for inner in parts) + ")"
    found = f"{column} -> {_name(values, part['key'])}"
    value = part["value"]
    if kind in _ORDER:
        return _ordered(found, _ORDER[kind], value, values)
    if kind in ("in", "nin"):
        name = _name(values, [json.dumps(one) for one in value])
        among = f"{found} = ANY(CAST({name} AS jsonb[]))"
    else:
        among = f"{found} = CAST({_name(values, json.dumps(value))} AS jsonb)"
    matches = f"coalesce({among}, false)"
    return f"NOT {matches}" if kind in ("ne", "nin") else matches


def _ordered(found: str, sign: str, value: Any, values: dict[str, Any]) -> str:
    # Without CASE, PostgreSQL may cast before it looks at the kind.
    text = f"({found} #>> '{{}}')"
    if isinstance(value, str):
        of_kind, compared = "string", f'{text} COLLATE "C" {sign} {_name(values, value)}'
    else:
        of_kind, compared = "number", f"CAST({text} AS numeric) {sign} CAST({_name(values, str(value))} AS numeric)"
    return f"CASE WHEN jsonb_typeof({found}) = '{of_kind}' THEN {compared} ELSE false END"


def _name(values: dict[str, Any], value: str | list[str]) -> str:
    name = f"f{len(values)}"
    values[name] = value
    return f"CAST(:{name} AS {'text' if isinstance(value, str) else 'text[]'})"
