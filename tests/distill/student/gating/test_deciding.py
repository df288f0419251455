"""What a student may answer is chosen by what the tuning questions can prove, and every intent is told why."""

from __future__ import annotations

import numpy as np
import pytest

from distill.student.gating.deciding import Chosen, Design, choose
from distill.student.gating.settings import GateSettings
from heads.intents import UNKNOWN
from tests.distill.student.planted_gate import trial

Row = tuple[str, str, float, float]
SHARES = {"a": 0.4, "b": 0.4, UNKNOWN: 0.2}
DESIGN = Design(frozenset({"a", "b"}), 200.0)


def rows(intent: str, many: int, right: float, *, sure: float = 0.9, unsure: float = 0.2) -> list[Row]:
    """The first ones right and mostly sure, the others wrong and mostly unsure."""
    good = round(many * right)
    return [
        (intent, intent, (sure if place < good else unsure) + 0.05 * (place % 7) / 7, float(place < good))
        for place in range(many)
    ]


def nobodys(many: int, taken: str = UNKNOWN) -> list[Row]:
    return [("c", taken, 0.5, 0.0)] * many


def chosen_of(some: list[Row], settings: GateSettings | None = None, design: Design = DESIGN) -> Chosen:
    return choose(trial(some, SHARES), settings or GateSettings(), design)


def reason(chosen: Chosen, intent: str) -> str:
    return next(one.reason for one in chosen.considered if one.intent == intent)


def test_the_confidence_lies_between_right_answers_and_wrong_ones() -> None:
    chosen = chosen_of([*rows("a", 60, 0.8), *rows("b", 60, 0.8), *nobodys(30)])
    assert chosen.intents == ("a", "b")
    assert 0.25 < chosen.least_good <= 0.95
    assert chosen.share == pytest.approx(0.64, abs=0.1)
    assert 0 < chosen.passes < 1


def test_no_answer_is_delivered_that_is_hardly_likely_to_be_good() -> None:
    """Even where the teacher, too, would be wrong."""
    some = [*rows("a", 60, 1.0, sure=0.5), *rows("b", 60, 1.0), *nobodys(30)]
    chosen = chosen_of(some)
    assert (chosen.intents, chosen.least_good >= 0.8) == (("b",), True)
    assert chosen_of(some, GateSettings(least_sure=0.3)).intents == ("a", "b")


def test_an_intent_that_is_surely_wrong_is_left_out_with_its_figures() -> None:
    chosen = chosen_of([*rows("a", 60, 1.0), *rows("b", 60, 0.5, unsure=0.95), *nobodys(30)])
    assert chosen.intents == ("a",)
    assert "as good as the teacher's" in reason(chosen, "b")
    assert "under 90%" in reason(chosen, "b")


def test_an_intent_with_too_few_questions_or_none_in_the_test_is_left_out() -> None:
    few = chosen_of([*rows("a", 60, 1.0), *rows("b", 2, 1.0), *nobodys(30)])
    assert few.intents == ("a",)
    assert reason(few, "b").startswith("only 2 tuning questions")
    untested = chosen_of(
        [*rows("a", 60, 1.0), *rows("b", 60, 1.0), *nobodys(30)], design=Design(frozenset({"a"}), 200.0)
    )
    assert untested.intents == ("a",)
    assert reason(untested, "b").startswith("no test question")


def test_luck_with_three_answers_counts_for_less_where_others_are_bad() -> None:
    lucky: list[Row] = [("b", "b", 0.9, 1.0)] * 3
    good, bad = ([("a", "a", 0.9, float(place % 10 < right)) for place in range(60)] for right in (10, 7))
    assert "b" in chosen_of([*good, *lucky, *nobodys(30)]).intents
    among = chosen_of([*bad, *lucky, *nobodys(30)])
    assert among.intents == ()
    assert "3 of 3" in reason(among, "b")
    assert "under 90%" in reason(among, "b")


def test_fewer_test_questions_are_allowed_fewer_wrong_answers() -> None:
    """Of the same answers, less is risked where the test can prove less."""
    some = [*rows("a", 60, 0.97, unsure=0.8), *rows("b", 60, 1.0, sure=0.6), *nobodys(30)]
    many, few = (chosen_of(some, design=Design(frozenset({"a", "b"}), worth)) for worth in (2_000.0, 60.0))
    assert many.share >= few.share
    assert many.passes > few.passes


def test_where_others_would_get_to_it_the_student_must_be_surer() -> None:
    some = [*rows("a", 60, 1.0), *rows("b", 60, 1.0)]
    kept, leaking = chosen_of([*some, *nobodys(30)]), chosen_of([*some, *nobodys(30, taken="a")])
    assert leaking.least_good > 0.5
    assert leaking.least_good > kept.least_good - 0.5
    assert chosen_of([*[(i, t, 0.4, g) for i, t, _, g in some], *nobodys(30, taken="a")]).intents != ("a", "b")


def test_nothing_is_chosen_where_nothing_is_right() -> None:
    chosen = chosen_of([*rows("a", 40, 0.0), *rows("b", 40, 0.0), *nobodys(30)])
    assert chosen.intents == ()
    assert chosen.least_good > 1
    assert not any(one.allowed for one in chosen.considered)
    assert all(one.reason for one in chosen.considered)
    assert np.isfinite(chosen.share)
