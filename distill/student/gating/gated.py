"""What the gate found, and the folder of the student that becomes an artefact.

The non-obvious decision: a refused student is written too, with the variants that have most bits. Whoever wants to
know why it was refused can ask it; what keeps it from serving is the verdict, without which nobody may promote it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from contracts.students import CHECK, CONTENT, INTENTS, Student, Variant, student_bytes
from distill.student.compressing.compress import Compressed
from distill.student.gating.deciding import Chosen
from distill.student.gating.verdict import Judged
from heads.checks import CheckHead
from heads.intents import IntentHead
from system.files import replace_file, sync_folder

STUDENT, VERDICT = "student", "verdict.json"


class OfVariant(Struct, frozen=True, kw_only=True):
    """One variant's verdict, and what was measured while it answered the test questions.

    `tokens_s` are tokens a second, 95 of 100 answers came within `p95_ms`.
    """

    variant: Variant
    judged: Judged
    tokens_s: float
    p95_ms: float
    memory_mb: float | None


class Gated(Struct, frozen=True, kw_only=True):
    """`student` has the smallest variant of each engine that passed; where none did, the largest of each engine.

    `check` says what the head for answers was learned from, `taught` how many answers the teacher was asked for,
    `not_made` why variants are not there. `tune_curve` is what `Figures.curve` is, of the tuning questions.
    """

    passed: bool
    student: Student
    chosen: Chosen
    variants: tuple[OfVariant, ...]
    not_made: Mapping[str, str]
    check: str
    taught: int
    tune_curve: tuple[tuple[float, float], ...]
    settings: Mapping[str, Any]

    @property
    def first(self) -> OfVariant:
        """Whose figures stand for the student's."""
        return next(one for one in self.variants if one.variant == self.student.variants[0])

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each check of the first variant, those that failed first."""
        return self.first.judged.reasons


def read_gated(folder: Path) -> Gated:
    """What the gate wrote to `folder`. Raises OSError, or ValueError where it is damaged."""
    try:
        return msgspec.json.decode((folder / VERDICT).read_bytes(), type=Gated)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{folder / VERDICT} is damaged ({error}): run the gate again") from error


def write_student(
    gated: Gated, intents: IntentHead, check: CheckHead, compressed: Compressed, folder: Path
) -> None:
    """The student's folder, whole or not at all: `student.json`, both heads, and the weights beside them."""
    new, there = folder / f"{STUDENT}.new", folder / STUDENT
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    intents.write(new / INTENTS)
    check.write(new / CHECK)
    for variant in gated.student.variants:
        for name in variant.files:
            shutil.copyfile(compressed.folder_of(variant) / name, new / name)
    (new / CONTENT).write_bytes(student_bytes(gated.student))
    shutil.rmtree(there, ignore_errors=True)
    new.rename(there)
    sync_folder(folder)
    replace_file(folder / VERDICT, msgspec.json.format(msgspec.json.encode(gated), indent=1))
