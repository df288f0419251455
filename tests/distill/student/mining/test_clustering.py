"""Questions that lie together, and questions with one answer, are of one intent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.student.mining.clustering import UNKNOWN, Density, labels_of

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

LONG, OTHER = "Follow the link that we send.", "It arrives within three days."
GROUPS = [[0.0, 4, 8, 12, 16], [40.0, 44, 48, 52]]
"""Degrees on a circle."""


def at(degrees: Sequence[float]) -> Vectors:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def labels(degrees: Sequence[float], answers: Sequence[str] = (), **changed: Any) -> list[int]:
    """`answers` of the first questions; those that are not told are not known."""
    by = {"least": 3, "answer_weight": 0.0, "same": 0.8, "most": 100, "joins": 0.99, **changed}
    told = [*answers, *[""] * (len(degrees) - len(answers))]
    times = [1] * len(degrees)
    answered = dict(zip((LONG, OTHER, "Yes."), at([200, 300, 250]), strict=True))
    return [int(one) for one in labels_of(at(degrees), answered, told, times, Density(**by))]


def test_what_lies_together_is_one_intent_and_what_lies_alone_none() -> None:
    found = labels([*GROUPS[0], *GROUPS[1], 180])
    assert len({*found[:5]}) == len({*found[5:9]}) == 1
    assert len({*found}) == 3
    assert found[9] == UNKNOWN


def test_one_answer_makes_an_intent_of_what_lies_apart_and_two_answers_make_two() -> None:
    apart = labels([*GROUPS[0], *GROUPS[1], 180], [*[LONG] * 5, *[""] * 4, LONG])
    assert apart[9] == apart[0] != apart[5]
    two = labels([*GROUPS[0], *GROUPS[1]], [LONG, OTHER, LONG, OTHER, ""])
    assert two[0] == two[2] != two[1] == two[3]
    assert two[4] in (two[0], two[1])


def test_an_answer_that_says_nothing_makes_no_intent() -> None:
    found = labels([*GROUPS[0], *GROUPS[1], 180], ["Yes.", *[""] * 8, "Yes."])
    assert found[9] == UNKNOWN


def test_what_is_beyond_the_most_asked_joins_the_nearest_or_who_has_its_answer() -> None:
    first = [*GROUPS[0], *GROUPS[1]]
    found = labels([*first, 7, 50, 120, 120], [LONG, LONG, *[""] * 9, LONG, OTHER], most=len(first))
    assert found[9:] == [found[0], found[5], found[0], UNKNOWN]


def test_too_few_questions_have_no_intents() -> None:
    assert labels([0, 1]) == [UNKNOWN, UNKNOWN]
    assert labels([]) == []


def test_answers_draw_questions_together() -> None:
    """Two groups that lie in one place are told apart by what was answered."""
    mixed = [0.0, 2, 4, 6, 1, 3, 5, 7]
    answers = [LONG + " " + word for word in ("a b c", "d e f", "g h i", "j k l")]
    answers += [OTHER + " " + word for word in ("a b c", "d e f", "g h i", "j k l")]
    answered = dict(zip(answers, at([90, 91, 92, 93, 180, 181, 182, 183]), strict=True))
    by = Density(least=3, answer_weight=0.6, same=0.95, most=100, joins=0.9)
    found = labels_of(at(mixed), answered, answers, [1] * 8, by)
    assert len({*found[:4]}) == len({*found[4:]}) == 1
    assert found[0] != found[4]
