"""`citations`: whether an answer cites the documents of `expected.documents`, and whether its citations hold.

`expected.documents` are file names, `one|another` where either will do. Recall is the share of them that are cited.
Precision is the share of an answer's citations that hold: that lead to a passage, in a sentence that the cited
passages support, as far as words can tell (see `grounded`, whose limits are this one's too). The score is their
harmonic mean (F1), or with `of` one of the two. An answer that claims something and cites nothing has a precision
of 0.

The non-obvious decision: a sentence with several marks is held against all of their passages together, so that one
which joins two documents is not marked down for either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from evals.cases import Case
from evals.records import Answer, Citation, Score
from evals.scorers.claims import Claim, claims_in
from evals.scorers.exact import quoted
from evals.scorers.grounded import COVERAGE, unsupported
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_LONGEST_MARK = 3
"""Digits: a longer number in brackets is a year or a reference, and not a passage's."""


class CitationsSettings(Settings):
    kind: Literal["citations"] = "citations"
    of: Literal["both", "recall", "precision"] = "both"
    coverage: float = Field(COVERAGE, gt=0, le=1)
    """Share of a sentence's words that the passages it cites must have."""


class Citations:
    kind: ClassVar[str] = "citations"
    model: str = ""
    binary: bool = False

    def __init__(self, settings: CitationsSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self._settings = settings

    def lacks(self, case: Case) -> str:
        if "documents" not in case.expected:
            return "`expected.documents`"
        documents = case.expected["documents"]
        if not isinstance(documents, list) or not documents or not all(map(_sound, documents)):
            raise ValueError("expected.documents: must be a list of file names, `one|another` where either will do")
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        missing = _missing(case.expected["documents"], {citation.filename for citation in answer.citations})
        recall = 1 - len(missing) / len(case.expected["documents"])
        precision, fault = self._precision(answer)
        lacking = f"does not cite {', '.join(missing)}" if missing else ""
        if self._settings.of == "recall":
            return Score(value=recall, why=lacking)
        if self._settings.of == "precision":
            return Score(value=precision, why=fault)
        both = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
        return Score(value=both, why="; ".join(filter(None, (lacking, fault))))

    def _precision(self, answer: Answer) -> tuple[float, str]:
        """The share of its citations that hold, and what is wrong with the first that does not."""
        passages = {citation.mark: citation for citation in answer.citations}
        claims = claims_in(answer.text)
        marks = [fault for claim in claims for fault in self._faults(claim, passages)]
        if not marks:
            return (1.0, "") if all(claim.empty for claim in claims) else (0.0, "cites nothing")
        faults = list(filter(None, marks))
        return 1 - len(faults) / len(marks), faults[0] if faults else ""

    def _faults(self, claim: Claim, passages: Mapping[str, Citation]) -> list[str]:
        """For each of its marks what is wrong with it, or an empty text."""
        marks = [mark for mark in claim.cited if mark in passages or _numbered(mark)]
        found = [passages[mark] for mark in marks if mark in passages]
        fault = ""
        if found and not claim.empty:
            said = [sentence for citation in found for sentence in claims_in(citation.text)]
            fault = unsupported(claim, said, self._settings.coverage)
        wrong = f"{quoted(claim.text)}: {fault} in what it cites" if fault else ""
        return [wrong if mark in passages else f"[{mark}] leads to no passage" for mark in marks]


def _missing(expected: Sequence[str], cited: set[str]) -> list[str]:
    return [names for names in expected if cited.isdisjoint(name.strip() for name in names.split("|"))]


def _sound(names: object) -> bool:
    return isinstance(names, str) and all(name.strip() for name in names.split("|"))


def _numbered(mark: str) -> bool:
    return mark.isdecimal() and len(mark) <= _LONGEST_MARK
