"""What a search and a learning curve measure: a student that is trained, compressed and asked the tuning questions.

The non-obvious decision: it is the student alone that is measured, on every tuning question of its intents, and not
the system around it. A check that keeps wrong answers back would make all students look alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from distill.student.answering.answers import Answered, answers_of
from distill.student.child import StageFailed
from distill.student.compressing.compress import Compressed, compress
from distill.student.examples import TRAIN, TUNE, Example, read_examples, write_examples
from distill.student.gating.marking import Marker
from distill.student.gating.trial import Mark
from distill.student.means import Means
from distill.student.recipe import Recipe
from distill.student.running import Tell
from distill.student.searching.search import Choice, Score
from distill.student.stages import CURATE
from distill.student.training.recipe import Recipe as Training
from distill.student.training.recipe import of_plain
from distill.student.training.train import ADAPTER
from distill.student.training_stage import train

_MS = 1000.0


@dataclass(frozen=True)
class Bench:
    """Of a recipe whose traffic was curated."""

    means: Means

    @cached_property
    def tune(self) -> list[Example]:
        return read_examples(self.means.folder / CURATE / TUNE)

    @cached_property
    def marker(self) -> Marker:
        return Marker(self.means.suite, self.means.encode, same_words=self.means.recipe.gate.same_words)

    def score(self, choice: Choice, share: float, folder: Path, tell: Tell) -> Score:
        """Implements `distill.student.searching.search.Measure`. Raises StageFailed."""
        made = self._made(
            self.means.folder / CURATE / TRAIN, self._chosen(choice, share), choice.precision, folder, tell
        )
        answered, marks = self._asked(made, choice.precision, folder, tell)
        return Score(
            quality=_mean([mark.student for mark in marks]),
            teacher=_mean([mark.teacher for mark in marks]),
            p95_ms=answered.p95_ms,
            seconds=answered.p50_ms / _MS / answered.concurrency,
            megabytes=made.variants[0].bytes / 1e6,
        )

    def good(self, some: Sequence[Example], seed: int, folder: Path, tell: Tell) -> Sequence[float]:
        """Implements `distill.student.searching.curve.Measure`. Raises StageFailed."""
        folder.mkdir(parents=True, exist_ok=True)
        write_examples(folder / TRAIN, some)
        precision = self.means.recipe.compress.variants[0]
        made = self._made(folder / TRAIN, self.means.recipe.training.changed(seed=seed), precision, folder, tell)
        return [mark.student for mark in self._asked(made, precision, folder, tell)[1]]

    def _chosen(self, choice: Choice, share: float) -> Training:
        """The recipe's training with what was chosen, and a share of the steps. Raises RecipeFault."""
        usual = of_plain(with_choice(self.means.recipe, choice))
        return usual.changed(
            steps=max(1, round(usual.steps * share)) if usual.steps else 0, epochs=usual.epochs * share
        )

    def _made(self, examples: Path, training: Training, precision: str, folder: Path, tell: Tell) -> Compressed:
        recipe = self.means.recipe
        train(self.means, training, examples, folder / "train", tell)
        settings = recipe.compress.model_copy(update={"variants": (precision,), "given": {}})
        made = compress(
            folder / "train" / "model",
            settings,
            engines=recipe.engines,
            folder=folder / precision,
            tell=tell,
            examples=examples,
            adapter=folder / "train" / ADAPTER,
        )
        if made.refused:
            raise StageFailed(f"{precision} cannot be made: {made.refused[0].reason}")
        return made

    def _asked(self, made: Compressed, precision: str, folder: Path, tell: Tell) -> tuple[Answered, list[Mark]]:
        recipe, variant = self.means.recipe, made.variants[0]
        answered = answers_of(
            made.folder_of(variant),
            variant,
            self.tune,
            most_tokens=recipe.gate.answer_tokens,
            engines=recipe.engines,
            file=folder / f"{precision}.jsonl",
            tell=tell,
        )
        return answered, self.marker.marks(self.tune, answered.texts, {})


def with_choice(recipe: Recipe, choice: Choice) -> dict[str, Any]:
    """The recipe's `train` with the base or size that was chosen, as a file has it."""
    told: dict[str, Any] = {**recipe.train}
    if choice.base:
        # Settings that are for a student from scratch go with it.
        told = {name: value for name, value in told.items() if name not in ("scratch", "guidance")}
        told["base"] = choice.base
    if choice.size:
        told["scratch"] = {**told.get("scratch", {}), **recipe.search.sizes[choice.size]}
    return told


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
