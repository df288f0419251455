"""Weighed means are as sure as their weights allow, and no gate passes a student that is worse by the margin."""

from __future__ import annotations

import numpy as np
import pytest

from distill.student.gating.weighing import change_of, difference, groups_of, mean, needed, rate, weights_of, worth
from evals.statistics.paired import difference as unweighed
from evals.statistics.rates import wilson


def test_a_stratum_counts_as_the_traffic_has_it() -> None:
    weights = weights_of(["a", "a", "b"], {"a": 0.2, "b": 0.6})
    assert weights.tolist() == pytest.approx([0.125, 0.125, 0.75])
    assert weights_of(["a", "b"], {}).tolist() == [0.5, 0.5]


def test_groups_are_those_of_a_stratum_and_single_questions_where_it_has_but_one() -> None:
    units = groups_of(["x", "x", "y", "x", "x"], ["a", "a", "a", "b", "b"])
    assert units[0] == units[1] != units[2]
    assert len({*units[3:].tolist(), units[0]}) == 3


def test_equal_weights_give_what_evals_give() -> None:
    draw = np.random.default_rng(0)
    changes, units = draw.choice([-1.0, 0.0, 0.0, 0.0, 1.0], 80), np.repeat(np.arange(40), 2)
    ours = difference(changes, np.full(80, 1 / 80), units, draws=1_999).bounds(0.95)
    theirs = unweighed(changes, units, draws=1_999).bounds(0.95)
    assert ours == pytest.approx(theirs, abs=0.02)


def test_unequal_weights_are_worth_less() -> None:
    units = np.arange(100)
    weights = np.where(units < 10, 9.0, 1.0)
    assert worth(np.ones(100), units) == pytest.approx(100)
    assert worth(weights, units) == pytest.approx(180**2 / (10 * 81 + 90))
    even, uneven = (
        difference(np.zeros(100), some, units, draws=999).bounds(0.95) for some in (np.ones(100), weights)
    )
    assert uneven[0] < 1.5 * even[0] < 0


def test_a_rate_stays_within_its_bounds_and_is_none_of_nothing() -> None:
    found = rate(np.ones(5), np.ones(5), np.arange(5), 0.95)
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert 0.4 < found.low < 0.7
    assert rate(np.zeros(0), np.zeros(0), np.zeros(0, np.intp), 0.95) is None
    assert mean(np.zeros(0), np.zeros(0)) == 0.0


@pytest.mark.parametrize(("right", "wrong"), [(100, 0), (96, 4), (50, 50)])
def test_without_gains_the_score_interval_is_wilsons(right: int, wrong: int) -> None:
    changes = np.concatenate([np.zeros(right), -np.ones(wrong)])
    found, _ = change_of(changes, np.ones(100), np.arange(100), 0.95, draws=499)
    assert found.low <= -wilson(wrong / 100, 100, 0.95)[1] + 1e-6
    if not wrong:
        assert found.low == pytest.approx(-wilson(0, 100, 0.95)[1], abs=1e-6)


def test_as_many_as_needed_prove_the_margin_and_one_less_does_not() -> None:
    least = needed(0.02, 0.95)
    for many, proved in ((least + 1, True), (least - 1, False)):
        found, _ = change_of(np.zeros(many), np.ones(many), np.arange(many), 0.95, draws=99)
        assert (found.low > -0.02) is proved


def test_a_student_just_as_bad_as_the_margin_hardly_ever_passes() -> None:
    """`benchmarks/student_gate.py` has the figures for the whole gate; here is what they rest on."""
    margin, passed, worlds = 0.05, 0, 120
    strata = [f"i{place}" for place in range(8) for _ in range(25)]
    weights = weights_of(strata, {f"i{place}": 1 / (1 + place) for place in range(8)})
    for seed in range(worlds):
        changes = -(np.random.default_rng(seed).random(200) < margin).astype(float)
        found, _ = change_of(changes, weights, np.arange(200), 0.95, draws=499)
        passed += found.low > -margin
    assert passed / worlds <= 0.05
