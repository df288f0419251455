"""Eval suites as they lie on disk: a folder with `suite.yaml` and `cases.jsonl`.

A suite's version is a hash of its scorers and cases as they were understood, not of the bytes in the files:
a comment or another order of keys leaves results comparable, a changed fact does not.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints, ValidationError

_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "«": '"', "»": '"'})
_JOINED = r"(?:\w|[.,]\d)"
"""What makes a word or number longer at its end; at its beginning it is the mirror image."""

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class SuiteError(ValueError):
    """A suite that cannot be used. `problems` names each fault with its file and line."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a good answer states, in any of several wordings, written `one|another`."""

    alternatives: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Fact:
        """Raises ValueError where an alternative is empty."""
        alternatives = tuple(part.strip() for part in text.split("|"))
        if not all(_plain(part) for part in alternatives):
            raise ValueError(f"a fact with an empty alternative: {text!r}")
        return cls(alternatives)

    def stated_in(self, answer: str) -> bool:
        """Whether `answer` contains one of the wordings as whole words and numbers.

        Case, accents, runs of blanks and the kind of quotation marks do not count.
        """
        plain = _plain(answer)
        return any(_bounded(_plain(part)).search(plain) for part in self.alternatives)

    def __str__(self) -> str:
        return "|".join(self.alternatives)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question to a target. `messages` end with a user's turn.

    `segment` is what results are broken down by. Cases of one `cluster` resemble each other, and statistics must
    not count them as independent.
    """

    id: str
    messages: tuple[Mapping[str, str], ...]
    facts: tuple[Fact, ...]
    segment: str
    cluster: str
    metadata: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """Cases and the names of the scorers that judge the answers. `revision` is the author's, `version` a hash."""

    name: str
    description: str
    revision: str
    scorers: tuple[str, ...]
    cases: tuple[Case, ...]
    version: str


def read_suite(folder: Path) -> Suite:
    """The suite in `folder`. Raises SuiteError with all problems at once."""
    problems: list[str] = []
    head = _read_head(folder / "suite.yaml", problems)
    rows = list(_read_rows(folder / "cases.jsonl", problems))
    if head is None or problems:
        raise SuiteError(problems)
    return Suite(
        name=head.name,
        description=head.description.strip(),
        revision=head.revision,
        scorers=head.scorers,
        cases=tuple(_case(row) for row in rows),
        version=_version(head, rows),
    )


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Head(_Strict):
    name: Text
    description: Text
    revision: Text
    scorers: Annotated[tuple[Text, ...], Field(min_length=1)]


class _Message(_Strict):
    role: Literal["system", "user", "assistant"]
    content: Text


class _Expected(_Strict):
    facts: tuple[Text, ...]


class _Row(_Strict):
    id: Text
    messages: Annotated[tuple[_Message, ...], Field(min_length=1)]
    expected: _Expected
    segment: Text
    cluster: Text
    metadata: dict[str, JsonValue]


def _read_head(path: Path, problems: list[str]) -> _Head | None:
    try:
        return _Head.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8: {error.reason}")
    except yaml.YAMLError as error:
        problems.append(f"{path}: not YAML: {error}")
    except ValidationError as error:
        problems += _faults(error, str(path))
    return None


def _read_rows(path: Path, problems: list[str]) -> Iterator[_Row]:
    """The sound rows of `path`; what is wrong with the others goes to `problems`."""
    try:
        # Not splitlines(): a JSON string may hold U+2028 and its like.
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        problems.append(f"{path}: {error.strerror}")
        return
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8: {error.reason}")
        return
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = _Row.model_validate_json(line)
        except ValidationError as error:
            problems += _faults(error, where)
            continue
        first = seen.setdefault(row.id, number)
        if first != number:
            problems.append(f"{where}: id: {row.id!r} is taken by line {first}")
        problems += [f"{where}: {fault}" for fault in _misfits(row)]
        yield row
    if not seen and not problems:
        problems.append(f"{path}: no cases")


def _misfits(row: _Row) -> Iterator[str]:
    """What the types cannot say."""
    if row.messages[-1].role != "user":
        yield "messages: the last one must be a user's"
    for index, text in enumerate(row.expected.facts):
        try:
            Fact.parse(text)
        except ValueError as error:
            yield f"expected.facts.{index}: {error}"


def _faults(error: ValidationError, where: str) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        path = ".".join(str(part) for part in fault["loc"])
        yield ": ".join(part for part in (where, path, fault["msg"]) if part)


def _case(row: _Row) -> Case:
    return Case(
        id=row.id,
        messages=tuple(message.model_dump() for message in row.messages),
        facts=tuple(Fact.parse(text) for text in row.expected.facts),
        segment=row.segment,
        cluster=row.cluster,
        metadata=row.metadata,
    )


def _version(head: _Head, rows: Sequence[_Row]) -> str:
    content = {"scorers": head.scorers, "cases": [row.model_dump() for row in rows]}
    canonical = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.casefold().split())


def _bounded(fact: str) -> re.Pattern[str]:
    before = r"(?<!\w)(?<!\d[.,])" if fact[0].isalnum() else ""
    after = rf"(?!{_JOINED})" if fact[-1].isalnum() else ""
    return re.compile(before + re.escape(fact) + after)
