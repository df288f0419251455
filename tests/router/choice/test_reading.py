"""What a policy looks at in a request: the same text as the cache, bounded estimates, no fault in any JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cache.scope import LONGEST_QUESTION, Question, question_of
from contracts.errors import InvalidRequest
from contracts.ports import CacheScope, Query
from contracts.records import Endpoint
from contracts.request import ModelRequest
from router.choice.reading import LONGEST, Reading, read

SCOPE = CacheScope("acme", "support", "", "", "", ("a", "b"))


def reading_of(
    body: dict[str, Any],
    *,
    endpoint: Endpoint = "chat/completions",
    tenant: str = "acme",
    model: str = "support",
    session: str = "",
) -> Reading:
    request = ModelRequest(endpoint, {"model": model, **body})
    return read(Query(request=request, body=request.raw, tenant=tenant, request_id="req_1", session=session))


def turn(role: str, content: object, **more: object) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def reading_over(*turns: dict[str, Any], **more: Any) -> Reading:
    return reading_of({"messages": list(turns)}, **more)


QUESTION = turn("user", "How do I pay?")
ANSWER = turn("assistant", "By card.")
CALL = turn("assistant", None, tool_calls=[{"id": "1", "function": {"name": "find", "arguments": "{}"}}])
RESULT = turn("tool", "found", tool_call_id="1")
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}


# --- the text


@pytest.mark.parametrize(
    ("turns", "text"),
    [
        ([QUESTION], "How do I pay?"),
        ([turn("user", "  \n Hi\t ")], "Hi"),
        ([turn("system", "Be brief."), QUESTION, ANSWER, turn("user", "And in cash?")], "And in cash?"),
        ([QUESTION, CALL, RESULT], "How do I pay?"),
        ([turn("user", [{"type": "text", "text": "What is this?"}, IMAGE])], "What is this?"),
        ([turn("user", [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}])], "One\ntwo"),
        ([turn("user", None)], ""),
        ([turn("user", [IMAGE])], ""),
        ([turn("system", "Be brief.")], ""),
        ([turn("user", " " * 40_000 + "late")], "late"),
        ([turn("user", "x" * 100_000)], "x" * LONGEST),
    ],
)
def test_the_text_is_the_last_user_turn_stripped(turns: list[dict[str, Any]], text: str) -> None:
    assert reading_over(*turns).text == text


def test_of_a_completion_it_is_the_last_prompt() -> None:
    assert reading_of({"prompt": ["First", " Second "]}, endpoint="completions").text == "Second"
    assert reading_of({"prompt": [1, 2, 3]}, endpoint="completions").text == ""
    assert reading_of({"input": "Hello"}, endpoint="embeddings").text == ""


# --- estimates


@pytest.mark.parametrize(
    ("body", "endpoint", "tokens"),
    [
        ({"messages": [turn("user", "x" * 401)]}, "chat/completions", 101),
        ({"messages": [turn("user", ""), turn("user", None)]}, "chat/completions", 0),
        (
            {"messages": [turn("user", [{"type": "text", "text": "x" * 40}, IMAGE, IMAGE])]},
            "chat/completions",
            2010,
        ),
        ({"prompt": ["x" * 40, "y" * 40]}, "completions", 20),
        ({"prompt": [7] * 50}, "completions", 50),
        ({"prompt": [[7] * 50, [8] * 10]}, "completions", 60),
        ({"input": "x" * 40}, "embeddings", 10),
    ],
)
def test_a_prompt_is_estimated_by_its_length(body: dict[str, Any], endpoint: Endpoint, tokens: int) -> None:
    assert reading_of(body, endpoint=endpoint).tokens == tokens


def test_tools_and_calls_count_too() -> None:
    alone = reading_over(QUESTION).tokens
    offered = {"type": "function", "function": {"name": "find", "description": "x" * 400}}
    assert reading_of({"messages": [QUESTION], "tools": [offered]}).tokens > alone + 100
    assert reading_over(QUESTION, CALL).tokens > alone


def test_what_an_earlier_turn_has_sent_is_settled() -> None:
    first, second = turn("user", "x" * 400), turn("user", "y" * 40)
    assert reading_over(first).settled_tokens == 0
    followed = reading_over(first, ANSWER, second)
    assert (followed.settled_tokens, followed.continues) == (100, True)
    assert followed.tokens == 112
    assert reading_over(first, ANSWER, second, turn("assistant", "z" * 40), second).settled_tokens == 112


# --- what a model must be able to do


def test_a_plain_question_needs_nothing() -> None:
    plain = reading_over(QUESTION)
    assert not any((plain.images, plain.audio, plain.tools, plain.in_tool_loop, plain.continues))
    assert plain.endpoint == "chat/completions"


def test_images_and_audio_are_seen_in_any_turn() -> None:
    seen = reading_over(turn("user", [IMAGE]), ANSWER, QUESTION)
    assert (seen.images, seen.audio) == (True, False)
    heard = reading_over(turn("user", [SOUND]))
    assert (heard.images, heard.audio) == (False, True)


def test_a_tool_loop_is_where_a_tool_spoke_last() -> None:
    assert not reading_over(QUESTION, CALL).in_tool_loop
    loop = reading_over(QUESTION, CALL, RESULT)
    assert (loop.in_tool_loop, loop.tools, loop.continues) == (True, True, True)
    over = reading_over(QUESTION, CALL, RESULT, ANSWER, QUESTION)
    assert (over.in_tool_loop, over.tools) == (False, True)
    assert reading_over(QUESTION, turn("function", "found", name="find")).in_tool_loop


# --- the conversation


def test_all_turns_of_a_conversation_are_one_session() -> None:
    system = turn("system", "Be brief.")
    turns = [system, QUESTION, CALL, RESULT, ANSWER, turn("user", "And in cash?"), turn("assistant", "No.")]
    sessions = {reading_over(*turns[:end]).session for end in range(2, len(turns) + 1)}
    assert len(sessions) == 1
    assert sessions != {""}


def test_sessions_are_apart_for_tenants_routes_and_beginnings() -> None:
    sessions = [
        reading_over(QUESTION).session,
        reading_over(QUESTION, tenant="globex").session,
        reading_over(QUESTION, model="other").session,
        reading_over(turn("user", "Another")).session,
        reading_over(turn("user", [{"type": "text", "text": "How do I pay?"}, IMAGE])).session,
        reading_over(QUESTION, session="mine").session,
        reading_over(QUESTION, session="mine", tenant="globex").session,
    ]
    assert len(set(sessions)) == len(sessions)


def test_the_clients_own_name_goes_before_how_it_began() -> None:
    named = reading_over(QUESTION, session="mine").session
    assert named == reading_over(turn("user", "Another"), session="mine").session
    assert named == reading_of({"messages": [QUESTION], "prompt_cache_key": "mine"}).session
    assert reading_of({"messages": [QUESTION], "prompt_cache_key": 7}).session == reading_over(QUESTION).session
    assert reading_of({"prompt": "x"}, endpoint="completions", session="mine").session


def test_without_a_beginning_there_is_no_session() -> None:
    assert reading_over(turn("system", "Be brief.")).session == ""
    assert reading_of({"prompt": "x"}, endpoint="completions").session == ""


# --- anything that a client may send

words = st.text(max_size=20) | st.sampled_from([" ", "\n x \t", "\ud7ff", "😀" * 3, "Привет", "\0", "x" * 300])
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
parts = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "input_audio"]) | json}, optional={"text": words | json}
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool", "function", "odd"])},
    optional={"content": words | st.lists(parts, max_size=3) | json, "tool_calls": json, "name": json},
)
bodies = st.fixed_dictionaries(
    {"model": st.just("support"), "messages": st.lists(turns, min_size=1, max_size=6)},
    optional={
        "tools": st.lists(json, max_size=3),
        "functions": json,
        "prompt": json,
        "input": json,
        "prompt_cache_key": json,
        "max_tokens": json,
    },
)


def accepted(body: dict[str, Any], endpoint: Endpoint) -> ModelRequest | None:
    try:
        return ModelRequest(endpoint, body)
    except InvalidRequest:
        return None


@settings(deadline=None)
@given(bodies, st.sampled_from(["chat/completions", "completions", "embeddings"]), words)
def test_no_request_that_is_accepted_is_too_odd_to_be_read(
    body: dict[str, Any], endpoint: Endpoint, name: str
) -> None:
    request = accepted(body, endpoint)
    if request is None:
        return
    reading = read(Query(request=request, body=body, tenant="acme", request_id="r", session=name))
    assert 0 <= reading.settled_tokens <= reading.tokens
    assert len(reading.text) <= LONGEST
    assert reading.text == reading.text.strip()
    assert bool(reading.session) or not name


@pytest.mark.parametrize("odd", [7, True, 1.5, "x", {"a": 1}, [None], [[1]], []])
def test_tool_calls_of_any_shape_are_read(odd: object) -> None:
    assert reading_over(QUESTION, turn("assistant", None, tool_calls=odd), QUESTION).text == "How do I pay?"


@settings(deadline=None)
@given(bodies)
def test_the_text_is_what_the_cache_compares(body: dict[str, Any]) -> None:
    if accepted(body, "chat/completions") is None:
        return
    question = question_of(SCOPE, "chat/completions", body, ())
    if isinstance(question, Question):
        request = ModelRequest("chat/completions", body)
        assert read(Query(request=request, body=body, tenant="acme", request_id="r")).text == question.text


def test_what_the_cache_compares_is_never_cut() -> None:
    assert LONGEST >= LONGEST_QUESTION


HUGE: dict[str, dict[str, Any]] = {
    "text": {"messages": [turn("user", "😀" * 100_000)]},
    "spaces": {"messages": [turn("user", " " * 100_000)]},
    "turns": {"messages": [QUESTION, ANSWER] * 10_000},
    "parts": {"messages": [turn("user", [{"type": "text", "text": "x"}] * 50_000)]},
    "calls": {"messages": [turn("assistant", None, tool_calls=["x" * 100] * 10_000)]},
    "tools": {"messages": [QUESTION], "tools": [{"x": "y" * 100_000}] * 100},
    "type": {"messages": [turn("user", [{"type": [{"x": "y" * 100_000}]}])]},
}


@pytest.mark.parametrize("name", HUGE)
def test_of_a_huge_request_only_so_much_is_kept(name: str) -> None:
    reading = reading_of(HUGE[name])
    assert len(reading.text) <= LONGEST
    assert len(reading.session) in (0, 32)


def test_what_lies_far_behind_tells_no_sessions_apart() -> None:
    one, other = (reading_over(turn("user", "x" * 100_000 + end)) for end in "ab")
    assert one == other


def test_of_a_large_tool_only_its_beginning_counts() -> None:
    small, large = ({"messages": [QUESTION], "tools": [{"x": "y" * size}]} for size in (LONGEST, 100_000))
    assert reading_of(small) == reading_of(large)
