"""What so many cases can show, and how many it takes.

Cohen, "Statistical Power Analysis for the Behavioral Sciences", 1988; for evals: Miller 2024, arXiv 2411.00640,
section 5. The normal's quantiles are used throughout, so figures for a few clusters are a little rosy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import norm

POWER = 0.8
_MOST = 10**9
"""Nobody has more cases than that; more is as good as cannot be told."""


@dataclass(frozen=True, slots=True)
class Precision:
    """What `cases` tell. `error` is the standard error that comes of them and shrinks as they become more.

    `added` is the size of the two cases that were added to the differences of scores (`statistics/paired.py`), +1
    and -1, in the figure's own scale; 0 where none were.
    """

    cases: int
    error: float
    added: float = 0.0

    def error_of(self, cases: int) -> float:
        """The standard error that so many cases would have, were they like these."""
        own = self.error**2 * self.cases / cases
        return math.sqrt(own + 2 * (self.added / (cases + 2)) ** 2)


def detectable(precision: Precision, alpha: float, power: float = POWER) -> float:
    """The smallest change that as many cases show with probability `power`, at the one-sided level `alpha`."""
    return _reach(alpha, power) * precision.error_of(precision.cases)


def more_needed(precision: Precision, distance: float, alpha: float, power: float = POWER) -> int | None:
    """Cases beyond these until a change that is `distance` away from the bound is shown with probability `power`.

    0 where these are enough; None for no distance, which no number of cases shows, and beyond a thousand million.
    """
    if distance <= 0:
        return None
    wanted = distance / _reach(alpha, power)
    if precision.error_of(precision.cases) <= wanted:
        return 0
    low, high = precision.cases, precision.cases
    while precision.error_of(high) > wanted:
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if precision.error_of(middle) <= wanted else (middle, high)
    return high - precision.cases


def _reach(alpha: float, power: float) -> float:
    return float(norm.ppf(1 - alpha) + norm.ppf(power))
