"""Queries whose outcomes are known functions of what they say: what a right head must find."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distill.outcomes import Outcome

DIMENSIONS = 48
TOPICS = ("cooking", "tides", "opera", "brakes")
WEAK_QUALITY = {"cooking": 0.9, "tides": 0.7, "opera": 0.4, "brakes": 0.15}
"""Of the weak model; the strong one's is 0.92 throughout."""
STRONG_QUALITY = 0.92

Vectors = dict[str, NDArray[np.float32]]


def topic_axes() -> NDArray[np.float64]:
    axes: NDArray[np.float64] = np.linalg.qr(np.random.default_rng(9).normal(size=(DIMENSIONS, DIMENSIONS)))[0]
    return axes


def queries(many: int, seed: int) -> tuple[list[str], list[str], Vectors]:
    """Texts, their topics, and a vector near the topic's for each text."""
    draw = np.random.default_rng(seed)
    axes = topic_axes()
    texts, topics, vectors = [], [], {}
    for number in range(many):
        topic = TOPICS[int(draw.integers(len(TOPICS)))]
        text = f"About {topic}, question {seed}-{number}: what happens {'really ' * int(draw.integers(4))}next?"
        row = axes[TOPICS.index(topic)] + draw.normal(0, 0.08, DIMENSIONS)
        texts.append(text)
        topics.append(topic)
        vectors[text] = (row / np.linalg.norm(row)).astype(np.float32)
    return texts, topics, vectors


def strange(seed: int = 0) -> NDArray[np.float32]:
    """A vector that is like no query's."""
    axes = topic_axes()
    row = axes[len(TOPICS) + 3] + 0.01 * np.random.default_rng(seed).normal(size=DIMENSIONS)
    unit: NDArray[np.float32] = (row / np.linalg.norm(row)).astype(np.float32)
    return unit


def outcomes(texts: list[str], topics: list[str], seed: int) -> list[Outcome]:
    """Both models' outcomes, right or wrong by chance."""
    draw = np.random.default_rng(seed)
    found = []
    for text, topic in zip(texts, topics, strict=True):
        found.append(Outcome(query=text, model="strong", score=float(draw.random() < STRONG_QUALITY)))
        found.append(Outcome(query=text, model="weak", score=float(draw.random() < WEAK_QUALITY[topic])))
    return found
