"""Answers that are JSON of a shape, and schemas that lead nowhere else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scorers.catalogue import SETTINGS
from evals.scorers.json_schema import json_in
from tests.evals.scorers.scoring import lacks, right, scored, scorer, unhurried

ORDER = {
    "type": "object",
    "properties": {"id": {"type": "integer"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}}},
    "required": ["id"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "minLength": 2}},
}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"id": 7}', True),
        (' {"id": 7, "tags": ["ab"]}\n', True),
        ('```json\n{"id": 7}\n```', True),
        ('Here it is:\n```\n{"id": 7}\n```\nAnything else?', True),
        ('{"id": "7"}', False),
        ('{"id": 7, "tags": ["a"]}', False),
        ('{"id": 7, "colour": "red"}', False),
        ("{}", False),
        ("id: 7", False),
        ("", False),
        ('{"id": NaN}', False),
        ('```json\n{"id": 7}\n```\n```json\n{"id": 8}\n```', False),
        ("[" * 100_000, False),
    ],
)
def test_an_answer_fits_or_does_not(text: str, fits: bool) -> None:
    assert right("json_schema", {"schema": ORDER}, text) is fits
    assert right("json_schema", {}, text, schema=ORDER) is fits


def test_strict_is_json_and_nothing_else() -> None:
    assert right("json_schema", {"schema": ORDER}, ' {"id": 7} ', strict=True)
    assert not right("json_schema", {"schema": ORDER}, '```json\n{"id": 7}\n```', strict=True)


def test_the_reason_says_where() -> None:
    why = scored("json_schema", {"schema": ORDER}, '{"id": 7, "tags": ["ab", 5]}').why
    assert why == "$.tags[1]: 5 is not of type 'string'"
    assert scored("json_schema", {"schema": ORDER}, "id: 7").why.startswith("the answer is not JSON: ")


def test_the_cases_own_schema_goes_first() -> None:
    assert not right("json_schema", {"schema": {"type": "string"}}, '{"id": 7}', schema=ORDER)
    assert right("json_schema", {"schema": True}, "5")
    assert not right("json_schema", {"schema": True}, "NaN")
    assert lacks("json_schema", {}) == "`expected.schema`"


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"type": "text"}, "'text' is not valid"),
        ("object", "is not of type"),
        ({"$ref": "https://example.org/order.json"}, "nothing is fetched"),
        ({"properties": {"a": {"items": {"$ref": "file:///etc/passwd"}}}}, "nothing is fetched"),
        ({"$ref": "#/$defs/none"}, "leads nowhere"),
        ({"$dynamicRef": "https://example.org/x"}, "nothing is fetched"),
    ],
)
def test_a_wrong_schema_is_refused(schema: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=rf"^expected\.schema: .*{fault}"):
        lacks("json_schema", {"schema": schema})
    if isinstance(schema, dict):
        with pytest.raises(ValueError, match=rf"^the scorer's schema: .*{fault}"):
            lacks("json_schema", {}, schema=schema)


def test_a_reference_by_id_within_the_schema_is_followed() -> None:
    schema = {
        "$id": "https://example.org/root",
        "properties": {"a": {"$ref": "tag"}},
        "$defs": {"tag": {"$id": "tag", "type": "string"}},
    }
    assert right("json_schema", {"schema": schema}, '{"a": "x"}')
    assert not right("json_schema", {"schema": schema}, '{"a": 5}')


def test_a_schema_that_refers_to_itself_for_ever_fails_the_answer_and_not_the_run() -> None:
    assert "refers to itself" in scored("json_schema", {"schema": {"$ref": "#"}}, "5").why


def test_settings_are_read_again_as_they_were_written() -> None:
    settings = SETTINGS.validate_python({"kind": "json_schema", "schema": ORDER})
    written = settings.model_dump(mode="json")
    assert written["schema"] == ORDER
    assert SETTINGS.validate_python(written) == settings
    assert scorer("json_schema", schema=ORDER).version != scorer("json_schema", schema={}).version


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@unhurried
@given(values)
def test_json_comes_back_as_it_was(value: Any) -> None:
    text = json.dumps(value)
    assert json_in(text, strict=True) == value
    assert json_in(f"```json\n{json.dumps(value, indent=1)}\n```") == value
    assert right("json_schema", {"schema": {"const": value}}, text)
