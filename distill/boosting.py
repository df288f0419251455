"""Boosted trees that come out the same each time: what every learner here asks of lightgbm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from heads.trees import Trees

REPEATABLE: Mapping[str, Any] = {
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "seed": 1,
    "verbose": -1,
}
_SMALL_STEPS: Mapping[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.04,
    "lambda_l2": 5.0,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
}
"""For labels that are mostly noise, as single outcomes are."""


def boosted(
    rows: NDArray[np.float32],
    targets: NDArray[np.float64],
    weights: NDArray[np.float64] | None = None,
    *,
    leaves: int,
    least: int,
    rounds: int,
) -> Trees:
    """Regression of `targets` (n,) on `rows` (n, features): trees of so many `leaves`, `least` rows in each."""
    data = lightgbm.Dataset(rows, targets, weight=weights)
    settings = {**_SMALL_STEPS, "num_leaves": leaves, "min_data_in_leaf": least, **REPEATABLE}
    return Trees.of_lightgbm(lightgbm.train(settings, data, num_boost_round=rounds).dump_model())
