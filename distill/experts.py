"""Learns a line for each source of queries, and by its words of which source a query is.

The non-obvious decision: a source is what the outcomes name as such, and only one with enough labels has a line of
its own. What it says where it was learned is cross-fitted, so whether it is worth listening to is for the
calibration in distill/quality.py to find, with the weight that it finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge

from distill.regression import Learner, ridge
from heads.experts import SHARPNESS, Experts, joined
from heads.regression import Row

FEWEST = 150
"""Labels of a source without which it has no line: its mean alone would be further off than what others say."""
MOST_SOURCES = 16
_GATE_ROWS = 1500
"""Queries of a source from which its words are learned."""
_LINE_RIDGE, _GATE_RIDGE = 20.0, 1.0


class Guides:
    """Learns experts for the queries of `learner`; `sources` (n,) is the name of each query's source."""

    def __init__(self, learner: Learner, sources: Sequence[str]) -> None:
        self._folds = learner.folds
        queries = learner.queries
        self._rows = joined(queries.vectors, learner.kernel.standard(queries.counts)).astype(np.float64)
        lengths = np.sqrt(np.asarray(queries.words.multiply(queries.words).sum(axis=1)).ravel())
        self._words = csr_matrix(queries.words.multiply(1 / np.maximum(lengths, 1e-9)[:, None]))
        names = [name for name, many in Counter(sources).most_common(MOST_SOURCES) if many >= FEWEST]
        self.names = sorted(names) if len(names) > 1 else []
        places = {name: place for place, name in enumerate(self.names)}
        self._source = np.array([places.get(name, -1) for name in sources])

    def crossed(self, targets: Row, weights: Row) -> Row:
        """For each query and output what experts from the other folds say; zeros where there are no experts."""
        said = np.zeros_like(targets)
        if not self.names:
            return said
        for fold in np.unique(self._folds):
            out = self._folds == fold
            lines, constants = self._lines(targets, weights, ~out)
            gate = self._gate(~out)
            scores = SHARPNESS * gate.predict(self._words[out])
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            odds /= odds.sum(axis=1, keepdims=True)
            each = np.einsum("nd,sod->nso", self._rows[out], lines) + constants
            said[out] = np.einsum("ns,nso->no", odds, each)
        return said

    def learned(self, targets: Row, weights: Row) -> Experts | None:
        """From all queries; `targets` and `weights` (n, outputs), a target NaN where there is none."""
        if not self.names:
            return None
        everything = np.ones(len(self._folds), np.bool_)
        lines, constants = self._lines(targets, weights, everything)
        gate = self._gate(everything)
        return Experts(gate.coef_.T.astype(np.float16), gate.intercept_, lines, constants)

    def _lines(self, targets: Row, weights: Row, where: NDArray[np.bool_]) -> tuple[Row, Row]:
        """(sources, outputs, columns) and (sources, outputs); the overall mean where a source has few labels."""
        outputs = targets.shape[1]
        lines = np.zeros((len(self.names), outputs, self._rows.shape[1]))
        constants = np.zeros((len(self.names), outputs))
        for output in range(outputs):
            usable = where & np.isfinite(targets[:, output])
            constants[:, output] = np.mean(targets[usable, output]) if usable.any() else 0.0
            for source in range(len(self.names)):
                some = usable & (self._source == source)
                if some.sum() < FEWEST // 2:
                    continue
                found = ridge(self._rows[some], targets[some, output], weights[some, output], _LINE_RIDGE)
                lines[source, output], constants[source, output] = found
        return lines, constants

    def _gate(self, where: NDArray[np.bool_]) -> Ridge:
        order = np.random.default_rng(0).permutation(len(where))
        order = order[where[order]]
        chosen = np.concatenate([order[self._source[order] == s][:_GATE_ROWS] for s in range(len(self.names))])
        gate = Ridge(alpha=_GATE_RIDGE, solver="sparse_cg", max_iter=40, tol=1e-4)
        return gate.fit(self._words[chosen], np.eye(len(self.names))[self._source[chosen]])
