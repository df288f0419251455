"""The tee: what passes at once, what is held back, what it notes, and how it breaks off."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from contracts.errors import MalformedAnswer, ServerFault, StreamCut
from contracts.sse import event
from router.assembly import Assembly
from router.delivery import Tee
from tests.router.plain import DONE, USAGE, Script, chunk

ROLE = event(orjson.dumps({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}))


def tee(*reads: bytes, choices: int = 1, usage_wanted: bool = False, keep_bytes: int = 10_000) -> Tee:
    return Tee(
        Script(*reads),
        choices=choices,
        usage_wanted=usage_wanted,
        assembly=Assembly("chat/completions"),
        keep_bytes=keep_bytes,
    )


async def drain(running: Tee) -> list[bytes]:
    passed = [await running.begin()]
    while passing := await running.next():
        passed.append(passing)
    return passed


async def test_nothing_is_sent_before_the_first_token_and_then_all_of_it() -> None:
    running = tee(ROLE, chunk("He"), chunk("llo"), chunk(finish="stop"), USAGE, DONE)
    assert await running.begin() == ROLE + chunk("He")
    assert await running.next() == chunk("llo")
    assert await running.next() == b""
    assert running.text == "Hello"


async def test_the_ending_is_held_back_and_usage_shown_only_to_those_who_asked() -> None:
    for wanted, ending in [(False, [chunk(finish="stop")]), (True, [chunk(finish="stop"), USAGE])]:
        running = tee(chunk("x"), chunk(finish="stop"), USAGE, DONE, usage_wanted=wanted)
        assert await drain(running) == [chunk("x")]
        assert [event(payload) for payload in running.ending] == ending
        assert running.raw_usage == {"prompt_tokens": 3, "completion_tokens": 2}


@pytest.mark.parametrize("named", [1, 3])
async def test_the_service_tier_is_read_wherever_a_stream_names_it(named: int) -> None:
    texts = [chunk("one"), chunk("two"), chunk("three"), chunk(finish="stop")]
    texts[named] = chunk("x", finish="stop" if named == 3 else None, service_tier="flex")
    running = tee(*texts, DONE)
    assert running.tier is None
    await drain(running)
    assert running.tier == "flex"


async def test_everything_in_one_read_is_told_apart() -> None:
    running = tee(ROLE + chunk("a") + chunk("b", finish="stop") + USAGE + DONE)
    assert await drain(running) == [ROLE + chunk("a")]
    assert running.text == "ab"
    assert [event(payload) for payload in running.ending] == [chunk("b", finish="stop")]


async def test_bytes_pass_as_they_came_where_nothing_is_held() -> None:
    odd = b": keep-alive\r\n\r\n" + chunk("x").replace(b"\n\n", b"\r\n\r\n")
    running = tee(odd, chunk(finish="stop"))
    assert await running.begin() == odd


async def test_several_choices_end_with_the_last_of_them() -> None:
    running = tee(chunk("a"), chunk(finish="stop"), chunk("b", index=1), chunk(index=1, finish="stop"), choices=2)
    assert await drain(running) == [chunk("a"), chunk(finish="stop"), chunk("b", index=1)]


async def test_a_stream_that_ends_without_done_is_whole_once_it_has_finished() -> None:
    running = tee(chunk("x"), chunk(finish="stop"))
    assert await drain(running) == [chunk("x")]


async def test_done_without_a_finish_ends_the_stream() -> None:
    running = tee(chunk("x"), DONE, chunk("never read"))
    assert await drain(running) == [chunk("x")]
    assert running.ending == []


async def test_the_body_ending_before_a_finish_is_a_cut() -> None:
    running = tee(chunk("x"))
    await running.begin()
    with pytest.raises(StreamCut):
        await running.next()


async def test_a_stream_without_an_answer_fails_before_anything_was_sent() -> None:
    with pytest.raises(MalformedAnswer):
        await tee(ROLE, DONE).begin()
    with pytest.raises(StreamCut):
        await tee(ROLE).begin()


@pytest.mark.parametrize(
    ("payload", "failure"),
    [
        (b'{"broken": ', MalformedAnswer),
        (b"[1]", MalformedAnswer),
        (b'{"choices": 3}', MalformedAnswer),
        (b'{"choices": [3]}', MalformedAnswer),
        (b'{"error": {"message": "overloaded"}}', ServerFault),
    ],
)
async def test_what_is_not_an_answer_breaks_it_off(payload: bytes, failure: type[Exception]) -> None:
    running = tee(chunk("x"), event(payload))
    await running.begin()
    with pytest.raises(failure):
        await running.next()


async def test_tool_calls_and_reasoning_count_as_text() -> None:
    call = {"index": 0, "function": {"name": "find", "arguments": '{"q":'}}
    delta = event(orjson.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}))
    thought = event(orjson.dumps({"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]}))
    running = tee(thought, delta, chunk(finish="tool_calls"))
    await drain(running)
    assert running.text == 'hmfind{"q":'


async def test_completions_carry_text() -> None:
    piece = event(orjson.dumps({"choices": [{"index": 0, "text": "abc", "finish_reason": "stop"}]}))
    running = tee(piece)
    await drain(running)
    assert running.text == "abc"


async def test_the_answer_is_put_together_up_to_the_bound_and_then_not_at_all() -> None:
    reads = [chunk("x"), chunk("y"), chunk(finish="stop"), DONE]
    kept = tee(*reads)
    await drain(kept)
    assert kept.assembly is not None
    assert kept.assembly.answer()[0]["choices"][0]["message"]["content"] == "xy"
    bounded = tee(*reads, keep_bytes=len(reads[0]))
    await drain(bounded)
    assert bounded.assembly is None
    assert bounded.text == "xy"


@pytest.mark.parametrize(
    "odd",
    [
        {"delta": "text"},
        {"delta": [1]},
        {"delta": {"tool_calls": "none"}},
        {"delta": {"tool_calls": 1}},
        {"delta": {"tool_calls": [None]}},
        {"delta": {"tool_calls": [{"function": "f"}]}},
        {"delta": {"content": {"a": 1}}},
        {"index": [0], "delta": {}, "finish_reason": "stop"},
    ],
)
async def test_a_choice_of_an_odd_shape_passes_and_is_read_as_far_as_it_goes(odd: dict[str, Any]) -> None:
    running = tee(chunk("x"), event(orjson.dumps({"choices": [odd]})), chunk(finish="stop"), DONE)
    await drain(running)
    assert running.text == "x"


async def test_reasoning_and_tool_calls_are_part_of_the_answer() -> None:
    call = {"index": 0, "function": {"name": "find", "arguments": "{}"}}
    deltas: list[dict[str, Any]] = [{"reasoning": "Hm. "}, {"reasoning_content": "So. "}, {"tool_calls": [call]}]
    running = tee(
        *(event(orjson.dumps({"choices": [{"index": 0, "delta": delta}]})) for delta in deltas),
        chunk(finish="tool_calls"),
    )
    await drain(running)
    assert running.text == "Hm. So. find{}"


@pytest.mark.parametrize("padded", [False, True])
async def test_chunks_alike_and_unlike_come_to_the_same(padded: bool) -> None:
    """Most chunks are recognised by their bytes; a padding of another length makes each one unlike the others."""
    said = ["Hel", "lo", "", " \n", '"', "é", "\\", "!"]
    reads = [
        event(orjson.dumps({"choices": [piece], **({"pad": "x" * number} if padded else {})}))
        for number, piece in enumerate(
            [{"index": 0, "delta": {"content": text}, "finish_reason": None} for text in said]
            + [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        )
    ]
    running = tee(*reads, DONE)
    assert b"".join(await drain(running)) == b"".join(reads[:-1])
    assert running.text == "".join(said)
    assert running.assembly is not None
    data, lengths = running.assembly.answer()
    assert data["choices"][0]["message"]["content"] == "".join(said)
    assert lengths == tuple(len(text) for text in said if text)


async def test_the_second_of_two_choices_is_not_taken_for_the_first() -> None:
    pieces = [(0, "a", None), (0, "b", None), (1, "A", None), (0, None, "stop"), (1, "B", None), (1, None, "stop")]
    reads = [
        event(
            orjson.dumps(
                {"choices": [{"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}]}
            )
        )
        for index, text, finish in pieces
    ]
    running = tee(*reads, choices=2)
    await drain(running)
    assert running.assembly is not None
    choices = running.assembly.answer()[0]["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["ab", "AB"]
