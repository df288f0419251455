"""Drawing whole clusters again: the draws of a figure, and the interval and p values that are read from them.

Cameron, Gelbach and Miller, "Bootstrap-Based Improvements for Inference with Clustered Errors" (Review of Economics
and Statistics 90, 2008). The interval is the percentile one, expanded for few clusters (Hesterberg, "What Teachers
Should Know About the Bootstrap", American Statistician 69, 2015, section 4.1): the share of draws that is left out
at an end is that of the normal beyond sqrt(n / (n - 1)) times Student's quantile. `benchmarks/eval_coverage.py`
holds it beside BCa, the plain percentile one and Student's.

The non-obvious decision: a p value is the same reading backwards, so an interval that leaves zero out and a p value
beneath the level are one statement, and no verdict contradicts the interval beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

from evals.statistics.clusters import Row, Units, count, effective
from evals.statistics.interval import Interval

DRAWS = 9_999
"""With them (draws + 1) times a usual level is a whole number; enough for p values of one in some thousand."""
MOST_GROUPS = 1000
"""More clusters are put together at random, which leaves the interval right and bounds time and memory."""
_AT_ONCE = 1 << 20
"""Numbers in one block: 8 MiB of them."""


@dataclass(frozen=True, slots=True)
class Draws:
    """What a figure was in each draw, ascending. `worth` is how many equal clusters there were."""

    ordered: Row
    worth: float

    @classmethod
    def of(cls, draws: Row, units: Units) -> Draws:
        return cls(np.sort(draws), max(effective(units), 2.0))

    def bounds(self, level: float) -> tuple[float, float]:
        """Between them the figure lies with probability `level`."""
        share = float(norm.cdf(self._wider * t.ppf((1 - level) / 2, self.worth - 1)))
        place = math.floor(share * (len(self.ordered) + 1) + 1e-9)
        if place:
            return float(self.ordered[place - 1]), float(self.ordered[-place])
        first, last = float(self.ordered[0]), float(self.ordered[-1])
        if not math.isfinite(self._spread):
            return first, last
        # So far from the middle, where no draw went, as the normal's tail would have it.
        middle, away = float(self.ordered.mean()), float(norm.ppf(share)) * self._spread
        return min(first, middle + away), max(last, middle - away)

    def p_above(self, null: float) -> float:
        """One-sided: how likely so much is, were the figure `null` or less."""
        return self._p(int(np.searchsorted(self.ordered, null, side="right")), null)

    def p_below(self, null: float) -> float:
        """One-sided: how likely so little is, were the figure `null` or more."""
        return self._p(len(self.ordered) - int(np.searchsorted(self.ordered, null, side="left")), null)

    @property
    def standard_error(self) -> float:
        """Of the figure; 0 where draws are not finite."""
        spread = self._spread
        return spread * self._wider if math.isfinite(spread) else 0.0

    @property
    def _wider(self) -> float:
        return math.sqrt(self.worth / (self.worth - 1))

    @property
    def _spread(self) -> float:
        return float(self.ordered.std()) if np.isfinite(self.ordered).all() else math.inf

    def _p(self, beyond: int, null: float) -> float:
        z = float(norm.ppf(min((beyond + 1) / (len(self.ordered) + 1), 1 - 1e-9)))
        spread = self._spread
        if not beyond and math.isfinite(spread):
            distance = abs(null - float(self.ordered.mean()))
            z = min(z, -distance / spread) if spread else -math.inf
        return float(t.cdf(z / self._wider, self.worth - 1))


def grouped(units: Units, seed: int) -> tuple[Units, int]:
    """`units` from 0 without gaps, at most MOST_GROUPS of them, and how many they are."""
    _, dense = np.unique(units, return_inverse=True)
    groups = int(dense.max()) + 1
    if groups <= MOST_GROUPS:
        return dense.astype(np.intp), groups
    lot = np.random.default_rng(seed).permutation(groups) % MOST_GROUPS
    return lot[dense].astype(np.intp), MOST_GROUPS


def drawn(groups: int, width: int, draws: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """How often each of `groups` is drawn: blocks (some draws, groups) that have `draws` rows together.

    `width` is how many numbers the caller makes of a row: blocks are the smaller for it.
    """
    lots = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // max(groups, width))
    for start in range(0, draws, rows):
        block = min(rows, draws - start)
        places = lots.integers(0, groups, (block, groups)) + groups * np.arange(block)[:, None]
        yield np.bincount(places.ravel(), minlength=block * groups).reshape(block, groups)


def summed(columns: Row, units: Units, draws: int, seed: int) -> Row:
    """(draws, columns): the sum of each of `columns` (columns, cases) over the cases of a draw."""
    of, groups = grouped(units, seed)
    sums = np.stack([np.bincount(of, column, groups) for column in columns], axis=1)
    return np.concatenate([block @ sums for block in drawn(groups, len(columns), draws, seed)])


@dataclass(frozen=True, slots=True)
class Sample:
    """Values, and of which unit each is."""

    values: Row
    units: Units

    def quantile(self, share: float) -> float:
        """The least value that so many are not above: definition 1 of Hyndman and Fan, 1996."""
        ordered = np.sort(self.values)
        return float(ordered[max(math.ceil(share * len(ordered) - 1e-9), 1) - 1])


def quantiles(samples: tuple[Sample, ...], share: float, draws: int, seed: int) -> Row:
    """(samples, draws): the quantile of each sample, all drawn alike; NaN where a draw has no value of it."""
    both = np.concatenate([sample.units for sample in samples])
    of, groups = grouped(both, seed)
    parts = np.split(of, np.cumsum([len(sample.units) for sample in samples])[:-1])
    ready = [(np.sort(one.values), part[np.argsort(one.values)]) for one, part in zip(samples, parts, strict=True)]
    widest = max(len(sample.units) for sample in samples)
    blocks = [
        np.stack([_weighted(values, block[:, part], share, _top(len(values), share)) for values, part in ready])
        for block in drawn(groups, widest, draws, seed)
    ]
    return np.concatenate(blocks, axis=1)


def quantile_interval(sample: Sample, share: float, level: float, *, draws: int, seed: int) -> Interval:
    """A quantile with its interval. It never ends above the largest value: for the 95th percentile of fewer than
    some 70 values the true one may well lie there."""
    value = sample.quantile(share)
    if count(sample.units) < 2:
        return Interval(value, value, value)
    found = quantiles((sample,), share, draws, seed)[0]
    low, high = Draws.of(found, sample.units).bounds(level)
    least, most = float(sample.values.min()), float(sample.values.max())
    return Interval(value, max(min(low, value), least), min(max(high, value), most))


def _top(values: int, share: float) -> int:
    """So many of the largest values nearly always hold the quantile of a draw."""
    return min(values, math.ceil(2 * (1 - share) * values) + 20)


def _weighted(values: Row, weights: NDArray[np.int64], share: float, top: int) -> Row:
    """Quantiles of ascending `values` (n,), weighed by each of `weights` (draws, n), from above.

    Only the `top` values are weighed one by one; a draw whose quantile is not among them is done again with all.
    """
    above = (1 - share) * weights.sum(axis=1) + 1e-9
    reached = np.cumsum(weights[:, : -top - 1 : -1], axis=1)
    place = (reached <= above[:, None]).sum(axis=1)
    found: Row = values[np.maximum(len(values) - 1 - place, 0)]
    found[reached[:, -1] == 0] = np.nan
    rest = np.flatnonzero(place == top)
    if len(rest) and top < len(values):
        found[rest] = _weighted(values, weights[rest], share, len(values))
    return found
