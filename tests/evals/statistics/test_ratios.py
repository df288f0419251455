"""The interval of a ratio, by drawing whole clusters again."""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.ratios import ratio_of_sums


def test_a_mean_lies_in_its_interval() -> None:
    values = np.array([0.0, 1.0] * 50)
    found = ratio_of_sums(values, np.ones(100), [str(place) for place in range(100)], level=0.95)
    assert found is not None
    assert found.value == 0.5
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.05, rel=0.15)


def test_cases_that_resemble_each_other_tell_less() -> None:
    values = np.repeat([0.0, 1.0] * 5, 10)
    alone = ratio_of_sums(values, np.ones(100), [str(place) for place in range(100)], level=0.95)
    together = ratio_of_sums(values, np.ones(100), [str(place // 10) for place in range(100)], level=0.95)
    assert alone is not None
    assert together is not None
    assert together.high - together.low > 2.5 * (alone.high - alone.low)


def test_a_ratio_of_nothing_is_unknown() -> None:
    assert ratio_of_sums(np.zeros(3), np.zeros(3), ["a", "b", "c"], level=0.95) is None


def test_the_same_seed_gives_the_same_interval() -> None:
    rows = np.arange(30.0), np.arange(1.0, 31.0), [str(place % 7) for place in range(30)]
    assert ratio_of_sums(*rows, level=0.9) == ratio_of_sums(*rows, level=0.9)
    assert ratio_of_sums(*rows, level=0.9) != ratio_of_sums(*rows, level=0.9, seed=1)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    lots = np.random.default_rng(5)
    trials, covered = 400, 0
    for trial in range(trials):
        sizes = lots.integers(1, 12, 60)
        clusters = np.repeat(np.arange(60), sizes)
        chances = lots.beta(4, 2, 60)[clusters]
        values = (lots.random(len(clusters)) < chances).astype(float)
        found = ratio_of_sums(
            values, np.ones(len(values)), clusters.astype(str).tolist(), level=0.95, seed=trial, draws=500
        )
        assert found is not None
        covered += found.low <= 4 / 6 <= found.high
    assert covered / trials == pytest.approx(0.95, abs=0.03)
