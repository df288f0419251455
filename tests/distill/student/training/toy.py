"""A toy of a tenant: a dozen questions of three intents, an encoder made of letters, and a recipe of seconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distill.student.training import guides
from distill.student.training.recipe import of_plain

ANSWERS = {
    "reset": "Choose Forgot password on the sign-in page.",
    "track": "Open Orders and follow the link.",
    "cancel": "Go to Account and choose Cancel.",
}
QUESTIONS = {
    "reset": ["How can I reset my password?", "I forgot my password", "new password please", "password reset"],
    "track": ["Where is my parcel?", "How can I track my parcel?", "track parcel", "parcel not here yet"],
    "cancel": ["How do I cancel my plan?", "cancel plan", "I want to stop my plan", "please end the plan"],
}
WORDS = ["the", "how", "parcel", "package", "password", "plan", "cancel", "stop", "track", "follow"]
RECIPE: dict[str, Any] = {
    "steps": 24,
    "batch": 8,
    "checkpoint_steps": 8,
    "most_tokens": 96,
    "scratch": {"vocab": 420, "hidden": 64, "layers": 1, "heads": 2, "intermediate": 64, "positions": 128},
    "guidance": {"variants": 60, "fragments": 10, "mixtures": 20},
}


def letters(texts: Sequence[str]) -> guides.Vectors:
    """Vectors (texts, 26) of how often there is each letter, of length one."""
    counts = np.array([[text.lower().count(chr(97 + place)) for place in range(26)] for text in texts], np.float32)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-6)


def write_examples(path: Path) -> Path:
    rows = [
        {"id": f"{intent}-{place}", "intent": intent, "lang": "en", "group": f"{intent}-{place}", "source": "toy",
         "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": question}],
         "answer": ANSWERS[intent]}
        for intent, questions in QUESTIONS.items()
        for place, question in enumerate(questions)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_order(folder: Path, out: str = "out", **recipe: Any) -> Path:
    """An order in `folder`, with guides unless the recipe has a base; returns its path."""
    examples = folder / "examples.jsonl"
    if not examples.exists():
        write_examples(examples)
        (folder / "texts.md").write_text("# Help\nParcels arrive in three days.\nPlans end at once.\n")
    said: dict[str, Any] = {
        "examples": str(examples),
        "texts": [str(folder / "texts.md")],
        "out": str(folder / out),
        "recipe": recipe if recipe.get("base") else {**RECIPE, **recipe},
        "threads": 1,
    }
    if not recipe.get("base"):
        write_guides(folder / "guides", said["recipe"], examples, folder / "texts.md")
        said["guides"] = str(folder / "guides")
    order = folder / f"{out}.json"
    order.write_text(json.dumps(said))
    return order


def write_guides(folder: Path, recipe: dict[str, Any], examples: Path, texts: Path, encode: Any = letters) -> None:
    guides.write_guides(
        folder,
        of_plain(recipe),
        examples=examples,
        texts=[texts],
        words=WORDS,
        encode=encode,
        encoder="letters-1",
        tell=lambda what, done, of: None,
    )
