"""Framing: however a stream is cut into chunks, the same events come out of it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.sse import DONE, EventBuffer, event, payloads

BREAKS = [first + second for first in ("\r\n", "\n", "\r") for second in ("\r\n", "\n", "\r")]
BREAKS.remove("\r\n")  # a CR before a LF is one line end, not two

data = st.binary(max_size=12).filter(lambda payload: b"\n" not in payload and b"\r" not in payload)
lines = st.one_of(
    data.map(lambda payload: b"data: " + payload),
    data.map(lambda payload: b"data:" + payload),
    st.sampled_from([b": keep-alive", b"event: message", b"id: 7", b"retry: 1000"]),
)
line_ends = st.sampled_from([b"\r\n", b"\n"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Events of several lines; each server keeps to one kind of line end within an event."""
    text = b""
    for block in draw(st.lists(st.lists(lines, min_size=1, max_size=3), max_size=5)):
        end = draw(line_ends)
        text += b"".join(line + end for line in block) + end
    return text


def cut(text: bytes, places: set[int]) -> list[bytes]:
    return [text[begin:end] for begin, end in pairwise([0, *sorted(places), len(text)])]


def fed(chunks: list[bytes]) -> tuple[list[bytes], EventBuffer]:
    buffer = EventBuffer()
    return [buffer.feed(chunk) for chunk in chunks], buffer


def test_an_event_is_its_own_payload() -> None:
    assert list(payloads(event(b'{"a":1}') + event(DONE))) == [b'{"a":1}', DONE]


@given(st.data(), streams())
def test_any_cut_gives_the_same_events(drawn: st.DataObject, text: bytes) -> None:
    places = drawn.draw(st.sets(st.integers(0, len(text))))
    outputs, buffer = fed(cut(text, places))
    assert b"".join(outputs) == text
    assert buffer.rest == b""
    assert [payload for output in outputs for payload in payloads(output)] == list(payloads(text))


@pytest.mark.parametrize("separator", BREAKS, ids=repr)
def test_every_kind_of_blank_line_ends_an_event(separator: str) -> None:
    text = b"data: a" + separator.encode() + b"data: b" + separator.encode()
    assert list(payloads(text)) == [b"a", b"b"]
    for place in range(len(text) + 1):
        outputs, buffer = fed([*cut(text, {place}), b": more"])
        assert [payload for output in outputs for payload in payloads(output)] == [b"a", b"b"]
        assert buffer.rest.lstrip() == b": more"


def test_one_crlf_ends_a_line_and_no_event() -> None:
    text = b"data: a\r\ndata: b\r\n\r\n"
    assert list(payloads(text)) == [b"a\nb"]
    outputs, _ = fed([text[n : n + 1] for n in range(len(text))])
    assert [output for output in outputs if output] == [text]


def test_an_event_that_has_not_ended_waits() -> None:
    buffer = EventBuffer()
    assert buffer.feed(b"data: a\n\ndata: b") == b"data: a\n\n"
    assert buffer.rest == b"data: b"
    assert buffer.feed(b"c\n") == b""
    assert buffer.feed(b"\nda") == b"data: bc\n\n"
    assert buffer.rest == b"da"


def test_comments_and_other_fields_carry_no_payload() -> None:
    assert list(payloads(b": ping\n\nevent: error\ndata: x\nid: 1\n\nretry: 5\n\n")) == [b"x"]


def test_only_one_space_after_the_colon_is_framing() -> None:
    assert list(payloads(b"data:  x \n\ndata:y\n\ndata:\n\n")) == [b" x ", b"y", b""]


def test_text_may_hold_what_looks_like_a_line_break() -> None:
    payload = "a\u2028b\x0bc\x85".encode()
    assert list(payloads(event(payload))) == [payload]


def test_an_event_without_end_is_bounded() -> None:
    buffer = EventBuffer(limit=100)
    buffer.feed(b"data: " + b"x" * 90)
    with pytest.raises(OverflowError):
        buffer.feed(b"x" * 10)


def test_the_bound_is_on_one_event_not_on_the_stream() -> None:
    buffer = EventBuffer(limit=100)
    text = event(b"x" * 80) * 50
    assert buffer.feed(text + b"data: y") == text
