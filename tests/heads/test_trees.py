"""Trees as arrays say what lightgbm says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heads.trees import MOST_LEAVES, Trees


def leaf(value: float) -> dict[str, Any]:
    return {"leaf_value": value}


def ask(feature: int, threshold: float, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    return {
        "split_feature": feature,
        "threshold": threshold,
        "decision_type": "<=",
        "left_child": left,
        "right_child": right,
    }


def dump(*roots: dict[str, Any]) -> dict[str, Any]:
    return {"tree_info": [{"tree_structure": root} for root in roots]}


def walk(node: dict[str, Any], row: Any) -> float:
    while "leaf_value" not in node:
        node = node["left_child" if row[node["split_feature"]] <= node["threshold"] else "right_child"]
    value: float = node["leaf_value"]
    return value


def grown(random: np.random.Generator, leaves: int) -> dict[str, Any]:
    if leaves == 1:
        return leaf(float(random.normal()))
    left = int(random.integers(1, leaves))
    threshold = float(random.choice([random.normal(), np.float64(random.integers(-2, 3))]))
    return ask(int(random.integers(0, 6)), threshold, grown(random, left), grown(random, leaves - left))


@pytest.mark.parametrize("seed", range(8))
def test_scores_are_those_of_a_walk_from_the_root(seed: int) -> None:
    random = np.random.default_rng(seed)
    roots = [grown(random, int(random.integers(1, MOST_LEAVES + 1))) for _ in range(9)]
    rows = random.normal(size=(1200, 6)).astype(np.float32)
    rows[::2] = np.round(rows[::2])  # on the thresholds themselves too
    expected = [sum(walk(root, row) for root in roots) for row in rows]
    np.testing.assert_allclose(Trees.of_lightgbm(dump(*roots)).score(rows), expected, atol=1e-9)


def test_a_threshold_between_two_float32_parts_them_as_in_float64() -> None:
    above = np.nextafter(np.float32(0.1), np.float32(1))
    threshold = (float(np.float32(0.1)) + float(above)) / 2 + 1e-12  # nearer to the larger one
    trees = Trees.of_lightgbm(dump(ask(0, threshold, leaf(-1), leaf(1))))
    assert trees.score(np.array([[np.float32(0.1)], [above]], np.float32)).tolist() == [-1, 1]


def test_rows_that_no_training_saw_still_end_somewhere() -> None:
    trees = Trees.of_lightgbm(dump(ask(0, 0.5, leaf(-1), ask(1, 2.0, leaf(1), leaf(3)))))
    odd = np.array([[np.inf, np.inf], [-np.inf, 0], [np.nan, np.nan], [3e38, -3e38]], np.float32)
    assert trees.score(odd).tolist() == [3, -1, -1, 1]
    assert trees.score(np.zeros((0, 2), np.float32)).tolist() == []


def test_arrays_make_the_same_trees() -> None:
    trees = Trees.of_lightgbm(dump(ask(0, 0.5, leaf(-1), leaf(1)), leaf(0.25)))
    rows = np.array([[0.0], [1.0]], np.float32)
    assert Trees(**trees.arrays()).score(rows).tolist() == trees.score(rows).tolist() == [-0.75, 1.25]
    assert (len(trees), trees.features) == (2, 1)


def test_trees_that_these_are_not_are_refused() -> None:
    with pytest.raises(ValueError, match="'=='"):
        Trees.of_lightgbm(dump(ask(0, 1, leaf(0), leaf(1)) | {"decision_type": "=="}))
    with pytest.raises(ValueError, match="17 leaves"):
        Trees.of_lightgbm(dump(grown(np.random.default_rng(1), MOST_LEAVES + 1)))
    arrays = Trees.of_lightgbm(dump(ask(0, 0.5, leaf(-1), leaf(1)))).arrays()
    with pytest.raises(ValueError, match="do not fit"):
        Trees(**arrays | {"mask": arrays["mask"][:0]})
    with pytest.raises(ValueError, match="do not fit"):
        Trees(**arrays | {"feature": arrays["feature"] - 1})
    with pytest.raises(ValueError, match="do not fit"):
        Trees(**arrays | {"value": arrays["value"][:1]})


def test_lightgbm_itself_scores_alike() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    random = np.random.default_rng(3)
    rows = random.normal(size=(3000, 5)).astype(np.float32)
    rows[:, 0] = np.round(rows[:, 0])
    right = rows[:, 0] + rows[:, 1] * rows[:, 2] > 0
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 16, "verbose": -1, "num_threads": 1},
        lightgbm.Dataset(rows, right),
        num_boost_round=20,
    )
    unseen = (random.normal(size=(2000, 5)) * 2).astype(np.float32)
    expected = booster.predict(unseen, raw_score=True, num_threads=1)
    np.testing.assert_allclose(Trees.of_lightgbm(booster.dump_model()).score(unseen), expected, atol=1e-6)
