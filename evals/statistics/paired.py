"""By how much B differs from A in the same cases: whole clusters of cases are drawn again, both runs alike.

The non-obvious decision: to differences of scores a case of +1 and one of -1 are added, two clusters of one case
each, before anything is drawn. Bonett and Price ("Adjusted Wald Confidence Interval for a Difference of Binomial
Proportions Based on Paired Data", Journal of Educational and Behavioral Statistics 37, 2012) do so with paired
proportions: two runs that agree in all of 20 cases may well differ in the next. Money and time have no such scale:
their ratios are drawn as they are.
"""

from __future__ import annotations

import math

import numpy as np

from evals.statistics.clusters import Row, Units
from evals.statistics.resampling import DRAWS, Draws, Sample, quantiles, summed


def difference(
    changes: Row, units: Units, *, divisors: Row | None = None, seed: int = 0, draws: int = DRAWS
) -> Draws:
    """Of the mean of `changes` (cases,), each a score from 0 to 1 less another one.

    `divisors` (draws,) are what to divide each draw by: see `statistics/judged.py`.
    """
    last = int(units.max()) + 1
    widened = np.concatenate([changes, [1.0, -1.0]])
    of = np.concatenate([units, np.array([last, last + 1], dtype=np.intp)])
    sums = summed(np.stack([widened, np.ones(len(widened))]), of, draws, seed)
    means = sums[:, 0] / sums[:, 1]
    return Draws.of(means if divisors is None else means / divisors, units)


def ratio(a: Row, b: Row, units: Units, *, seed: int = 0, draws: int = DRAWS) -> Draws:
    """Of the logarithm of B's mean over A's; `a` and `b` are (cases,), never below zero."""
    sums = summed(np.stack([a, b]), units, draws, seed)
    return Draws.of(_log_ratio(sums[:, 0], sums[:, 1]), units)


def quantile_ratio(a: Sample, b: Sample, share: float, *, seed: int = 0, draws: int = DRAWS) -> Draws:
    """Of the logarithm of B's quantile over A's. A case may have several values in each run, of one unit."""
    below, above = quantiles((a, b), share, draws, seed)
    return Draws.of(_log_ratio(below, above), np.concatenate([a.units, b.units]))


def log_ratio(a: float, b: float) -> float:
    """Infinite where one is 0; 0 where both are."""
    if a > 0 and b > 0:
        return math.log(b / a)
    return 0.0 if a == b else math.copysign(math.inf, b - a)


def _log_ratio(a: Row, b: Row) -> Row:
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log(b) - np.log(a)
    return np.where(np.isnan(found), 0.0, found)
