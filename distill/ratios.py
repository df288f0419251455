"""Ratios of two sums over requests, and how sure they are: one piece of code for the intervals of all estimators.

The non-obvious decision: means are ratios too, with ones below. So self-normalised weights, shadow calls on some
requests only, groups of requests and differences of two policies need no formula of their own.

Normal intervals are of the linearised ratio, with sandwich variance over groups (Owen 2013, Monte Carlo theory,
methods and examples, 9.2) and Student's factor, since shadow calls may be some dozens. Others are the bootstrap's
percentiles, of groups drawn with replacement.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CELLS = 2_000_000
"""Numbers that are drawn at once; 16 MB."""


class Ratio(Struct, frozen=True, eq=False):
    """The terms (n,) of sum(above) / sum(below), and a bound on how far what it estimates is off."""

    above: Floats
    below: Floats
    bias: float

    @property
    def value(self) -> float:
        return float(self.above.sum() / self.below.sum())


class Interval(Struct, frozen=True):
    """An estimate with its interval, which is wider by `bias` on both sides. `requests` is how many were used."""

    value: float
    low: float
    high: float
    bias: float
    requests: int


class Intervals:
    """Makes them, over `groups` (n,) of requests that are taken together; None where each stands for itself.

    `resamples` is the number of bootstrap samples, 0 for normal intervals.
    """

    def __init__(
        self, groups: NDArray[np.int64] | None, *, confidence: float, resamples: int = 0, seed: int = 0
    ) -> None:
        self._groups = None if groups is None else np.unique(groups, return_inverse=True)[1]
        self._confidence = confidence
        self._resamples = resamples
        self._seed = seed

    def of(self, ratio: Ratio, against: Ratio | None = None) -> Interval:
        """Of the ratio, or of how much it is above another one of the same requests."""
        ratios = [self._grouped(one) for one in (ratio, against) if one is not None]
        value = ratios[0].value - sum(one.value for one in ratios[1:])
        low, high = self._percentiles(ratios) if self._resamples else self._normal(value, ratios)
        bias = sum(one.bias for one in ratios)
        used = np.any([one.below != 0 for one in (ratio, against) if one is not None], axis=0)
        return Interval(value, low - bias, high + bias, bias, int(used.sum()))

    def _grouped(self, ratio: Ratio) -> Ratio:
        if self._groups is None:
            return ratio
        above, below = (np.bincount(self._groups, terms).astype(np.float64) for terms in (ratio.above, ratio.below))
        return Ratio(above, below, ratio.bias)

    def _normal(self, value: float, ratios: list[Ratio]) -> tuple[float, float]:
        """By the variance of the linearised ratios; one group alone says nothing of it."""
        n = min(int((one.below != 0).sum()) for one in ratios)
        if n < 2:
            return -np.inf, np.inf
        linear = [(one.above - one.value * one.below) / one.below.sum() for one in ratios]
        pulls = linear[0] - sum(linear[1:])
        half = _student(self._confidence, n - 1) * float(np.sqrt(n / (n - 1) * (pulls**2).sum()))
        return value - half, value + half

    def _percentiles(self, ratios: list[Ratio]) -> tuple[float, float]:
        """Of samples drawn with replacement; one in which nothing has weight is left out."""
        rng = np.random.default_rng(self._seed)
        n = len(ratios[0].above)
        at_once = max(1, _CELLS // n)
        found: list[Floats] = []
        for begin in range(0, self._resamples, at_once):
            drawn = rng.integers(n, size=(min(at_once, self._resamples - begin), n))
            totals = [one.below[drawn].sum(axis=1) for one in ratios]
            some = np.all([total > 0 for total in totals], axis=0)
            values = [
                one.above[drawn].sum(axis=1)[some] / total[some] for one, total in zip(ratios, totals, strict=True)
            ]
            found.append(values[0] - sum(values[1:]))
        tail = (1 - self._confidence) / 2
        low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
        return float(low), float(high)


def _student(confidence: float, freedom: int) -> float:
    """How many standard errors hold the share `confidence`, both sides (Abramowitz & Stegun 1964, 26.7.5)."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
