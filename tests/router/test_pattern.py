"""Chunks that are alike but for their text are recognised, and no others."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sse import event
from router.pattern import Pattern

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def chunk(text: Any, **more: Any) -> bytes:
    choice = {"index": 2, "delta": {"content": text}, "finish_reason": None}
    return orjson.dumps({"id": "chatcmpl-1", "model": "m", "choices": [choice], **more})


def learnt(text: str = "Hello", payload: bytes | None = None) -> Pattern:
    pattern = Pattern()
    pattern.learn(payload or chunk(text), 2, text)
    return pattern


@given(texts.filter(bool), texts)
def test_what_is_recognised_is_what_parsing_finds(first: str, then: str) -> None:
    pattern = learnt(first)
    found = pattern.text_in(chunk(then))
    assert found in (then, None)
    assert found == pattern.text_of(event(chunk(then)))
    if chunk(first).count(orjson.dumps(first)) == 1:
        assert found == then
        assert pattern.index == 2


@given(texts.filter(bool), st.binary(max_size=30))
def test_no_bytes_are_taken_for_what_they_are_not(first: str, inside: bytes) -> None:
    """Whatever stands where the text was: if it is accepted, the whole is JSON that differs in the text alone."""
    before, _, after = chunk("\x00").partition(b"\\u0000")
    found = learnt(first).text_in(before + inside + after)
    if found is not None:
        assert orjson.loads(before + inside + after) == orjson.loads(chunk(found))


@pytest.mark.parametrize(
    "other",
    [
        chunk("x", id="chatcmpl-2"),
        chunk("x", usage={"prompt_tokens": 1}),
        chunk(None),
        chunk(7),
        chunk(["x"]),
        chunk("x")[:-1],
        chunk("x") + b" ",
        b"",
        b"[DONE]",
        chunk('x","finish_reason":"stop"').replace(b"\\", b""),
    ],
)
def test_chunks_that_differ_in_more_are_not_recognised(other: bytes) -> None:
    assert learnt().text_in(chunk("x")) == "x"
    assert learnt().text_in(other) is None
    assert learnt().text_of(event(other)) is None


@pytest.mark.parametrize(
    "written",
    [
        b'{"choices": [{"index": 2, "delta": {"content": "Hello"}, "finish_reason": null}]}',
        b'{"choices":[{"index":2,"delta":{"content":"Hello"},"finish_reason":null}]}',
    ],
)
def test_spaces_are_no_obstacle(written: bytes) -> None:
    assert learnt("Hello", written).text_in(written.replace(b"Hello", b"\\u00e9 \\n")) == "é \n"


@pytest.mark.parametrize(
    "payload",
    [chunk("Hello", model="Hello"), chunk("", note="Hello"), b'{"choices":[{"delta":{"content":"\\u0048ello"}}]}'],
)
def test_nothing_is_learnt_where_the_text_may_stand_elsewhere(payload: bytes) -> None:
    assert learnt("Hello", payload).text_in(payload) is None


@pytest.mark.parametrize(
    "events",
    [event(chunk("x")) * 2, chunk("x"), event(chunk("x"))[:-1], b": ping\n\n" + event(chunk("x")), b"", b"\n\n"],
)
def test_one_event_is_told_from_more_and_from_less(events: bytes) -> None:
    assert learnt().text_of(event(chunk("x"))) == "x"
    assert learnt().text_of(events) is None


def test_after_many_vain_lessons_it_gives_up() -> None:
    pattern = Pattern()
    for number in range(40):
        pattern.forget()
        pattern.learn(chunk("Hello", padding="x" * number), 2, "Hello")
    assert pattern.text_in(chunk("Hello", padding="x" * 39)) is None
