"""A request is a view: what Weir knows is checked, what it does not know is left alone."""

from __future__ import annotations

import json
from typing import Any, get_args

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidRequest
from contracts.records import Endpoint
from contracts.request import MAX_DEPTH, ModelRequest

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
GOOD: dict[Endpoint, dict[str, Any]] = {
    "chat/completions": CHAT,
    "completions": {"model": "m", "prompt": "Hi"},
    "embeddings": {"model": "m", "input": "Hi"},
}


def chat(**fields: Any) -> ModelRequest:
    return ModelRequest("chat/completions", {**CHAT, **fields})


def complaint(endpoint: Endpoint, body: object) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        ModelRequest(endpoint, body)
    return raised.value


def test_unknown_fields_travel_on() -> None:
    body = {**CHAT, "x_vendor": {"deep": [1, {"a": None}]}}
    request = ModelRequest("chat/completions", body)
    assert request.raw is body


def test_what_is_absent_has_its_usual_value() -> None:
    for endpoint, body in GOOD.items():
        request = ModelRequest(endpoint, body)
        assert (request.model, request.n, request.temperature) == ("m", 1, None)
        assert not (request.stream or request.wants_usage_chunk or request.uses_tools)


def test_null_means_absent() -> None:
    request = chat(n=None, temperature=None, stream=None, stream_options=None, tools=None, user=None)
    assert (request.n, request.stream, request.wants_usage_chunk, request.uses_tools) == (1, False, False, False)


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("n", [1, 128], [0, 129, 1.0, True, "1", [1], 10**30]),
        ("temperature", [0, 0.0, 1, 2.0], [-0.1, 2.1, True, "1", float("nan"), float("inf"), 10**400]),
        ("top_p", [0, 1, 0.5], [1.5, -1, {}, float("nan")]),
        ("presence_penalty", [-2, 2], [-2.1, "0"]),
        ("frequency_penalty", [-2, 2], [2.1, []]),
        ("top_logprobs", [0, 20], [21, -1, 1.5]),
        ("max_tokens", [0, 1, 10_000_000], [-1, 10_000_001, 1.5, "10"]),
        ("max_completion_tokens", [1], [0, False]),
        ("stream", [True, False], [1, "true", []]),
        ("stream_options", [{}, {"include_usage": True}], [True, []]),
        ("tools", [[]], [{}, "f"]),
        ("response_format", [{"type": "json_object"}], ["json", []]),
        ("metadata", [{"a": "b"}], [[], "a"]),
        ("logit_bias", [{"1": 2}], [[1]]),
        ("parallel_tool_calls", [False], [0]),
        ("user", [""], [1]),
    ],
)
def test_known_fields(name: str, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert chat(**{name: value}).raw[name] == value
    for value in bad:
        error = complaint("chat/completions", {**CHAT, name: value})
        assert error.param == name
        assert f"'{name}'" in error.message


def test_a_range_is_written_out() -> None:
    assert "from 0 to 10000000." in complaint("chat/completions", {**CHAT, "max_tokens": -1}).message


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": CHAT["messages"]}, "model"),
        ({**CHAT, "model": ""}, "model"),
        ({**CHAT, "model": ["m"]}, "model"),
        ({"model": "m"}, "messages"),
        ({**CHAT, "messages": []}, "messages"),
        ({**CHAT, "messages": {"role": "user"}}, "messages"),
        ({**CHAT, "messages": ["Hi"]}, "messages[0]"),
        ({**CHAT, "messages": [*CHAT["messages"], {"content": "Hi"}]}, "messages[1].role"),
        ({**CHAT, "messages": [{"role": 1}]}, "messages[0].role"),
        ({**CHAT, "messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({**CHAT, "messages": [{"role": "user", "content": ["Hi"]}]}, "messages[0].content"),
    ],
)
def test_chats_that_are_refused(body: dict[str, Any], param: str) -> None:
    assert complaint("chat/completions", body).param == param


@pytest.mark.parametrize(("endpoint", "name"), [("completions", "prompt"), ("embeddings", "input")])
def test_texts(endpoint: Endpoint, name: str) -> None:
    for good in ("", "Hi", ["a", "b"], [1, 2], [[1, 2], [3]]):
        ModelRequest(endpoint, {"model": "m", name: good})
    for bad in (None, 5, [], {}, [None], [1.5], [True], [["a"]], [{}]):
        assert complaint(endpoint, {"model": "m", name: bad}).param == name


@pytest.mark.parametrize("body", [None, [], "text", 5, True])
def test_a_body_must_be_an_object(body: object) -> None:
    assert "JSON object" in complaint("embeddings", body).message


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function"}]},
        {"functions": [{"name": "f"}]},
        {"messages": [{"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}]},
        {"messages": [{"role": "tool", "content": "4"}]},
        {"messages": [{"role": "function", "content": "4"}]},
    ],
)
def test_tools_offered_or_called_are_seen(fields: dict[str, Any]) -> None:
    assert chat(**fields).uses_tools


@pytest.mark.parametrize("endpoint", ["completions", "embeddings"])
@pytest.mark.parametrize("messages", [5, [1], {"a": 1}, [{"role": "tool"}]])
def test_messages_mean_nothing_outside_a_chat(endpoint: Endpoint, messages: object) -> None:
    request = ModelRequest(endpoint, {**GOOD[endpoint], "messages": messages})
    assert request.messages == []
    assert not request.uses_tools


def nested(levels: int, opening: str = "[", closing: str = "]") -> Any:
    return orjson.loads(opening * levels + closing * levels)


def test_nesting_is_bounded_by_what_can_be_written_again() -> None:
    deepest = chat(x=nested(MAX_DEPTH), y={"a": nested(MAX_DEPTH - 1)})
    orjson.dumps([deepest.raw])
    assert complaint("chat/completions", {**CHAT, "x": nested(MAX_DEPTH + 1)}).param == "x"
    assert complaint("chat/completions", {**CHAT, "x": [0, {"a": nested(MAX_DEPTH - 1)}]}).param == "x"
    assert complaint("chat/completions", {**CHAT, "tools": nested(1000)}).param == "tools"
    content = [{"type": "text", "deep": nested(1000)}]
    assert complaint("chat/completions", {**CHAT, "messages": [{"role": "user", "content": content}]}).param


scalars = st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=4)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "tool_calls"]) | st.text(max_size=3), inner, max_size=4
        )
    ),
    max_leaves=12,
)
known = [
    "model",
    "messages",
    "prompt",
    "input",
    "n",
    "temperature",
    "stream",
    "stream_options",
    "tools",
    "functions",
]


