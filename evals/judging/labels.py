"""Answers that people called good or bad: a line of JSON each, which a judge is held against.

    {"case": "reset-1", "answer": "Choose Forgot password.", "good": true, "rater": "ann"}

`case` is one of the suite's; instead of it a line may bring its own `messages` or `input`, with what a case of the
suite may have of `expected` and `documents`.

The non-obvious decision: of an answer that several people labelled the majority counts, and one on which they are
split is left out. It has no label that a judge could be right or wrong about.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, ValidationError

from evals.cases import Case, Document
from evals.reading import Unreadable, faults_in, lines_in
from evals.statistics.interval import Interval


class LabelsUnusable(ValueError):
    """`problems` names each fault with its file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Label(Struct, frozen=True, kw_only=True):
    """What one person said of an answer to a case. `where` is its file and line."""

    case: Case
    answer: str
    good: bool
    rater: str
    where: str

    @property
    def subject(self) -> tuple[str, str]:
        """Equal for labels of the same answer to the same question."""
        return self.case.asked, self.answer


class Agreed(Struct, frozen=True, kw_only=True):
    """An answer that most of those who labelled it called the same."""

    case: Case
    answer: str
    good: bool
    where: str


class RatersAgreement(Struct, frozen=True, kw_only=True):
    """Cohen's kappa of two people over the answers that both labelled: no judge can be expected to agree better."""

    raters: tuple[str, str]
    answers: int
    kappa: Interval


def read_labels(path: Path, cases: Mapping[str, Case]) -> tuple[Label, ...]:
    """`cases` are the suite's, by id. Raises LabelsUnusable with all problems at once."""
    labels: list[Label] = []
    problems: list[str] = []
    try:
        for where, line in lines_in(path):
            try:
                labels.append(_label(line, cases, where))
            except LabelsUnusable as error:
                problems += error.problems
    except Unreadable as error:
        raise LabelsUnusable([str(error)]) from error
    problems += _twice(labels)
    if not labels and not problems:
        problems.append(f"{path}: no labels")
    if problems:
        raise LabelsUnusable(problems)
    return tuple(labels)


def agreed(labels: Sequence[Label]) -> tuple[Agreed, ...]:
    """Each answer once, as most of its labels call it; those on which people are split are left out."""
    of: defaultdict[tuple[str, str], list[Label]] = defaultdict(list)
    for label in labels:
        of[label.subject].append(label)
    found = []
    for same in of.values():
        good = sum(label.good for label in same)
        if 2 * good != len(same):
            first = same[0]
            found.append(Agreed(case=first.case, answer=first.answer, good=2 * good > len(same), where=first.where))
    return tuple(found)


def split(labels: Sequence[Label]) -> int:
    """How many answers `agreed` leaves out."""
    return len({label.subject for label in labels}) - len(agreed(labels))


def raters_agreement(labels: Sequence[Label]) -> tuple[RatersAgreement, ...]:
    """Of each two people who labelled the same answers, some of which each called good and others bad."""
    from evals.statistics.agreement import kappa

    of: defaultdict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
    for label in labels:
        of[label.rater][label.subject] = label.good
    found = []
    for one, other in itertools.combinations(sorted(of), 2):
        shared = of[one].keys() & of[other].keys()
        pairs = Counter((of[one][subject], of[other][subject]) for subject in shared)
        if any(len({pair[side] for pair in pairs}) < 2 for side in (0, 1)):
            continue
        agreement = kappa(pairs[True, True], pairs[True, False], pairs[False, False], pairs[False, True])
        found.append(RatersAgreement(raters=(one, other), answers=len(shared), kappa=agreement))
    return tuple(found)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Passage(_Strict):
    id: str = ""
    text: str = Field(min_length=1)


class _Turn(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)

    role: str
    content: str | list[dict[str, JsonValue]] | None = None


class _Line(_Strict):
    case: str = ""
    messages: tuple[_Turn, ...] = ()
    input: str = ""
    expected: dict[str, JsonValue] = Field(default_factory=dict)
    documents: tuple[_Passage, ...] = ()
    answer: str
    good: StrictBool
    rater: str = ""


def _label(text: str, cases: Mapping[str, Case], where: str) -> Label:
    try:
        line = _Line.model_validate_json(text)
    except ValidationError as error:
        raise LabelsUnusable(list(faults_in(error, text, _Line, where))) from error
    if sum(map(bool, (line.case, line.messages, line.input))) != 1:
        raise LabelsUnusable([f"{where}: a label has one of `case`, `messages` and `input`"])
    if line.case and (line.expected or line.documents):
        raise LabelsUnusable([f"{where}: `expected` and `documents` are those of the suite's case"])
    if line.case and line.case not in cases:
        raise LabelsUnusable([f"{where}: case: the suite has no case {line.case!r}"])
    case = cases[line.case] if line.case else _own(line)
    return Label(case=case, answer=line.answer, good=line.good, rater=line.rater, where=where)


def _own(line: _Line) -> Case:
    turns: tuple[Mapping[str, Any], ...] = ({"role": "user", "content": line.input},)
    if line.messages:
        turns = tuple(turn.model_dump(exclude_unset=True) for turn in line.messages)
    documents = tuple(
        Document(document.id or str(place), document.text) for place, document in enumerate(line.documents, 1)
    )
    facts: dict[str, Any] = {"messages": turns, "expected": line.expected, "documents": documents, "metadata": {}}
    case = Case(id="", segment="", cluster="", **facts)
    # Answers to one question resemble each other, whoever wrote the question down.
    return Case(id=case.asked, segment="", cluster=case.asked, **facts)


def _twice(labels: Sequence[Label]) -> Iterator[str]:
    seen: dict[tuple[str, str, str], str] = {}
    for label in labels:
        first = seen.setdefault((*label.subject, label.rater), label.where)
        if first != label.where:
            who = f"{label.rater} has" if label.rater else "somebody without a `rater` has"
            yield f"{label.where}: {who} labelled this answer in {first} already"
