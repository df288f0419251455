"""Makes labels less noisy, by what models that are no candidates made of the same queries.

The non-obvious decision: it may do nothing. Whether the others' outcomes help is asked of each source, by whether
what was learned from cleaned labels foretells the labels as they were any better.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distill.regression import Learner
from heads.regression import Row

_HELPERS, _ROWS_PER_HELPER = 3, 4
_HELP_RIDGE = 30.0
_NOTHING = 1e-6
"""The weight of a query without a label."""


def cleaned(
    learner: Learner, target: Row, weight: Row, helpers: Row, sources: NDArray[np.str_], share: float
) -> Row:
    """`target` (queries,) with `share` of it replaced by what other models' outcomes of the same query make likely.

    `helpers` (queries, models) and `target` are NaN where there is none; `sources` (queries,) says whence each is.

    A ridge regression in each source on the others' outcomes, their mean, its square and its distance from the
    middle; not on the query, or a forecast would reach the folds that it is judged on. A source whose outcomes are
    not foretold better for it is left as it is: there the others hide what is special to a kind of query.
    """
    found = target.copy()
    if not share or not helpers.shape[1]:
        return found
    usable = np.isfinite(target)
    places_of: dict[str, NDArray[np.intp]] = {}
    for source in np.unique(sources):
        places = np.flatnonzero((sources == source) & usable)
        some = helpers[places]
        some = some[:, np.isfinite(some).mean(axis=0) > 0.5] if len(places) else some
        if some.shape[1] < _HELPERS or len(places) < _ROWS_PER_HELPER * some.shape[1]:
            continue
        some = np.where(np.isfinite(some), some, np.nanmean(some, axis=0))
        places_of[source] = places
        mean = some.mean(axis=1)
        beside = np.stack([3 * mean, 3 * mean**2, 3 * np.abs(mean - 0.5)], axis=1)
        expected = _ridge_crossed(np.hstack([some, beside]), target[places])
        found[places] += share * (expected - target[places])
    if places_of:
        level = np.where(usable, target, np.mean(target[usable]))
        weight = np.where(usable, weight, _NOTHING)
        plain = learner.smooth_crossed(level, weight)
        better = learner.smooth_crossed(np.where(usable, found, level), weight)
        for places in places_of.values():
            if _agreement(better[places], target[places]) <= _agreement(plain[places], target[places]):
                found[places] = target[places]
    return found


def _agreement(said: Row, target: Row) -> float:
    """Their correlation; 0 where one of them is always the same."""
    spread = float(np.std(said) * np.std(target))
    return float(np.mean((said - said.mean()) * (target - target.mean()))) / spread if spread > 0 else 0.0


def _ridge_crossed(rows: Row, target: Row) -> Row:
    """What a ridge regression on the other nine tenths says of each row."""
    part = np.random.default_rng(0).integers(0, 10, len(target))
    said = np.empty(len(target))
    for out in np.unique(part):
        learned, judged = part != out, part == out
        centre, level = rows[learned].mean(axis=0), target[learned].mean()
        off = rows[learned] - centre
        normal = off.T @ off + _HELP_RIDGE * np.eye(rows.shape[1])
        said[judged] = (rows[judged] - centre) @ np.linalg.solve(normal, off.T @ (target[learned] - level)) + level
    return said
