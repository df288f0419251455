r"""`regex`: a good answer matches a regular expression, `expected.pattern` or else the scorer's own `pattern`.

Python's regular expressions; flags are written into the pattern, such as `(?i)`. The engine is the package `regex`,
since `re` cannot be stopped: a pattern such as `(\w+\s?)*$` could take years on one answer, and the run with it. An
answer on which a pattern takes too long has no score, and only the beginning of a very long one is searched.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import regex
from pydantic import field_validator

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.port import Instruments, Settings
from evals.targets.port import TargetFailure

_REVISION = 1
SEARCHED = 20_000
"""Characters of an answer: far beyond a real one."""
_LONGEST_S = 1.0
"""A search of microseconds is usual; meanwhile nobody else is served."""


class RegexSettings(Settings):
    kind: Literal["regex"] = "regex"
    pattern: str = ""
    """For cases without one of their own."""
    full: bool = False
    """The pattern must match the whole answer but for blanks at its ends, not some part of it."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        _compiled(pattern)
        return pattern


class Regex:
    kind: ClassVar[str] = "regex"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: RegexSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._settings = settings

    def lacks(self, case: Case) -> str:
        if "pattern" not in case.expected:
            return "" if self._settings.pattern else "`expected.pattern`"
        try:
            self._pattern(case)
        except ValueError as error:
            raise ValueError(f"expected.pattern: {error}") from error
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        """Raises TargetFailure where the pattern takes too long."""
        pattern, text = self._pattern(case), answer.text.strip()
        try:
            if self._settings.full:
                matched = len(text) <= SEARCHED and pattern.fullmatch(text, timeout=_LONGEST_S)
            else:
                matched = _found(pattern, text)
        except TimeoutError as error:
            raise TargetFailure(
                "pattern_too_slow",
                f"{pattern.pattern} takes more than {_LONGEST_S:g} s on the answer to {case.id}: where repeats are "
                "nested or follow each other, let each begin with something that the one before cannot match.",
            ) from error
        if matched:
            return Score(value=1)
        beyond = f" in its first {SEARCHED:,} characters" if len(text) > SEARCHED else ""
        return Score(value=0, why=f"does not match {pattern.pattern}{beyond}")

    def _pattern(self, case: Case) -> regex.Pattern[str]:
        return _compiled(case.expected.get("pattern", self._settings.pattern))


def occurs(pattern: str, text: str) -> bool:
    """Whether `pattern` is in `text`. Raises ValueError where it is none, TimeoutError where it takes too long."""
    return bool(_found(_compiled(pattern), text))


def _found(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    return pattern.search(text[:SEARCHED], timeout=_LONGEST_S)


def _compiled(pattern: Any) -> regex.Pattern[str]:
    """Raises ValueError."""
    if not isinstance(pattern, str):
        raise ValueError("must be a text")  # noqa: TRY004 - a wrong suite, not a wrong program
    try:
        return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a regular expression: {error}") from error
