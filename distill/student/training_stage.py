"""Training as a stage: what the encoder knows is written down here, then a child in a Python of its own trains."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from distill.student.child import StageFailed, run_child
from distill.student.means import Means
from distill.student.recipe import Recipe
from distill.student.running import Tell
from distill.student.training.guides import words_of, write_guides
from distill.student.training.recipe import Recipe as Training
from encoder.card import TOKENIZER

TRAINING, GUIDES = "distill.student.training.train", "guides"
"""The module that trains; and the folder of what it learns of the encoder."""
_LIBRARIES = ("torch", "transformers", "trl", "peft")
_LACKING = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if not u.find_spec(name)))"
_ANSWERS_S = 60.0
"""How long a Python may take to say what it has."""


def check_python(recipe: Recipe) -> None:
    """Raises StageFailed, with advice, where the Python that would train has not what that takes.

    Asked before anything is done: an hour of the teacher's answers is no time to find that out after.
    """
    python = _python_of(recipe)
    advice = (
        "name the Python of an environment with torch and 'weir[train]' as --train-python, or as `train_python` in "
        "the recipe."
    )
    command = [str(python), "-P", "-c", _LACKING, *_LIBRARIES]
    try:
        said = subprocess.run(  # noqa: S603 - the user's own interpreter
            command, capture_output=True, text=True, timeout=_ANSWERS_S, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StageFailed(f"{python} is no Python that runs: {advice}") from error
    if lacking := said.stdout.split():
        raise StageFailed(f"{python} cannot train, since it lacks {', '.join(lacking)}: {advice}")


def _python_of(recipe: Recipe) -> Path:
    return recipe.train_python or Path(sys.executable)


def training_of(means: Means) -> dict[str, Any]:
    """All of the recipe that a trained student depends on."""
    found = means.recipe.training
    return {"train": found.plain(), "encoder": means.version if found.guidance is not None else ""}


def train(means: Means, recipe: Training, examples: Path, folder: Path, tell: Tell) -> None:
    """Train in `folder`, on the file of `examples`. Raises StageFailed, OSError, ValueError."""
    check_python(means.recipe)
    texts = [file.absolute() for file in means.recipe.texts]
    order: dict[str, Any] = {
        "examples": str(examples.absolute()),
        "texts": [str(file) for file in texts],
        "out": str(folder.absolute()),
        "recipe": recipe.plain(),
        "threads": means.recipe.engines.gguf.threads,
    }
    if recipe.guidance is not None:
        write_guides(
            folder / GUIDES,
            recipe,
            examples=examples,
            texts=texts,
            words=words_of(means.encoder / TOKENIZER),
            encode=means.encode,
            encoder=means.version,
            tell=tell,
        )
        order["guides"] = str((folder / GUIDES).absolute())
    run_child(_python_of(means.recipe), TRAINING, order, folder=folder, tell=tell)
