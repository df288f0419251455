"""The heads of a student: what tells which intent a question has, and what judges the student's answers."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from contracts.students import CHECK, INTENTS, Student
from heads.checks import CheckHead
from heads.intents import IntentHead


class StudentHeads(Struct, frozen=True):
    """Both were tested with the weights beside them, and are in force for as long as those answer."""

    intents: IntentHead
    check: CheckHead


def read_student_heads(folder: Path, student: Student) -> StudentHeads:
    """Raises OSError or ValueError where a file is missing, is damaged, or does not know an intent of `student`."""
    intents, check = IntentHead.read(folder / INTENTS), CheckHead.read(folder / CHECK)
    strange = sorted(set(student.intents) - set(intents.intents))
    if strange:
        raise ValueError(f"{folder / INTENTS} does not know {', '.join(strange)}: put the student again")
    return StudentHeads(intents, check)
