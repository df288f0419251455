"""What the encoder knows, written down for a student from scratch: vectors of questions like its own, and of words.

The non-obvious decision: the child that trains has no encoder, so variants are made and encoded before it starts.
A tenant's few hundred questions do not say that a parcel is a package. The encoder's vectors of thousands of
variants, fragments and mixtures of words do, and a student that learns to tell them answers questions that it never
saw. Numpy is all it needs.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.student.training.augment import Spoken, Varied, plain_word
from distill.student.training.recipe import Guidance, Recipe, Variation

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]
Tell = Callable[[str, int, int], object]

TEXTS, WORDS, VECTORS, MADE = "texts.jsonl", "words.json", "vectors.npz", "made.json"
MOST_WORDS = 14_000
_NEAR_LEAST, _NEAR_MOST = 0.5, 8
"""Cosine from which on a word may stand for another, and how many may."""
_PART = 512
_LONGEST_FRAGMENT, _LONGEST_MIXTURE = 16, 7


@dataclass(frozen=True, kw_only=True)
class Guides:
    """`texts` with the intent of each ("" where none is known) and `vectors` (texts, dimensions); `words`, the most
    common first, with `word_vectors` (words, dimensions).
    """

    texts: Sequence[tuple[str, str]]
    vectors: Vectors
    words: Sequence[str]
    word_vectors: Vectors


@dataclass(frozen=True, kw_only=True)
class Question:
    """Of an example: what a student reads."""

    text: str
    intent: str
    lang: str


def words_of(tokenizer: Path) -> list[str]:
    """The words of an encoder's vocabulary, from its tokenizer.json, the most common first. Raises OSError."""
    vocabulary: Mapping[str, int] = json.loads(tokenizer.read_bytes())["model"]["vocab"]
    words = (word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.isalpha() and len(word) > 1)
    return [word for word in words if word.isascii()][:MOST_WORDS]


def questions_in(examples: Path) -> list[Question]:
    """The last turns of a file of examples. Raises OSError, ValueError."""
    read = (json.loads(line) for line in examples.read_text().splitlines() if line.strip())
    return [
        Question(text=str(one["messages"][-1].get("content") or ""), intent=one["intent"], lang=one.get("lang", ""))
        for one in read
    ]


def spoken(questions: Iterable[Question]) -> dict[Spoken, list[str]]:
    """Different questions by intent and language, in the order of the first of each."""
    found: dict[Spoken, dict[str, None]] = defaultdict(dict)
    for one in questions:
        found[one.intent, one.lang].setdefault(one.text)
    return {key: list(texts) for key, texts in found.items()}


def near_words(words: Sequence[str], vectors: Vectors, known: Iterable[str]) -> dict[str, list[str]]:
    """Of each word of `known` that is among `words`: those whose vectors are near."""
    place = {word: row for row, word in enumerate(words)}
    found = {}
    for word in sorted(set(known) & place.keys()):
        likeness = vectors @ vectors[place[word]]
        best = np.argsort(-likeness, kind="stable")[1 : _NEAR_MOST + 1]
        if near := [words[row] for row in best if likeness[row] >= _NEAR_LEAST]:
            found[word] = near
    return found


def write_guides(
    folder: Path,
    recipe: Recipe,
    *,
    examples: Path,
    texts: Sequence[Path],
    words: Sequence[str],
    encode: Encode,
    encoder: str,
    tell: Tell,
) -> None:
    """Make them in `folder`, unless they are there: of the same questions, texts, recipe and `encoder`, a version.

    Raises OSError, ValueError.
    """
    if recipe.guidance is None:
        raise ValueError("the recipe has no `guidance`")
    questions = questions_in(examples)
    lines = [line for file in texts for line in file.read_text().splitlines() if len(line.split()) > 1]
    about = [encoder, recipe.plain(), [(one.text, one.intent, one.lang) for one in questions], lines, list(words)]
    made = hashlib.sha256(json.dumps(about).encode()).hexdigest()
    if (folder / MADE).exists() and json.loads((folder / MADE).read_bytes()) == made:
        return
    word_vectors = _encoded(words, encode, tell, "reading words")
    near = near_words(words, word_vectors, (plain_word(word) for one in questions for word in one.text.split()))
    rows = _texts(questions, lines, words, near, recipe.guidance, recipe.variation or Variation(), recipe.seed)
    vectors = _encoded([text for text, _ in rows], encode, tell, "encoding guides")
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / TEXTS).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    (part / WORDS).write_text(json.dumps(list(words)))
    np.savez(part / VECTORS, vectors=vectors.astype(np.float16), words=word_vectors.astype(np.float16))
    (part / MADE).write_text(json.dumps(made))
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(part, folder)  # noqa: PTH105 - the same, and the module's other paths are folders of it


def read_guides(folder: Path) -> Guides:
    """Raises OSError, ValueError."""
    rows: list[Any] = [json.loads(line) for line in (folder / TEXTS).read_text().splitlines()]
    with np.load(folder / VECTORS, allow_pickle=False) as arrays:
        vectors, words = arrays["vectors"].astype(np.float32), arrays["words"].astype(np.float32)
    return Guides(
        texts=[(text, intent) for text, intent in rows],
        vectors=vectors,
        words=json.loads((folder / WORDS).read_bytes()),
        word_vectors=words,
    )


def _texts(
    questions: Sequence[Question],
    lines: Sequence[str],
    words: Sequence[str],
    near: Mapping[str, Sequence[str]],
    settings: Guidance,
    variation: Variation,
    seed: int,
) -> list[tuple[str, str]]:
    """Slips are not among them: the student learns the vector of the text before it was mistyped."""
    dice = random.Random(f"guides {seed}")  # noqa: S311 - repeatable, no secret
    by = spoken(questions)
    varied = Varied(by, near, Variation(**{**vars(variation), "typos": 0.0}))
    keys = list(by)
    rows = [(one.text, one.intent) for one in questions]
    for _ in range(settings.variants):
        key = dice.choice(keys)
        rows.append((varied.variant(dice.choice(by[key]), key, dice), key[0]))
    for _ in range(settings.fragments if lines else 0):
        line = dice.choice(lines).split()
        begin = dice.randrange(max(1, len(line) - 3))
        rows.append((" ".join(line[begin : begin + dice.randrange(2, _LONGEST_FRAGMENT)]), ""))
    asked = [word for one in questions for word in one.text.split()]
    usual = [word for found in varied.usual.values() for word in found]
    for _ in range(settings.mixtures if words else 0):
        # common words more often, as in any text
        mixture = [
            words[int(len(words) * dice.random() ** 1.5)] if dice.random() < 0.5 else dice.choice(asked)
            for _ in range(dice.randrange(1, _LONGEST_MIXTURE))
        ]
        mixture += [dice.choice(usual) for _ in range(dice.randrange(5))] if usual else []
        dice.shuffle(mixture)
        rows.append((" ".join(mixture), ""))
    return list(dict.fromkeys(rows))


def _encoded(texts: Sequence[str], encode: Encode, tell: Tell, what: str) -> Vectors:
    parts = []
    for begin in range(0, len(texts), _PART):
        tell(what, begin, len(texts))
        parts.append(np.asarray(encode(texts[begin : begin + _PART]), np.float32))
    return np.vstack(parts) if parts else np.zeros((0, 1), np.float32)
