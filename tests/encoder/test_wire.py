"""Frames, however they were cut up on their way."""

from __future__ import annotations

import struct

import pytest

from encoder.card import EncoderCard, Provenance
from encoder.wire import Answers, Garbled, Outcome, Question, Questions, answer, greeting, question

CARD = EncoderCard(name="n", dimensions=2, max_tokens=4, version="v1", provenance=Provenance("", ""))
VECTOR = struct.pack("<2f", 0.6, 0.8)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_questions_arrive_as_they_were_asked(size: int) -> None:
    asked = [Question(1, 2.5, ""), Question(2**63, 0.0, "wéir 漢🔌"), Question(3, -1.0, "x" * 64)]
    sent = b"".join(question(*each) for each in asked)
    reader = Questions(CARD)
    assert [found for at in range(0, len(sent), size) for found in reader.feed(sent[at : at + size])] == asked


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_answers_arrive_as_they_were_given(size: int) -> None:
    given = [
        (9, Outcome.VECTOR, VECTOR),
        (8, Outcome.TOO_MANY, b""),
        (7, Outcome.LATE, b""),
        (6, Outcome.FAILED, b""),
    ]
    sent = greeting(CARD) + b"".join(answer(*each) for each in given)
    reader = Answers(CARD)
    assert [found for at in range(0, len(sent), size) for found in reader.feed(sent[at : at + size])] == given
    assert reader.greeted


def test_another_version_is_found_out_by_its_greeting() -> None:
    other = EncoderCard(name="n", dimensions=2, max_tokens=4, version="v2", provenance=Provenance("", ""))
    with pytest.raises(Garbled):
        list(Answers(CARD).feed(greeting(other)))


def test_a_text_longer_than_any_can_be_is_no_question() -> None:
    with pytest.raises(Garbled):
        list(Questions(CARD).feed(question(1, 0.0, "x" * (4 * CARD.max_characters + 1))))
