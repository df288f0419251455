"""How often the interval of a measured saving contains the truth, where the truth is planted.

    .venv/bin/python benchmarks/roi_coverage.py
    .venv/bin/python benchmarks/roi_coverage.py --trials 1000 --json

Traffic is made up as it is in earnest, and worse: conversations as long as Zipf's law says, whose requests cost
alike (a log-normal factor for the conversation, another for the request), three in ten usual requests answered from
the cache for nothing, half by a model at a tenth of the price, the rest dear. A dear request costs a dollar on
average and a usual one a quarter, so 0.75 is the truth. Each trial makes new traffic, sends a share of it the dear
way by lot, and asks `ledger.reports.bootstrap` for a 95 % interval. Beside it stand what others would have said:
the plain percentile one, BCa (Efron, JASA 82, 1987), and the normal one with a cluster-robust error.

`low` counts trials in which the conservative figure was above the truth: one in forty may be. Trials that are not
judged, because the dear arm is worth fewer than 30 conversations, count in `judged` only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.scenes import arguments_of, try_scenes
from ledger.reports.bootstrap import Clusters, difference, interval, widening

_TRUTH = 0.75
_CONFIDENCE = 0.95
_NORMAL = NormalDist()
_KINDS = ("weir", "percentile", "bca", "normal")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scene:
    """`by` what lots are drawn; conversations of up to `longest` requests."""

    conversations: int
    share: float
    by: str
    longest: int
    groups: int = 1000


SCENES = (
    Scene(4_000, 0.01, "conversation", 1),
    Scene(10_000, 0.01, "request", 50),
    Scene(20_000, 0.01, "conversation", 50),
    Scene(40_000, 0.01, "conversation", 50),
    Scene(40_000, 0.01, "conversation", 50, groups=250),
    Scene(40_000, 0.01, "conversation", 200),
    Scene(100_000, 0.01, "conversation", 50),
)


def traffic(scene: Scene, lots: np.random.Generator) -> Floats:
    """By conversation: dear requests, their dollars, usual requests, their dollars."""
    lengths = np.arange(1, scene.longest + 1)
    odds = 1.0 / lengths**2
    held = lots.choice(lengths, size=scene.conversations, p=odds / odds.sum())
    conversation = np.repeat(np.arange(scene.conversations), held)
    alike = np.exp(lots.normal(-0.245, 0.7, scene.conversations))
    cost = alike[conversation] * np.exp(lots.normal(-0.125, 0.5, len(conversation)))
    if scene.by == "request":
        dear = lots.random(len(conversation)) < scene.share
    else:
        dear = (lots.random(scene.conversations) < scene.share)[conversation]
    way = lots.random(len(conversation))
    cost *= np.where(dear | (way >= 0.8), 1.0, np.where(way < 0.3, 0.0, 0.1))
    columns = (dear.astype(float), cost * dear, (~dear).astype(float), cost * ~dear)
    return np.stack([np.bincount(conversation, column, scene.conversations) for column in columns], axis=1)


def trial(scene: Scene, lots: np.random.Generator, draws: int) -> dict[str, tuple[float, float]] | None:
    """Each kind's interval; None where there is not enough to judge."""
    clusters = Clusters(scene.groups)
    for number, (dear, dear_cost, usual, usual_cost) in enumerate(traffic(scene, lots).tolist()):
        for is_dear, requests, dollars in ((True, dear, dear_cost), (False, usual, usual_cost)):
            if requests:
                clusters.add(str(number), dear=is_dear, requests=int(requests), dollars=dollars)
    found = difference(clusters, _CONFIDENCE, str(lots.integers(2**62)), draws)
    if found is None:
        return None
    narrow = widening(clusters.effective, _CONFIDENCE)
    plain = [found.middle + (draw - found.middle) / narrow for draw in found.draws]
    groups = np.array(clusters.groups)
    return {
        "weir": interval(found.draws, _CONFIDENCE),
        "percentile": interval(plain, _CONFIDENCE),
        "bca": _bca(groups, found.middle, plain),
        "normal": _normal(groups, found.middle),
    }


def _bca(groups: Floats, middle: float, draws: Sequence[float]) -> tuple[float, float]:
    """Bias-corrected and accelerated, with the jackknife over groups."""
    rest = groups.sum(axis=0) - groups
    rest = rest[(rest[:, 0] > 0) & (rest[:, 2] > 0)]
    without = rest[:, 1] / rest[:, 0] - rest[:, 3] / rest[:, 2]
    away = without.mean() - without
    acceleration = float((away**3).sum() / (6 * (away**2).sum() ** 1.5))
    ordered = np.sort(np.array(draws))
    below = min(max(float((ordered < middle).mean()), 1 / len(ordered)), 1 - 1 / len(ordered))
    bias = _NORMAL.inv_cdf(below)

    def bound(share: float) -> float:
        z = bias + _NORMAL.inv_cdf(share)
        return float(np.quantile(ordered, _NORMAL.cdf(bias + z / (1 - acceleration * z))))

    return bound((1 - _CONFIDENCE) / 2), bound((1 + _CONFIDENCE) / 2)


def _normal(groups: Floats, middle: float) -> tuple[float, float]:
    """The linearised error of a difference of two ratios, clustered."""
    dear, dear_cost, usual, usual_cost = groups.sum(axis=0)
    off = (groups[:, 1] - groups[:, 0] * dear_cost / dear) / dear
    off -= (groups[:, 3] - groups[:, 2] * usual_cost / usual) / usual
    error = math.sqrt(float((off**2).sum()) * len(groups) / (len(groups) - 1))
    half = _NORMAL.inv_cdf((1 + _CONFIDENCE) / 2) * error
    return middle - half, middle + half


def row_of(scene: Scene, found: Sequence[Mapping[str, tuple[float, float]] | None]) -> dict[str, Any]:
    judged = [each for each in found if each is not None]
    row: dict[str, Any] = {name: getattr(scene, name) for name in Scene.__slots__}
    row["judged"] = len(judged) / len(found)
    for kind in _KINDS:
        bounds = [each[kind] for each in judged]
        row[kind] = sum(low <= _TRUTH <= high for low, high in bounds) / len(bounds) if bounds else None
    bounds = [each["weir"] for each in judged]
    row["low"] = sum(low > _TRUTH for low, _ in bounds) / len(bounds) if bounds else None
    row["width"] = sum(high - low for low, high in bounds) / len(bounds) if bounds else None
    return row


def main() -> None:
    arguments = arguments_of(
        __doc__,
        trials="300 tell 95 %% within 2.5",
        draws="reports take 2,000",
        most_trials=300,
        most_draws=500,
    )
    try_scenes(SCENES, trial, row_of, arguments, {"truth": _TRUTH, "confidence": _CONFIDENCE})


if __name__ == "__main__":
    main()
