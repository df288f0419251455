"""Means of scores and of costs with their intervals, cases of one cluster counted as what they are.

Graded scores have Wilson's interval too, as if they were the zeros and ones that vary as much: with Student's t
around the mean the truth is missed more often where the rate is near 1.

The non-obvious decision: scores that are all alike have no variance that could tell how much clusters matter, so
there each cluster counts as one case. Ten clusters of a hundred right answers each are ten, until proved otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, t
from statsmodels.stats.proportion import proportion_confint

from evals.statistics.clusters import Row, alone, clustered_error, count, effective, units_of
from evals.statistics.interval import Interval, Rate


def rate_of(values: Sequence[float] | Row, clusters: Sequence[str], *, binary: bool, level: float) -> Rate:
    """The mean of `values` (cases,), each from 0 to 1, with the interval that contains the truth at `level`.

    It is Wilson's (JASA 22, 1927) for as many independent zeros and ones as would have the clustered error: n over
    the design effect (Kish 1965). The normal's quantile is replaced by Student's for so many effective clusters
    (Korn and Graubard, Survey Methodology 24, 1998). `binary`: the values are zeros and ones, and clusters are not
    taken to make them more certain. Cases that are all of one cluster are taken one by one. Raises ValueError where
    there are none.
    """
    scores = np.asarray(values, dtype=float)
    if not len(scores):
        raise ValueError("a rate needs a case at least")
    named = units_of(clusters)
    units = alone(named)
    mean, error = float(scores.mean()), clustered_error(scores, units)
    worth = effective(units)
    if error and 0 < mean < 1:
        upper = (1 + level) / 2
        narrower = norm.ppf(upper) / t.ppf(upper, max(worth - 1, 1))
        seen = mean * (1 - mean) / error**2
        worth = float(min(seen, len(scores)) if binary else seen) * float(narrower) ** 2
    low, high = wilson(mean, worth, level)
    return Rate(
        value=mean,
        standard_error=error,
        low=max(low, 0.0),
        high=min(high, 1.0),
        n=len(scores),
        clusters=count(named),
    )


def mean_of(values: Sequence[float] | Row, clusters: Sequence[str], *, level: float) -> Interval:
    """The mean of `values` (cases,) that are never below zero, in any unit: the clustered error times Student's t.

    Cases that are all of one cluster are taken one by one; of a single case nothing is known but itself.
    """
    amounts = np.asarray(values, dtype=float)
    units = alone(units_of(clusters))
    mean = float(amounts.mean())
    freedom = max(count(units) - 1, 1)
    half = float(t.ppf((1 + level) / 2, freedom)) * clustered_error(amounts, units)
    return Interval(mean, max(mean - half, 0.0), mean + half)


def wilson(mean: float, worth: float, level: float) -> tuple[float, float]:
    """Wilson's interval for a mean of `worth` independent cases, which need not be a whole number."""
    low, high = proportion_confint(mean * worth, worth, alpha=1 - level, method="wilson")
    return float(low), float(high)
