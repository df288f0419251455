"""Fields of an answer's JSON beside the expected ones."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scorers.json_fields import same_json
from tests.evals.scorers.scoring import lacks, scored, unhurried
from tests.evals.scorers.test_json_schema import values

FIELDS = {"id": 7, "customer": {"name": "Ada", "city": "Bath"}, "tags": ["a", "b"]}


def share(said: Any, fields: Any = FIELDS, **settings: Any) -> float:
    return scored("json_fields", {"fields": fields}, json.dumps(said), **settings).value


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, 1),
        ({"id": 7.0}, 1),
        ({"id": 8}, 0.75),
        ({"id": "7"}, 0.75),
        ({"id": True}, 0.75),
        ({"customer": {"name": "Ada"}}, 0.75),
        ({"customer": "Ada"}, 0.5),
        ({"tags": ["b", "a"]}, 0.75),
        ({"colour": "red"}, 1),
    ],
)
def test_the_share_of_fields_that_are_right(change: dict[str, Any], expected: float) -> None:
    assert share(FIELDS | change) == expected


def test_a_field_may_be_named_with_dots() -> None:
    assert share(FIELDS, {"customer.city": "Bath", "tags.1": "b", "tags.2": "c"}) == pytest.approx(2 / 3)
    assert share({"customer.city": "Bath"}, {"customer.city": "Bath"}) == 1
    assert share({"a.b": {"c.d": 1}}, {"a.b.c.d": 1}) == 1
    assert share({"a": {"b": 2}}, {"a": {"b.c": 1}}) == 0


def test_settings_say_what_is_equal() -> None:
    swapped = FIELDS | {"tags": ["b", "a"]}
    assert share(swapped, any_order=True) == 1
    assert share(FIELDS | {"tags": ["b", "b"]}, any_order=True) == 0.75
    assert share(FIELDS | {"id": 7.5}, tolerance=0.5) == 1
    assert share(FIELDS | {"id": 7.6}, tolerance=0.5) == 0.75
    assert share({"price": 0.3}, {"price": 0.1}, tolerance="0.2") == 1


def test_extra_fields_count_where_they_are_not_ignored() -> None:
    said = FIELDS | {"colour": "red", "customer": {"name": "Ada", "city": "Bath", "age": 5}}
    score = scored("json_fields", {"fields": FIELDS}, json.dumps(said), ignore_extra=False)
    assert score.value == pytest.approx(4 / 6)
    assert score.why == "not asked for: customer.age, colour"
    assert share(FIELDS, {**FIELDS, "tags": ["a", "b"]}, ignore_extra=False) == 1
    assert share({"a": {"b": 1}}, {"a.b": 1}, ignore_extra=False) == 1


def test_the_reason_names_the_fields() -> None:
    said = {"id": 8, "customer": {"name": "Ada", "city": "York"}, "tags": ["a", "b"]}
    assert scored("json_fields", {"fields": FIELDS}, json.dumps(said)).why == "not as expected: id, customer.city"


@pytest.mark.parametrize("text", ["", "five", "[]", "5", "null", '{"id": Infinity}'])
def test_an_answer_that_is_no_such_thing_scores_nothing(text: str) -> None:
    score = scored("json_fields", {"fields": FIELDS}, text)
    assert score.value == 0
    assert score.why


def test_fields_that_are_none_are_refused() -> None:
    assert lacks("json_fields", {"schema": {}}) == "`expected.fields`"
    for wrong in ({}, [], "id", None):
        with pytest.raises(ValueError, match=r"^expected\.fields: "):
            lacks("json_fields", {"fields": wrong})


def test_lists_in_any_order_are_matched_as_well_as_can_be() -> None:
    assert same_json([1.0, 1.1], [1.1, 1.2], tolerance=Decimal("0.1"), any_order=True)
    assert same_json([1.1, 1.0], [1.1, 1.2], tolerance=Decimal("0.1"), any_order=True)
    assert not same_json([1.0, 1.0], [1.1, 1.2], tolerance=Decimal("0.1"), any_order=True)
    assert same_json([{"a": [1, 2]}, 3], [3, {"a": [2, 1]}], any_order=True)


@unhurried
@given(st.dictionaries(st.text("abc", min_size=1), values, min_size=1))
def test_the_expected_fields_score_one(fields: dict[str, Any]) -> None:
    assert share(fields, fields, ignore_extra=False) == 1


@unhurried
@given(st.lists(values), st.randoms())
def test_order_counts_unless_it_does_not(items: list[Any], random: Any) -> None:
    shuffled = copy.copy(items)
    random.shuffle(shuffled)
    assert same_json(items, shuffled, any_order=True)
    assert not same_json(items, [*shuffled, None], any_order=True)


@unhurried
@given(values, values)
def test_equality_is_that_of_json(one: Any, other: Any) -> None:
    assert same_json(one, one)
    assert same_json(one, other) == same_json(other, one)
    if json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
        assert same_json(one, other)
