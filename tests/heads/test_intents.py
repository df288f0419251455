"""A head for intents serves what it learned, abstains, and takes any text and any vector of its size."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.intents import learn
from heads import artefact
from heads.intents import KIND, MOST_BESIDE, UNKNOWN, IntentHead, Weights, confidence, probabilities
from tests.heads.labelled import WORDS, labelled

EXAMPLES, VECTORS = labelled(12)
HEAD = learn(EXAMPLES, VECTORS).head
QUERY, NEAR = labelled(1, seed=9)


def test_a_query_gets_its_intent_and_what_speaks_for_it() -> None:
    found = HEAD.classify(QUERY[2].text, NEAR[2])
    assert (found.name, found.unknown) == ("parcel", False)
    assert 0.5 < found.probability <= 1
    assert len(found.runners_up) == MOST_BESIDE
    assert "parcel" not in {name for name, _ in found.runners_up}
    chances = [found.probability, *(chance for _, chance in found.runners_up)]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) <= 1 + 1e-5


def test_the_nearest_examples_are_named_nearest_first() -> None:
    found = HEAD.classify(QUERY[0].text, NEAR[0])
    order = np.argsort(-(VECTORS @ NEAR[0]))[:MOST_BESIDE]
    assert list(found.nearest) == [EXAMPLES[place].name for place in order]


def test_what_is_far_from_all_intents_is_unknown_and_the_likeliest_is_still_said() -> None:
    away = np.zeros(24, np.float32)
    away[-1] = 1
    found = HEAD.classify("quantum gravity", away)
    assert (found.name, found.unknown) == (UNKNOWN, True)
    assert found.confidence < HEAD.threshold
    assert found.runners_up[0][1] == found.probability
    assert found.runners_up[0][0] in WORDS


def test_the_words_count_beside_the_vector() -> None:
    between = NEAR[0] + NEAR[1]
    for word in ("refund", "password"):
        assert HEAD.intents[HEAD.scores(f"my {word}", between).argmax()] == word


def test_the_length_of_a_vector_says_nothing() -> None:
    assert HEAD.scores("a refund", NEAR[0] * 50) == pytest.approx(HEAD.scores("a refund", NEAR[0]), abs=1e-3)


def test_an_artefact_is_the_same_head(tmp_path: Path) -> None:
    version = HEAD.write(tmp_path / "one.npz")
    read = IntentHead.read(tmp_path / "one.npz")
    assert read.version == version
    assert read.intents == tuple(sorted(WORDS))
    assert read.card["evidence"] == HEAD.card["evidence"]
    for example, vector in zip(QUERY, NEAR, strict=True):
        assert read.classify(example.text, vector) == HEAD.classify(example.text, vector)
    assert read.write(tmp_path / "two.npz") == version


def test_another_file_is_no_head(tmp_path: Path) -> None:
    path = tmp_path / "other.npz"
    artefact.write(path, KIND, {"kept": np.zeros((1, 2), np.int8)}, {})
    with pytest.raises(ValueError, match="lacks a part"):
        IntentHead.read(path)
    artefact.write(path, "prior", HEAD.weights.arrays(), HEAD.card)
    with pytest.raises(ValueError, match="prior"):
        IntentHead.read(path)


@pytest.mark.parametrize("part", ["constant", "direct", "kept", "pull", "gram_steps", "gram_scale"])
def test_arrays_that_do_not_fit_each_other_are_refused(part: str) -> None:
    arrays = HEAD.weights.arrays()
    arrays[part] = arrays[part][:-1]
    with pytest.raises(ValueError, match="do not fit"):
        IntentHead(Weights.of_arrays(arrays), HEAD.card)


@pytest.mark.parametrize("change", [{"temperature": 0.0}, {"intents": ["unknown", *sorted(WORDS)[1:]]}])
def test_a_card_that_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="card"):
        IntentHead(HEAD.weights, {**HEAD.card, **change})


def test_a_vector_of_another_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="24 numbers"):
        HEAD.classify("refund", np.ones(384, np.float32))


@pytest.mark.parametrize(
    "text", ["", " \n\t", "🙂" * 50, "a" * 100_000, "\ud800", "密码重置", "لا أستطيع الدخول", "\0", "'; DROP"]
)
@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf, 0.0, 3e38])
def test_hostile_queries_are_classified(text: str, fill: float) -> None:
    found = HEAD.classify(text, np.full(24, fill, np.float32))
    assert np.isfinite(found.probability)
    assert np.isfinite(found.confidence)
    assert len(msgspec.json.encode(found)) < 1_000


@given(st.lists(st.lists(st.floats(-50, 50, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_probabilities_sum_to_one_and_confidence_is_above_the_highest_score(rows: list[list[float]]) -> None:
    scores = np.array(rows, np.float32)
    assert probabilities(scores, 0.7).sum(axis=1) == pytest.approx(1, abs=1e-4)
    assert (confidence(scores, has_unknown=False) >= scores.max(axis=1) - 1e-4).all()
    less = confidence(scores[:, :2], has_unknown=False) - scores[:, 2]
    assert confidence(scores, has_unknown=True) == pytest.approx(less, abs=1e-4)
