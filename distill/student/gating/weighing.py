"""Means over the traffic, of questions that each stand for a share of it, with what chance may have done to them.

The non-obvious decision: no mean is surer than its weights allow. Where a few questions stand for most of the
traffic, that is all the sample is worth (Kish, "Survey Sampling", 1965): an intent that is asked all day and was
tried on three questions leaves a wide interval, however many questions there are of others.

Throughout, `values` and `weights` are (questions,), and `units` (questions,) number the groups that move together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import norm

from evals.statistics.clusters import Row, Units, alone, units_of
from evals.statistics.interval import Interval
from evals.statistics.rates import wilson
from evals.statistics.resampling import DRAWS, Draws, summed

_HALVINGS = 40
"""Of the span from -1 to 1: to far beyond any digit that is shown."""


def groups_of(groups: Sequence[str], strata: Sequence[str]) -> Units:
    """The groups, told apart within each stratum.

    A stratum that is all of one group has its questions one by one: what is found then holds for that group.
    """
    names = np.array([f"{stratum}\0{group}" for stratum, group in zip(strata, groups, strict=True)], dtype=object)
    for stratum in set(strata):
        places = np.flatnonzero(np.array(strata, dtype=object) == stratum)
        if len(places) > 1 and len(np.unique(alone(units_of(list(names[places]))))) == len(places):
            names[places] = [f"{stratum}\0\0{place}" for place in places.tolist()]
    return units_of(list(names))


def weights_of(strata: Sequence[str], shares: dict[str, float]) -> Row:
    """Each question's part of the traffic, 1 together: its stratum's share, divided by the questions of it.

    Questions of one stratum count alike, however often they were asked: the cache answers those that repeat.
    A stratum without questions is left out, as if it were asked what the others are.
    """
    many = {stratum: strata.count(stratum) for stratum in set(strata)}
    weights = np.array([shares.get(stratum, 0.0) / many[stratum] for stratum in strata])
    total = float(weights.sum())
    return weights / total if total else np.full(len(strata), 1 / max(len(strata), 1))


def worth(weights: Row, units: Units) -> float:
    """How many groups of one weight these are worth; 0 for none."""
    sizes = np.bincount(units, weights) if len(units) else np.zeros(0)
    squares = float(sizes @ sizes)
    return float(sizes.sum()) ** 2 / squares if squares else 0.0


def difference(changes: Row, weights: Row, units: Units, *, seed: int = 0, draws: int = DRAWS) -> Draws:
    """Draws of the mean of `changes`, each a score from 0 to 1 less another one.

    As in `evals.statistics.paired` a change of +1 and one of -1 are added, here with the weight that a question has
    where all have the same one and are worth as much together: two students that agree in all questions may well
    differ in the next.
    """
    one = float(weights.sum()) / max(worth(weights, units), 1.0)
    last = int(units.max()) + 1
    widened = np.concatenate([changes * weights, [one, -one]])
    of = np.concatenate([units, np.array([last, last + 1], np.intp)])
    sums = summed(np.stack([widened, np.concatenate([weights, [one, one]])]), of, draws, seed)
    means = np.divide(sums[:, 0], sums[:, 1], out=np.zeros(len(sums)), where=sums[:, 1] > 0)
    return Draws(np.sort(means), max(worth(weights, units), 2.0))


def change_of(
    changes: Row, weights: Row, units: Units, level: float, *, seed: int = 0, draws: int = DRAWS
) -> tuple[Interval, Draws]:
    """The mean of `changes` with the wider ends of two intervals: that of `difference`, and Tango's for pairs.

    Draws can only repeat what was seen, and of rare losses too few are: a student just as bad as the margin passed
    in 7 % of simulated worlds by draws alone. Tango's score interval ("Equivalence test and confidence interval for
    the difference in proportions for the paired-sample design", Statistics in Medicine 17, 1998) has the variance
    that such a student would show; it takes gains and losses as shares of so many groups as they are worth.
    """
    found = difference(changes, weights, units, seed=seed, draws=draws)
    low, high = found.bounds(level)
    z, groups, value = float(norm.ppf((1 + level) / 2)), worth(weights, units), mean(changes, weights)
    gained, lost = mean(np.maximum(changes, 0), weights), mean(np.maximum(-changes, 0), weights)
    least, most = _score_end(gained, lost, groups, z), -_score_end(lost, gained, groups, z)
    return Interval(value, min(low, least, value), max(high, most, value)), found


def needed(margin: float, level: float) -> int:
    """How many groups a test must be worth to prove that no more than `margin` is lost, where nothing is."""
    z = float(norm.ppf((1 + level) / 2))
    return math.ceil(z**2 * (1 - margin) / margin)


def _score_end(gained: float, lost: float, groups: float, z: float) -> float:
    """The least difference that does not lie z standard errors, of its own, beneath what was seen."""
    beneath, above = -1.0, gained - lost
    for _ in range(_HALVINGS):
        middle = (beneath + above) / 2
        if _score(gained, lost, groups, middle) > z:
            beneath = middle
        else:
            above = middle
    return beneath


def _score(gained: float, lost: float, groups: float, difference: float) -> float:
    """Standard errors between what was seen and `difference`, where that is the truth."""
    a, c = 2.0, -lost * difference * (1 - difference)
    b = -gained - lost + (2 - gained + lost) * difference
    likely = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = (2 * likely + difference * (1 - difference)) / groups
    return (gained - lost - difference) / math.sqrt(variance) if variance > 0 else 0.0


def mean(values: Row, weights: Row) -> float:
    """0 where nothing has any weight."""
    total = float(weights.sum())
    return float(values @ weights) / total if total else 0.0


def rate(values: Row, weights: Row, units: Units, level: float) -> Interval | None:
    """The mean of `values`, each from 0 to 1, with Wilson's interval for as many groups as they are worth.

    None where nothing has any weight.
    """
    groups = worth(weights, units)
    if not groups:
        return None
    value = min(max(mean(values, weights), 0.0), 1.0)
    low, high = wilson(value, groups, level)
    return Interval(value, max(low, 0.0), min(high, 1.0))