@given(
    st.sampled_from(get_args(Endpoint)),
    st.dictionaries(st.sampled_from(known) | st.text(max_size=4), json_values, max_size=6),
    st.booleans(),
)
def test_any_json_passes_or_is_refused_by_name(endpoint: Endpoint, fields: dict[str, Any], complete: bool) -> None:
    body = {**GOOD[endpoint], **fields} if complete else fields
    before = json.dumps(body)
    try:
        request = ModelRequest(endpoint, body)
    except InvalidRequest as error:
        assert error.param
        assert error.param.split("[")[0] in {*body, "model", "messages", "prompt", "input"}
    else:
        assert isinstance(request.model, str)
        assert 1 <= request.n <= 128
        assert isinstance(request.stream, bool)
        assert isinstance(request.wants_usage_chunk, bool)
        assert isinstance(request.uses_tools, bool)
        assert all(isinstance(turn, dict) for turn in request.messages)
    assert json.dumps(body) == before


@given(json_values)
def test_a_bare_value_passes_never(value: Any) -> None:
    if not isinstance(value, dict):
        complaint("chat/completions", value)


@pytest.mark.parametrize(
    ("prompt", "choices"), [("one", 2), (["one"], 2), (["one", "two"], 4), ([1, 2, 3], 2), ([[1, 2], [3]], 4)]
)
def test_completions_have_n_choices_for_each_prompt(prompt: object, choices: int) -> None:
    assert ModelRequest("completions", {"model": "m", "prompt": prompt, "n": 2}).choices == choices


def test_what_the_user_asked_is_in_all_turns_and_nowhere_else() -> None:
    parts = [{"type": "text", "text": "b"}, {"type": "image_url"}]
    turns = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": parts},
        {"role": "user", "content": None},
    ]
    assert ModelRequest("chat/completions", {"model": "m", "messages": turns}).asked == ["a", "b"]
    assert ModelRequest("completions", {"model": "m", "prompt": "a"}).asked == ["a"]
    assert ModelRequest("completions", {"model": "m", "prompt": ["a", "b"]}).asked == ["a", "b"]
    assert ModelRequest("completions", {"model": "m", "prompt": [1, 2]}).asked == []
    assert ModelRequest("embeddings", {"model": "m", "input": "a"}).asked == []
