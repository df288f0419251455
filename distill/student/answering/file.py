"""What a variant answered, one line as soon as it is there, so that a broken-off run goes on where it was."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from heads.signals import Signals


class Heading(Struct, frozen=True, kw_only=True, tag="heading"):
    """`of` is a hash of all that the answers depend on but the questions."""

    of: str


class Answer(Struct, frozen=True, kw_only=True, tag="answer", omit_defaults=True):
    """`asked` is a hash of the question, `seconds` what it took. A refused one has a `reason` and no `signals`."""

    id: str
    asked: str
    finish: str
    text: str = ""
    tokens: int = 0
    seconds: float = 0.0
    signals: Signals | None = None
    reason: str = ""


class Memory(Struct, frozen=True, kw_only=True, tag="memory"):
    """What the engine's processes held at most, in 1,000,000 bytes."""

    mb: float


_Line = Heading | Answer | Memory


class AnswerFile:
    """The answers in `path` under the heading `of`; what it holds under another one is dropped.

    For one process at a time. A last line that is not whole is dropped too. Raises OSError.
    """

    def __init__(self, path: Path, of: str) -> None:
        self._path = path
        self._of = of
        self._answers: dict[tuple[str, str], Answer] = {}
        self._memory: float | None = None
        self._file: io.BufferedWriter | None = None

    def __enter__(self) -> Self:
        whole = self._read()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("ab")
        self._file.truncate(whole)
        if whole == 0:
            self._write(Heading(of=self._of))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def memory_mb(self) -> float | None:
        """The most of all runs."""
        return self._memory

    def get(self, name: str, asked: str) -> Answer | None:
        """What was answered to the question with this id and hash."""
        return self._answers.get((name, asked))

    def add(self, answer: Answer) -> None:
        self._write(answer)
        self._answers[answer.id, answer.asked] = answer

    def note_memory(self, mb: float) -> None:
        if self._memory is None or mb > self._memory:
            self._write(Memory(mb=mb))
            self._memory = mb

    def _read(self) -> int:
        """Take in what is there; how many bytes of it are to be kept."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return 0
        whole = 0
        for line in data.splitlines(keepends=True):
            try:
                known = msgspec.json.decode(line, type=_Line) if line.endswith(b"\n") else None
            except (msgspec.MsgspecError, UnicodeDecodeError):
                known = None
            if known is None or (whole == 0 and known != Heading(of=self._of)):
                return whole
            whole += len(line)
            if isinstance(known, Answer):
                self._answers[known.id, known.asked] = known
            elif isinstance(known, Memory):
                self._memory = max(known.mb, self._memory or 0.0)
        return whole

    def _write(self, line: _Line) -> None:
        if self._file is None:
            raise ValueError(f"{self._path} is not open")
        self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
