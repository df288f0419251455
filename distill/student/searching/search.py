"""The cheapest student that is good and quick enough: bases, sizes and precisions tried with Optuna.

A trial is trained on a small share of the steps first, and goes on to the next share only while it is among the
better ones there (successive halving). The non-obvious decision: each share is a training of its own, from the
first step, since one that is cut off in the midst of a schedule for more steps says little of how it would end.

Quality here is that of the tuning questions alone. What wins was chosen by them, and so has yet to pass the gate.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec
from msgspec import Struct
from pydantic import Field, JsonValue, model_validator

from distill.student.running import Tell
from router.config.values import Section
from system.files import replace_file

STUDY, MEASURED, TRIALS, CONTENT = "study.log", "measured.jsonl", "trials.jsonl", "search.json"
SCRATCH = "the recipe's"
"""A student of the recipe's own base and size."""
_PROMPTS = (
    "Prompts were not varied: a student's template leaves system messages out, since what they say is in the "
    "answers that it learns. Kept in, they would only be read again with each question."
)
_HOUR = 3600.0
_ANSWERS = 1_000


class SearchUnusable(Exception):
    """The search cannot be made here. The message says what to install."""


class SearchSettings(Section):
    """The space, and what is looked for in it: the cheapest that is quick and good enough."""

    bases: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("",), description='Models to begin with, by path or name; `""` is the recipe\'s own.'
    )
    sizes: Mapping[str, Mapping[str, JsonValue]] = Field(
        {},
        description="Sizes by a name of yours, each what it changes in `train.scratch`, such as `hidden: 96`. They "
        "are tried where a student begins from scratch.",
    )
    precisions: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("q8_0", "q4_0"), description="Variants as in `compress.variants`."
    )
    p95_ms: float = Field(1000.0, gt=0, description="Milliseconds within which 95 of 100 answers have to be there.")
    margin: float = Field(
        0.02, ge=0, lt=1, description="By how much less than the teacher's its quality may be, from 0 to 1."
    )
    hour_usd: Decimal = Field(Decimal("0.10"), ge=0, description="Dollars an hour of the machine that answers.")
    trials: int = Field(24, ge=1, le=10_000, description="Combinations that are tried; all, if there are no more.")
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.25, 0.5, 1.0), description="Of the training steps, one after the other; the last is 1."
    )
    keep: int = Field(2, ge=2, le=10, description="One of so many trials goes on to the next share.")
    seed: int = Field(0, description="Another one tries in another order.")

    @model_validator(mode="after")
    def _shares_grow_to_one(self) -> Self:
        if not self.shares or list(self.shares) != sorted(set(self.shares)) or self.shares[-1] != 1:
            raise ValueError("`shares` grow, and the last one is 1, such as [0.25, 0.5, 1]")
        return self


class Choice(Struct, frozen=True, kw_only=True):
    """A point of the space. `size` is a name of `sizes`, empty where a base has a size of its own."""

    base: str
    size: str
    precision: str

    @property
    def name(self) -> str:
        return f"{self.student} in {self.precision}"

    @property
    def student(self) -> str:
        """What is trained: choices that differ in precision alone share it."""
        return self.base or self.size or SCRATCH


class Score(Struct, frozen=True, kw_only=True):
    """On the tuning questions, from 0 to 1; the teacher's on the same ones beside it. `seconds` of machine an
    answer."""

    quality: float
    teacher: float
    p95_ms: float
    seconds: float
    megabytes: float


class Tried(Struct, frozen=True, kw_only=True):
    """`share` of the steps is how far it came; `why_not` is empty where it is all that was asked for."""

    choice: Choice
    share: float
    score: Score
    cost_usd: float
    why_not: str

    @property
    def whole(self) -> bool:
        return self.share == 1


class Found(Struct, frozen=True, kw_only=True):
    """`best` is the cheapest of those that are good and quick enough, None where none is."""

    tried: tuple[Tried, ...]
    best: Tried | None
    notes: tuple[str, ...]


Measure = Callable[[Choice, float, Path, Tell], Score]
"""Trains a choice with a share of the steps, and asks it the tuning questions; in a folder that keeps what is done.
"""


