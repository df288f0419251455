"""What a judge's rate is worth once its own errors are taken out.

A judge calls some good answers bad and some bad ones good; people's labels tell how often (`Calibration`). With
sensitivity se and specificity sp the true rate is (rate + sp - 1) / (se + sp - 1): Rogan and Gladen, American
Journal of Epidemiology 107, 1978.

The non-obvious decision: that a judge errs alike in both runs is taken for granted when a difference is corrected.
It is therefore calibrated on answers of several targets, and kept off the candidates' own family.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from evals.records import Calibration
from evals.statistics.clusters import Row
from evals.statistics.interval import Rate
from evals.statistics.rates import wilson

_LEAST_YOUDEN = 0.05
"""A judge drawn again is taken to be at least so much better than chance, lest a draw go to infinity."""


@dataclass(frozen=True, slots=True)
class Judge:
    """How often a judge is right: `sensitivity` of `good` labelled answers, `specificity` of `bad` ones."""

    good: int
    sensitivity: float
    bad: int
    specificity: float

    @property
    def youden(self) -> float:
        """se + sp - 1: 1 for a judge who never errs, 0 for one who might as well throw dice."""
        return self.sensitivity + self.specificity - 1

    def youden_draws(self, draws: int, seed: int) -> Row:
        """(draws,): what `youden` may be, given so few labels, from Jeffreys' posterior of each rate."""
        lots = np.random.default_rng([seed, 1])
        good, bad = self.sensitivity * self.good, self.specificity * self.bad
        found = lots.beta(good + 0.5, self.good - good + 0.5, draws)
        found += lots.beta(bad + 0.5, self.bad - bad + 0.5, draws)
        return np.maximum(found - 1, _LEAST_YOUDEN)


def judge_of(calibration: Calibration | None) -> Judge | None:
    """None where nobody calibrated it, on good or on bad answers, or where it is no better than chance."""
    if calibration is None:
        return None
    good = calibration.good_called_good + calibration.good_called_bad
    bad = calibration.bad_called_bad + calibration.bad_called_good
    if not good or not bad:
        return None
    judge = Judge(good, calibration.good_called_good / good, bad, calibration.bad_called_bad / bad)
    return judge if judge.youden > 0 else None


def corrected(rate: Rate, judge: Judge, level: float) -> Rate | None:
    """The true rate behind what `judge` says, with its interval; None where the judge is no better than chance.

    Lang and Reiczigel, Preventive Veterinary Medicine 113, 2014, equations 4 to 17 (with the square of 1 - p in the
    variance, which is what the delta method gives). Their n is here the number of independent cases that would have
    the interval of `rate`, so clusters count.
    """
    z = float(norm.ppf((1 + level) / 2))
    n = _worth(rate, level)
    good, bad = judge.good + 2, judge.bad + 2
    se = (judge.good * judge.sensitivity + 1) / good
    sp = (judge.bad * judge.specificity + 1) / bad
    youden = se + sp - 1
    if youden <= 0 or judge.youden <= 0:
        return None
    seen = (n * rate.value + z**2 / 2) / (n + z**2)
    middle = (seen + sp - 1) / youden
    of_se, of_sp = se * (1 - se) / good, sp * (1 - sp) / bad
    moved = 2 * z**2 * (middle * of_se - (1 - middle) * of_sp)
    spread = seen * (1 - seen) / (n + z**2) + middle**2 * of_se + (1 - middle) ** 2 * of_sp
    error = math.sqrt(spread) / youden
    value = _share((rate.value + judge.specificity - 1) / judge.youden)
    low, high = _share(middle + moved - z * error), _share(middle + moved + z * error)
    return Rate(
        value=value,
        standard_error=error,
        low=min(low, value),
        high=max(high, value),
        n=rate.n,
        clusters=rate.clusters,
    )


def _worth(rate: Rate, level: float) -> float:
    """Of how many independent cases Wilson's interval is as wide as that of `rate`."""
    width = rate.high - rate.low
    low, high = 1e-3, 1e9
    for _ in range(48):
        middle = math.sqrt(low * high)
        lower, upper = wilson(rate.value, middle, level)
        low, high = (middle, high) if upper - lower > width else (low, middle)
    return high


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)
