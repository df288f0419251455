"""How many cases it takes."""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.clusters import clustered_error
from evals.statistics.paired import difference
from evals.statistics.power import Precision, detectable, more_needed


def test_the_detectable_change_is_the_textbooks() -> None:
    """1.960 + 0.842 standard errors."""
    assert detectable(Precision(100, 0.05), 0.025) == pytest.approx(0.05 * 2.8016, rel=1e-4)


def test_four_times_the_cases_show_half_the_change() -> None:
    one = Precision(100, 0.05)
    assert more_needed(one, detectable(one, 0.025) / 2, 0.025) in (300, 301)
    assert more_needed(one, detectable(one, 0.025) * 1.01, 0.025) == 0


def test_added_cases_weigh_less_the_more_there_are() -> None:
    """Two runs that agree: the root of 2 over n + 2 must come down to .02 / 2.8016."""
    more = more_needed(Precision(10, 0.0, 1.0), 0.02, 0.025)
    assert more == 187


@pytest.mark.parametrize("distance", [0.0, -0.1, 1e-9])
def test_what_no_number_of_cases_shows_is_none(distance: float) -> None:
    assert more_needed(Precision(10, 0.3), distance, 0.025) is None


def test_with_so_many_more_four_of_five_runs_decide() -> None:
    """Two equal runs of 100 cases, margin .05: N more show in 80 % that B is not worse (Monte Carlo error 2)."""
    lots = np.random.default_rng(17)

    def changes(cases: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return (lots.random(cases) < 0.8).astype(float) - (lots.random(cases) < 0.8)

    first = changes(5000)
    error = clustered_error(first, np.arange(5000)) * 50**0.5
    more = more_needed(Precision(100, error, 1.0), 0.05, 0.025)
    assert more is not None
    shown = 0
    for seed in range(400):
        found = difference(changes(100 + more), np.arange(100 + more), seed=seed, draws=499)
        shown += found.bounds(0.95)[0] > -0.05
    assert abs(shown / 400 - 0.8) <= 0.06
