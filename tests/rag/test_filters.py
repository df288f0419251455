"""OpenAI's filters: what is refused, and what documents they leave."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidRequest
from rag.filters import checked, matches

ATTRIBUTES: dict[str, Any] = {"n": 5, "x": 1.5, "name": "b", "yes": True}


def compare(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("filters", "kept"),
    [
        (compare("eq", "n", 5), True),
        (compare("eq", "n", 5.0), True),
        (compare("eq", "n", "5"), False),
        (compare("eq", "yes", True), True),
        (compare("eq", "yes", 1), False),
        (compare("ne", "yes", 1), True),
        (compare("ne", "n", 5), False),
        (compare("eq", "missing", "b"), False),
        (compare("ne", "missing", "b"), True),
        (compare("gt", "n", 4.9), True),
        (compare("gt", "n", 5), False),
        (compare("gte", "n", 5), True),
        (compare("lt", "x", 2), True),
        (compare("lte", "x", 1.4), False),
        (compare("gt", "name", "a"), True),
        (compare("lt", "name", "B"), False),
        (compare("gt", "name", 1), False),
        (compare("gt", "yes", 0), False),
        (compare("lt", "missing", 9), False),
        (compare("in", "n", [4, 5]), True),
        (compare("in", "n", []), False),
        (compare("nin", "n", [5]), False),
        (compare("nin", "missing", [5]), True),
        ({"type": "and", "filters": [compare("eq", "n", 5), compare("eq", "name", "b")]}, True),
        ({"type": "and", "filters": [compare("eq", "n", 5), compare("eq", "name", "c")]}, False),
        ({"type": "or", "filters": [compare("eq", "n", 6), compare("eq", "name", "b")]}, True),
        ({"type": "or", "filters": [compare("eq", "n", 6)]}, False),
    ],
)
def test_a_document_is_kept_where_its_attributes_match(filters: dict[str, Any], kept: bool) -> None:
    asked = checked(filters)
    assert asked is not None and matches(asked, ATTRIBUTES) is kept


def nested(depth: int) -> dict[str, Any]:
    filters = compare("eq", "n", 5)
    for _ in range(depth):
        filters = {"type": "and", "filters": [filters]}
    return filters


@pytest.mark.parametrize(
    ("filters", "where"),
    [
        ([], "filters"),
        ({}, "filters.type"),
        (compare("like", "n", 5), "filters.type"),
        (compare("eq", "", "a\0"), "filters.value"),
        ({"type": "eq", "value": 5}, "filters.key"),
        ({"type": "eq", "key": 7, "value": 5}, "filters.key"),
        (compare("eq", "n", None), "filters.value"),
        (compare("eq", "n", [5]), "filters.value"),
        (compare("gt", "n", True), "filters.value"),
        (compare("eq", "n", float("nan")), "filters.value"),
        (compare("in", "n", 5), "filters.value"),
        (compare("in", "n", [None]), "filters.value"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "or", "filters": [compare("eq", "n", 5), 7]}, "filters.filters[1]"),
        (nested(16), "filters"),
        ({"type": "or", "filters": [compare("eq", "n", 5)] * 1000}, "filters"),
    ],
)
def test_what_is_no_filter_is_refused_by_its_part(filters: Any, where: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        checked(filters)
    assert refused.value.param == where


def test_what_filters_do_not_need_is_left_out() -> None:
    assert checked(None) is None
    assert checked(nested(15)) == nested(15)
    assert checked(compare("eq", "n", 5) | {"more": 1}) == compare("eq", "n", 5)


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**63, float("nan"), float("inf")])
def test_a_number_that_no_database_holds_is_refused(value: float) -> None:
    for kind, asked in (("eq", value), ("in", [value])):
        with pytest.raises(InvalidRequest):
            checked(compare(kind, "n", asked))
