"""What more labels would give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.judging.precision import more_labels


def test_the_width_is_that_of_simulated_corrected_rates() -> None:
    good, bad, cases, se, sp = 600, 400, 8000, 0.9, 0.75
    lots = np.random.default_rng(7)
    n = 40_000
    seen_se, seen_sp = lots.binomial(good, se, n) / good, lots.binomial(bad, sp, n) / bad
    rate = good / (good + bad)
    seen = lots.binomial(cases, rate * se + (1 - rate) * (1 - sp), n) / cases
    spread = float(np.std((seen + seen_sp - 1) / (seen_se + seen_sp - 1)))
    found = more_labels(good=good, called_good=540, bad=bad, called_bad=300, cases=cases)
    assert found is not None
    assert found.now == pytest.approx(1.96 * spread, rel=0.03)


def test_with_the_labels_it_asks_for_the_interval_is_as_narrow_as_it_says() -> None:
    first = more_labels(good=100, called_good=90, bad=80, called_bad=60, cases=500)
    assert first is not None
    good, bad = 100 + first.good, 80 + first.bad
    # The same shares of right calls, on more labels.
    then = more_labels(good=good, called_good=round(0.9 * good), bad=bad, called_bad=round(0.75 * bad), cases=500)
    assert then is not None
    assert then.now == pytest.approx(first.then, rel=0.05)
    assert first.least < first.then < first.now


@pytest.mark.parametrize(("called_good", "called_bad"), [(50, 50), (10, 20), (100, 0)])
def test_a_judge_that_is_no_better_than_chance_is_not_worth_labels(called_good: int, called_bad: int) -> None:
    assert more_labels(good=100, called_good=called_good, bad=100, called_bad=called_bad, cases=100) is None


def test_where_labels_are_plenty_no_more_are_asked_for() -> None:
    found = more_labels(good=5000, called_good=4900, bad=5000, called_bad=4900, cases=100)
    assert found is not None
    assert (found.good, found.bad, found.then) == (0, 0, found.now)


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 1), st.floats(0, 1), st.integers(1, 10_000))
def test_labels_are_only_ever_added(good: int, bad: int, se: float, sp: float, cases: int) -> None:
    called = {"called_good": round(se * good), "called_bad": round(sp * bad)}
    found = more_labels(good=good, bad=bad, cases=cases, **called)
    if found is not None:
        assert found.good >= 0
        assert found.bad >= 0
        assert 0 < found.least < found.then <= found.now
        assert (found.good + found.bad > 0) == (found.then < found.now)
