"""The nearest of one segment: the same as by looking at each, or nearly, and only where a mask allows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.index.vectors import SegmentVectors

DIMENSIONS = 64


def clustered(count: int, seed: int = 0) -> NDArray[np.float16]:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(200, DIMENSIONS))
    vectors = centres[draw.integers(0, 200, count)] + 0.5 * draw.normal(size=(count, DIMENSIONS))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float16)


def exact(vectors: NDArray[np.float16], query: NDArray[np.float32], most: int) -> list[int]:
    return np.argsort(-(vectors.astype(np.float32) @ query), kind="stable")[:most].tolist()


@pytest.mark.parametrize("count", [1, 7, 700])
def test_few_are_all_compared(count: int) -> None:
    vectors, query = clustered(count), clustered(1, 1)[0].astype(np.float32)
    rows, similarities = SegmentVectors(vectors).nearest(query, 10, None)
    assert rows.tolist() == exact(vectors, query, 10)
    assert similarities == pytest.approx(vectors[rows].astype(np.float32) @ query, abs=1e-5)


def test_many_are_found_by_their_codes() -> None:
    vectors = clustered(20_000)
    index = SegmentVectors(vectors)
    recalls = []
    for query in clustered(30, 1).astype(np.float32):
        rows, similarities = index.nearest(query, 50, None)
        assert len(rows) == 50
        assert similarities == pytest.approx(vectors[rows].astype(np.float32) @ query, abs=1e-5)
        recalls.append(len(set(rows.tolist()) & set(exact(vectors, query, 50))) / 50)
    assert np.mean(recalls) >= 0.95


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.05, 0.5, 0.95])
def test_a_mask_is_kept_to_and_its_best_are_found(share: float) -> None:
    vectors = clustered(40_000)
    mask = np.random.default_rng(2).random(len(vectors)) < share
    index, query = SegmentVectors(vectors), clustered(1, 1)[0].astype(np.float32)
    rows, _ = index.nearest(query, 20, mask)
    assert len(rows) == min(20, mask.sum())
    assert mask[rows].all()
    best = np.flatnonzero(mask)[exact(vectors[mask], query, 20)] if mask.any() else []
    assert len(set(rows.tolist()) & set(best)) >= 0.9 * len(rows)


def test_what_was_given_comes_back() -> None:
    vectors = clustered(300)
    assert (SegmentVectors(vectors).vectors == vectors).all()
    assert (SegmentVectors(vectors, flat_until=100).vectors == vectors).all()
    assert SegmentVectors(vectors).bytes == vectors.nbytes
