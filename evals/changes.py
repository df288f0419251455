"""By how much an outcome changed from one run to another, in the cases at hand.

The non-obvious decision: inside, up is always good. Of cost and latency that is minus the logarithm of B / A, so
that half as dear and twice as dear are equally far from no change, and one rule judges all outcomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.statistics.clusters import Row, Units, alone, clustered_error, count
from evals.statistics.interval import Interval
from evals.statistics.judged import Judge
from evals.statistics.paired import difference, log_ratio, quantile_ratio, ratio
from evals.statistics.power import Precision, detectable, more_needed
from evals.statistics.resampling import DRAWS, Draws, Sample
from evals.verdicts import LEAST_CLUSTERS, PValues

SLOW = 0.95
LEAST_FOR_SLOW = 72
"""The slowest of fewer cases is faster than the true P95 in more than one run of forty: 0.95^72 < 0.025."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One outcome. `good` is the change where up is good, `draws` what it may be, on the same scale.

    `least` is how many cases and `units` how many clusters there must be before anything is said.
    """

    a: float
    b: float
    good: float
    draws: Draws
    precision: Precision
    units: int
    of_ratio: bool
    least: int = 1

    @property
    def decidable(self) -> bool:
        return self.units >= LEAST_CLUSTERS and self.precision.cases >= self.least

    def interval(self, level: float) -> Interval:
        """B - A of scores, B / A of cost and latency."""
        low, high = self.draws.bounds(level)
        low, high = min(low, self.good), max(high, self.good)
        if self.of_ratio:
            return Interval(math.exp(-self.good), _exp(-high), _exp(-low))
        return Interval(self.good, max(low, -1.0), min(high, 1.0))

    def p_values(self, margin: float) -> PValues:
        """`margin`: in points from 0 to 1 of scores, as a share more of cost and latency."""
        bound = -self._inside(margin)
        return PValues(self._above(0.0), self._below(0.0), self._above(bound))

    def more_needed(self, margin: float, alpha: float) -> int | None:
        """Cases beyond these until it could be told, with 80 % power; None where that cannot be said.

        It is reckoned for a true change of none, that is for showing that B is not worse; without a margin, or
        where so many are there already, for the change that was seen.
        """
        if not self.decidable:
            cases, units = self.precision.cases, max(self.units, 1)
            fewest = max(math.ceil(cases * LEAST_CLUSTERS / units), self.least) - cases
            return max(fewest, self._more(margin, alpha) or 0)
        return self._more(margin, alpha)

    def detectable(self, alpha: float) -> float:
        """The smallest change that is shown with 80 % power: in points, or as a share of A."""
        found = detectable(self.precision, alpha)
        return _exp(found) - 1 if self.of_ratio else min(found, 1.0)

    def _more(self, margin: float, alpha: float) -> int | None:
        bound = self._inside(margin)
        needed = more_needed(self.precision, bound, alpha)
        if not needed:
            needed = more_needed(self.precision, max(self.good + bound, abs(self.good)), alpha)
        return needed or None

    def _inside(self, margin: float) -> float:
        return math.log1p(margin) if self.of_ratio else margin

    def _above(self, null: float) -> float:
        p = self.draws.p_above(null)
        return p if self.good > null else max(p, 0.5)

    def _below(self, null: float) -> float:
        p = self.draws.p_below(null)
        return p if self.good < null else max(p, 0.5)


def of_quality(a: Row, b: Row, clusters: Units, judge: Judge | None, seed: int) -> Change:
    """`a` and `b` (cases,): scores from 0 to 1. With a `judge` its errors are taken out."""
    units = alone(clusters)
    changes, scale = b - a, 1 / judge.youden if judge else 1.0
    divisors = judge.youden_draws(DRAWS, seed) if judge else None
    return Change(
        a=_true(float(a.mean()), judge),
        b=_true(float(b.mean()), judge),
        good=float(changes.mean()) * scale,
        draws=difference(changes, units, divisors=divisors, seed=seed),
        precision=Precision(len(a), clustered_error(changes, units) * scale, scale),
        units=count(units),
        of_ratio=False,
    )


def of_cost(a: Row, b: Row, clusters: Units, seed: int) -> Change | None:
    """`a` and `b` (cases,): dollars of an answer. None where A cost nothing, or all cases are one."""
    units = alone(clusters)
    below, above = float(a.mean()), float(b.mean())
    if below <= 0 or count(units) < 2:
        return None
    return _of_ratio(below, above, ratio(a, b, units, seed=seed), len(a), units)


def of_latency(a: Sample, b: Sample, cases: int, clusters: Units, seed: int) -> Change | None:
    """The values are milliseconds of answers, their units places of cases; `clusters` (cases,). None as of cost."""
    units = alone(clusters)
    below, above = a.quantile(SLOW), b.quantile(SLOW)
    if below <= 0 or count(units) < 2:
        return None
    draws = quantile_ratio(Sample(a.values, units[a.units]), Sample(b.values, units[b.units]), SLOW, seed=seed)
    return _of_ratio(below, above, draws, cases, units, LEAST_FOR_SLOW)


def _of_ratio(a: float, b: float, draws: Draws, cases: int, units: NDArray[np.intp], least: int = 1) -> Change:
    good = Draws(-draws.ordered[::-1], draws.worth)
    precision = Precision(cases, good.standard_error)
    return Change(
        a=a,
        b=b,
        good=-log_ratio(a, b),
        draws=good,
        precision=precision,
        units=count(units),
        of_ratio=True,
        least=least,
    )


def _true(rate: float, judge: Judge | None) -> float:
    if judge is None:
        return rate
    return min(max((rate + judge.specificity - 1) / judge.youden, 0.0), 1.0)


def _exp(value: float) -> float:
    """Kept finite, so that it can be written as JSON."""
    return math.exp(min(value, 700.0))
