"""How the reranker's weights are learned: from passages that were found, and which of them were right.

The non-obvious decision: each right passage is set against the wrong ones of its own question, and nothing else is
(Plackett and Luce's model of a first choice). So questions with many right passages, and easy ones, weigh no more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import astuple
from numpy.typing import NDArray

from rag.retrieval.tuned import Fit

_STEADYING = 1.0
"""What a squared weight costs, in standard deviations of its feature."""

Rows = NDArray[np.float64]


class Found(Struct, frozen=True):
    """What was found for one question: how each passage fits, and whether it is right."""

    fits: tuple[Fit, ...]
    right: tuple[bool, ...]


def learned(found: Sequence[Found]) -> Fit:
    """Weights for `reranking.score`. Raises ValueError where nothing can be learned; needs scipy."""
    from scipy.optimize import minimize

    pairs = [
        (np.array([astuple(fit) for fit in each.fits]), np.array(each.right))
        for each in found
        if any(each.right) and not all(each.right)
    ]
    if not pairs:
        raise ValueError("no question has both right and wrong passages among those found")
    spread = np.vstack([rows for rows, _ in pairs]).std(axis=0) + 1e-9
    chosen = [_differences(rows / spread, right) for rows, right in pairs]

    def loss(weights: Rows) -> tuple[float, Rows]:
        total, slope = _STEADYING * float(weights @ weights) / 2, _STEADYING * weights
        for differences in chosen:  # (right, wrong, features)
            behind = np.exp(np.clip(-differences @ weights, -50, 50))
            sums = 1 + behind.sum(axis=1)
            total += float(np.log(sums).mean())
            slope = slope - ((behind / sums[:, None])[:, :, None] * differences).sum(axis=1).mean(axis=0)
        return total, slope

    best = minimize(loss, np.zeros(spread.size), jac=True, method="L-BFGS-B").x / spread
    return Fit(*(round(float(weight), 2) for weight in best))


def _differences(rows: Rows, right: NDArray[np.bool_]) -> Rows:
    """Of each right row to each wrong one."""
    apart: Rows = rows[right][:, None, :] - rows[~right][None, :, :]
    return apart
