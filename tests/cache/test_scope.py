"""Equal keys only for what may share an answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from cache.scope import KEY_BYTES, WITHOUT_EFFECT, exact_key
from contracts.ports import CacheScope
from contracts.request import MAX_DEPTH

SCOPE = CacheScope(
    tenant="acme",
    route="support",
    policy_version="fixed:small",
    prompt_version="support@1",
    corpus_version="",
    candidates=("small", "large"),
)
BODY: dict[str, Any] = {
    "model": "support",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    "temperature": 0.2,
    "top_p": 1,
    "max_tokens": 100,
    "seed": 7,
    "stop": ["\n"],
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "strict": True}},
    "logprobs": True,
    "reasoning_effort": "low",
    "x_vendor": {"a": [1, 2]},
}


def key(body: Any = BODY, scope: CacheScope = SCOPE) -> bytes:
    return exact_key(scope, "chat/completions", body)


def test_equal_requests_share_a_key_whatever_the_order_of_their_fields() -> None:
    assert key(dict(reversed(BODY.items()))) == key()
    assert len(key()) == KEY_BYTES


@pytest.mark.parametrize("name", sorted(WITHOUT_EFFECT))
def test_what_cannot_change_an_answer_is_not_in_the_key(name: str) -> None:
    assert key({**BODY, name: "x"}) == key()
    assert key({**BODY, "messages": [{"role": "user", name: "x"}]}) != key({**BODY, "messages": [{"role": "user"}]})


@pytest.mark.parametrize("name", sorted(BODY))
def test_each_field_is_in_the_key(name: str) -> None:
    assert key({**BODY, name: "other"}) != key()
    assert key({**BODY, name: None}) != key()
    assert key({other: value for other, value in BODY.items() if other != name}) != key()


@pytest.mark.parametrize("name", [field.name for field in fields(CacheScope)])
def test_each_part_of_the_scope_is_in_the_key(name: str) -> None:
    other = ("small",) if name == "candidates" else "other"
    assert key(scope=replace(SCOPE, **{name: other})) != key()


def test_endpoints_do_not_share() -> None:
    body = {"model": "m", "input": "a"}
    assert exact_key(SCOPE, "embeddings", body) != exact_key(SCOPE, "completions", body)


def test_parts_of_the_scope_do_not_run_together() -> None:
    assert key(scope=replace(SCOPE, tenant="ac", route="mesupport")) != key()
    assert key(scope=replace(SCOPE, candidates=("small,large",))) != key()
    assert key(scope=replace(SCOPE, candidates=("large", "small"))) != key()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        (0, None),
        (0.0, -0.0),
        (1, "1"),
        ("", None),
        ([], {}),
        ([], None),
        ([[1], 2], [1, [2]]),
        ("\u00e9", "e\u0301"),
        ("K", "\u212a"),
        ("a\x00", "a"),
        ({"a": 1, "b": 2}, {"a": 2, "b": 1}),
        (1e16, 10**16),
    ],
)
def test_values_that_look_alike_are_kept_apart(one: object, other: object) -> None:
    assert key({**BODY, "x": one}) != key({**BODY, "x": other})


def test_the_deepest_request_that_is_let_in_has_a_key() -> None:
    assert key({"x": orjson.loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


def told_apart(value: object) -> object:
    """`value` in a form whose equality is that of JSON: 1, 1.0, true and -0.0 are four different things."""
    if isinstance(value, dict):
        return {name: told_apart(part) for name, part in value.items()}
    if isinstance(value, list):
        return [told_apart(part) for part in value]
    return type(value).__name__, repr(value)


@given(json_values, json_values)
def test_different_json_has_different_keys(one: object, other: object) -> None:
    assert (key({"x": one}) == key({"x": other})) == (told_apart(one) == told_apart(other))


@given(json_values, st.data())
def test_a_change_anywhere_inside_changes_the_key(value: object, data: st.DataObject) -> None:
    changed = orjson.loads(orjson.dumps(value))
    inner, holder, where = changed, None, None
    while isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
        places = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        holder, where = inner, data.draw(st.sampled_from(places))
        inner = inner[where]
    replacement = data.draw(json_values)
    if holder is None:
        changed = replacement
    else:
        holder[where] = replacement
    assume(told_apart(changed) != told_apart(value))
    assert key({"messages": [{"content": changed}]}) != key({"messages": [{"content": value}]})
