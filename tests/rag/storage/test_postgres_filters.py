"""The same filters answer the same in SQL as in memory."""

from __future__ import annotations

from typing import Any

import asyncpg
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from rag.filters import checked, matches
from rag.storage.postgres_filters import condition
from tests.rag.storage.postgres_server import PostgresServer

_KEYS = st.sampled_from(["a", "b", "it's", "x:y", "{k}", "%s"])
_TEXT = st.sampled_from(["", "a", "B", "b", "é", "10", "9", "true", "'; --", ":a", "😀", "\uffff"])
_NUMBERS = st.sampled_from([0, 1, -1, 5, 5.0, 2.5, 0.1, 1e15, -7.25, 2**53 - 1])
_VALUES = _TEXT | _NUMBERS | st.booleans()
_EQUAL = st.fixed_dictionaries({"type": st.sampled_from(["eq", "ne"]), "key": _KEYS, "value": _VALUES})
_ORDERED = st.fixed_dictionaries(
    {"type": st.sampled_from(["gt", "gte", "lt", "lte"]), "key": _KEYS, "value": _TEXT | _NUMBERS}
)
_AMONG = st.fixed_dictionaries(
    {"type": st.sampled_from(["in", "nin"]), "key": _KEYS, "value": st.lists(_TEXT | _NUMBERS, max_size=3)}
)
_FILTERS: st.SearchStrategy[Any] = st.recursive(
    _EQUAL | _ORDERED | _AMONG,
    lambda inner: st.fixed_dictionaries(
        {"type": st.sampled_from(["and", "or"]), "filters": st.lists(inner, min_size=1, max_size=3)}
    ),
    max_leaves=6,
)
_ATTRIBUTES = st.dictionaries(_KEYS, _VALUES, max_size=4)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(filters=_FILTERS, attributes=st.lists(_ATTRIBUTES, min_size=8, max_size=8))
async def test_they_leave_what_they_leave_in_memory(
    postgres_server: PostgresServer, filters: Any, attributes: list[dict[str, Any]]
) -> None:
    where, values = condition(checked(filters) or {})
    rows = [orjson.dumps(one).decode() for one in attributes]
    asked = text(
        f"SELECT {where} FROM unnest(CAST(:rows AS jsonb[])) WITH ORDINALITY AS r (attributes, n) ORDER BY n"
    ).compile(dialect=postgresql.asyncpg.dialect())
    given_values = values | {"rows": rows}
    connection = await asyncpg.connect(postgres_server.url("postgres"))
    try:
        found = await connection.fetch(str(asked), *(given_values[name] for name in asked.positiontup or ()))
    finally:
        await connection.close()
    assert [row[0] for row in found] == [matches(checked(filters) or {}, one) for one in attributes]
