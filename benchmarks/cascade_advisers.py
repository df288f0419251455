"""Which cheap models a cascade asks for a second opinion: a choice that is learned as all else is.

The non-obvious decision: not the best other model is asked but that whose agreement tells most. Of the models under
ten billion parameters those are chosen, one after the other, by which a table of mean gains by task and agreement,
cross-fitted on the labels to learn from, recovers most (APGR). No query to judge on is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.curves import apgr
from heads.answers import agreement

Rows = NDArray[np.float64]
Query = dict[str, Any]

MOST_BILLIONS = 10.0
"""Parameters of a model that may be asked for a second opinion: the class of the cheap one."""
_UNNAMED = {"Phi-3-mini-4k-instruct": 3.8, "Phi-3.5-mini-instruct": 3.8}
_BILLIONS = re.compile(r"(?<![\dx.])(\d+(?:\.\d+)?)[bB]\b")
_TABLE_LABELS = 20.0
_FOLDS = 5
_ANSWERED = 0.95
"""Share of the queries that a model must have answered."""


def advisers(rows: Sequence[Query], weak: str, strong: str, wanted: int) -> list[str]:
    """The names of `wanted` models, chosen one after the other; fewer where there are no more."""
    own = np.array([query["outcomes"][weak]["score"] for query in rows], np.float64)
    gain = np.array([query["outcomes"][strong]["score"] for query in rows], np.float64) - own
    folds = np.array([int(query["split_hash"], 16) % _FOLDS for query in rows])
    tasks = [query["task"] for query in rows]
    agrees = {model: _agreements(rows, weak, model) for model in _candidates(rows, weak)}
    chosen: list[str] = []
    while len(chosen) < min(wanted, len(agrees)):
        tried = {
            model: apgr(_table(tasks, [agrees[name] for name in (*chosen, model)], gain, folds), own, own + gain)
            for model in agrees
            if model not in chosen
        }
        chosen.append(max(tried, key=lambda model: tried[model]))
    return chosen


def nearest(rows: Sequence[Query], weak: str, wanted: int) -> list[str]:
    """The names of the `wanted` models whose mean scores are nearest to that of `weak`."""
    own = _mean(rows, weak)
    return sorted(_candidates(rows, weak), key=lambda model: abs(_mean(rows, model) - own))[:wanted]


def _mean(rows: Sequence[Query], model: str) -> float:
    scores = [query["outcomes"][model]["score"] for query in rows if model in query["outcomes"]]
    return float(np.mean(scores))


def _candidates(rows: Sequence[Query], weak: str) -> list[str]:
    return [model for model in _everywhere(rows) if model != weak and _billions(model) < MOST_BILLIONS]


def _everywhere(rows: Sequence[Query]) -> list[str]:
    """The models that answered nearly all of the queries."""
    counts: dict[str, int] = {}
    for query in rows:
        for model in query["outcomes"]:
            counts[model] = counts.get(model, 0) + 1
    return sorted(model for model, count in counts.items() if count >= _ANSWERED * len(rows))


def _billions(model: str) -> float:
    found = _BILLIONS.search(model)
    return _UNNAMED.get(model, float(found[1]) if found else float("inf"))


def _agreements(rows: Sequence[Query], weak: str, model: str) -> NDArray[np.intp]:
    """0 apart, 1 the same, 2 where one of the two gave no answer."""
    found = []
    for query in rows:
        one = query["outcomes"][weak].get("pred")
        other = query["outcomes"].get(model, {}).get("pred")
        found.append(2 if one is None or other is None else int(agreement(one, other) == 1))
    return np.array(found, np.intp)


def _table(tasks: Sequence[str], agrees: Sequence[NDArray[np.intp]], gain: Rows, folds: NDArray[np.intp]) -> Rows:
    """The mean gain of each task and pattern of agreement, from the other folds, drawn to the task's."""
    _, task = np.unique(tasks, return_inverse=True)
    pattern = np.zeros(len(gain), np.intp)
    for one in agrees:
        pattern = pattern * 3 + one
    cell = task * (int(pattern.max()) + 1) + pattern
    forecast = np.zeros(len(gain))
    for fold in np.unique(folds):
        rest, judged_here = folds != fold, folds == fold
        of_task = np.bincount(task[rest], gain[rest], task.max() + 1) / np.maximum(np.bincount(task[rest]), 1)
        sums = np.bincount(cell[rest], gain[rest], cell.max() + 1)
        counts = np.bincount(cell[rest], minlength=cell.max() + 1)
        at = cell[judged_here]
        forecast[judged_here] = (sums[at] + _TABLE_LABELS * of_task[task[judged_here]]) / (
            counts[at] + _TABLE_LABELS
        )
    return forecast
