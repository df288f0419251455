"""Boosted trees as plain arrays, evaluated by numpy: what trained heads serve with.

The non-obvious decision: no walk from the root. A tree's every question is asked at once; an answer of "larger"
rules out the leaves to its left, as bits of a mask, and the first leaf that no answer has ruled out is where the
walk would have ended (QuickScorer: Lucchese et al. 2015): ten numpy calls for all trees and rows, however deep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_LEAVES = 16

_ROWS_AT_ONCE = 512


class Trees:
    """`feature`, `threshold` and `mask` by (question, tree), `value` by (leaf, tree); scores are sums of log odds.

    A row goes left where its feature is at most the threshold. Features are compared as float32.
    """

    def __init__(
        self,
        feature: NDArray[np.int32],
        threshold: NDArray[np.float32],
        mask: NDArray[np.uint16],
        value: NDArray[np.float64],
    ) -> None:
        if not (feature.shape == threshold.shape == mask.shape and feature.ndim == value.ndim == 2):
            raise ValueError("the arrays of the trees do not fit each other")
        leaves = feature.shape[0] + 1
        if leaves > MOST_LEAVES or value.shape != (leaves, feature.shape[1]) or feature.min(initial=0) < 0:
            raise ValueError("the arrays of the trees do not fit each other")
        self._feature = np.ascontiguousarray(feature, np.intp)  # what take would make of it each time
        self._threshold = np.ascontiguousarray(threshold, np.float32)
        self._mask = np.ascontiguousarray(mask, np.uint16)
        self._value = np.ascontiguousarray(value, np.float64)
        self._flat = self._value.ravel()
        self._places = np.arange(value.shape[1])
        self.features = int(feature.max(initial=-1)) + 1
        """How many features a row must have."""

    def __len__(self) -> int:
        return len(self._places)

    def score(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """The log odds of each row of a matrix (rows, features). NaN, which training never saw, goes left."""
        if len(rows) > _ROWS_AT_ONCE:
            starts = range(0, len(rows), _ROWS_AT_ONCE)
            return np.concatenate([self.score(rows[start : start + _ROWS_AT_ONCE]) for start in starts])
        larger = rows.astype(np.float32, copy=False).take(self._feature, axis=1) > self._threshold
        ruled_out = np.bitwise_or.reduce(self._mask * larger, axis=1)
        first = np.bitwise_count(ruled_out & ~(ruled_out + np.uint16(1)))  # ones at the low end
        sums: NDArray[np.float64] = self._flat.take(first * np.intp(len(self)) + self._places).sum(axis=1)
        return sums

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `Trees(**arrays)` makes them again from."""
        return {
            "feature": self._feature.astype(np.int32),
            "threshold": self._threshold,
            "mask": self._mask,
            "value": self._value,
        }

    @classmethod
    def of_lightgbm(cls, dump: Mapping[str, Any]) -> Trees:
        """From what lightgbm's `Booster.dump_model()` gives; ValueError for trees that these are not."""
        trees = [_Tree(info["tree_structure"]) for info in dump["tree_info"]]
        leaves = max(2, *(len(tree.values) for tree in trees))
        if leaves > MOST_LEAVES:
            raise ValueError(f"a tree has {leaves} leaves, of {MOST_LEAVES} at most")
        feature = np.zeros((leaves - 1, len(trees)), np.int32)
        threshold = np.full((leaves - 1, len(trees)), np.inf, np.float32)  # nothing is larger: rules nothing out
        mask = np.zeros((leaves - 1, len(trees)), np.uint16)
        value = np.zeros((leaves, len(trees)))
        for place, tree in enumerate(trees):
            for question, (of, above, out) in enumerate(tree.questions):
                feature[question, place], threshold[question, place], mask[question, place] = of, above, out
            value[: len(tree.values), place] = tree.values
        return cls(feature, threshold, mask, value)


class _Tree:
    """One tree of a dump, its leaves numbered from left to right."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.values: list[float] = []
        self.questions: list[tuple[int, np.float32, int]] = []
        self._walk(root)

    def _walk(self, node: Mapping[str, Any]) -> None:
        if "leaf_value" in node:
            self.values.append(float(node["leaf_value"]))
            return
        if node["decision_type"] != "<=":
            raise ValueError(f"a tree asks {node['decision_type']!r}; only <= is known here")
        first = len(self.values)
        self._walk(node["left_child"])
        left = len(self.values)
        self.questions.append((node["split_feature"], _below(node["threshold"]), (1 << left) - (1 << first)))
        self._walk(node["right_child"])


def _below(threshold: float) -> np.float32:
    """The largest float32 that is not above `threshold`: float32 features then go the same way as with float64."""
    near = np.float32(threshold)
    return near if float(near) <= threshold else np.nextafter(near, np.float32(-np.inf))


def rows_of(rows: Sequence[Sequence[float]]) -> NDArray[np.float32]:
    """Feature rows as the matrix that trees are trained on and score."""
    return np.array(rows, np.float32)
