"""How often the interval of a paired difference contains the truth, and how often it raises a false alarm.

    .venv/bin/python benchmarks/eval_coverage.py
    .venv/bin/python benchmarks/eval_coverage.py --trials 2000 --json

Runs are made up whose truth is planted: clusters of uneven size (from 1 to 12 cases), each with a rate of its own,
so that scores within a cluster are alike (intraclass correlation `icc`). Half of B's clusters have A's rate and the
others lots of their own; so it is with answers. Each trial makes two runs and asks `evals.statistics.paired` for a
95 % interval. Beside it stand what others would have said: the plain percentile bootstrap, BCa (Efron, JASA 82,
1987, by scipy), and Student's with a clustered error; none of these with Bonett and Price's two cases.

A kind's column is the share of intervals that contain the truth. `above` counts Weir's intervals that are above the
truth altogether, `below` those beneath it: where the truth is no difference these are false alarms of "better" and
"worse", and one in forty of each may be. `error` is the Monte Carlo error of a share of 95 %.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import beta, bootstrap, t

from benchmarks.scenes import arguments_of, try_scenes
from evals.statistics.clusters import Row, Units, clustered_error
from evals.statistics.paired import difference, ratio

_LEVEL = 0.95
_LARGEST = 12
_KINDS = ("weir", "percentile", "bca", "student")
_SHARP = 4.0
"""Graded scores are Beta's with this many pseudo-cases: a standard deviation of .18 at a rate of .8."""

Bounds = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scene:
    """`scores` are "binary", "graded", or "cost", of which the logarithm of the ratio is judged."""

    scores: str
    clusters: int
    icc: float
    rate: float
    change: float = 0.0


SCENES = (
    Scene("binary", 300, 0.0, 0.8),
    Scene("binary", 40, 0.3, 0.8),
    Scene("binary", 40, 0.3, 0.8, -0.1),
    Scene("binary", 20, 0.3, 0.8),
    Scene("binary", 10, 0.3, 0.8),
    Scene("binary", 5, 0.3, 0.8),
    Scene("binary", 5, 0.3, 0.8, -0.5),
    Scene("binary", 40, 0.3, 0.97),
    Scene("binary", 20, 0.1, 0.97),
    Scene("graded", 40, 0.3, 0.8),
    Scene("graded", 20, 0.3, 0.8),
    Scene("cost", 40, 0.3, 0.8),
    Scene("cost", 20, 0.3, 0.8),
    Scene("cost", 5, 0.3, 0.8),
    Scene("cost", 300, 0.0, 0.8),
)


def runs(scene: Scene, lots: np.random.Generator) -> tuple[Row, Row, Units]:
    """A's scores (cases,), B's, and the cluster of each case. Without an icc each cluster is a single case."""
    sizes = lots.integers(1, _LARGEST + 1, scene.clusters) if scene.icc else np.ones(scene.clusters, dtype=int)
    units = np.repeat(np.arange(scene.clusters), sizes)
    of_cluster, of_case = (_alike(lots, count) for count in (scene.clusters, len(units)))
    a, b = (
        _scores(scene, rate, cluster[units], case)
        for rate, cluster, case in zip((scene.rate, scene.rate + scene.change), of_cluster, of_case, strict=True)
    )
    return a, b, units


def _alike(lots: np.random.Generator, count: int) -> tuple[Row, Row]:
    """A's lot and B's, which is the same in half of all cases."""
    a = lots.random(count)
    return a, np.where(lots.random(count) < 0.5, a, lots.random(count))


def _scores(scene: Scene, rate: float, cluster: Row, case: Row) -> Row:
    if scene.scores == "cost":
        spread = math.sqrt(scene.icc) * _normal(cluster) + math.sqrt(1 - scene.icc) * _normal(case)
        return np.asarray(np.exp(spread))
    if scene.icc:
        weight = (1 - scene.icc) / scene.icc
        rates = beta.ppf(cluster, rate * weight, (1 - rate) * weight)
    else:
        rates = np.full(len(case), rate)
    if scene.scores == "binary":
        return np.asarray(case < rates, dtype=float)
    held = np.clip(rates, 1e-6, 1 - 1e-6)
    return np.asarray(beta.ppf(case, held * _SHARP, (1 - held) * _SHARP))


def _normal(lot: Row) -> Row:
    return np.asarray(ndtri(lot))


def trial(scene: Scene, lots: np.random.Generator, draws: int) -> dict[str, Bounds]:
    """Each kind's interval."""
    a, b, units = runs(scene, lots)
    seed = int(lots.integers(2**31))
    if scene.scores == "cost":
        columns, found = np.stack([b, a]), ratio(a, b, units, seed=seed, draws=draws)
        plain, student = found.ordered, _of_ratio(a, b, units)
    else:
        columns, found = np.stack([b - a, np.ones(len(a))]), difference(b - a, units, seed=seed, draws=draws)
        plain, student = None, _student(float((b - a).mean()), clustered_error(b - a, units), scene.clusters)
    sums = np.stack([np.bincount(units, column) for column in columns]).astype(float)
    percentile, bca = _of_scipy(scene, sums, lots, draws, plain)
    return {"weir": found.bounds(_LEVEL), "percentile": percentile, "bca": bca, "student": student}


def _of_scipy(
    scene: Scene, sums: Row, lots: np.random.Generator, draws: int, plain: Row | None
) -> tuple[Bounds, Bounds]:
    def statistic(over: Row, under: Row, axis: int = -1) -> Row:
        found = over.sum(axis=axis) / under.sum(axis=axis)
        return np.asarray(np.log(found)) if scene.scores == "cost" else found

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of runs that agree in all cases scipy says that BCa is not defined
        first = bootstrap(
            (sums[0], sums[1]), statistic, n_resamples=draws, paired=True, vectorized=True, method="BCa", rng=lots
        )
    drawn = np.quantile(first.bootstrap_distribution if plain is None else plain, [0.025, 0.975])
    low, high = first.confidence_interval
    return (float(drawn[0]), float(drawn[1])), (float(low), float(high))


def _student(middle: float, error: float, clusters: int) -> Bounds:
    half = float(t.ppf((1 + _LEVEL) / 2, clusters - 1)) * error
    return middle - half, middle + half


def _of_ratio(a: Row, b: Row, units: Units) -> Bounds:
    """The delta method, clustered."""
    off = b / b.mean() - a / a.mean()
    return _student(math.log(b.mean() / a.mean()), clustered_error(off, units), int(units.max()) + 1)


def row_of(scene: Scene, found: Sequence[Mapping[str, Bounds]]) -> dict[str, Any]:
    truth = 0.0 if scene.scores == "cost" else scene.change
    row: dict[str, Any] = {name: getattr(scene, name) for name in Scene.__slots__}
    for kind in _KINDS:
        row[kind] = sum(each[kind][0] <= truth <= each[kind][1] for each in found) / len(found)
    row["above"] = sum(each["weir"][0] > truth for each in found) / len(found)
    row["below"] = sum(each["weir"][1] < truth for each in found) / len(found)
    row["width"] = sum(each["weir"][1] - each["weir"][0] for each in found) / len(found)
    row["error"] = math.sqrt(_LEVEL * (1 - _LEVEL) / len(found))
    return row


def main() -> None:
    arguments = arguments_of(
        __doc__,
        trials="500 tell 95 %% within 2",
        draws="comparisons take 9,999",
        most_trials=500,
        most_draws=999,
    )
    try_scenes(SCENES, trial, row_of, arguments, {"level": _LEVEL})


if __name__ == "__main__":
    main()
