"""Students for tests: a folder as the gate leaves it, with heads that were really learned and a real tiny model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.students import CHECK, CONTENT, INTENTS, LAYOUT, Student, Variant, student_bytes
from heads.checks import CheckHead
from heads.grams import Vocabulary
from heads.intents import IntentHead, Weights
from tests.tiny_gguf import write_tiny_gguf
from tests.tiny_llama import write_tiny_llama

TINY = Variant(name="f16", engine="gguf", files=("tiny.gguf",), bytes=350_000)
WHOLE = Variant(
    name="bf16",
    engine="vllm",
    files=("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    bytes=450_000,
)
"""Of the same shape, with other random weights."""

_PULL, _SHARPNESS, _LEAST = 10.0, 6.0, 2.0
"""A cosine of 0.8 pulls with 3, one of 0.4 with 0.3."""


def student(**changed: Any) -> Student:
    """Everyone's, for route `auto`; what it says is always good enough, unless `least_good` is changed."""
    settings: dict[str, Any] = {
        "layout": LAYOUT,
        "route": "auto",
        "owner": "",
        "teacher": "large",
        "intents": ("cooking",),
        "least_good": 0.0,
        "turns": 1,
        "most_tokens": 200,
        "encoder": "topics-1",
        "variants": (TINY, WHOLE),
    }
    return Student(**{**settings, **changed})


def write_student(folder: Path, intents_head: Path, *, seed: int = 0, **changed: Any) -> Path:
    """Write one into `folder` and return that. `intents_head` is a file; the check has seen no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONTENT).write_bytes(student_bytes(student(**changed)))
    (folder / INTENTS).write_bytes(intents_head.read_bytes())
    CheckHead.default().write(folder / CHECK)
    write_tiny_gguf(folder / TINY.files[0], seed=seed)
    write_tiny_llama(folder, seed=seed)
    return folder


def write_intents(path: Path, intents: Sequence[str], vectors: NDArray[np.float32]) -> Path:
    """Write a head into `path` and return that: a query has the intent of the vectors that it is near, else none.

    A row of `vectors` (examples, dimensions) for each of `intents`. Nothing is learned, which takes seconds.
    """
    names, (many, dimensions) = tuple(dict.fromkeys(intents)), vectors.shape
    none = Vocabulary(np.zeros(0, np.uint32), np.zeros(0, np.float32))
    pull = np.array([[_PULL * (intent == name) for name in names] for intent in intents], np.float16)
    weights = Weights(
        direct=np.zeros((dimensions, len(names)), np.float16),
        constant=np.zeros(len(names), np.float32),
        words=none,
        characters=none,
        gram_steps=np.zeros((0, len(names)), np.int8),
        gram_scale=np.zeros(0, np.float32),
        kept=np.rint(vectors * 127).astype(np.int8),
        pull=pull,
    )
    card = {
        "intents": names,
        "has_unknown": False,
        "examples": [str(place) for place in range(many)],
        "scale": [1.0, 1.0, 1.0],
        "sharpness": _SHARPNESS,
        "share": 1.0,
        "temperature": 1.0,
        "threshold": _LEAST,
    }
    IntentHead(weights, card).write(path)
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    """As the registry takes them."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}
