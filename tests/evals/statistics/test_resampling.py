"""Draws: what is read from them agrees with itself, and with what is known of simple cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.statistics.resampling import (
    MOST_GROUPS,
    Draws,
    Sample,
    drawn,
    grouped,
    quantile_interval,
    quantiles,
    summed,
)


def test_each_draw_has_as_many_clusters_as_there_are() -> None:
    blocks = list(drawn(5, 1, 1000, seed=1))
    counts = np.concatenate(blocks)
    assert counts.shape == (1000, 5)
    assert (counts.sum(axis=1) == 5).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.1)


def test_blocks_do_not_change_what_is_drawn() -> None:
    few = np.concatenate(list(drawn(5, 1, 1000, seed=1)))
    many = np.concatenate(list(drawn(5, 1 << 19, 1000, seed=1)))
    assert (few == many).all()


def test_clusters_are_drawn_whole() -> None:
    sums = summed(np.array([[1.0, 1.0, 0.0]]), np.array([0, 0, 1]), 200, seed=0)
    assert set(sums.ravel()) == {0.0, 2.0, 4.0}


def test_very_many_clusters_are_put_together() -> None:
    units, groups = grouped(np.arange(10 * MOST_GROUPS), seed=0)
    assert (groups, set(np.bincount(units))) == (MOST_GROUPS, {10})


def test_the_standard_error_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(size=50)
    sums = summed(np.stack([values, np.ones(50)]), np.arange(50), 9999, seed=0)
    found = Draws.of(sums[:, 0] / sums[:, 1], np.arange(50))
    assert found.standard_error == pytest.approx(values.std(ddof=1) / 50**0.5, rel=0.03)


def test_bounds_of_normal_draws_are_students() -> None:
    """Student's quantile at 9 degrees of freedom is 2.262; the root of 10 / 9 is for having divided by n."""
    draws = Draws(np.sort(np.random.default_rng(1).normal(size=200_000)), 10.0)
    assert draws.bounds(0.95)[1] == pytest.approx(2.262 * (10 / 9) ** 0.5, rel=0.02)


@given(
    st.lists(st.floats(-1, 1, width=16), min_size=19, max_size=99),
    st.floats(2, 100),
    st.floats(-1.5, 1.5, width=16),
    st.sampled_from([0.8, 0.95, 0.99]),
)
def test_a_p_value_and_an_interval_never_contradict_each_other(
    values: list[float], worth: float, null: float, level: float
) -> None:
    draws = Draws(np.sort(np.array(values)), worth)
    low, high = draws.bounds(level)
    alpha = (1 - level) / 2
    near = 1e-9 * (1 + abs(null))
    if abs(low - null) > near:
        assert (draws.p_above(null) <= alpha + 1e-12) == (low > null)
    if abs(high - null) > near:
        assert (draws.p_below(null) <= alpha + 1e-12) == (high < null)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=60),
    st.sampled_from([0.05, 0.5, 0.9, 0.95]),
    st.integers(0, 5),
)
def test_the_quantiles_of_draws_are_quantiles_of_the_drawn(values: list[int], share: float, seed: int) -> None:
    sample = Sample(np.array(values, dtype=float), np.arange(len(values)))
    counts = np.concatenate(list(drawn(len(values), len(values), 20, seed)))
    found = quantiles((sample,), share, 20, seed)[0]
    again = [Sample(np.repeat(sample.values, row), sample.units).quantile(share) for row in counts]
    assert found.tolist() == again


def test_a_quantile_far_from_its_place_is_found_all_the_same() -> None:
    """One cluster holds all that is fast and is drawn three times or not at all."""
    values = np.concatenate([np.arange(900.0), 10_000 + np.arange(90.0)])
    units = np.concatenate([np.zeros(900, dtype=int), np.arange(1, 91)])
    found = quantiles((Sample(values, units),), 0.95, 500, 1)[0]
    assert found.min() < 900
    assert found.max() >= 10_000


def test_the_median_has_an_interval() -> None:
    values = np.arange(1.0, 102.0)
    found = quantile_interval(Sample(values, np.arange(101)), 0.5, 0.95, draws=1999, seed=0)
    assert found.value == 51
    assert (found.low, found.high) == pytest.approx((41, 61), abs=2)
