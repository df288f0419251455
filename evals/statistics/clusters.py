"""Cases that resemble each other, and what that does to the error of a mean.

Throughout, `values` are (cases,) and `units` (cases,) say by a whole number from 0 which cluster each is of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float64]
Units = NDArray[np.intp]


def units_of(clusters: Sequence[str]) -> Units:
    """A number from 0 for each name, in the order of the names, so that no order of cases matters."""
    _, found = np.unique(np.asarray(clusters, dtype=object).astype(str), return_inverse=True)
    return found.astype(np.intp)


def alone(units: Units) -> Units:
    """`units`, or each case its own where all are of one cluster: there nothing tells clusters apart.

    What is found then holds for that cluster only.
    """
    return np.arange(len(units), dtype=np.intp) if len(units) and not np.ptp(units) else units


def count(units: Units) -> int:
    return len(np.unique(units))


def effective(units: Units) -> float:
    """How many clusters of one size these are worth: (sum of n)^2 / sum of n^2, and 0 for none.

    L. Kish, "Survey Sampling", 1965; of clusters: Carter, Schnepel and Steigerwald, Review of Economics and
    Statistics 99, 2017.
    """
    sizes = np.bincount(units)
    return float(sizes.sum()) ** 2 / float((sizes.astype(float) ** 2).sum()) if len(units) else 0.0


def clustered_error(values: Row, units: Units) -> float:
    """The standard error of the mean of `values` when those of one cluster move together: CR1.

    Liang and Zeger, Biometrika 73, 1986, times G / (G - 1) (Cameron and Miller, Journal of Human Resources 50,
    2015); for evals: Miller 2024, arXiv 2411.00640. 0 for fewer than two clusters, which tell nothing.
    """
    sums = np.bincount(units, values - values.mean())
    groups = count(units)
    if groups < 2:
        return 0.0
    return math.sqrt(float(sums @ sums) * groups / (groups - 1)) / len(values)
