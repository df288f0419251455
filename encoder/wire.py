"""What goes over the encoder's socket, both ways: fixed heads, little endian, and vectors as they lie in memory.

The server begins with a greeting, so that a client whose encoder is another one compares no vectors of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct as Layout
from typing import NamedTuple

from encoder.card import EncoderCard

_GREETING = Layout("<32sI")
_QUESTION = Layout("<QdI")
_ANSWER = Layout("<QB")
_FLOAT_BYTES = 4
_UTF8_BYTES = 4  # of a character, at most


class Outcome(IntEnum):
    VECTOR = 0
    TOO_MANY = 1
    """Too many were waiting."""
    LATE = 2
    """Its time was up before its turn came."""
    FAILED = 3


class Question(NamedTuple):
    number: int
    until: float
    """On `time.monotonic()`, which all processes of a machine share. Seconds."""
    text: str


class Garbled(Exception):
    """The other side does not speak this."""


def greeting(card: EncoderCard) -> bytes:
    return _GREETING.pack(card.version.encode(), card.dimensions)


def question(number: int, until: float, text: str) -> bytes:
    written = text.encode()
    return _QUESTION.pack(number, until, len(written)) + written


def answer(number: int, outcome: Outcome, vector: bytes = b"") -> bytes:
    """`vector` is float32, little endian, and there where `outcome` says so."""
    return _ANSWER.pack(number, outcome) + vector


class Questions:
    """Takes apart what a client sends."""

    def __init__(self, card: EncoderCard) -> None:
        self._longest = _UTF8_BYTES * card.max_characters
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[Question]:
        """Those that are whole now. Raises Garbled."""
        self._held += data
        begin = 0
        while len(self._held) - begin >= _QUESTION.size:
            number, until, length = _QUESTION.unpack_from(self._held, begin)
            if length > self._longest:
                raise Garbled(f"a text of {length} bytes")
            end = begin + _QUESTION.size + length
            if len(self._held) < end:
                break
            yield Question(number, until, self._held[begin + _QUESTION.size : end].decode(errors="replace"))
            begin = end
        del self._held[:begin]


class Answers:
    """Takes apart what the server sends: its greeting, then answers."""

    def __init__(self, card: EncoderCard) -> None:
        self._greeting = greeting(card)
        self._vector_bytes = _FLOAT_BYTES * card.dimensions
        self._held = bytearray()
        self.greeted = False

    def feed(self, data: bytes) -> Iterator[tuple[int, Outcome, bytes]]:
        """Number, outcome and vector of each that is whole now. Raises Garbled where it is another encoder's."""
        self._held += data
        begin = 0
        if not self.greeted:
            if len(self._held) < len(self._greeting):
                return
            if not self._held.startswith(self._greeting):
                raise Garbled("another version of the encoder answers there")
            self.greeted = True
            begin = len(self._greeting)
        while len(self._held) - begin >= _ANSWER.size:
            number, code = _ANSWER.unpack_from(self._held, begin)
            end = begin + _ANSWER.size + (self._vector_bytes if code == Outcome.VECTOR else 0)
            if len(self._held) < end:
                break
            yield number, Outcome(code), bytes(self._held[begin + _ANSWER.size : end])
            begin = end
        del self._held[:begin]
