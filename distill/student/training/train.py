"""Trains a student: `python -P -m distill.student.training.train ORDER.json`, in an environment with torch.

The order says `examples` (a file of JSON lines), `texts` (files of plain text), `guides` (a folder that
`guides.write_guides` made, or left out), `recipe`, `threads` and `out`. The non-obvious decision: what is done is
known by what it was made of. The same order again finds its `train.json` and does nothing, or goes on at the last
checkpoint; another one begins anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from distill.student.training.guides import MADE, questions_in, read_guides
from distill.student.training.recipe import Recipe, RecipeFault, of_plain

MODEL, ADAPTER, TOLD, LOSS = "model", "adapter", "train.json", "loss.svg"
CHECKPOINTS, BEGUN, PART = "checkpoints", "begun.json", ".part"
_REVISION = 1
"""Of this package: what another one trained is trained again."""


@dataclass(frozen=True, kw_only=True)
class Order:
    examples: Path
    texts: tuple[Path, ...]
    guides: Path | None
    out: Path
    recipe: Recipe
    threads: int

    @property
    def identity(self) -> str:
        """A digest of all that the weights depend on."""
        files = [self.examples, *self.texts, *([self.guides / MADE] if self.guides else [])]
        models = [_files_of(name) for name in (self.recipe.base, self.recipe.logits.teacher) if name]
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        return hashlib.sha256(json.dumps([_REVISION, self.recipe.plain(), digests, models]).encode()).hexdigest()


def read_order(path: Path) -> Order:
    """Raises RecipeFault, OSError, ValueError."""
    said = json.loads(path.read_bytes())
    known = {"examples", "texts", "guides", "out", "recipe", "threads"}
    if not isinstance(said, dict) or set(said) - known or not {"examples", "out"} <= set(said):
        raise RecipeFault(f"{path}: an order has {', '.join(sorted(known))}, and needs examples and out")
    return Order(
        examples=Path(said["examples"]),
        texts=tuple(Path(file) for file in said.get("texts") or ()),
        guides=Path(said["guides"]) if said.get("guides") else None,
        out=Path(said["out"]),
        recipe=of_plain(said.get("recipe") or {}),
        threads=int(said.get("threads") or 1),
    )


def main() -> None:
    progress, sys.stdout = sys.stdout, sys.stderr  # libraries print; standard output is for progress alone
    if len(sys.argv) != 2:
        sys.exit("usage: python -P -m distill.student.training.train ORDER.json")
    try:
        obey(read_order(Path(sys.argv[1])), progress)
    except (RecipeFault, FileNotFoundError) as error:
        sys.exit(f"{error}")
    except ImportError as error:
        traceback.print_exc()
        sys.exit(
            f"{error.name or error} cannot be imported: pip install torch, then 'weir[train]', into {sys.prefix}"
        )


def obey(order: Order, progress: IO[str]) -> None:
    """Train what was ordered, or what is left of it. Raises RecipeFault, OSError, ImportError."""
    if (done := _begun(order)) is not None:
        say(progress, done, done, what="trained already")
    else:
        _train(order, progress)


def say(progress: IO[str], step: int, steps: int, **more: Any) -> None:
    """A line of JSON for who started this."""
    print(json.dumps({"step": step, "steps": steps, **more}), file=progress, flush=True)


def _begun(order: Order) -> int | None:
    """Make `out` ready; how many steps it took where all is done. What is left of another order is thrown away."""
    order.out.mkdir(parents=True, exist_ok=True)
    identity = order.identity
    try:
        if json.loads((order.out / BEGUN).read_bytes()) == identity:
            told = json.loads((order.out / TOLD).read_bytes())
            if (order.out / MODEL).is_dir():
                return int(told["steps"])
    except (OSError, ValueError, KeyError):
        pass
    if not (order.out / BEGUN).exists() or (order.out / BEGUN).read_text() != json.dumps(identity):
        for name in (CHECKPOINTS, MODEL, ADAPTER, f"{MODEL}{PART}", f"{ADAPTER}{PART}"):
            shutil.rmtree(order.out / name, ignore_errors=True)
        for name in (TOLD, LOSS):
            (order.out / name).unlink(missing_ok=True)
        write_whole(order.out / BEGUN, json.dumps(identity))
    return None


def write_whole(path: Path, text: str) -> None:
    """Whole or not at all, should this process be killed."""
    part = path.with_name(f"{path.name}{PART}")
    part.write_text(text)
    part.replace(path)


def _train(order: Order, progress: IO[str]) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("OMP_NUM_THREADS", str(order.threads))
    say(progress, 0, 1, what="loading")
    from distill.student.training.kept import keep
    from distill.student.training.learning import learn
    from distill.student.training.loading import loaded

    examples = _examples(order.examples)
    guides = read_guides(order.guides) if order.guides and order.recipe.guidance else None
    texts = [line for file in order.texts for line in file.read_text().splitlines() if line.strip()]
    questions = [one.text for one in questions_in(order.examples)]
    start = loaded(order.recipe, examples, questions, texts, guides, order.threads)
    learned = learn(
        order.recipe,
        start,
        examples,
        guides,
        folder=order.out / CHECKPOINTS,
        tell=lambda step, steps, loss: say(progress, step, steps, loss=loss, what="training"),
    )
    keep(order, learned)
    say(progress, learned.steps, learned.steps, loss=learned.loss, what="training")


def _examples(path: Path) -> Sequence[Mapping[str, Any]]:
    examples = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.strip():
            one = json.loads(line)
            missing = {"intent", "messages", "answer"} - set(one)
            if missing or not one["messages"] or one["messages"][-1].get("role") != "user":
                raise RecipeFault(
                    f"{path.name}:{number}: an example has intent, messages that end with a user's, answer"
                )
            examples.append(one)
    if not examples:
        raise RecipeFault(f"{path.name} has no examples: curate some first")
    return examples


def _files_of(model: str) -> list[tuple[str, int]]:
    """A model's files with their sizes; a hub's name stands for itself."""
    folder = Path(model)
    if not folder.is_dir():
        return [(model, 0)]
    return [(file.name, file.stat().st_size) for file in sorted(folder.iterdir()) if file.is_file()]


if __name__ == "__main__":
    main()
