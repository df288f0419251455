"""Eval suites as they lie on disk: a folder with `suite.yaml` and `cases.jsonl`.

A suite's version is a hash of its scorers and cases as they were understood, not of the bytes in the files:
a comment or another order of keys leaves results comparable, a changed fact does not.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

from evals.cases import Case, Document, canonical
from evals.reading import Unreadable, faults_in, lines_in, yaml_in
from evals.records import Answer
from evals.scorers.catalogue import ScorerSettings, scorer_of
from evals.scorers.port import Instruments

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

DEFAULT_MARGIN = 0.02
HEAD = "suite.yaml"
ALL = "all"
"""The segment of a case that names none."""
_MOST_TOLD = 40
"""Problems that the message names: whoever named a field wrongly did so in every case."""
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class SuiteError(ValueError):
    """A suite that cannot be used. `problems` names each fault with its file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = len(problems) - _MOST_TOLD
        told = [*problems[:_MOST_TOLD], *([f"... and {more:,} more problems"] if more > 0 else [])]
        super().__init__("\n".join(told))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Cases and the scorers that judge the answers. `revision` is the author's, `version` a hash.

    `quality` names the scorer that stands for quality; `request` are fields of every request, such as temperature;
    `margin` is by how much quality may fall and still be called not worse.
    """

    folder: Path
    name: str
    description: str
    revision: str
    scorers: tuple[ScorerSettings, ...]
    quality: str
    groups: tuple[str, ...]
    request: Mapping[str, Any]
    repeats: int
    margin: float
    cases: tuple[Case, ...]
    version: str


def read_suite(folder: Path) -> Suite:
    """The suite in `folder`. Raises SuiteError with all problems at once."""
    problems: list[str] = []
    path = folder / HEAD
    head = _read_head(path, problems)
    rows = list(_read_rows(folder / "cases.jsonl", problems))
    cases = tuple(_case(row) for _, row in rows)
    if head is not None:
        problems += [f"{path}: {fault}" for fault in _misnamed(head)]
        problems += _unjudged(head.scorers, cases, [where for where, _ in rows])
    if head is None or problems:
        raise SuiteError(problems)
    return Suite(
        folder=folder,
        name=head.name,
        description=head.description.strip(),
        revision=head.revision,
        scorers=head.scorers,
        quality=head.quality or head.scorers[0].called,
        groups=head.groups,
        request=head.request,
        repeats=head.repeats,
        margin=head.margin,
        cases=cases,
        version=_version(head, [row for _, row in rows]),
    )


def read_cases(path: Path) -> tuple[Case, ...]:
    """Cases alone, without a suite. Raises SuiteError with all problems at once."""
    problems: list[str] = []
    cases = tuple(_case(row) for _, row in _read_rows(path, problems))
    if problems:
        raise SuiteError(problems)
    return cases


def written(case: Case) -> bytes:
    """A case as a line of `cases.jsonl`, with only what it says."""
    line: dict[str, Any] = {"id": case.id, "messages": case.messages, "expected": case.expected}
    line |= {"segment": case.segment, "cluster": case.cluster, "metadata": case.metadata}
    if case.tools:
        line["tools"] = case.tools
    if case.documents:
        line["documents"] = [{"id": document.id, "text": document.text} for document in case.documents]
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _named(scorer: object) -> object:
    """A scorer without settings may be given by its kind alone."""
    return {"kind": scorer} if isinstance(scorer, str) else scorer


class _Head(_Strict):
    name: Text
    description: Text
    revision: Text = "1"
    scorers: Annotated[tuple[Annotated[ScorerSettings, BeforeValidator(_named)], ...], Field(min_length=1)]
    quality: str = ""
    groups: tuple[Text, ...] = ()
    request: dict[str, JsonValue] = Field(default_factory=dict)
    repeats: int = Field(1, ge=1, le=1000)
    margin: float = Field(DEFAULT_MARGIN, ge=0, lt=1)


class _Turn(BaseModel):
    """Fields beyond these travel on as they are, such as tool calls."""

    model_config = ConfigDict(extra="allow", frozen=True)

    role: Text
    content: str | list[dict[str, JsonValue]] | None = None


class _Passage(_Strict):
    id: str = ""
    text: Text


def _passage(document: object) -> object:
    return {"text": document} if isinstance(document, str) else document


def _answers(expected: object) -> object:
    """A bare text, number or list of texts is what the answer must be."""
    return expected if isinstance(expected, dict) else {"answer": expected}


class _Row(_Strict):
    id: Text
    messages: tuple[_Turn, ...] = ()
    input: Text | None = None
    expected: Annotated[dict[str, JsonValue], BeforeValidator(_answers)] = Field(default_factory=dict)
    segment: Text = ALL
    cluster: Text | None = None
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    tools: tuple[dict[str, JsonValue], ...] = ()
    documents: tuple[Annotated[_Passage, BeforeValidator(_passage)], ...] = ()


def _read_head(path: Path, problems: list[str]) -> _Head | None:
    data = None
    try:
        data = yaml_in(path)
        return _Head.model_validate(data)
    except ValidationError as error:
        problems += faults_in(error, data, _Head, str(path))
    except Unreadable as error:
        problems.append(str(error))
    return None


def _read_rows(path: Path, problems: list[str]) -> Iterator[tuple[str, _Row]]:
    """The sound rows of `path` with where they are; what is wrong with the others goes to `problems`."""
    seen: dict[str, str] = {}
    try:
        for where, line in lines_in(path):
            try:
                row = _Row.model_validate_json(line)
            except ValidationError as error:
                problems += faults_in(error, line, _Row, where)
                continue
            first = seen.setdefault(row.id, where)
            if first != where:
                problems.append(f"{where}: id: {row.id!r} is taken by line {first.rpartition(':')[2]}")
            problems += [f"{where}: {fault}" for fault in _misfits(row)]
            yield where, row
    except Unreadable as error:
        problems.append(str(error))
    if not seen and not problems:
        problems.append(f"{path}: no cases")


def _misfits(row: _Row) -> Iterator[str]:
    """What the types cannot say."""
    if bool(row.messages) == (row.input is not None):
        yield "a case has either `messages` or `input`"
    elif row.messages and row.messages[-1].role not in ("user", "tool"):
        yield "messages: the last one must be a user's, or a tool's"
    elif row.messages and row.messages[-1].content in (None, []):
        yield "messages: the last one has no `content`"
    ids = [document.id for document in _documents(row)]
    yield from (f"documents: two have the id {one!r}" for one in dict.fromkeys(ids) if ids.count(one) > 1)


def _misnamed(head: _Head) -> Iterator[str]:
    names = [settings.called for settings in head.scorers]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"scorers: two are called {name!r}; give one of them a `name`"
    if head.quality and head.quality not in names:
        yield f"quality: no scorer is called {head.quality!r}"


def _unjudged(settings: Sequence[ScorerSettings], cases: Sequence[Case], lines: Sequence[str]) -> Iterator[str]:
    """Cases that no scorer can judge, or whose expectation is wrong; scorers that can judge none of the cases."""
    try:
        scorers = [scorer_of(one, _NO_INSTRUMENTS) for one in settings]
    except ImportError as error:
        yield str(error)
        return
    idle = {scorer.name: "" for scorer in scorers}
    for case, line in zip(cases, lines, strict=True):
        missing, faults = {}, []
        for scorer in scorers:
            try:
                missing[scorer.name] = scorer.lacks(case)
            except ValueError as error:
                faults.append(f"{line}: {error}")
            if not missing.get(scorer.name):
                idle.pop(scorer.name, None)
        yield from dict.fromkeys(faults)
        if not faults and all(missing.values()):
            needed = "; ".join(f"{name} needs {what}" for name, what in missing.items())
            yield f"{line}: no scorer can judge this case: {needed}"
        idle |= {name: missing[name] for name in idle if missing.get(name)}
    if cases:
        yield from (
            f"scorers: {name} can judge none of the cases; it needs {what}" for name, what in idle.items() if what
        )


async def _nobody(_: Mapping[str, Any]) -> Answer:
    raise AssertionError("a suite is read without asking any model")


def _nothing(_: Sequence[str]) -> Vectors:
    raise AssertionError("a suite is read without an encoder")


# Any case may find another run's answer beside it: which run that is, is said only when the suite is run.
_NO_INSTRUMENTS = Instruments(ask=_nobody, encode=_nothing, reference=defaultdict(str))


def _case(row: _Row) -> Case:
    if row.input is not None:
        messages: tuple[dict[str, Any], ...] = ({"role": "user", "content": row.input},)
    else:
        messages = tuple(turn.model_dump(exclude_unset=True) for turn in row.messages)
    return Case(
        id=row.id,
        messages=messages,
        expected=row.expected,
        segment=row.segment,
        cluster=row.cluster or row.id,
        metadata=row.metadata,
        tools=row.tools,
        documents=_documents(row),
    )


def _documents(row: _Row) -> tuple[Document, ...]:
    return tuple(Document(one.id or str(place), one.text) for place, one in enumerate(row.documents, 1))


def _version(head: _Head, rows: Sequence[_Row]) -> str:
    settings = [scorer.model_dump(mode="json") for scorer in head.scorers]
    content = {"scorers": settings, "quality": head.quality, "request": head.request}
    cases = [row.model_dump(mode="json") for row in rows]
    return f"sha256:{hashlib.sha256(canonical({**content, 'cases': cases})).hexdigest()}"
