"""Guides: texts like the tenant's own with the encoder's vectors, made once, and read as they were written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.student.training import guides
from distill.student.training.recipe import of_plain
from tests.distill.student.training import toy


@pytest.fixture
def made(tmp_path: Path) -> Path:
    toy.write_order(tmp_path)
    return tmp_path / "guides"


def test_each_text_has_its_vector_and_words_have_theirs(made: Path) -> None:
    found = guides.read_guides(made)
    texts = [text for text, _ in found.texts]
    assert np.allclose(found.vectors, toy.letters(texts), atol=2e-3)
    assert list(found.words) == toy.WORDS
    assert np.allclose(found.word_vectors, toy.letters(toy.WORDS), atol=2e-3)


def test_they_hold_the_questions_variants_fragments_and_mixtures(made: Path) -> None:
    found = guides.read_guides(made)
    assert ("Where is my parcel?", "track") in found.texts
    assert {intent for _, intent in found.texts} == {"", "reset", "track", "cancel"}
    assert len(found.texts) > 70
    assert len(set(found.texts)) == len(found.texts)


def test_they_are_made_once_and_again_for_another_recipe(made: Path) -> None:
    asked: list[int] = []

    def encode(texts: Sequence[str]) -> guides.Vectors:
        asked.append(len(texts))
        return toy.letters(texts)

    def again(**changes: Any) -> None:
        home = made.parent
        toy.write_guides(made, {**toy.RECIPE, **changes}, home / "examples.jsonl", home / "texts.md", encode)

    again()
    assert not asked
    again(seed=5)
    assert asked


def test_words_of_an_encoder_are_whole_ones_the_most_common_first(tmp_path: Path) -> None:
    vocabulary = {"[PAD]": 0, "the": 1, "##ing": 2, "a": 3, "parcel": 5, "plan": 4, "año": 6}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))
    assert guides.words_of(tmp_path / "tokenizer.json") == ["the", "plan", "parcel"]


def test_near_words_are_those_with_like_vectors() -> None:
    vectors = np.array([[1, 0], [0.9, 0.436], [0, 1]], np.float32)
    assert guides.near_words(["plan", "plans", "parcel"], vectors, ["plan", "unheard"]) == {"plan": ["plans"]}


def test_a_recipe_without_guidance_has_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no `guidance`"):
        guides.write_guides(
            tmp_path / "guides",
            of_plain({"guidance": None}),
            examples=toy.write_examples(tmp_path / "examples.jsonl"),
            texts=[],
            words=[],
            encode=toy.letters,
            encoder="",
            tell=lambda what, done, of: None,
        )
