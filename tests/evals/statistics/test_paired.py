"""Paired differences: coverage and false alarms where the truth is planted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from evals.statistics.paired import difference, log_ratio, quantile_ratio, ratio
from evals.statistics.resampling import Sample

Floats = NDArray[np.float64]
_TRIALS = 1000
_DRAWS = 999


def test_runs_that_agree_in_few_cases_may_still_differ() -> None:
    """Bonett and Price at n = 20: the error is the root of 2 over 22."""
    found = difference(np.zeros(20), np.arange(20))
    assert found.standard_error == pytest.approx(2**0.5 / 22, rel=0.06)
    assert found.bounds(0.95)[0] < -0.1 < 0.1 < found.bounds(0.95)[1]


def test_the_same_seed_gives_the_same_draws() -> None:
    changes, units = np.random.default_rng(1).normal(size=30) / 5, np.arange(30) // 2
    one, same, other = (difference(changes, units, seed=seed).bounds(0.95) for seed in (1, 1, 2))
    assert one == same != other


def test_a_ratio_that_is_the_same_in_each_case_is_certain() -> None:
    costs = np.random.default_rng(1).lognormal(size=30)
    low, high = ratio(costs, costs / 2, np.arange(30)).bounds(0.95)
    assert (low, high) == pytest.approx((math.log(0.5), math.log(0.5)))


def test_what_costs_nothing_has_a_ratio_too() -> None:
    assert ratio(np.ones(20), np.zeros(20), np.arange(20)).bounds(0.95) == (-math.inf, -math.inf)
    assert (log_ratio(1, 0), log_ratio(0, 1), log_ratio(0, 0)) == (-math.inf, math.inf, 0)


def test_a_quantile_ratio_contains_the_truth() -> None:
    lots = np.random.default_rng(5)
    a, b = lots.lognormal(6, 0.5, 600), lots.lognormal(6, 0.5, 600) * 1.5
    units = np.arange(600) // 2
    low, high = quantile_ratio(Sample(a, units), Sample(b, units), 0.95).bounds(0.95)
    assert low < math.log(1.5) < high
    assert 0.05 < high - low < 0.6


def two_runs(
    lots: np.random.Generator, clusters: int, *, icc: bool, graded: bool
) -> tuple[Floats, NDArray[np.intp]]:
    """Differences of scores about .8; with an `icc` of .3 in each run, in clusters of 1 to 12 cases."""
    sizes = lots.integers(1, 13, clusters) if icc else np.ones(clusters, dtype=int)
    units = np.repeat(np.arange(clusters), sizes)
    sides = []
    for _ in range(2):
        rates = lots.beta(0.8 * 7 / 3, 0.2 * 7 / 3, clusters)[units] if icc else np.full(clusters, 0.8)
        held = np.clip(rates, 1e-6, 1 - 1e-6)
        scores = lots.beta(4 * held, 4 * (1 - held)) if graded else lots.random(len(units)) < held
        sides.append(scores.astype(float))
    return sides[1] - sides[0], units


@pytest.mark.parametrize(
    ("clusters", "icc", "graded"),
    [(200, False, False), (40, True, False), (20, True, False), (40, True, True), (20, True, True)],
)
def test_the_interval_contains_the_truth_as_often_as_it_says(clusters: int, icc: bool, graded: bool) -> None:
    """1,000 trials tell 95 % within 0.7 (one Monte Carlo error), and an end's 2.5 % within 0.5."""
    lots = np.random.default_rng(7)
    above = below = 0
    for seed in range(_TRIALS):
        changes, units = two_runs(lots, clusters, icc=icc, graded=graded)
        low, high = difference(changes, units, seed=seed, draws=_DRAWS).bounds(0.95)
        above += low > 0
        below += high < 0
    assert abs(1 - (above + below) / _TRIALS - 0.95) <= 0.02
    most = 0.025 + 3 * math.sqrt(0.025 * 0.975 / _TRIALS)
    assert above / _TRIALS <= most
    assert below / _TRIALS <= most
