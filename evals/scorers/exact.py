"""`exact`: a good answer is `expected.answer`, a text, a number or a list of those that are accepted.

Only blanks at the ends do not count. A number is meant as JSON writes it, so that 7 accepts "7" and not "7.0":
where numbers may be written in several ways, `numeric` is the scorer.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_SHOWN = 80
"""Characters of an answer that a reason quotes: enough to recognise it by."""


class ExactSettings(Settings):
    kind: Literal["exact"] = "exact"


class Exact:
    kind: ClassVar[str] = "exact"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: ExactSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)

    def lacks(self, case: Case) -> str:
        return lacks_answer(case)

    async def score(self, case: Case, answer: Answer) -> Score:
        right = accepted(case)
        if answer.text.strip() in right:
            return Score(value=1)
        return Score(value=0, why=f"says {quoted(answer.text)}, not {quoted(right[0])}")


def lacks_answer(case: Case) -> str:
    """What a scorer that compares with `expected.answer` lacks. Raises ValueError where it is no answer."""
    if "answer" not in case.expected:
        return "`expected.answer`"
    accepted(case)
    return ""


def accepted(case: Case) -> tuple[str, ...]:
    """The texts of `expected.answer`, without blanks at their ends; one at least. Raises ValueError."""
    said = case.expected["answer"]
    texts = tuple(map(_text, said if isinstance(said, list) else [said]))
    if not texts or not all(texts):
        raise ValueError("expected.answer: must be a text, a number or a list of these, and none of them empty")
    return texts


def quoted(text: str) -> str:
    """The beginning of `text` on one line, for a reason that people read."""
    line = " ".join(text.split())
    if not line:
        return "nothing"
    return f'"{line}"' if len(line) <= _SHOWN else f'"{line[:_SHOWN].rstrip()} ..."'


def _text(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    return value.strip() if isinstance(value, str) else ""
