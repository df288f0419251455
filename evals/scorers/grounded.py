"""`grounded`: the share of an answer's sentences that the case's passages support, or those that the answer cites.

With `against: citations` the passages are the ones that a target looked up by itself and that its answer cites. An
answer that claims something and cites nothing has then no sentence that is supported.

A sentence is supported where enough of its words are found in the passages, each of its numbers, dates, amounts,
addresses and names is, and the passages' nearest sentences do not deny what it affirms or the other way round.
Greetings, questions and refusals claim nothing and are left out; an answer that claims nothing at all scores 1.

This is a measure of words, which has its limits. A paraphrase in other words is marked down, and so is an answer in
another language than the passages'. A number or name that the passages have elsewhere, about something else,
passes; so may a name at the beginning of a sentence. What English and Spanish have as function words is known; in
other languages more words have to be found. Where this matters, use `judge` with a rubric about groundedness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from evals.cases import Case, Document
from evals.records import Answer, Score
from evals.scorers.claims import Claim, alike, claims_in, named
from evals.scorers.exact import quoted
from evals.scorers.port import Instruments, Settings

_REVISION = 2
COVERAGE = 0.6
"""Share of a sentence's words: the highest that gets all of the hand-written `TUNED` pairs of the test right."""
_NEAR = 0.75
"""A passage's sentence is among the nearest with so many of the words that the nearest has."""
_SHARED = 2
"""Words that two sentences must share before it is asked whether one denies the other."""
_NAMED = 5
"""Words that a reason names at most."""


class GroundedSettings(Settings):
    kind: Literal["grounded"] = "grounded"
    coverage: float = Field(COVERAGE, gt=0, le=1)
    """Share of a sentence's words that the passages must have."""
    at_least: float | None = Field(None, gt=0, le=1)
    """Score 1 from this share of sentences on, and 0 below; left out, the share is the score."""
    against: Literal["documents", "citations"] = "documents"
    """The passages: those of the case, or those that the answer cites."""
    check_citations: bool = False
    """A sentence with marks such as [1] must be supported by the passages that they name, by id or by place."""


class Grounded:
    kind: ClassVar[str] = "grounded"
    model: str = ""

    def __init__(self, settings: GroundedSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self.binary = settings.at_least is not None
        self._settings = settings

    def lacks(self, case: Case) -> str:
        return "" if case.documents or self._cited else "`documents`"

    @property
    def _cited(self) -> bool:
        return self._settings.against == "citations"

    async def score(self, case: Case, answer: Answer) -> Score:
        if not answer.text.strip():
            return Score(value=0, why="says nothing")
        claims = [claim for claim in claims_in(answer.text) if not claim.empty]
        documents = cited_in(answer) if self._cited else case.documents
        passages = {document.id: claims_in(document.text) for document in documents}
        faults = [(claim, fault) for claim in claims if (fault := self._fault(claim, passages, documents))]
        share = 1 - len(faults) / len(claims) if claims else 1.0
        why = f"{quoted(faults[0][0].text)}: {faults[0][1]}" if faults else ""
        if self._settings.at_least is None:
            return Score(value=share, why=why)
        enough = share >= self._settings.at_least
        return Score(value=float(enough), why="" if enough else why)

    def _fault(self, claim: Claim, passages: dict[str, list[Claim]], documents: Sequence[Document]) -> str:
        """Why a sentence is not supported; empty where it is."""
        if not documents:
            return "the answer cites no passage"
        if not (self._settings.check_citations and claim.cited):
            return unsupported(
                claim, [said for passage in passages.values() for said in passage], self._settings.coverage
            )
        cited = [_named_by(mark, documents) for mark in claim.cited]
        if "" in cited:
            return f"cites [{claim.cited[cited.index('')]}], which is no passage"
        said = [sentence for document in dict.fromkeys(cited) for sentence in passages[document]]
        fault = unsupported(claim, said, self._settings.coverage)
        return fault and f"{fault} in what it cites"


def cited_in(answer: Answer) -> tuple[Document, ...]:
    """The passages that it cites, each under its mark."""
    return tuple(Document(citation.mark, citation.text) for citation in answer.citations)


def unsupported(claim: Claim, said: Sequence[Claim], coverage: float) -> str:
    """Why `claim` does not follow from the sentences `said`; empty where it does, as far as words can tell."""
    every = frozenset(word for sentence in said for word in sentence.every)
    figures = [figure for sentence in said for figure in sentence.figures]
    foreign = [" ".join(figure).strip() for figure in claim.figures if not _has(figure, figures)]
    foreign += [name for name in claim.names if not named(name, every)]
    if foreign:
        return f"not found: {_listed(foreign)}"
    missing = [word for word in claim.words if not alike(word, every)]
    if len(missing) > (1 - coverage) * len(claim.words) + 1e-9:
        return f"not found: {_listed(missing)}"
    return "the passages say the contrary" if _denied(claim, said) else ""


def _denied(claim: Claim, said: Sequence[Claim]) -> bool:
    """Whether all sentences nearest to `claim` have a "not" where it has none, or none where it has one."""
    shared = [sum(alike(word, sentence.every) for word in claim.words) for sentence in said]
    most = max(shared, default=0)
    if most < _SHARED:
        return False
    nearest = [one for one, count in zip(said, shared, strict=True) if count >= _NEAR * most]
    return all(one.negated != claim.negated for one in nearest)


def _has(figure: tuple[str, str], figures: Iterable[tuple[str, str]]) -> bool:
    what, unit = figure
    return any(what == other and (not unit or not of or unit == of) for other, of in figures)


def _named_by(mark: str, documents: Sequence[Document]) -> str:
    """The id of the passage that a mark names, by its id or else by its place from 1; empty where it names none."""
    if any(document.id == mark for document in documents):
        return mark
    return documents[int(mark) - 1].id if mark.isdecimal() and 0 < int(mark) <= len(documents) else ""


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:_NAMED]) + (", ..." if len(words) > _NAMED else "")
