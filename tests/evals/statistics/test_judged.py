"""A judge's errors taken out, where it is known what they are."""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.clusters import clustered_error
from evals.statistics.judged import Judge, corrected, judge_of
from evals.statistics.paired import difference
from evals.statistics.rates import rate_of
from tests.evals.made_runs import calibrated


def test_a_rate_is_turned_back_into_what_it_was() -> None:
    """Rogan and Gladen: .9 of 60 % and .2 of 40 % are called good, which is 62 %."""
    judge = Judge(1000, 0.9, 1000, 0.8)
    rate = rate_of([1.0] * 62 + [0.0] * 38, [str(n) for n in range(100)], binary=True, level=0.95)
    found = corrected(rate, judge, 0.95)
    assert found is not None
    assert found.value == pytest.approx(0.6)
    assert found.low < 0.6 < found.high
    assert found.high - found.low > (rate.high - rate.low) / judge.youden * 0.95


def test_a_judge_who_never_errs_changes_little() -> None:
    rate = rate_of([1.0] * 70 + [0.0] * 30, [str(n) for n in range(100)], binary=True, level=0.95)
    found = corrected(rate, Judge(10**6, 1.0, 10**6, 1.0), 0.95)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.7, rate.low, rate.high), abs=0.002)


def test_few_labels_make_it_less_certain() -> None:
    rate = rate_of([1.0] * 70 + [0.0] * 30, [str(n) for n in range(100)], binary=True, level=0.95)
    many, few = (corrected(rate, Judge(n, 0.9, n, 0.9), 0.95) for n in (1000, 20))
    assert many is not None
    assert few is not None
    assert few.high - few.low > 1.2 * (many.high - many.low)


@pytest.mark.parametrize(
    "counts",
    [
        {"good_called_good": 0, "good_called_bad": 0},
        {"bad_called_bad": 0, "bad_called_good": 0},
        {"good_called_good": 50, "good_called_bad": 50, "bad_called_bad": 50, "bad_called_good": 50},
        {"good_called_good": 20, "good_called_bad": 80, "bad_called_bad": 50, "bad_called_good": 50},
    ],
)
def test_a_judge_that_is_no_better_than_chance_is_no_use(counts: dict[str, int]) -> None:
    assert judge_of(calibrated(**counts)) is None


def test_counts_become_a_judge() -> None:
    assert judge_of(None) is None
    assert judge_of(calibrated()) == Judge(100, 0.9, 100, 0.8)


@pytest.mark.parametrize("icc", [0.0, 0.3])
def test_the_corrected_interval_contains_the_truth_and_the_raw_one_does_not(icc: float) -> None:
    """600 trials, each with 200 labels: they tell 95 % within 0.9 (one Monte Carlo error)."""
    lots, truth, trials = np.random.default_rng(11), 0.85, 600
    right = raw = 0
    for _ in range(trials):
        units = np.repeat(np.arange(80), lots.integers(1, 9, 80)) if icc else np.arange(400)
        rates = lots.beta(truth * 7 / 3, (1 - truth) * 7 / 3, 80)[units] if icc else truth
        good = lots.random(len(units)) < rates
        called = np.where(good, lots.random(len(units)) < 0.9, lots.random(len(units)) < 0.3)
        rate = rate_of(called.astype(float), [str(unit) for unit in units], binary=True, level=0.95)
        judge = Judge(100, lots.binomial(100, 0.9) / 100, 100, lots.binomial(100, 0.7) / 100)
        found = corrected(rate, judge, 0.95)
        assert found is not None
        right += found.low <= truth <= found.high
        raw += rate.low <= truth <= rate.high
    assert abs(right / trials - 0.95) <= 0.02
    assert raw / trials < 0.8


def test_a_corrected_difference_contains_the_truth_and_the_raw_one_does_not() -> None:
    """B is better by 15 points; the judge sees .55 of them. 600 trials tell 95 % within 0.9."""
    lots, truth, trials = np.random.default_rng(13), 0.15, 600
    right = raw = 0
    for seed in range(trials):
        good = [lots.random(300) < rate for rate in (0.7, 0.85)]
        called = [np.where(one, lots.random(300) < 0.85, lots.random(300) < 0.3).astype(float) for one in good]
        judge = Judge(150, lots.binomial(150, 0.85) / 150, 150, lots.binomial(150, 0.7) / 150)
        changes, units = called[1] - called[0], np.arange(300)
        divided = difference(changes, units, divisors=judge.youden_draws(499, seed), seed=seed, draws=499)
        low, high = divided.bounds(0.95)
        right += low <= truth <= high
        half = 1.96 * clustered_error(changes, units)
        raw += abs(changes.mean() - truth) <= half
    assert abs(right / trials - 0.95) <= 0.02
    assert raw / trials < 0.75
