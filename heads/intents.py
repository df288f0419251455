"""Says which of a route's intents a query has, or that it has none of them.

The non-obvious decision: two members that err differently are summed. A softmax regression sees the query's vector
beside its words and runs of characters; a kernel ridge regression sees only how near the query is to kept
examples, which is also where the nearest examples come from. What says "unknown" is the log-sum-exp of the summed
scores (their energy: Liu et al. 2020), which falls where no intent pulls; the largest probability does not, since
some intent is always the largest. Where unknown examples were given, they are one more class, and the energy is
measured against it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heads import artefact
from heads.grams import Vocabulary, character_grams, word_grams

KIND = "intents"
UNKNOWN = "unknown"
"""The name that no intent of a route may have."""
MOST_BESIDE = 4
"""Runners-up, and nearest examples, that are named."""

Floats = NDArray[np.float32]


class Intent(Struct, frozen=True):
    """What a query was taken for. `name` is `UNKNOWN` where the head abstains.

    `probability` is that of the likeliest intent, and `runners_up` are the next ones; after an abstention the
    likeliest is the first of them. `nearest` are ids of kept examples.
    """

    name: str
    probability: float
    unknown: bool
    confidence: float
    """Log odds that the query has any of the intents, up to a constant: what the threshold is compared with."""
    runners_up: tuple[tuple[str, float], ...]
    nearest: tuple[str, ...]


class Weights(Struct, frozen=True, kw_only=True):
    """Everything learned, of C classes: the intents in order, then `UNKNOWN` where it was learned.

    `direct` (dimensions, C) and `constant` (C) act on the vector; `gram_steps` (n-grams, C), int8, times
    `gram_scale` (n-grams), on the tf-idf of words first and of runs of characters after; `kept` (examples,
    dimensions), int8, are directions of examples, and `pull` (examples, C) acts on exp(sharpness * (cosine - 1)).
    """

    direct: NDArray[np.float16]
    constant: Floats
    words: Vocabulary
    characters: Vocabulary
    gram_steps: NDArray[np.int8]
    gram_scale: Floats
    kept: NDArray[np.int8]
    pull: NDArray[np.float16]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """As the artefact has them."""
        return {
            "direct": self.direct,
            "constant": self.constant,
            "word_hashes": self.words.hashes,
            "word_rarity": self.words.rarity,
            "character_hashes": self.characters.hashes,
            "character_rarity": self.characters.rarity,
            "gram_steps": self.gram_steps,
            "gram_scale": self.gram_scale,
            "kept": self.kept,
            "pull": self.pull,
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Weights:
        """Raises KeyError or ValueError where they are not those of `arrays()`."""
        return cls(
            direct=arrays["direct"],
            constant=arrays["constant"],
            words=Vocabulary(arrays["word_hashes"], arrays["word_rarity"]),
            characters=Vocabulary(arrays["character_hashes"], arrays["character_rarity"]),
            gram_steps=arrays["gram_steps"],
            gram_scale=arrays["gram_scale"],
            kept=arrays["kept"],
            pull=arrays["pull"],
        )

    def check(self, classes: int, examples: int) -> None:
        """Raises ValueError where the shapes do not fit each other."""
        grams = len(self.words.hashes) + len(self.characters.hashes)
        dimensions = len(self.direct)
        fits = (
            self.direct.shape == (dimensions, classes)
            and self.constant.shape == (classes,)
            and self.gram_steps.shape == (grams, classes)
            and self.gram_scale.shape == (grams,)
            and self.kept.shape == (examples, dimensions)
            and self.pull.shape == (examples, classes)
        )
        if not fits:
            raise ValueError("the arrays of the intents do not fit each other")


class IntentHead:
    """Belongs to one route and one encoder. `card` says what was learned, and what that rests on.

    Of the card it reads `intents`, `has_unknown`, `examples` (ids of the kept ones), `scale` (of vectors, words and
    characters), `sharpness`, `share` (of the second member), `temperature` and `threshold`.
    """

    def __init__(self, weights: Weights, card: Mapping[str, Any], version: str = "") -> None:
        self.card = card
        self.version = version
        self.intents: tuple[str, ...] = tuple(card["intents"])
        self.has_unknown = bool(card["has_unknown"])
        self.weights = weights
        weights.check(len(self.intents) + self.has_unknown, len(card["examples"]))
        self.threshold = float(card["threshold"])
        self.temperature = float(card["temperature"])
        self._share = np.float32(card["share"])
        self._sharpness = np.float32(card["sharpness"])
        self._scale = np.array(card["scale"], np.float32)
        self._examples: tuple[str, ...] = tuple(card["examples"])
        self._kept = unit(weights.kept.astype(np.float32))
        self._direct = weights.direct.astype(np.float32) * self._scale[0]
        self._pull = weights.pull.astype(np.float32)
        if self.temperature <= 0 or not self.intents or UNKNOWN in self.intents:
            raise ValueError("the card of the intents has no intents, or no temperature above zero")

    @property
    def dimensions(self) -> int:
        """Of the vectors it takes."""
        return int(self._kept.shape[1])

    @classmethod
    def read(cls, path: Path) -> IntentHead:
        """Read an artefact. Raises ValueError where it is none of intents, OSError where there is none."""
        found = artefact.read(path, KIND)
        try:
            return cls(Weights.of_arrays(found.arrays), found.card, found.version)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} lacks a part of a head for intents: {error}") from error

    def write(self, path: Path) -> str:
        """Write the artefact, and return its version."""
        card = {name: value for name, value in self.card.items() if name != "kind"}
        return artefact.write(path, KIND, self.weights.arrays(), card)

    def members(self, text: str, vector: Floats) -> tuple[Floats, Floats, Floats]:
        """Scores (classes) of the softmax regression and of the kernel regression, and cosines (kept examples).

        Raises ValueError for a vector of another size, which only a wrong encoder gives; anything else is taken.
        """
        if vector.shape != (self.dimensions,):
            raise ValueError(f"a vector of {self.dimensions} numbers is needed, not one of {vector.shape}")
        direction = unit(vector.astype(np.float32)[None])[0]
        near: Floats = self._kept @ direction
        kernel: Floats = np.exp(self._sharpness * (near - 1)) @ self._pull
        linear: Floats = direction @ self._direct + self.weights.constant
        words, word_values = self.weights.words.of(word_grams(text))
        runs, run_values = self.weights.characters.of(character_grams(text))
        places = np.concatenate([words, runs + len(self.weights.words.hashes)])
        values = np.concatenate([word_values * self._scale[1], run_values * self._scale[2]])
        steps = self.weights.gram_steps[places].astype(np.float32)
        return linear + (values * self.weights.gram_scale[places]) @ steps, kernel, near

    def scores(self, text: str, vector: Floats) -> Floats:
        """The sum of both members, by class: logits, once over the temperature."""
        linear, kernel, _ = self.members(text, vector)
        return linear + self._share * kernel

    def classify(self, text: str, vector: Floats) -> Intent:
        """The intent of a query. Raises ValueError for a vector of another size, and for nothing else."""
        linear, kernel, near = self.members(text, vector)
        scores = linear + self._share * kernel
        sure = confidence(scores[None], has_unknown=self.has_unknown)[0]
        chances = probabilities(scores[None, : len(self.intents)], self.temperature)[0]
        order = np.argsort(-chances, kind="stable")
        unknown = bool(sure < self.threshold)
        beside = order[:MOST_BESIDE] if unknown else order[1 : MOST_BESIDE + 1]
        closest = (
            np.argpartition(-near, MOST_BESIDE)[:MOST_BESIDE] if len(near) > MOST_BESIDE else np.arange(len(near))
        )
        closest = closest[np.argsort(-near[closest], kind="stable")]
        return Intent(
            name=UNKNOWN if unknown else self.intents[order[0]],
            probability=float(chances[order[0]]),
            unknown=unknown,
            confidence=float(sure),
            runners_up=tuple((self.intents[place], float(chances[place])) for place in beside),
            nearest=tuple(self._examples[place] for place in closest),
        )


def unit(rows: Floats) -> Floats:
    """Rows of length one; what is no number counts as zero, and so does a row without length."""
    clean = np.clip(np.nan_to_num(rows, nan=0.0, posinf=1e6, neginf=-1e6), -1e6, 1e6).astype(np.float32)
    lengths = np.linalg.norm(clean, axis=1, keepdims=True)
    directions: Floats = np.divide(clean, np.maximum(lengths, np.float32(1e-12)), dtype=np.float32)
    return directions


def confidence(scores: Floats, *, has_unknown: bool) -> Floats:
    """The energy of scores (rows, classes) over the known intents, less the score of `UNKNOWN` if it is a class."""
    known = scores[:, : scores.shape[1] - has_unknown]
    highest = known.max(axis=1)
    energy: Floats = highest + np.log(np.exp(known - highest[:, None]).sum(axis=1))
    return energy - scores[:, -1] if has_unknown else energy


def probabilities(scores: Floats, temperature: float) -> Floats:
    """Softmax of scores (rows, classes) over a temperature."""
    raised: Floats = np.exp((scores - scores.max(axis=1, keepdims=True)) / np.float32(temperature))
    total: Floats = raised.sum(axis=1, keepdims=True)
    return raised / total
