"""Quality against the share of queries that the strong model answers: what a router is judged by.

The non-obvious decision: equal scores share their places. Every figure is what a router gets on average that sends
queries of equal score in random order, so one that knows nothing is exactly at random, whatever the file's order.

Throughout, `scores`, `weak` and `strong` are rows of one length (queries,): the higher a score the sooner the
strong model answers; qualities are 0..1. Formulas: PGR, APGR and CPT are of RouteLLM (Ong et al. 2024, arXiv
2406.18665, section 3), AIQ is of RouterBench (Hu et al. 2024, arXiv 2403.12031, section 3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from evals.statistics.interval import Interval

Row = NDArray[np.float64]

_BINS = 15
_DRAWS = 400


def quality_curve(scores: Row, weak: Row, strong: Row) -> tuple[Row, Row]:
    """Shares 0..1 (queries + 1,) and the mean quality where that share of the queries goes to the strong model."""
    _check(scores, weak, strong)
    gains = _shared(scores, strong - weak)[np.argsort(-scores, kind="stable")]
    shares = np.linspace(0, 1, len(scores) + 1)
    return shares, float(np.mean(weak)) + np.concatenate([[0.0], np.cumsum(gains)]) / len(scores)


def recovered(scores: Row, weak: Row, strong: Row) -> Row:
    """PGR at each share of `quality_curve`: (quality - weak) / (strong - weak), of means.

    Raises ValueError where the strong model is no better than the weak one, since PGR means nothing there.
    """
    _, quality = quality_curve(scores, weak, strong)
    gap = float(np.mean(strong) - np.mean(weak))
    if gap <= 0:
        raise ValueError("the strong model is no better than the weak one: no gap to recover")
    gained: Row = (quality - quality[0]) / gap
    return gained


def apgr(scores: Row, weak: Row, strong: Row) -> float:
    """The mean of PGR over all shares, by trapezoids: 0.5 at random. Raises as `recovered`."""
    gained = recovered(scores, weak, strong)
    return float((gained[1:] + gained[:-1]).mean() / 2)


def cpt(scores: Row, weak: Row, strong: Row, wanted: float) -> float:
    """CPT: the least share of strong calls at which PGR reaches `wanted` (.8: CPT(80 %)). Raises as `recovered`."""
    return _first(recovered(scores, weak, strong), wanted)


def share_for_quality(scores: Row, weak: Row, strong: Row, of_strong: float = 0.95) -> float:
    """CQ95: the least share of strong calls with `of_strong` of the strong model's mean quality."""
    _, quality = quality_curve(scores, weak, strong)
    return _first(quality, of_strong * float(np.mean(strong)))


def calibration_error(probabilities: Row, outcomes: Row, bins: int = _BINS) -> float:
    """ECE (Naeini et al. 2015): mean distance of forecast and outcome over bins of equally many forecasts."""
    if len(probabilities) != len(outcomes) or not len(outcomes):
        raise ValueError("a forecast is needed for each outcome, and one at least")
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    off = [abs(float(np.sum(probabilities[part] - outcomes[part]))) for part in parts]
    return sum(off) / len(outcomes)


def share_error(decisions: Sequence[bool], wanted: float) -> float:
    """By how much the realised share of strong decisions is above (or, below zero, under) the wanted one."""
    if not decisions:
        raise ValueError("there are no decisions")
    return sum(decisions) / len(decisions) - wanted


def aiq(costs: Sequence[float], qualities: Sequence[float]) -> float:
    """AIQ: mean quality over the range of costs, under the non-decreasing convex hull of the points of a router.

    `costs` in any unit, at least two different ones; ValueError otherwise.
    """
    points = sorted(zip(costs, qualities, strict=True), key=lambda point: (point[0], -point[1]))
    hull: list[tuple[float, float]] = []
    for cost, quality in points:
        if hull and quality <= hull[-1][1]:
            continue  # dearer and no better
        while len(hull) > 1 and _under(hull[-2], hull[-1], (cost, quality)):
            hull.pop()
        hull.append((cost, quality))
    if not points or points[0][0] == points[-1][0]:
        raise ValueError("AIQ needs points of different costs")
    hull.append((points[-1][0], hull[-1][1]))
    area = sum((x2 - x1) * (y1 + y2) / 2 for (x1, y1), (x2, y2) in pairwise(hull))
    return area / (points[-1][0] - points[0][0])


def bootstrap(
    statistic: Callable[..., float], *rows: Row, draws: int = _DRAWS, level: float = 0.95, seed: int = 0
) -> Interval:
    """The percentile interval of `statistic(*rows)`, drawn again by query (Efron 1979).

    All rows are drawn alike, so a statistic that takes two routers' scores and returns a difference is compared in
    pairs. Draws for which the statistic raises ValueError are left out. Raises ValueError for rows of unlike
    length.
    """
    _check(*rows)
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(draws):
        places = draw.integers(0, len(rows[0]), len(rows[0]))
        try:
            found.append(statistic(*(row[places] for row in rows)))
        except ValueError:
            continue
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]) if found else (np.nan, np.nan)
    return Interval(statistic(*rows), float(low), float(high))


def _shared(scores: Row, gains: Row) -> Row:
    """Each query's gain as the mean over all of its score."""
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    means: Row = (np.bincount(group, gains) / sizes)[group]
    return means


def _first(values: Row, wanted: float) -> float:
    """The share at which the line through `values` (over 0..1 evenly) first reaches `wanted`; 1 if it never
    does."""
    reached = np.flatnonzero(values >= wanted - 1e-12)
    if not len(reached):
        return 1.0
    place = int(reached[0])
    if place == 0:
        return 0.0
    before, after = float(values[place - 1]), float(values[place])
    return (place - 1 + (wanted - before) / (after - before)) / (len(values) - 1)


def _under(one: tuple[float, float], middle: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether `middle` is on or under the line from `one` to `other`."""
    return (middle[1] - one[1]) * (other[0] - one[0]) <= (other[1] - one[1]) * (middle[0] - one[0])


def _check(*rows: Row) -> None:
    if not len(rows[0]) or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("the rows are empty, or not of one length")
    if not all(np.isfinite(row).all() for row in rows):
        raise ValueError("a score or a quality is no number")
