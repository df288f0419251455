"""Learns the three learners of `heads.regression` for many outputs at once, and how well they do on unseen queries.

The non-obvious decision: landmarks, word rarities and scales look at queries alone, never at labels. So they are
made once, and what is cross-fitted are only weights: for likeness, a fold's share is taken out of the normal
equations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from distill.boosting import boosted
from heads.queries import BUCKETS, features, terms
from heads.regression import SHARES, Kernel, Regression, Row
from heads.trees import Trees

FOLDS = 5
LANDMARKS = 800
_MEANING, _COUNTS = 0.6, 2.0
"""Widths of the kernel. Between .4 and 1.5, and between 2 and 8, mean APGR of the ten pairs moves by .003."""
_RIDGE, _WORD_RIDGE = 4.0, 3.0
"""Noise of an outcome over the variance of what is to be learned; 2 to 8 is within .003 as well."""
_ROUNDS = 150
_SURE = 96
"""Directions in which it is kept how much was learned."""
_LEAVES, _LEAST = 8, 20
_AT_ONCE = 4096


class Queries(Struct, frozen=True):
    """What all learners look at: `vectors` (n, dimensions), `counts` (n, NAMES) and `words` (n, BUCKETS)."""

    vectors: NDArray[np.float32]
    counts: NDArray[np.float32]
    words: csr_matrix

    def __len__(self) -> int:
        return len(self.vectors)

    def of(self, places: NDArray[np.intp]) -> Queries:
        """Some of them."""
        return Queries(self.vectors[places], self.counts[places], self.words[places])


def looked_at(
    texts: Sequence[str], vectors: NDArray[np.float32], step: Callable[[], object] = lambda: None
) -> Queries:
    """Raises ValueError where there are not as many vectors as texts, or one of them holds what is no number."""
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise ValueError("a vector of numbers is needed for each query")
    counts, buckets, values, ends = [], [], [], [0]
    for text in texts:
        counts.append(features(text))
        some, found = terms(text)
        buckets.append(some)
        values.append(found)
        ends.append(ends[-1] + len(some))
        step()
    words = csr_matrix((np.concatenate(values), np.concatenate(buckets), ends), shape=(len(texts), BUCKETS))
    return Queries(vectors.astype(np.float32, copy=False), np.array(counts, np.float32), words)


class Learner:
    """Learns outputs of `queries`; `folds` (n,) are learned from, or judged, together."""

    def __init__(self, queries: Queries, folds: NDArray[np.intp]) -> None:
        self.queries = queries
        self.folds = folds
        scale = np.maximum(queries.counts.std(axis=0), 1e-3)
        self.kernel = Kernel(queries.counts.mean(axis=0), scale, _MEANING, _COUNTS)
        rows = self.kernel.joined(queries.vectors, queries.counts)
        chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:LANDMARKS])
        self.landmarks = rows[chosen].astype(np.float16).astype(np.float32)  # as they are stored
        inner = Kernel.of(self.landmarks, self.landmarks).astype(np.float64)
        values, axes = np.linalg.eigh((inner + inner.T) / 2)
        self._turn = axes[:, values > 1e-5] / np.sqrt(values[values > 1e-5])
        self._smooth = np.vstack(
            [
                Kernel.of(rows[at : at + _AT_ONCE], self.landmarks) @ self._turn
                for at in range(0, len(rows), _AT_ONCE)
            ]
        )
        present = np.asarray((queries.words > 0).sum(axis=0)).ravel()
        self.rarity = (np.log((len(queries) + 1) / (present + 1)) + 1).astype(np.float16).astype(np.float32)
        words = queries.words.multiply(self.rarity).tocsr()
        lengths = np.sqrt(np.asarray(words.multiply(words).sum(axis=1)).ravel())
        self._words = csr_matrix(words.multiply(1 / np.maximum(lengths, 1e-9)[:, None]))

    def learned(self, targets: Sequence[Row], weights: Sequence[Row]) -> Regression:
        """From all queries whose target is a number, an output for each of `targets` (n,), weighed by `weights`."""
        parts = [
            self._fit(target, weight, np.isfinite(target)) for target, weight in zip(targets, weights, strict=True)
        ]
        sure, doubt = self._doubts(sum(weights[1:], weights[0]) / len(weights))
        return Regression(
            kernel=self.kernel,
            landmarks=self.landmarks,
            sure=sure,
            doubt=doubt,
            smooth=np.stack([self._turn @ part.smooth for part in parts], axis=1),
            rarity=self.rarity,
            words=np.stack([part.words for part in parts], axis=1),
            constants=np.array([[part.smooth_constant, part.words_constant] for part in parts]),
            trees=[part.trees for part in parts],
        )

    def crossed(self, target: Row, weight: Row) -> Row:
        """For each query what was learned from the other folds says of it; with a target or without."""
        said = np.empty(len(target))
        usable = np.isfinite(target)
        for fold in np.unique(self.folds):
            out = self.folds == fold
            if not (usable & ~out).any():
                said[out] = 0.5
                continue
            said[out] = self._said(self._fit(target, weight, usable & ~out), out)
        return said

    def _said(self, part: _Part, where: NDArray[np.bool_]) -> Row:
        smooth = self._smooth[where] @ part.smooth + part.smooth_constant
        words = self._words[where] @ part.words + part.words_constant
        said: Row = (
            SHARES[0] * smooth + SHARES[1] * words + SHARES[2] * part.trees.score(self.queries.counts[where])
        )
        return said

    def smooth_crossed(self, target: Row, weight: Row) -> Row:
        """As `crossed`, by likeness alone: quick."""
        said = np.empty(len(target))
        for fold in np.unique(self.folds):
            out = self.folds == fold
            turn, constant = ridge(self._smooth[~out], target[~out], weight[~out], _RIDGE)
            said[out] = self._smooth[out] @ turn + constant
        return said

    def _fit(self, target: Row, weight: Row, where: NDArray[np.bool_]) -> _Part:
        some, weigh = target[where], weight[where]
        smooth, smooth_constant = ridge(self._smooth[where], some, weigh, _RIDGE)
        words = Ridge(alpha=_WORD_RIDGE, solver="sparse_cg", max_iter=60, tol=1e-4)
        words.fit(self._words[where], some, sample_weight=weigh)
        counts = self.queries.counts[where]
        trees = boosted(counts, some, weigh, leaves=_LEAVES, least=_LEAST, rounds=_ROUNDS)
        return _Part(smooth, smooth_constant, words.coef_, float(words.intercept_), trees)

    def _doubts(self, weight: Row) -> tuple[NDArray[np.float64], float]:
        """`Regression`'s `sure` and `doubt`: the matrix whose square is what labels take from the doubt."""
        spread = (self._smooth * weight[:, None]).T @ self._smooth
        values, axes = np.linalg.eigh(spread / _RIDGE)
        values = np.maximum(values, 0)
        # What labels take from the doubt, by axis, and how much of it queries like these meet on average.
        taken = values / (1 + values) / _RIDGE
        most = np.argsort(taken * values)[-_SURE:]
        return self._turn @ axes[:, most] * np.sqrt(taken[most]), 1 / _RIDGE


class _Part(Struct, frozen=True):
    smooth: Row
    smooth_constant: float
    words: Row
    words_constant: float
    trees: Trees


def ridge(rows: Row, target: Row, weight: Row, penalty: float) -> tuple[Row, float]:
    """Weights and constant of a ridge regression, which leaves the constant free."""
    total = weight.sum()
    centre, level = weight @ rows / total, float(weight @ target / total)
    weighed = rows * weight[:, None]
    normal = weighed.T @ rows - total * np.outer(centre, centre)
    normal[np.diag_indices_from(normal)] += penalty
    found: Row = cho_solve(cho_factor(normal), weighed.T @ (target - level) - centre * (weight @ (target - level)))
    return found, level - float(centre @ found)
