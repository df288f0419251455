"""Cleaned labels are nearer the truth where other models know it, and as they were where these do not."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("sklearn")

from distill.cleaning import cleaned
from distill.regression import Learner, looked_at

MANY = 400


def _learner(levels: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Learner:
    """Queries whose vectors say half of what makes their labels likely."""
    draw = np.random.default_rng(0)
    rows = draw.normal(0, 0.3, (MANY, 8))
    rows[:, 0] += levels
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return Learner(looked_at(["what is it?"] * MANY, vectors), np.arange(MANY) % 5)


def test_helpers_that_know_bring_labels_nearer_the_truth() -> None:
    draw = np.random.default_rng(1)
    levels = draw.normal(size=MANY)
    chance = 1 / (1 + np.exp(-levels))
    target = (draw.random(MANY) < chance).astype(float)
    helpers = (draw.random((MANY, 12)) < chance[:, None]).astype(float)
    helpers[draw.random((MANY, 12)) < 0.1] = np.nan
    target[:20] = np.nan
    found = cleaned(_learner(levels), target, np.ones(MANY), helpers, np.array(["a"] * MANY), 0.5)
    assert np.isnan(found[:20]).all()
    assert np.mean((found - chance)[20:] ** 2) < 0.5 * np.mean((target - chance)[20:] ** 2)
    assert found[20:].mean() == pytest.approx(target[20:].mean(), abs=0.02)


def test_without_helpers_or_a_share_nothing_changes() -> None:
    draw = np.random.default_rng(2)
    levels = draw.normal(size=MANY)
    target = (draw.random(MANY) < 0.5).astype(float)
    sources, weight = np.array(["a"] * MANY), np.ones(MANY)
    learner = _learner(levels)
    for helpers, share in ((np.zeros((MANY, 0)), 0.5), (np.ones((MANY, 9)), 0.0), (np.ones((MANY, 2)), 0.5)):
        assert np.array_equal(cleaned(learner, target, weight, helpers, sources, share), target)


def test_a_source_that_the_others_mislead_is_left_as_it_is() -> None:
    draw = np.random.default_rng(3)
    levels, hidden = draw.normal(size=MANY), draw.normal(size=MANY)
    target = levels + hidden
    sources = np.array(["told", "misled"] * (MANY // 2))
    # The misled ones' helpers go with what no query tells, and against what it does.
    shared = np.where(sources == "told", levels, 3 * hidden - levels)
    helpers = shared[:, None] + draw.normal(0, 0.3, (MANY, 6))
    found = cleaned(_learner(levels), target, np.ones(MANY), helpers, sources, 0.5)
    misled = sources == "misled"
    assert np.array_equal(found[misled], target[misled])
    assert not np.array_equal(found[~misled], target[~misled])
    assert np.mean((found - levels)[~misled] ** 2) < 0.5 * np.mean((target - levels)[~misled] ** 2)
