"""What makes a passage fit, one thing at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.retrieval import Passage
from rag.ports import WordCounts
from rag.retrieval.reranking import fits, score, weights_of
from rag.retrieval.tuned import Fit, tuned

COUNTS = WordCounts(100, 20.0, {"boot": 5, "return": 20, "receipt": 2})
QUESTION = "return leather boots"


def passage(text: str, **found: Any) -> Passage:
    return Passage(
        store_id="vs_1",
        file_id="file-1",
        filename="returns.md",
        revision=1,
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        start=0,
        end=len(text),
        text=text,
        **found,
    )


def test_words_are_a_share_of_the_best_and_meaning_is_a_cosine() -> None:
    found = fits(
        QUESTION, [passage("a", words=8.0, meaning=0.5), passage("b", words=2.0)], {}, COUNTS, farthest=0.2
    )

    assert [fit.words for fit in found] == [1.0, 0.25]
    assert [fit.meaning for fit in found] == [0.5, 0.2]


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("You may return leather boots.", 1.0),
        ("Returned: old leather, and boots.", 1.0),  # one word may stand between, and stop words are none
        ("Return: the very old leather boots.", 1.0),
        ("Return old brown leather boots.", 0.5),
        ("Boots, leather and returns, in that order.", 0.0),
        ("", 0.0),
    ],
)
def test_neighbours_in_the_question_are_neighbours_in_the_passage(text: str, pairs: float) -> None:
    assert fits(QUESTION, [passage(text)], {}, COUNTS)[0].pairs == pairs


def test_the_line_above_a_passage_counts_as_part_of_it() -> None:
    assert fits(QUESTION, [passage("See below.", context="Return > Leather boots")], {}, COUNTS)[0].pairs == 1.0


def test_what_was_said_before_counts_by_weight_and_rarity() -> None:
    spoken = {"return": 0.3, "receipt": 0.3}

    with_rare, with_usual, neither = fits(
        QUESTION, [passage("the receipt"), passage("a return"), passage("nothing")], spoken, COUNTS
    )

    assert with_rare.spoken > with_usual.spoken > neither.spoken == 0.0
    assert with_rare.spoken + with_usual.spoken == pytest.approx(1)


def test_a_question_without_words_still_has_fits() -> None:
    assert fits("what is it?", [passage("anything", meaning=0.4)], {}, COUNTS) == [Fit(0.0, 0.4, 0.0, 0.0)]
    assert fits(QUESTION, [], {}, COUNTS) == []


def test_a_score_rises_with_each_of_the_four() -> None:
    least = Fit(0.1, 0.1, 0.1, 0.1)
    for better in (Fit(1, 0.1, 0.1, 0.1), Fit(0.1, 1, 0.1, 0.1), Fit(0.1, 0.1, 1, 0.1), Fit(0.1, 0.1, 0.1, 1)):
        assert score(better) > score(least)


def test_what_weighs_nothing_is_not_in_the_score() -> None:
    assert weights_of(tuned().shares.words, tuned().shares.meaning) == tuned().fit
    assert weights_of(1.0, 0.0).meaning == 0
    only_meaning = weights_of(0.0, 1.0)
    assert score(Fit(1, 0.5, 1, 1), only_meaning) == score(Fit(0, 0.5, 0, 0), only_meaning) > 0
