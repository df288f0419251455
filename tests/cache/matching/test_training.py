"""What is learned from labels, and that scores for thresholds come from models that have not seen them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from cache.matching.training import FOLDS, Labelled, fold_of, mined, neighbours, platt, train
from cache.matching.verifier import Meanings, Verifier

MEANINGS = Meanings(["open", "close"], np.array([[100, 0], [60, 80]], np.int8))
SMALL: dict[str, Any] = {"min_data_in_leaf": 10}


def unit(*rows: list[float]) -> NDArray[np.float32]:
    vectors = np.array(rows, np.float32)
    lengths: NDArray[np.float32] = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / lengths


def test_neighbours_are_earlier_near_and_nearest_first() -> None:
    vectors = unit([1, 0], [0, 1], [1, 0.1], [1, 0.2], [1, 0.3])
    found = neighbours(vectors, most=2, floor=0.5, at_once=2)
    assert [[place for place, _ in near] for near in found] == [[], [], [0], [2, 0], [3, 2]]
    assert found[3][0][1] == pytest.approx(float(vectors[3] @ vectors[2]))


def test_mined_pairs_are_labelled_by_their_answers() -> None:
    vectors = unit([1, 0], [1, 0.1], [1, 0.2])
    pairs = mined(["a", "b", "c"], ["x", "y", "x"], vectors, sources=["s", "s", "t"], most=1)
    assert [(pair.query, pair.stored, pair.right, pair.source, pair.group) for pair in pairs] == [
        ("b", "a", False, "s", "y"),
        ("c", "b", False, "t", "x"),
    ]
    assert mined(["a", "b"], ["x", "x"], vectors[:2], groups=["g", "h"])[0].group == "h"


def test_folds_are_even_and_stay_as_they_are() -> None:
    assert [fold_of(name) for name in "abcdef"] == [3, 4, 1, 3, 3, 3]
    counts = np.bincount([fold_of(str(number)) for number in range(2_000)], minlength=FOLDS)
    assert len(counts) == FOLDS
    assert counts.min() > 300


def test_calibration_finds_the_honest_odds() -> None:
    random = np.random.default_rng(2)
    odds = random.normal(size=20_000) * 2
    right = random.random(20_000) < 1 / (1 + np.exp(-(0.5 * odds - 1)))
    assert platt(odds, right) == (pytest.approx(0.5, abs=0.05), pytest.approx(-1, abs=0.1))
    assert platt(-odds, right)[0] > 0  # a higher score never counts for less
    assert np.isfinite(platt(np.full(10, 3.0), np.ones(10, np.bool_))).all()


def made_up(count: int) -> list[Labelled]:
    """Right where numbers agree and nothing is done twice; that 'gently' does no harm, only labels can tell."""
    random = np.random.default_rng(4)
    pairs = []
    for number in range(count):
        amount = int(random.integers(100, 999))
        swapped, twice, gently = (bool(yes) for yes in random.random(3) < (0.3, 0.3, 0.5))
        room = number % 40
        pairs.append(
            Labelled(
                query=f"water plant {amount + swapped} in room {room}" + " twice" * twice + " gently" * gently,
                stored=f"water plant {amount} in room {room}",
                right=not (swapped or twice),
                similarity=float(random.uniform(0.8, 1)),
                group=f"g{number % 50}",
                source="rare" if number % 10 == 0 else "common",
            )
        )
    return pairs


def test_it_learns_values_and_words_and_scores_what_it_has_not_seen() -> None:
    pytest.importorskip("lightgbm")
    pairs = made_up(1_500)
    trained = train(pairs, MEANINGS, provenance={"rows": len(pairs)}, rounds=40)
    right = np.array([pair.right for pair in pairs])
    assert ((trained.scores > 0.5) == right).mean() > 0.98
    verifier = Verifier.loads(trained.verifier.dumps())
    assert verifier.provenance == {"rows": 1_500}

    def score(query: str, stored: str) -> float:
        return verifier.judge(verifier.profile(query), [verifier.profile(stored)], [0.9])[0]

    assert score("water plant 555 in room 7 gently", "water plant 555 in room 7") > 0.9
    assert score("water plant 555 in room 7 twice", "water plant 555 in room 7") < 0.1
    assert score("water plant 556 in room 7", "water plant 555 in room 7") < 0.1


def test_the_order_of_scores_owes_nothing_to_the_labels_of_their_own_fold() -> None:
    pytest.importorskip("lightgbm")
    pairs = made_up(600)
    own = np.array([fold_of(pair.group) == 3 for pair in pairs])
    turned = [replace(pair, right=not pair.right) if mine else pair for pair, mine in zip(pairs, own, strict=True)]
    one = train(pairs, MEANINGS, provenance={}, rounds=10, settings=SMALL)
    other = train(turned, MEANINGS, provenance={}, rounds=10, settings=SMALL)
    assert 50 < own.sum() < 300
    assert (
        np.argsort(one.scores[own], kind="stable").tolist() == np.argsort(other.scores[own], kind="stable").tolist()
    )
    assert one.verifier.version != other.verifier.version
    assert one.verifier.version == train(pairs, MEANINGS, provenance={}, rounds=10, settings=SMALL).verifier.version


def test_labels_that_teach_nothing_are_refused() -> None:
    pairs = made_up(300)
    for some in ([], [pair for pair in pairs if pair.right]):
        with pytest.raises(ValueError, match="right and wrong"):
            train(some, MEANINGS, provenance={})
    with pytest.raises(ValueError, match="too few groups"):
        train([pair for pair in pairs if pair.group == "g0"] + pairs[:5], MEANINGS, provenance={})
