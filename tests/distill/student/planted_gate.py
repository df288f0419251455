"""Students whose answers are known functions of what they are asked, and parts of questions to try them on."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from contracts.students import Variant
from distill.student.answering.answers import Answered
from distill.student.compressing.compress import Compressed, Refused
from distill.student.compressing.making import Made
from distill.student.curating.parting import PARTS
from distill.student.curating.unknown import Unknown
from distill.student.examples import Example
from distill.student.gating.deciding import Chosen, Considered
from distill.student.gating.parts import Parts, parts_of
from distill.student.gating.trial import Mark, Trial
from heads.intents import UNKNOWN, Floats
from heads.signals import Signals
from tests.heads.labelled import WORDS, labelled

VARIANTS = (("q4_0", 4), ("f16", 16), ("q8_0", 8))
MANY = {"train": 6, "tune": 20, "test": 30}
"""Questions of each intent in each part."""

Answer = Callable[[Example, Variant], tuple[str, float]]
"""What a student says, and the mean log-probability of its tokens."""


def answer_of(intent: str) -> str:
    """The teacher's."""
    days = 2 + WORDS.index(intent)
    return f"About your {intent}: open the {intent} page, choose help, and we come back to you within {days} days."


def parts_and_vectors() -> tuple[Parts, dict[str, Floats]]:
    """Questions of all intents, a fifth as many of none, and the vectors of their texts."""
    examples: dict[str, list[Example]] = {}
    others: list[Unknown] = []
    vectors: dict[str, Floats] = {}
    for seed, part in enumerate(PARTS):
        asked, rows = labelled(MANY[part], seed=seed, unknown=2 * MANY[part])
        vectors |= {one.text: row for one, row in zip(asked, rows, strict=True)}
        examples[part] = [
            Example(
                id=f"{part}-{number}",
                intent=one.intent,
                messages=({"role": "user", "content": one.text},),
                answer=answer_of(one.intent),
                group=f"g-{part}-{number}",
                lang="en" if number % 3 else "es",
            )
            for number, one in enumerate(asked)
            if one.intent != UNKNOWN
        ]
        others += [
            Unknown(
                id=f"{part}-none-{number}",
                intent=UNKNOWN,
                messages=({"role": "user", "content": one.text},),
                part=part,
                group=f"n-{part}-{number}",
            )
            for number, one in enumerate(asked)
            if one.intent == UNKNOWN
        ]
    every = [*others, *(one for some in examples.values() for one in some)]
    asked = Counter(one.intent for one in every)
    return parts_of(examples["train"], examples["tune"], examples["test"], others, asked), vectors


def encoder(vectors: dict[str, Floats]) -> Callable[[Sequence[str]], Floats]:
    return lambda texts: np.array([vectors[text] for text in texts], np.float32)


def lot(one: Example, about: str = "") -> float:
    """Of an example, from 0 to 1; the same each time."""
    return zlib.crc32(f"{about}{one.id}".encode()) / 2**32


def engine(say: Answer) -> Callable[[Path, Variant, Sequence[Example], Path], Answered]:
    def ask(folder: Path, variant: Variant, examples: Sequence[Example], file: Path) -> Answered:
        said = {one.id: say(one, variant) for one in examples}
        return Answered(
            texts={name: text for name, (text, _) in said.items()},
            signals={
                one.id: Signals(
                    mean_logp=said[one.id][1],
                    lowest=float(np.exp(2 * said[one.id][1])),
                    answer_tokens=20,
                    answer=said[one.id][0],
                    question=one.question,
                    finish="stop",
                )
                for one in examples
            },
            tokens_s=100.0,
            p50_ms=10.0,
            p95_ms=20.0,
            memory_mb=None,
            concurrency=1,
        )

    return ask


def compressed(folder: Path) -> Compressed:
    """Three variants, and one that could not be made."""
    made = []
    for name, size in VARIANTS:
        (folder / name).mkdir(parents=True)
        (folder / name / f"student-{name}.gguf").write_bytes(b"w" * size)
        variant = Variant(name=name, engine="gguf", files=(f"student-{name}.gguf",), bytes=size)
        made.append(Made(variant=variant, key=name))
    return Compressed(folder, tuple(made), (Refused(name="2:4", reason="no kernel"),))


def trial(
    rows: Sequence[tuple[str, str, float, float]], shares: dict[str, float], known: Sequence[str] = ("a", "b")
) -> Trial:
    """Of rows (intent, what it was taken for, how sure, the student's score); the teacher is right throughout."""
    return Trial(
        examples=[
            Example(id=str(place), intent=intent, messages=({"content": "q"},), answer="x", group=str(place))
            for place, (intent, _, _, _) in enumerate(rows)
        ],
        taken=[taken for _, taken, _, _ in rows],
        sure=np.array([sure for _, _, sure, _ in rows]),
        marks=[Mark(student=good, teacher=1.0, measure="planted") for _, _, _, good in rows],
        known=frozenset(known),
        shares=shares,
    )


def all_chosen(intents: Sequence[str] = ("a", "b"), least_good: float = 0.0) -> Chosen:
    considered = tuple(
        Considered(intent=one, allowed=True, reason="planted", asked=9, delivered=9) for one in intents
    )
    return Chosen(
        intents=tuple(intents), least_good=least_good, considered=considered, share=1.0, passes=1.0, why="planted"
    )
