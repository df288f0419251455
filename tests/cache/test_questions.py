"""Questions are found in their scope, with what became of them, and take no room once they are gone."""

from __future__ import annotations

import gc
import tracemalloc
from sys import getsizeof

import numpy as np
import pytest

from cache.exact import ExactCache
from cache.index.growth import Growth
from cache.index.scopes import VectorIndexes
from cache.questions import Questions
from cache.slots import Slots
from tests.router.plain_encoder import DIMENSIONS, WordEncoder

SCOPE, OTHER = b"s" * 16, b"o" * 16


def number(n: int) -> bytes:
    return n.to_bytes(16, "big")


async def filled(*texts: str, scope: bytes = SCOPE) -> Questions:
    """The answers of these, and of ten more, are there."""
    slots, encoder = Slots(), WordEncoder()
    questions = Questions(VectorIndexes(DIMENSIONS), slots)
    for place in range(len(texts) + 10):
        slots.add(number(place))
    for place, text in enumerate(texts):
        questions.add(scope, number(place), text, await encoder.encode(text))
    return questions


async def near(questions: Questions, text: str, scope: bytes = SCOPE) -> list[str]:
    found = questions.near(scope, await WordEncoder().encode(text), 3, 0.5)
    return [questions.text(row) for row, _ in found]


async def test_the_nearest_come_first_and_only_of_the_scope() -> None:
    questions = await filled("pay by card now", "pay by card", "close my account")
    assert await near(questions, "by card pay") == ["pay by card", "pay by card now"]
    assert await near(questions, "by card pay", OTHER) == []
    assert questions.knows(SCOPE)
    assert not questions.knows(OTHER)


async def test_a_question_that_is_removed_is_gone_and_its_row_is_used_again() -> None:
    questions = await filled("pay by card", "close my account")
    row = questions.row(number(0))
    questions.label(number(0), wrong=True)
    questions.remove(number(0))
    questions.remove(number(0))
    assert await near(questions, "pay by card") == []
    assert len(questions) == 1
    questions.add(OTHER, number(7), "new words here", await WordEncoder().encode("new words here"))
    assert questions.row(number(7)) == row
    assert questions.key(row or 0) == number(7)
    assert questions.labels(row or 0) == (0, 0)
    assert questions.hard_key(row or 0) == OTHER


async def test_the_same_key_is_kept_once() -> None:
    questions = await filled("pay by card")
    questions.add(SCOPE, number(0), "other words", await WordEncoder().encode("other words"))
    assert await near(questions, "other words") == []
    assert len(questions) == 1


async def test_ten_labels_of_its_own_say_how_far_a_question_is_trusted() -> None:
    questions = await filled("a b", "c d")
    for _ in range(9):
        questions.label(number(0), wrong=True)
    assert questions.trust(0) == 0
    questions.label(number(0), wrong=True)
    assert questions.trust(0) == -2
    for _ in range(100):
        questions.label(number(1), wrong=False)
    assert questions.trust(1) == 2
    questions.label(number(9), wrong=True)  # has no question
    questions.label(number(99), wrong=True)  # gone already


async def test_neighbours_of_a_bad_answer_are_trusted_less() -> None:
    questions = await filled("pay by card", "by card pay", "close my account")
    questions.demote_around(number(0), 0.5)
    assert [questions.trust(row) for row in range(3)] == [-1, -1, 0]
    questions.demote_around(number(9), 0.5)


async def test_what_became_of_it_can_be_written_down() -> None:
    questions = await filled("a b", "c d")
    questions.label(number(0), wrong=False)
    questions.label(number(0), wrong=True)
    questions.demote_around(number(0), 0.5)
    questions.restore(number(1), *questions.history(0))
    assert questions.history(1) == (1, 1, 1)


async def test_the_question_of_an_answer_that_is_gone_is_not_kept() -> None:
    questions = await filled("pay by card")
    questions.add(SCOPE, number(99), "other words", await WordEncoder().encode("other words"))
    assert len(questions) == 1
    assert questions.row(number(99)) is None
    assert await near(questions, "other words") == []


async def test_what_is_no_vector_leaves_nothing_behind() -> None:
    questions = await filled("pay by card")
    with pytest.raises(ValueError, match="dimensions"):
        questions.add(SCOPE, number(1), "other words", np.zeros(DIMENSIONS + 1, np.float32))
    assert questions.row(number(1)) is None
    questions.add(SCOPE, number(1), "other words", await WordEncoder().encode("other words"))
    assert await near(questions, "other words") == ["other words"]


async def test_the_hard_key_of_a_scope_is_one_object_but_for_its_first_question() -> None:
    questions = await filled()
    vector = await WordEncoder().encode("a b")
    for place in range(4):
        questions.add(bytes(bytearray(SCOPE)), number(place), "a b", vector)
    assert len({id(questions.hard_key(row)) for row in range(1, 4)}) == 1
    for place in range(4):
        questions.remove(number(place))
    assert not questions.knows(SCOPE)


async def test_memory_is_counted() -> None:
    questions = await filled(*(f"w{n} x{n} y{n}" for n in range(2_000)))
    assert (questions.bytes - questions.vector_bytes) / 2_000 < 100
    for n in range(2_000):
        questions.remove(number(n))
    assert questions.text_bytes == 0
    assert len(questions) == 0
    with pytest.raises(KeyError):
        questions.restore(number(1), 0, 0, 0)


@pytest.mark.parametrize("scopes", [1, 2_000, 4_000])
def test_the_bytes_it_counts_are_the_memory_it_takes(scopes: int) -> None:
    """And few beside vectors and indexes, with what is counted for the answers' keys."""
    entries, vector = 4_000, np.ones(4, np.float32) / 2
    answers = ExactCache(max_bytes=10**9, max_answer_bytes=10**6)
    gc.collect()
    tracemalloc.start()
    try:
        questions = Questions(VectorIndexes(4, Growth(flat_until=10**6)), answers.slots)
        for n in range(entries):
            key = number(n)
            answers.take(key, b"", b"", stored_at=n / 3, expires_at=n / 3 + 60, revision=0, labels=("acme", "", ()))
            text = f"{n:06d}, how do I change the address of my order?"[:45]
            questions.add((n % scopes).to_bytes(16, "big"), key, text, vector)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    empty = 2 * entries * ((getsizeof(b"") + 15) & ~15)  # bodies and facts: there is one such object
    counted = answers.bytes - empty + questions.bytes
    assert taken == pytest.approx(counted, rel=0.2)
    assert (counted - questions.vector_bytes) / entries < 340
