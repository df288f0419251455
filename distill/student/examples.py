"""What a student learns from, and is judged by: questions with the teacher's answers, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from system.files import replace_file

TRAIN, TUNE, TEST = "train.jsonl", "tune.jsonl", "test.jsonl"
"""The parts: weights are learned from the first; what a student may answer, and from which confidence on, is chosen
on the second; the third gives the verdict and is looked at for nothing else."""


class Example(Struct, frozen=True, kw_only=True):
    """A conversation that ends with a user's turn, and what the teacher answers.

    `group`: examples of one group (a conversation, or questions that mean the same) are in one part. `weight` is
    how many requests of the traffic it stands for. `source` says how the answer was found to be good. `expected`
    holds what scorers of a suite compare an answer with, as in a case; empty where only the answer is known.
    """

    id: str
    intent: str
    messages: tuple[Mapping[str, Any], ...]
    answer: str
    group: str
    lang: str = ""
    weight: float = 1.0
    source: str = ""
    expected: Mapping[str, Any] = {}

    @property
    def question(self) -> str:
        """The user's last turn."""
        return str(self.messages[-1].get("content") or "")


_Kind = TypeVar("_Kind", bound=Example)


def read_examples(path: Path) -> list[Example]:
    """Raises OSError, or ValueError that names the line."""
    return list(read_lines(path, Example))


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Whole or not at all; the same bytes for the same examples."""
    replace_file(path, b"".join(msgspec.json.encode(one) + b"\n" for one in examples))


def read_lines(path: Path, kind: type[_Kind]) -> Iterator[_Kind]:
    """Examples of a `kind`. Raises as `read_examples`."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=kind)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise ValueError(f"{path.name}:{number}: no example of a student: {error}") from error