def search(settings: SearchSettings, *, measure: Measure, folder: Path, tell: Tell) -> Found:
    """Goes on where it was stopped: nothing that was measured is measured again. Writes trials.jsonl, search.json.

    Raises SearchUnusable without Optuna, and what `measure` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    book = _Book(settings, measure, folder, tell)
    _study(settings, book, folder)
    tried = tuple(book.tried())
    good = [one for one in tried if not one.why_not]
    best = min(good, key=lambda one: (one.cost_usd, -one.score.quality, one.choice.name), default=None)
    found = Found(tried=tried, best=best, notes=_notes(settings))
    replace_file(folder / TRIALS, b"".join(msgspec.json.encode(one) + b"\n" for one in tried))
    replace_file(folder / CONTENT, msgspec.json.format(msgspec.json.encode(found), indent=1))
    return found


def choices_of(settings: SearchSettings) -> list[Choice]:
    """The whole space. A size is nothing that a base could be given."""
    scratch = [("", size) for size in settings.sizes or ("",)] if "" in settings.bases else []
    students = [*scratch, *((base, "") for base in settings.bases if base)]
    return [
        Choice(base=base, size=size, precision=precision)
        for base, size in students
        for precision in settings.precisions
    ]


def cost_of(score: Score, settings: SearchSettings) -> float:
    """Dollars for 1,000 answers."""
    return float(settings.hour_usd) * score.seconds * _ANSWERS / _HOUR


def front(tried: Sequence[Tried], figure: Callable[[Tried], float]) -> list[Tried]:
    """Those that no other has both a smaller `figure` and a better quality than, the smallest first."""
    best, kept = -1.0, []
    for one in sorted(tried, key=lambda one: (figure(one), -one.score.quality)):
        if one.score.quality > best:
            best = one.score.quality
            kept.append(one)
    return kept


class _Book:
    """What was measured, on disk as soon as it is."""

    def __init__(self, settings: SearchSettings, measure: Measure, folder: Path, tell: Tell) -> None:
        self._settings, self._measure, self._folder, self._tell = settings, measure, folder, tell
        self._lines: dict[tuple[Choice, float], Score] = {}
        file = folder / MEASURED
        for line in file.read_bytes().splitlines() if file.exists() else ():
            choice, share, score = msgspec.json.decode(line, type=tuple[Choice, float, Score])
            self._lines[choice, share] = score

    def score(self, choice: Choice, share: float) -> Score:
        if (choice, share) not in self._lines:
            trained = hashlib.blake2b(choice.student.encode(), digest_size=6).hexdigest()
            here = self._folder / "trained" / f"{trained}-{share:g}"
            begun = f"{choice.name}, {share:.0%} of the steps"
            self._lines[choice, share] = self._measure(
                choice, share, here, lambda what, done, of: self._tell(f"{begun}: {what}", done, of)
            )
            lines = [msgspec.json.encode((*key, score)) + b"\n" for key, score in self._lines.items()]
            replace_file(self._folder / MEASURED, b"".join(lines))
        return self._lines[choice, share]

    def tried(self) -> Iterator[Tried]:
        """Each choice as far as it came, in the order in which they were begun."""
        for choice in dict.fromkeys(choice for choice, _ in self._lines):
            share = max(share for known, share in self._lines if known == choice)
            score = self._lines[choice, share]
            yield Tried(
                choice=choice,
                share=share,
                score=score,
                cost_usd=cost_of(score, self._settings),
                why_not=_why_not(share, score, self._settings),
            )


def _lacks(score: Score, settings: SearchSettings) -> float:
    """Quality that it would need more."""
    return score.teacher - settings.margin - score.quality


def _why_not(share: float, score: Score, settings: SearchSettings) -> str:
    if share < 1:
        return f"given up after {share:.0%} of the steps: others were better"
    if _lacks(score, settings) > 0:
        return (
            f"quality {score.quality:.3f} is more than {settings.margin:g} below the teacher's {score.teacher:.3f}"
        )
    if score.p95_ms > settings.p95_ms:
        return f"P95 of {score.p95_ms:.0f} ms, at most {settings.p95_ms:g} are allowed"
    return ""


def _study(settings: SearchSettings, book: _Book, folder: Path) -> None:
    """Ask Optuna what to try, until there is nothing left or it was as often as is allowed."""
    optuna = _optuna()
    space = {(choice.student, choice.precision): choice for choice in choices_of(settings)}
    axes = {"student": sorted({student for student, _ in space}), "precision": list(settings.precisions)}
    study = optuna.create_study(
        study_name="students",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / STUDY))),
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=settings.keep),
        load_if_exists=True,
    )
    states = optuna.trial.TrialState
    ended = len(study.get_trials(states=(states.COMPLETE, states.PRUNED)))
    _enqueue(study, states, space, settings)
    for _ in range(ended, min(settings.trials, len(space))):
        trial = study.ask()
        student, precision = (trial.suggest_categorical(axis, values) for axis, values in axes.items())
        value = _tried(trial, space[student, precision], settings, book)
        study.tell(trial, value, state=states.PRUNED if value is None else states.COMPLETE)


def _enqueue(study: Any, states: Any, space: Collection[tuple[str, str]], settings: SearchSettings) -> None:
    """What was being tried when it was stopped comes first; a small space is tried whole, in a drawn order."""
    first = [(trial, tuple(trial.params.values())) for trial in study.get_trials(states=(states.RUNNING,))]
    for trial, _ in first:
        study.tell(trial.number, state=states.FAIL)
    known = {tuple(trial.params.values()) for trial in study.get_trials(states=(states.COMPLETE, states.PRUNED))}
    waiting = study.get_trials(states=(states.WAITING,))
    known |= {tuple(trial.system_attrs["fixed_params"].values()) for trial in waiting}
    rest = list(space) if len(space) <= settings.trials else []
    random.Random(settings.seed).shuffle(rest)  # noqa: S311 - an order, and no secret
    for point in dict.fromkeys([*(point for _, point in first), *rest]):
        if point in space and point not in known:
            study.enqueue_trial(dict(zip(("student", "precision"), point, strict=True)))


def _tried(trial: Any, choice: Choice, settings: SearchSettings, book: _Book) -> float | None:
    """Dollars for 1,000 answers; None where others were better at a share of the steps: fewer wrong answers."""
    for rung, share in enumerate(settings.shares, 1):
        score = book.score(choice, share)
        trial.report(1 - score.quality, rung)
        if share < 1 and trial.should_prune():
            return None
    trial.set_constraint("quality", _lacks(score, settings))
    trial.set_constraint("p95_ms", score.p95_ms - settings.p95_ms)
    return cost_of(score, settings)


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise SearchUnusable(f"{error}: the search needs Optuna: pip install 'weir[optimise]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _notes(settings: SearchSettings) -> tuple[str, ...]:
    few = min(settings.trials, len(choices_of(settings))) < len(choices_of(settings))
    part = (f"Only {settings.trials} of {len(choices_of(settings))} combinations may be tried.",) if few else ()
    return (*part, _PROMPTS)
