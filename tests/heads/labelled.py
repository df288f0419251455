"""Queries of made-up intents, with vectors about a direction of each: what heads for intents are tested on."""

from __future__ import annotations

import numpy as np

from distill.intents import Example
from heads.intents import UNKNOWN, Floats, unit

WORDS = ("refund", "password", "parcel", "coffee", "invoice", "holiday")
FILLING = ("please", "the", "my", "about", "now", "hello")


def labelled(
    each: int, *, seed: int = 0, dimensions: int = 24, spread: float = 0.6, unknown: int = 0
) -> tuple[list[Example], Floats]:
    """`each` queries of every intent, and `unknown` ones that lie apart from all of them, with their vectors."""
    directions = np.eye(dimensions, dtype=np.float32)
    draw = np.random.default_rng(seed)
    examples: list[Example] = []
    rows: list[Floats] = []
    for number, word in enumerate(WORDS):
        for _ in range(each):
            filling = " ".join(draw.choice(FILLING, 3))
            examples.append(Example(f"{filling} {word} {draw.integers(10**9)}", word))
            rows.append(directions[number] + spread * draw.normal(size=dimensions) / dimensions**0.5)
    for place in range(unknown):
        examples.append(Example(f"{' '.join(draw.choice(FILLING, 3))} {draw.integers(10**9)}", UNKNOWN))
        rows.append(directions[-1 - place % 8] + spread * draw.normal(size=dimensions) / dimensions**0.5)
    return examples, unit(np.array(rows, np.float32))
