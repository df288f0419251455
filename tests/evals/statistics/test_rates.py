"""Rates and their intervals: against figures worked out elsewhere, and against planted truths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.statistics.clusters import alone, clustered_error, effective, units_of
from evals.statistics.rates import mean_of, rate_of, wilson


def test_wilson_is_what_textbooks_say() -> None:
    """Newcombe, Statistics in Medicine 17, 1998, table I: 81 of 263."""
    low, high = wilson(81 / 263, 263, 0.95)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_a_cluster_of_copies_is_worth_one_case() -> None:
    scores = [1.0, 0.0, 1.0, 1.0, 0.0] * 4
    once = rate_of(scores, [str(n) for n in range(20)], binary=True, level=0.95)
    copies = rate_of(np.repeat(scores, 10), [str(n // 10) for n in range(200)], binary=True, level=0.95)
    assert copies.standard_error == pytest.approx(once.standard_error)
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high))
    assert (copies.n, copies.clusters) == (200, 20)


def test_the_error_of_lone_cases_is_the_usual_one() -> None:
    values = np.array([0.1, 0.4, 0.4, 0.9, 0.7])
    assert clustered_error(values, np.arange(5)) == pytest.approx(values.std(ddof=1) / np.sqrt(5))


def test_clustered_error_by_hand() -> None:
    """Sums of what is off the mean of .5: 1, -1, 0; (1 + 1) * 3 / 2 = 3."""
    error = clustered_error(np.array([1.0, 1.0, 0.0, 0.0, 1.0, 0.0]), np.array([0, 0, 1, 1, 2, 2]))
    assert error == pytest.approx(3**0.5 / 6)


@pytest.mark.parametrize("score", [0.0, 1.0])
@pytest.mark.parametrize("binary", [True, False])
def test_scores_that_are_all_alike_are_not_certain(score: float, binary: bool) -> None:
    rate = rate_of([score] * 100, [str(n // 5) for n in range(100)], binary=binary, level=0.95)
    assert rate.high - rate.low == pytest.approx(wilson(1, 20, 0.95)[1] - wilson(1, 20, 0.95)[0])


def test_cases_of_one_cluster_are_taken_one_by_one() -> None:
    scores = [1.0] * 15 + [0.0] * 5
    rate = rate_of(scores, ["k"] * 20, binary=True, level=0.95)
    apart = rate_of(scores, [str(n) for n in range(20)], binary=True, level=0.95)
    assert (rate.low, rate.high, rate.clusters) == (apart.low, apart.high, 1)


def test_no_cases_are_no_rate() -> None:
    with pytest.raises(ValueError, match="a case at least"):
        rate_of([], [], binary=True, level=0.95)


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from("abcd")), min_size=1, max_size=30),
    st.booleans(),
)
def test_bounds_are_rates_around_the_value(rows: list[tuple[float, str]], binary: bool) -> None:
    rate = rate_of([score for score, _ in rows], [cluster for _, cluster in rows], binary=binary, level=0.95)
    assert 0 <= rate.low <= rate.value + 1e-12
    assert rate.value - 1e-12 <= rate.high <= 1


def test_effective_clusters() -> None:
    assert effective(np.array([0, 1, 2, 2])) == pytest.approx(16 / 6)
    assert alone(units_of(["k", "k"])).tolist() == [0, 1]
    assert alone(units_of(["k", "l", "k"])).tolist() == [0, 1, 0]


def test_the_mean_of_amounts_never_ends_below_zero() -> None:
    found = mean_of([0.0, 0.0, 0.0, 8.0], ["a", "b", "c", "d"], level=0.95)
    assert (found.value, found.low) == (2.0, 0.0)
    assert found.high == pytest.approx(2 + 3.182446 * 2)


@pytest.mark.parametrize(
    ("clusters", "rate", "binary"), [(40, 0.8, True), (20, 0.8, True), (40, 0.8, False), (20, 0.8, False)]
)
def test_the_interval_contains_the_truth_as_often_as_it_says(clusters: int, rate: float, binary: bool) -> None:
    """1,500 trials tell 95 % within 0.6 (one Monte Carlo error), with clusters whose cases are alike (ICC .3)."""
    lots, found, trials = np.random.default_rng(3), 0, 1500
    for _ in range(trials):
        units = np.repeat(np.arange(clusters), lots.integers(1, 13, clusters))
        rates = np.clip(lots.beta(rate * 7 / 3, (1 - rate) * 7 / 3, clusters)[units], 1e-6, 1 - 1e-6)
        graded = lots.beta(4 * rates, 4 * (1 - rates))
        scores = (lots.random(len(units)) < rates).astype(float) if binary else graded
        interval = rate_of(scores, [str(unit) for unit in units], binary=binary, level=0.95)
        found += interval.low <= rate <= interval.high
    assert abs(found / trials - 0.95) <= 0.02
