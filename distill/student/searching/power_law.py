"""How the share of wrong answers falls as a student has more examples: a power law, with how sure that is.

wrong(n) = floor + scale * n ** -rate, with none of the three below nothing, is the form that learning curves of
networks take over orders of magnitude (Hestness et al. 2017, "Deep Learning Scaling is Predictable, Empirically").
The non-obvious decision: the interval comes of drawing the judged questions again, by groups, and of what seeds
differ by. Both are why another run would have shown another curve; how near a curve goes by three points is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.statistics.interval import Interval

_RATES = np.linspace(0.05, 2.0, 40)
"""Curves of text are between .07 and .6 in what was published; 2 is more than noise makes of them."""
_LEVEL = 0.95

Values = NDArray[np.float64]


class Point(Struct, frozen=True, kw_only=True):
    """A student trained on so many examples. `good` is what its answer to each judged question was worth, 0 to 1;
    all points judge the same questions in the same order."""

    examples: int
    seed: int
    good: tuple[float, ...]

    @property
    def quality(self) -> float:
        return float(np.mean(self.good))


class Law(Struct, frozen=True, kw_only=True):
    """The fit to all points, and one to each draw: rows of (floor, scale, rate)."""

    fits: Values

    def wrong(self, examples: float) -> Values:
        """The share of wrong answers with so many examples: of the fit, then of each draw."""
        floor, scale, rate = self.fits.T
        return np.asarray(floor + scale * examples**-rate, dtype=np.float64)

    def quality(self, examples: float) -> Interval:
        return _interval(1 - self.wrong(examples))

    def gain(self, examples: float, more: float) -> Interval:
        """Of quality, by so many more."""
        return _interval(self.wrong(examples) - self.wrong(examples + more))


def law_of(points: Sequence[Point], groups: Sequence[str], *, draws: int, seed: int = 0) -> Law:
    """Raises ValueError where there are fewer than three numbers of examples: no curve goes through two points."""
    sizes = np.array(sorted({point.examples for point in points}), dtype=np.float64)
    if len(sizes) < 3:
        raise ValueError("a learning curve needs three shares of the examples, or more")
    wrong = [
        np.array([[1 - worth for worth in point.good] for point in points if point.examples == size])
        for size in sizes
    ]
    rows = [_fit(sizes, np.array([each.mean() for each in wrong]))]
    chance, seeds = np.random.default_rng(seed), _seed_error(wrong)
    units = np.unique(np.asarray(groups), return_inverse=True)[1]
    for _ in range(draws):
        times = np.bincount(chance.integers(units.max() + 1, size=units.max() + 1), minlength=units.max() + 1)
        weights = times[units].astype(np.float64)
        means = [np.average(each.mean(axis=0), weights=weights) for each in wrong]
        rows.append(_fit(sizes, np.clip(np.array(means) + seeds(chance), 0, 1)))
    return Law(fits=np.array(rows))


def _seed_error(wrong: Sequence[Values]) -> Callable[[np.random.Generator], Values]:
    """Draws by how much each size's mean is off for the seeds that it happened to have. The few of one size tell
    little of how seeds differ, so all sizes are taken together, and the draw has Student's heavier ends."""
    means = [each.mean(axis=1) for each in wrong]
    freedom = sum(len(each) - 1 for each in means)
    if not freedom:
        return lambda _: np.zeros(len(wrong))
    spread = np.sqrt(sum(float(((each - each.mean()) ** 2).sum()) for each in means) / freedom)
    error = spread / np.sqrt([len(each) for each in means])
    return lambda chance: chance.standard_t(freedom, size=len(error)) * error


def _fit(sizes: Values, wrong: Values) -> Values:
    """(floor, scale, rate) of least squares. For each rate the other two are the solution of a line, held above
    nothing: where one of them would be below, the best is at its edge."""
    powers = sizes[None, :] ** -_RATES[:, None]
    middle, centred = powers.mean(axis=1), powers - powers.mean(axis=1, keepdims=True)
    slope = centred @ (wrong - wrong.mean()) / (centred**2).sum(axis=1)
    floor = wrong.mean() - slope * middle
    through = powers @ wrong / (powers**2).sum(axis=1)
    slope = np.where(slope < 0, 0.0, np.where(floor < 0, through, slope))
    floor = np.where(slope == 0, wrong.mean(), np.maximum(floor, 0.0))
    error = ((floor[:, None] + slope[:, None] * powers - wrong) ** 2).sum(axis=1)
    best = int(error.argmin())
    return np.array([floor[best], slope[best], _RATES[best]])


def _interval(values: Values) -> Interval:
    low, high = np.quantile(values[1:] if len(values) > 1 else values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(values[0]), float(min(low, values[0])), float(max(high, values[0])))
