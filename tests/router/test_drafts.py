"""A cheap answer before the client has it: what is noted of its stream, taken out of it, and held back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import StreamCut
from contracts.ports import CheckTerms, Draft, WholeAnswer
from contracts.request import ModelRequest
from contracts.sse import event, payloads
from router.delivery import Tee
from router.drafts import LoggedStream, Logprobs, draft_of, held, without_logprobs
from tests.router.plain import DONE, HELLO, USAGE, Script, chunk, whole

ENDLESS = CheckTerms(hold_s=60)
COMMENT = b": still there\n\n"


def token(text: str, logprob: float = -0.5) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": None, "top_logprobs": [{"token": "x", "logprob": -2.0}]}


def logged_chunk(text: str, *, finish: str | None = None, **more: object) -> bytes:
    """One event with one token and its log probability."""
    choice = {"index": 0, "delta": {"content": text}, "logprobs": {"content": [token(text)]}, **more}
    return event(orjson.dumps({"id": "1", "choices": [{**choice, "finish_reason": finish}]}))


def unlogged_chunk(text: str, *, finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": finish}
    return event(orjson.dumps({"id": "1", "choices": [choice]}))


async def all_of(stream: LoggedStream) -> list[bytes]:
    found = []
    while part := await stream.read():
        found.append(part)
    return found


# --- what is noted and taken out


@pytest.mark.parametrize("shown", [False, True])
async def test_log_probabilities_are_noted_and_shown_only_to_who_asked(shown: bool) -> None:
    sent = [logged_chunk("He"), logged_chunk("llo", finish="stop"), USAGE, DONE]
    logged = LoggedStream(Script(*sent), shown=shown)
    got = await all_of(logged)
    assert got == (sent if shown else [unlogged_chunk("He"), unlogged_chunk("llo", finish="stop"), USAGE, DONE])
    assert logged.logprobs == [token("He"), token("llo")]
    assert (logged.finish, logged.tool_calls) == ("stop", False)


async def test_once_the_answer_is_judged_they_are_taken_out_and_no_longer_noted() -> None:
    logged = LoggedStream(Script(logged_chunk("He"), logged_chunk("llo", finish="stop")), shown=False)
    await logged.read()
    logged.noting = False
    assert await logged.read() == unlogged_chunk("llo", finish="stop")
    assert (logged.logprobs, logged.finish) == ([token("He")], "")


async def test_several_events_in_one_read_stay_events_of_their_own() -> None:
    logged = LoggedStream(
        Script(logged_chunk("He") + COMMENT + chunk("l") + logged_chunk("lo") + DONE), shown=False
    )
    (got,) = await all_of(logged)
    assert got == unlogged_chunk("He") + chunk("l") + unlogged_chunk("lo") + DONE


async def test_tool_calls_are_seen() -> None:
    call = {"tool_calls": [{"index": 0, "function": {"name": "find", "arguments": ""}}]}
    logged = LoggedStream(Script(event(orjson.dumps({"choices": [{"index": 0, "delta": call}]}))), shown=False)
    await all_of(logged)
    assert logged.tool_calls


ODD: Sequence[bytes] = (
    COMMENT,
    event(b"{not json"),
    event(b"[1, 2]"),
    event(b'"text"'),
    event(b"null"),
    event(b"1e999"),
    event(b'{"choices": null}'),
    event(b'{"choices": "none"}'),
    event(b'{"choices": [1, null, "x", []]}'),
    event(b'{"choices": [{}]}'),
    event(b'{"choices": [{"delta": 3, "finish_reason": 7, "logprobs": null}]}'),
    event(b'{"choices": [{"delta": {"tool_calls": null}}]}'),
    event(b'{"choices": ' + b"[" * 2000 + b"]" * 2000 + b"}"),
    b'event: odd\ndata: {"choices": []}\n\n',
    b'data: {"choices":\ndata: []}\n\n',
    b"data: {\r\ndata: }\r\n\r\n",
    DONE,
)


@pytest.mark.parametrize("odd", ODD)
async def test_what_is_odd_passes_untouched_and_is_not_the_end(odd: bytes) -> None:
    logged = LoggedStream(Script(odd, logged_chunk("x")), shown=False)
    assert await all_of(logged) == [odd, unlogged_chunk("x")]
    assert logged.logprobs == [token("x")]


@pytest.mark.parametrize("logprobs", [True, 7, "x", [], {"content": None}, {"content": "x"}, {"content": {}}])
async def test_log_probabilities_of_odd_shape_are_taken_out_and_not_noted(logprobs: object) -> None:
    logged = LoggedStream(Script(logged_chunk("x", logprobs=logprobs)), shown=False)
    assert await all_of(logged) == [unlogged_chunk("x")]
    assert logged.logprobs == []


async def test_an_event_whose_data_has_several_lines_stays_one_event() -> None:
    two_lines = b'data: {"choices": [],\ndata: "usage": null}\n\n'
    logged = LoggedStream(Script(two_lines + logged_chunk("x")), shown=False)
    (got,) = await all_of(logged)
    first, second = payloads(got)
    assert orjson.loads(first) == {"choices": [], "usage": None}
    assert event(second) == unlogged_chunk("x")


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "delta", "logprobs", "content", "finish_reason", "tool_calls"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(json, st.booleans())
async def test_whatever_a_model_sends_is_passed_on_but_for_log_probabilities(sent: Any, shown: bool) -> None:
    logged = LoggedStream(Script(event(orjson.dumps({"choices": sent}))), shown=shown)
    (got,) = await all_of(logged)
    (payload,) = payloads(got)
    expected = sent
    if not shown and isinstance(sent, list):
        expected = [
            {**item, "logprobs": None} if isinstance(item, dict) and item.get("logprobs") is not None else item
            for item in sent
        ]
    assert orjson.loads(payload) == {"choices": expected}


async def test_closing_it_closes_the_stream() -> None:
    script = Script()
    await LoggedStream(script, shown=False).close()
    assert script.closed == 1


# --- what is asked of the upstream


@pytest.mark.parametrize(
    ("raw", "wanted", "added"),
    [
        ({}, Logprobs(3, False), {"logprobs": True, "top_logprobs": 3}),
        ({"logprobs": False}, Logprobs(3, False), {"logprobs": True, "top_logprobs": 3}),
        ({"logprobs": True, "top_logprobs": 2}, Logprobs(0, True), {"logprobs": True, "top_logprobs": 2}),
    ],
)
def test_the_wish_of_a_client_goes_before_ours(
    raw: dict[str, Any], wanted: Logprobs, added: dict[str, Any]
) -> None:
    request = ModelRequest("chat/completions", {"model": "m", "messages": list(HELLO), **raw})
    logprobs = Logprobs.of(CheckTerms(logprobs=3), request)
    assert logprobs == wanted
    assert logprobs.added(request.raw) == {**request.raw, **added}
    assert "top_logprobs" not in raw or request.raw["top_logprobs"] == raw["top_logprobs"]


def test_terms_without_log_probabilities_ask_for_none() -> None:
    request = ModelRequest("chat/completions", {"model": "m", "messages": list(HELLO)})
    assert Logprobs.of(CheckTerms(), request).added(request.raw) is request.raw


# --- whole answers


def answer(**choice: object) -> WholeAnswer:
    data = {"choices": [{"index": 0, **choice}]}
    return WholeAnswer(body=orjson.dumps(data), data=data)


def test_a_whole_answer_as_a_draft() -> None:
    told = answer(
        message={"content": "Hello"},
        finish_reason="length",
        logprobs={"content": [token("Hello")], "refusal": None},
    )
    assert draft_of("m", told) == Draft(
        model="m", text="Hello", whole=True, finish="length", logprobs=[token("Hello")], tool_calls=False
    )
    calling = answer(message={"content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]})
    assert draft_of("m", calling).tool_calls


@pytest.mark.parametrize(
    "choices", [[], [None], ["x"], [{}], [{"message": 3, "logprobs": [1]}], [None, {"text": ""}]]
)
def test_odd_shapes_are_empty_drafts_and_keep_their_places(choices: list[Any]) -> None:
    odd = WholeAnswer(body=orjson.dumps({"choices": choices}), data={"choices": choices})
    assert draft_of("m", odd) == Draft(model="m", text="", whole=True, logprobs=[])
    shown = without_logprobs(odd)
    unlogged = [
        {**item, "logprobs": None} if item == choices[-1] and "logprobs" in item else item
        for item in choices
        if item
    ]
    assert shown.data == orjson.loads(shown.body) == {"choices": [item for item in choices if not item] + unlogged}


def test_log_probabilities_are_taken_out_of_every_choice_and_nothing_else_is() -> None:
    data = {
        "id": "1",
        "choices": [{"index": index, "logprobs": {"content": [token("x")]}, "odd": 1} for index in range(2)],
        "usage": {"prompt_tokens": 1},
    }
    before = orjson.dumps(data)
    got = without_logprobs(WholeAnswer(body=before, data=data))
    choices = [{"index": index, "logprobs": None, "odd": 1} for index in range(2)]
    assert got.data == orjson.loads(got.body) == {**data, "choices": choices}
    assert orjson.dumps(data) == before


def test_an_answer_without_them_is_the_one_that_came() -> None:
    plain = whole()
    assert without_logprobs(plain) is plain


def test_one_that_cannot_be_written_again_stays_as_it_came() -> None:
    """orjson reads deeper than it writes."""
    body = b'{"choices": [{"logprobs": {"content": []}, "odd": ' + b"[" * 500 + b"]" * 500 + b"}]}"
    deep = WholeAnswer(body=body, data=orjson.loads(body))
    assert without_logprobs(deep) is deep


# --- held back


async def holding(
    script: Script, terms: CheckTerms, *, within_s: float = 60, most_bytes: int = 100_000, shown: bool = False
) -> tuple[Draft, bytes, Tee]:
    logged = LoggedStream(script, shown=shown)
    tee = Tee(logged, choices=1, usage_wanted=False)
    head = await tee.begin()
    until = time.perf_counter() + within_s
    draft, so_far = await held("m", tee, logged, head, terms, until=until, most_bytes=most_bytes)
    return draft, so_far, tee


async def rest_of(tee: Tee) -> bytes:
    parts = []
    while part := await tee.next():
        parts.append(part)
    return b"".join(parts)


def five(last: str = "stop") -> list[bytes]:
    return [*map(logged_chunk, "abcde"), logged_chunk("f", finish=last), USAGE, DONE]


async def test_all_of_a_stream_is_held_to_its_end() -> None:
    draft, got, tee = await holding(Script(*five()), ENDLESS)
    assert (draft.model, draft.text, draft.whole, draft.finish) == ("m", "abcdef", True, "stop")
    assert draft.logprobs == [token(letter) for letter in "abcdef"]
    assert got == b"".join(map(unlogged_chunk, "abcde"))
    assert tee.ending == [payloads(unlogged_chunk("f", finish="stop"))[0]]
    assert tee.raw_usage == {"prompt_tokens": 3, "completion_tokens": 2}
    assert await rest_of(tee) == b""


async def test_or_only_its_first_tokens_and_the_rest_is_not_noted() -> None:
    script = Script(*five())
    draft, got, tee = await holding(script, CheckTerms(first_tokens=2, hold_s=60))
    assert (draft.text, draft.whole, draft.finish) == ("ab", False, "")
    assert got == unlogged_chunk("a") + unlogged_chunk("b")
    assert script.left == 6
    assert await rest_of(tee) == b"".join(map(unlogged_chunk, "cde"))
    assert draft.logprobs == [token("a"), token("b")]


async def test_first_tokens_beyond_the_end_are_the_whole() -> None:
    draft, _, _ = await holding(Script(*five("length")), CheckTerms(first_tokens=100, hold_s=60))
    assert (draft.text, draft.whole, draft.finish) == ("abcdef", True, "length")


async def test_no_more_bytes_are_held_than_may_be() -> None:
    size = len(unlogged_chunk("a"))
    draft, got, tee = await holding(Script(*five()), ENDLESS, most_bytes=2 * size + 1)
    assert (draft.text, draft.whole) == ("abc", False)
    assert got + await rest_of(tee) == b"".join(map(unlogged_chunk, "abcde"))


@pytest.mark.parametrize(("hold_s", "within_s"), [(0.02, 60), (60, 0.02), (60, -5)])
async def test_nor_for_longer_than_the_terms_or_the_deadline(hold_s: float, within_s: float) -> None:
    more = asyncio.Event()
    script = Script(logged_chunk("a"), logged_chunk("b"), more, *five()[2:])
    draft, got, tee = await holding(script, CheckTerms(hold_s=hold_s), within_s=within_s)
    assert (draft.text, draft.whole) == ("ab", False)
    more.set()
    assert got + await rest_of(tee) == b"".join(map(unlogged_chunk, "abcde"))


async def test_a_stream_that_breaks_while_it_is_held_says_so() -> None:
    with pytest.raises(StreamCut):
        await holding(Script(logged_chunk("a"), StreamCut("lost")), ENDLESS)
    with pytest.raises(StreamCut):
        await holding(Script(logged_chunk("a"), logged_chunk("b")), ENDLESS)


async def test_a_client_that_asked_is_held_the_same_and_gets_them() -> None:
    draft, got, _ = await holding(Script(*five()), ENDLESS, shown=True)
    assert got == b"".join(map(logged_chunk, "abcde"))
    assert draft.logprobs == [token(letter) for letter in "abcdef"]


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=12), st.integers(1, 15), st.integers(1, 2000))
async def test_nothing_is_lost_or_sent_twice(letters: list[str], first: int, most: int) -> None:
    *body, last = letters
    script = Script(*(logged_chunk(letter) for letter in body), COMMENT, logged_chunk(last, finish="stop"), DONE)
    draft, got, tee = await holding(script, CheckTerms(first_tokens=first, hold_s=60), most_bytes=most)
    assert payloads(got + await rest_of(tee)) == [payloads(unlogged_chunk(letter))[0] for letter in body]
    assert tee.text == "".join(letters)
    assert draft.text == tee.text[: len(draft.text)]
    assert len(draft.logprobs) == len(draft.text)
    assert draft.finish == ("stop" if draft.text == tee.text else "")
    assert draft.text == tee.text or not draft.whole
