"""A linear score with trees beside it, and the calibration that makes a probability of it, in each task its own.

The non-obvious decision: a missing value is what is usual to the linear part, where it adds nothing, and less than
anything to the trees, which can tell it apart. Neither part needs a value to be made up.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heads.trees import Trees

MISSING = -100.0
"""What trees see where a value is missing: less than any value can be."""
CLIP = 3.0
"""Standard deviations at which the linear score stops to rise."""
_MOST_ODDS = 30.0


class Additive(Struct, frozen=True):
    """A linear score of standardised columns (`weights`: one a column, then the constant), and what trees add."""

    weights: NDArray[np.float64]
    trees: Trees | None = None

    def of(self, standard: NDArray[np.float64], raw: NDArray[np.float32]) -> NDArray[np.float64]:
        """The scores of rows (rows, columns), standardised with 0 and raw with `MISSING` for what is not known."""
        linear: NDArray[np.float64] = standard @ self.weights[:-1] + self.weights[-1]
        return linear if self.trees is None else linear + self.trees.score(raw)


class Calibration(Struct, frozen=True):
    """Log odds to probability by (task, slope and shift), row 0 for unknown tasks, with their covariances."""

    values: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def of(self, odds: NDArray[np.float64], task: NDArray[np.intp]) -> NDArray[np.float64]:
        honest = self.values[task, 0] * odds + self.values[task, 1]
        sure: NDArray[np.float64] = 1 / (1 + np.exp(-np.clip(honest, -_MOST_ODDS, _MOST_ODDS)))
        return sure

    def deviation(self, odds: float, good: float, task: int) -> float:
        """The standard error of `good`, to first order."""
        at = np.array([odds, 1.0])
        return min(0.5, good * (1 - good) * sqrt(max(0.0, float(at @ self.covariance[task] @ at))))


def standardised(
    rows: NDArray[np.float64], centre: NDArray[np.float64], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows in standard deviations from what is usual, which also stands for what is not known."""
    values: NDArray[np.float64] = np.clip(np.nan_to_num((rows - centre) / scale, nan=0.0), -CLIP, CLIP)
    return values


def filled(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Rows as trees take them."""
    return np.nan_to_num(rows, nan=MISSING).astype(np.float32)
