"""A last turn is searched with what was said before where it cannot stand alone, and as it came where it can."""

from __future__ import annotations

import pytest

from contracts.retrieval import Turn
from rag.ports import WordCounts
from rag.retrieval.rewriting import MOST_WORDS, rewritten, stands_alone, wanted, weights, with_history

BEFORE = (
    Turn("system", "You are the support of a shoe shop."),
    Turn("user", "How long may I return boots?"),
    Turn("assistant", "Boots may be returned within thirty days, with the receipt."),
)


@pytest.mark.parametrize(
    "question",
    [
        "And sandals?",
        "How is it sent back to the warehouse in Leipzig?",
        "Which carrier do these parcels travel with usually?",
        "Do worn boots cost a fee?",
        "Wie lange dauert das davon abhängige Verfahren der Erstattung?",
        "What?",
    ],
)
def test_what_is_short_or_points_or_goes_on_cannot_stand_alone(question: str) -> None:
    assert not stands_alone(question, ["How long may I return boots?"])


@pytest.mark.parametrize(
    "question",
    [
        "Where in Leipzig is the shop for children?",
        "who painted the ceiling of the sistine chapel",
        "Welche Zahlungsarten nimmt der Laden?",
    ],
)
def test_what_speaks_of_something_else_in_words_of_its_own_stands_alone(question: str) -> None:
    assert stands_alone(question, ["How long may I return boots?"])
    assert rewritten((*BEFORE, Turn("user", question))) is None


def test_a_first_turn_is_what_it_is() -> None:
    want = wanted((Turn("system", "Be kind."), Turn("user", "And it?")))

    assert want.texts == ("And it?",)
    assert not want.said


def test_the_turn_before_is_put_before_one_that_cannot_stand_alone() -> None:
    turns = (*BEFORE, Turn("user", "And sandals?"))

    assert rewritten(turns) == "How long may I return boots? And sandals?"
    assert wanted(turns).texts == ("And sandals?", "How long may I return boots? And sandals?")


def test_history_can_be_left_out_or_asked_for() -> None:
    alone = (*BEFORE, Turn("user", "who painted the ceiling of the sistine chapel"))

    assert wanted((*BEFORE, Turn("user", "And sandals?")), history=False).texts == ("And sandals?",)
    assert len(with_history(alone).texts) == 2


def test_what_was_said_weighs_less_the_longer_ago_and_the_answer_least() -> None:
    turns = (
        Turn("user", "Do you repair zippers?"),
        Turn("assistant", "Yes."),
        *BEFORE,
        Turn("user", "And sandals?"),
    )
    want = wanted(turns)
    counts = WordCounts(10, 5.0, dict.fromkeys(want.words, 2))

    asked, spoken = weights(want, counts)

    assert asked == {"sandal": 1.0}
    assert 1 > spoken["boot"] > spoken["zipper"] > spoken["receipt"] > 0


def test_words_that_no_chunk_has_are_not_searched_for() -> None:
    asked, spoken = weights(wanted((*BEFORE, Turn("user", "And sandals?"))), WordCounts(10, 5.0, {"boot": 3}))

    assert not asked
    assert list(spoken) == ["boot"]


def test_of_an_endless_question_the_rarest_words_are_searched_for() -> None:
    want = wanted((Turn("user", " ".join(f"w{number}" for number in range(500))),))
    counts = WordCounts(1000, 5.0, {f"w{number}": 1 + number for number in range(500)})

    asked, _ = weights(want, counts)

    assert set(asked) == {f"w{number}" for number in range(MOST_WORDS)}
