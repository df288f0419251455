"""The interval of a ratio of two sums, such as a mean or a share, where cases come in clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.statistics.clusters import Row, units_of
from evals.statistics.interval import Interval
from evals.statistics.resampling import Draws, summed

DRAWS = 1_999
"""A tenth of what a verdict takes: nothing is decided by these."""


def ratio_of_sums(
    above: Row, below: Row, clusters: Sequence[str], *, level: float, draws: int = DRAWS, seed: int = 0
) -> Interval | None:
    """sum(above) / sum(below) over cases, with the interval at `level`; None where `below` adds up to nothing.

    `above`, `below` and `clusters` have a place for each case.
    """
    if below.sum() <= 0:
        return None
    units = units_of(clusters)
    sums = summed(np.stack([above, below]), units, draws, seed)
    some = sums[sums[:, 1] > 0]
    low, high = Draws.of(some[:, 0] / some[:, 1], units).bounds(level)
    return Interval(float(above.sum() / below.sum()), low, high)
