"""Experts learn what is true of one source only, and are listened to where that helps."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

from distill.experts import FEWEST, Guides
from distill.outcomes import Outcome
from distill.quality import QualitySettings, fold_of, learn
from distill.regression import Learner, looked_at
from heads.queries import terms
from heads.regression import Row

WORDS = {"bank": "Please advise our client on clause", "school": "Solve this exercise from chapter"}
Vectors = dict[str, NDArray[np.float32]]
Planted = tuple[list[str], list[str], Vectors, Row]


def _two_sources(many: int, seed: int) -> Planted:
    """Texts, sources, vectors, gains: along one direction of meaning the gain rises in one source, falls in the
    other."""
    draw = np.random.default_rng(seed)
    texts, sources, vectors, gains = [], [], {}, []
    for number in range(many):
        source = ("bank", "school")[number % 2]
        row = draw.normal(size=24)
        row /= np.linalg.norm(row)
        text = f"{WORDS[source]} {seed}-{number}."
        texts.append(text)
        sources.append(source)
        vectors[text] = row.astype(np.float32)
        gains.append(0.4 + (1.5 if source == "bank" else -1.5) * row[0])
    return texts, sources, vectors, np.clip(gains, 0, 1)


def _guides(texts: list[str], sources: list[str], vectors: Vectors) -> Guides:
    queries = looked_at(texts, np.array([vectors[text] for text in texts]))
    return Guides(Learner(queries, np.array([fold_of(text) for text in texts])), sources)


def test_each_source_has_a_line_of_its_own_and_is_known_by_its_words() -> None:
    texts, sources, vectors, gains = _two_sources(800, 1)
    guides = _guides(texts, sources, vectors)
    targets, weights = gains[:, None], np.ones((800, 1))
    assert guides.names == ["bank", "school"]
    assert np.corrcoef(guides.crossed(targets, weights)[:, 0], gains)[0, 1] > 0.9
    experts = guides.learned(targets, weights)
    assert experts is not None
    assert experts.odds(terms("Please advise our client"))[0] > 0.9
    again = _guides(texts, sources, vectors).learned(targets, weights)
    assert again is not None
    assert all(np.array_equal(row, again.arrays()[name]) for name, row in experts.arrays().items())


def test_cross_fitted_experts_have_not_seen_the_label() -> None:
    texts, sources, vectors, _ = _two_sources(800, 2)
    noise = np.random.default_rng(3).normal(size=(800, 1))
    said = _guides(texts, sources, vectors).crossed(noise, np.ones((800, 1)))
    assert abs(np.corrcoef(said[:, 0], noise[:, 0])[0, 1]) < 0.15


def test_a_source_with_few_labels_has_no_line_and_one_source_needs_none() -> None:
    texts, _, vectors, gains = _two_sources(800, 4)
    few = ["bank" if place < 800 - FEWEST + 1 else "school" for place in range(800)]
    for named in (few, ["bank"] * 800):
        guides = _guides(texts, named, vectors)
        assert guides.names == []
        assert guides.learned(gains[:, None], np.ones((800, 1))) is None
        assert not guides.crossed(gains[:, None], np.ones((800, 1))).any()


def test_a_head_of_several_sources_hears_their_experts() -> None:
    texts, sources, vectors, gains = _two_sources(800, 5)
    draw = np.random.default_rng(6)
    outcomes = []
    for text, source, gain in zip(texts, sources, gains, strict=True):
        outcomes.append(Outcome(query=text, model="strong", score=1.0, source=source))
        outcomes.append(Outcome(query=text, model="weak", score=float(draw.random() > gain), source=source))
    new, _, others, truth = _two_sources(300, 7)

    def agreement(some: list[Outcome]) -> float:
        head = learn(some, vectors, QualitySettings(reference="strong")).head
        said = [head.forecast(text, others[text]).gain("strong", "weak") for text in new]
        return float(np.corrcoef(said, truth)[0, 1])

    told = agreement(outcomes)
    untold = agreement([msgspec.structs.replace(outcome, source="") for outcome in outcomes])
    assert told > untold + 0.05
    assert told > 0.8
