"""Equal keys only for what may share an answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import fields, replace

from cache.scope import KEY_BYTES, LONGEST_QUESTION, WITHOUT_EFFECT, Question, exact_key, question_of
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


# --- the hard key

VERSIONS = ("encoder-1", "verifier-1")


def question(
    text: Any = "How do I pay?", scope: CacheScope = SCOPE, versions: tuple[str, ...] = VERSIONS, **fields: Any
) -> Question | str:
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    body = {**BODY, "messages": [*history, {"role": "user", "content": text}], **fields}
    return question_of(scope, "chat/completions", body, versions)


def hard_key(*args: Any, **named: Any) -> bytes:
    found = question(*args, **named)
    assert isinstance(found, Question)
    return found.hard_key


def test_only_the_last_users_text_is_not_in_the_hard_key() -> None:
    assert hard_key("How can I pay?") == hard_key()
    assert question("  How can I pay?\n") == Question(hard_key(), "How can I pay?")
    assert hard_key([{"type": "text", "text": "How can I pay?"}]) != hard_key()


@pytest.mark.parametrize("name", sorted(BODY))
def test_each_field_is_in_the_hard_key(name: str) -> None:
    if name != "messages":
        assert hard_key(**{name: "other"}) != hard_key()


@pytest.mark.parametrize("name", [field.name for field in fields(CacheScope)])
def test_each_part_of_the_scope_is_in_the_hard_key(name: str) -> None:
    other = ("small",) if name == "candidates" else "other"
    assert hard_key(scope=replace(SCOPE, **{name: other})) != hard_key()


def test_history_versions_and_images_are_in_the_hard_key() -> None:
    def turns(*contents: Any, role: str = "user", **more: Any) -> bytes:
        messages = [{"role": role, "content": content} for content in contents[:-1]]
        return hard_key(messages=[*messages, {"role": "user", "content": contents[-1], **more}])

    assert turns("a", "b", "q") != turns("a", "c", "q") != turns("c", "q")
    assert turns("a", "q") != turns("a", "q", role="developer") != turns("a", "q", role="system")
    assert turns("a", "q") != turns("a", "q", name="ada")
    assert hard_key(versions=("encoder-2", "verifier-1")) != hard_key() != hard_key(versions=("encoder-1", "v-2"))

    def picture(url: str) -> Any:
        return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is this?"}]

    assert hard_key(picture("data:a")) != hard_key(picture("data:b"))
    assert question(picture("data:a")) == Question(hard_key(picture("data:a")), "What is this?")


def test_hard_and_exact_keys_are_never_the_same() -> None:
    body = {**BODY, "messages": [{"role": "user", "content": None}]}
    assert exact_key(SCOPE, "chat/completions", body) != hard_key(messages=[{"role": "user", "content": "x"}])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"messages": [{"role": "assistant", "content": "Hm?"}]}, "not a user's"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "empty"),
        ({"messages": [{"role": "user", "content": None}]}, "no single text"),
        ({"messages": [{"role": "user"}]}, "no single text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": t} for t in "ab"]}]},
            "no single text",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "no single text"),
        ({"messages": [{"role": "user", "content": "x" * (LONGEST_QUESTION + 1)}]}, "longer than"),
    ],
)
def test_requests_without_a_question(fields: dict[str, Any], reason: str) -> None:
    assert reason in str(question(**fields))


def test_other_endpoints_have_no_question() -> None:
    found = question_of(SCOPE, "completions", {"model": "m", "prompt": "a"}, VERSIONS)
    assert found == "only chats are compared by meaning"
