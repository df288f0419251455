"""What a student may do, and which weights it has: the file `student.json` of its artefact.

Written by `distill`, obeyed by the router. The non-obvious decision: the intents that a student may answer, and how
sure it must be, are in the artefact beside its weights. So they were tested together, are promoted together, and no
configuration can let a student answer what its gate never saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

STUDENT = "student"
"""The kind of an artefact that is a student; its name is that of heads of the same route and owner."""
CONTENT, INTENTS, CHECK = "student.json", "intents.npz", "check.npz"
"""Its files beside weights: this, the head that tells intents apart, and the one that judges its answers."""
INSTRUCTIONS = frozenset({"system", "developer"})
"""Roles of turns that no student is shown."""
LAYOUT = 1
"""Of `student.json`. One that a Weir does not know is refused."""

Engine = Literal["gguf", "vllm"]
"""What runs weights: llama.cpp in a process of Weir's, or vLLM."""


class Variant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One student's weights in one precision. `files` lie beside `student.json`; `bytes` are theirs together.

    For gguf that is one file. For vllm they are a model folder as Hugging Face writes it, or with `adapter` a LoRA
    adapter, which `base` names the model of.
    """

    name: str
    engine: Engine
    files: tuple[str, ...]
    bytes: int
    adapter: bool = False
    base: str = ""


class Student(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`owner` is the tenant whose traffic it learned from, or "" for everyone's.

    `intents` are what it may answer, first turns only unless `turns` says more, and no request that is longer than
    `most_tokens` with its answer. An answer is delivered where the check gives it a probability of `least_good` or
    more. `usual` are answers that the teacher often gave, by intent: one of the student's that is like none of its
    intent's is doubtful, however sure it is of itself. `encoder` is the version of the one that the intents were
    learned with. `variants` passed the gate, the best one for each engine first.
    """

    layout: int
    route: str
    owner: str
    teacher: str
    intents: tuple[str, ...]
    least_good: float
    turns: int
    most_tokens: int
    encoder: str
    variants: tuple[Variant, ...]
    usual: Mapping[str, tuple[str, ...]] = {}

    def variant(self, engine: Engine, name: str = "") -> Variant | None:
        """The first for `engine`, or the one called `name`; None where it has none."""
        return next((each for each in self.variants if each.engine == engine and name in ("", each.name)), None)


def read_student(data: bytes) -> Student:
    """Raises ValueError, with advice, where it is none, or of a layout that this Weir does not know."""
    try:
        student = msgspec.json.decode(data, type=Student)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(f"{CONTENT} is damaged ({error}): put the student again") from error
    if student.layout != LAYOUT:
        raise ValueError(f"the student has layout {student.layout}, this Weir reads {LAYOUT}: train it again")
    return student


def student_bytes(student: Student) -> bytes:
    """What `read_student` reads; the same bytes for the same student."""
    return msgspec.json.format(msgspec.json.encode(student), indent=1)
