"""Learns the prior: what a query of any look is expected to gain from the better model, whatever the pair.

The non-obvious decision: sources are never put together. One learner of all learns which source a query is of, and
that says nothing of the next one. Each source teaches a learner of its own, from gains less their mean there, and
all have a vote, more of one where the source's own queries are like the query: in leaving out one of ten pairs,
mean APGR is .556; with equal votes .550, and with one learner of all .539.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from distill.boosting import boosted
from heads.prior import Prior, votes
from heads.queries import features
from heads.regression import Row
from heads.trees import Trees

_RIDGE = 20.0
"""Noise of an outcome over the variance of the line's weights; as within one source."""
_ROUNDS = 60
_MARKS = 8
"""Centres of clusters that a source is known by; one is .002 worse, and 32 are no better."""
_MARKED = 1500
_LEAVES, _LEAST = 4, 60


class Source(Struct, frozen=True):
    """Queries of one kind with what they gained: `gains` (n,), the better model's score less the other's."""

    name: str
    texts: Sequence[str]
    vectors: NDArray[np.float32]
    gains: Row


def learn_prior(sources: Sequence[Source]) -> Prior:
    """Raises ValueError where there is no query at all, or a source's parts are not of one length."""
    if any(not len(source.texts) == len(source.vectors) == len(source.gains) for source in sources):
        raise ValueError("a source needs a vector and a gain for each of its queries")
    sources = [source for source in sources if len(source.texts)]
    if not sources:
        raise ValueError("a prior needs queries to learn from")
    counts = np.vstack([np.array([features(text) for text in source.texts], np.float32) for source in sources])
    vectors = np.vstack([source.vectors for source in sources])
    ends = np.cumsum([len(source.texts) for source in sources])
    lines = np.array([_line(source) for source in sources]).astype(np.float32)
    centres = np.array([float(np.mean(source.vectors @ line)) for source, line in zip(sources, lines, strict=True)])
    trees = [_trees(source, rows) for source, rows in zip(sources, np.split(counts, ends[:-1]), strict=True)]
    marks = np.array([_marks(source.vectors) for source in sources])
    voted = votes(marks, vectors)
    meant = (voted * (vectors @ lines.T - centres)).sum(axis=1)
    grown = float(np.std((voted * np.stack([tree.score(counts) for tree in trees], axis=1)).sum(axis=1)))
    centre = float(np.mean([part.mean() for part in np.split(meant, ends[:-1])]))
    shares = (1.0, float(np.std(meant)) / grown if grown > 0 else 0.0)
    return Prior(lines, centres, marks, trees, centre=centre, shares=shares)


def _line(source: Source) -> Row:
    """Ridge regression of the gains on the vectors."""
    off = source.vectors - source.vectors.mean(axis=0, dtype=np.float64)
    normal = off.T @ off + _RIDGE * np.eye(off.shape[1])
    found: Row = np.linalg.solve(normal, off.T @ (source.gains - np.mean(source.gains)))
    return found


def _trees(source: Source, rows: NDArray[np.float32]) -> Trees:
    gains = source.gains - np.mean(source.gains)
    return boosted(rows, gains, leaves=_LEAVES, least=_LEAST, rounds=_ROUNDS)


def _marks(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """(_MARKS, dimensions) of length one, as they are stored; some are the same where there are few queries."""
    some = vectors[:_MARKED].astype(np.float64)
    found = KMeans(min(_MARKS, len(some)), n_init=1, random_state=0, max_iter=20).fit(some).cluster_centers_
    found = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
    return np.resize(found, (_MARKS, vectors.shape[1])).astype(np.float16).astype(np.float32)
