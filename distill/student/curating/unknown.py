"""Questions that a student must be kept away from: of intents that were not picked, and of none.

They are in parts like examples: on those of `train` the student's intents are told apart from all else, and on the
others it is seen whether they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from distill.student.curating.parting import Part
from system.files import replace_file

UNKNOWN_FILE = "unknown.jsonl"


class Unknown(Struct, frozen=True, kw_only=True):
    """The fields are those of an Example; `intent` is what mining called it, `answer` what is known to be said.

    `answer` may be empty: no student learns it.
    """

    id: str
    intent: str
    messages: tuple[Mapping[str, Any], ...]
    part: Part
    group: str
    answer: str = ""
    lang: str = ""
    weight: float = 1.0
    source: str = ""
    expected: Mapping[str, Any] = {}

    @property
    def question(self) -> str:
        """The user's last turn."""
        return str(self.messages[-1].get("content") or "")


def read_unknown(path: Path) -> list[Unknown]:
    """Raises OSError, or ValueError that names the line."""
    return list(_unknown(path))


def write_unknown(path: Path, questions: Iterable[Unknown]) -> None:
    """Whole or not at all; the same bytes for the same questions."""
    replace_file(path, b"".join(msgspec.json.encode(one) + b"\n" for one in questions))


def _unknown(path: Path) -> Iterator[Unknown]:
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if line.strip():
            try:
                yield msgspec.json.decode(line, type=Unknown)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise ValueError(f"{path.name}:{number}: no question of nobody's: {error}") from error
