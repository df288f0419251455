"""Serving a quality head: any input is answered, files are checked, qualities and gains agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from heads import artefact
from heads.experts import Experts
from heads.neighbours import Known
from heads.prior import Prior
from heads.quality import KIND, Blend, QualityHead, within
from heads.queries import BUCKETS, MOST_CHARACTERS, NAMES, features, terms
from heads.regression import Kernel, Regression
from heads.trees import Trees

SIZE, MARKS = 12, 5
ODD = [
    "",
    " ",
    "😀" * 50,
    "x" * 100_000,
    "中文问题" * 2000,
    "\ud800 broken",
    "\0\n\t",
    "a b " * 40_000,
    "1" * 50_000,
]


def _trees(draw: np.random.Generator) -> Trees:
    return Trees(
        draw.integers(0, len(NAMES), (3, 4)).astype(np.int32),
        draw.normal(size=(3, 4)).astype(np.float32),
        np.array([[1] * 4, [3] * 4, [7] * 4], np.uint16),
        draw.normal(0, 0.05, (4, 4)),
    )


def _vectors(many: int, seed: int) -> NDArray[np.float32]:
    rows = np.random.default_rng(seed).normal(size=(many, SIZE))
    unit: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.fixture
def head() -> QualityHead:
    draw = np.random.default_rng(0)
    kernel = Kernel(np.zeros(len(NAMES), np.float32), np.ones(len(NAMES), np.float32), 0.6, 2.0)
    marks = kernel.joined(_vectors(MARKS, 1), draw.normal(size=(MARKS, len(NAMES))).astype(np.float32))
    regression = Regression(
        kernel=kernel,
        landmarks=marks.astype(np.float16),
        sure=draw.normal(0, 0.1, (MARKS, 2)).astype(np.float16),
        doubt=0.25,
        smooth=draw.normal(0, 0.2, (MARKS, 2)).astype(np.float32),
        rarity=np.ones(BUCKETS, np.float16),
        words=draw.normal(0, 0.2, (BUCKETS, 2)).astype(np.float16),
        constants=np.array([[0.8, 0.8], [0.3, 0.3]]),
        trees=[_trees(draw), _trees(draw)],
    )
    prior = Prior(
        _vectors(2, 2),
        np.array([0.1, -0.1]),
        _vectors(6, 6).reshape(2, 3, SIZE),
        [_trees(draw), _trees(draw)],
        centre=0.05,
        shares=(1.0, 1.0),
    )
    experts = Experts(
        draw.normal(0, 0.2, (BUCKETS, 3)),
        np.zeros(3),
        draw.normal(0, 0.1, (3, 2, SIZE + len(NAMES))),
        np.array([[0.8, 0.1], [0.8, 0.2], [0.8, 0.3]]),
    )
    blend = Blend(
        0.6 * np.eye(2),
        np.zeros(2),
        np.array([0.8, 0.2]),
        np.array([[0, 0.5], [0, 1.0]]),
        np.array([0.4, 0.4]),
        np.array([0.4, 0.5]),
    )
    known = Known.of_vectors([f"q{place}" for place in range(40)], _vectors(40, 3))
    card = {"made by": "a test"}
    return QualityHead(["strong", "weak"], regression, blend, known, (0.0, 0.5), prior, experts=experts, card=card)


def test_any_text_and_any_vector_is_answered(head: QualityHead) -> None:
    vectors = [
        _vectors(1, 4)[0],
        np.full(SIZE, np.nan, np.float32),
        np.zeros(3, np.float32),
        np.zeros(0, np.float32),
    ]
    for text in ODD:
        assert np.isfinite(features(text)).all()
        for vector in vectors:
            forecast = head.forecast(text, vector)
            for each in forecast.expected:
                assert 0 <= each.quality <= 1
                assert 0 < each.deviation <= 0.5
            assert 0 <= forecast.trust <= 1


def test_a_vector_that_is_none_is_unknown(head: QualityHead) -> None:
    for vector in (np.full(SIZE, np.nan, np.float32), np.zeros(3, np.float32)):
        forecast = head.forecast("What is a weir?", vector)
        assert (forecast.trust, forecast.known) == (0, False)
        assert forecast.gain("strong", "weak") == pytest.approx(0.2)


def test_only_the_first_characters_are_looked_at() -> None:
    text = "What is seven times eight? " * 200
    assert np.array_equal(features(text), features(text[:MOST_CHARACTERS] + "x" * 99))
    assert np.array_equal(terms(text)[0], terms(text[:MOST_CHARACTERS] + " new words")[0])


def test_features_say_what_stands_there() -> None:
    row = dict(zip(NAMES, features("Which is it?\nA. 12\nB. 13 = x").tolist(), strict=True))
    assert row["options"] == 2
    assert row["numbers"] == pytest.approx(np.log(3))
    assert row["asks"] == row["questions"] == row["maths"] == pytest.approx(np.log(2))
    assert (row["ends_asking"], row["starts_upper"]) == (0, 1)


def test_words_and_pairs_are_counted_once_each() -> None:
    buckets, counts = terms("the cat the cat")
    assert len(buckets) == len(set(buckets.tolist())) == 4  # the, cat, "the cat", "cat the"
    assert sorted(np.round(np.expm1(counts)).tolist()) == [1, 2, 2, 2]
    assert not np.array_equal(terms("dog bites man")[0], terms("man bites dog")[0])


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5))
def test_losses_outlive_the_bounds_of_quality(outputs: list[float]) -> None:
    row = np.array(outputs)
    qualities = within(row)
    assert ((qualities >= 0) & (qualities <= 1)).all()
    losses = np.clip(np.concatenate([[0], row[1:]]), -1, 1)
    if losses.max() - losses.min() <= 1:
        np.testing.assert_allclose(qualities[0] - qualities, losses, atol=1e-9)
    if 0.2 < row[0] < 0.8 and np.abs(losses).max() < 0.2:
        assert qualities[0] == pytest.approx(row[0])


def test_a_file_makes_the_same_head(head: QualityHead, tmp_path: Path) -> None:
    version = head.write(tmp_path / "head.npz")
    again = QualityHead.read(tmp_path / "head.npz")
    assert (again.version, again.models, again.card) == (version, head.models, head.card)
    assert again.write(tmp_path / "again.npz") == version
    for text, vector in zip(["Why?", "Name 3 rivers."], _vectors(2, 6), strict=True):
        one, other = head.forecast(text, vector), again.forecast(text, vector)
        assert one.gain("strong", "weak") == pytest.approx(other.gain("strong", "weak"), abs=1e-3)
        assert [each.id for each in one.nearest] == [each.id for each in other.nearest]


@pytest.mark.parametrize("name", ["blend", "words", "landmarks", "known_vectors", "trees_1_value", "nearness"])
@pytest.mark.parametrize("change", [lambda array: array[:1], None])
def test_a_file_with_a_part_missing_or_cut_is_refused(
    head: QualityHead,
    tmp_path: Path,
    name: str,
    change: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None,
) -> None:
    path = tmp_path / "head.npz"
    head.write(path)
    found = artefact.read(path, KIND)
    arrays = dict(found.arrays)
    if change is None:
        del arrays[name]
    else:
        arrays[name] = change(arrays[name])
    artefact.write(path, KIND, arrays, found.card)
    with pytest.raises(ValueError, match=r"."):
        QualityHead.read(path)


def test_a_model_that_it_has_not_learned_is_named(head: QualityHead) -> None:
    with pytest.raises(KeyError, match="larger"):
        head.forecast("Why?", _vectors(1, 1)[0]).gain("larger", "weak")


def test_the_nearest_are_the_nearest() -> None:
    vectors = _vectors(500, 8)
    known = Known.of_vectors([str(place) for place in range(500)], vectors)
    for row in _vectors(20, 9):
        places, cosines = known.nearest(row, 5)
        assert places == np.argsort(-(vectors.astype(np.float16).astype(np.float32) @ row))[:5].tolist()
        assert cosines == pytest.approx((vectors[places] @ row).tolist(), abs=1e-3)
    assert known.nearest(vectors[7], 1)[0] == [7]
    assert Known.of_vectors([], np.zeros((0, SIZE), np.float32)).nearest(vectors[0]) == ([], [])


def test_likeness_is_one_for_the_same_and_falls_with_distance() -> None:
    kernel = Kernel(np.zeros(2, np.float32), np.ones(2, np.float32), 0.5, 2.0)
    rows = kernel.joined(np.eye(3, dtype=np.float32)[:2], np.array([[0, 0], [2, 0]], np.float32))
    likeness = Kernel.of(rows, rows)
    assert np.diag(likeness) == pytest.approx(1)
    assert likeness[0, 1] == pytest.approx(np.exp(-1 / 0.5 - (4 / 2) / 2.0), rel=1e-5)
