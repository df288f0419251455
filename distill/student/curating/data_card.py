"""What a student's data is: figures for machines, and a card that people read before they trust it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

from msgspec import Struct

from contracts.money import ZERO, plain
from distill.student.curating.mined import MinedTraffic
from distill.student.curating.parting import PARTS, Part
from distill.student.curating.sifting import Fates
from distill.student.curating.unknown import Unknown
from distill.student.examples import Example
from distill.student.judging import Judge, Verdicts
from evals.suite import Suite

_THIN = 5
"""Test questions of an intent below which nobody can say much about it: all of five right leaves 48 % possible."""


class Lesson(Struct, frozen=True, kw_only=True):
    """What the teacher was asked: questions, whole answers, questions beyond the cap, dollars over all starts."""

    teacher: str = ""
    asked: int = 0
    answered: int = 0
    left_out: int = 0
    usd: Decimal = ZERO


class Judging(Struct, frozen=True, kw_only=True):
    """What the judge was asked: answers, verdicts on them, answers beyond the cap, dollars over all starts."""

    judge: str = ""
    asked: int = 0
    told: int = 0
    left_out: int = 0
    usd: Decimal = ZERO

    @classmethod
    def of(cls, verdicts: Verdicts, judge: Judge | None) -> Self:
        return cls(
            judge="" if judge is None else judge.name,
            asked=verdicts.asked,
            told=len(verdicts.found),
            left_out=verdicts.left_out,
            usd=verdicts.usd,
        )


class Amount(Struct, frozen=True):
    """Different questions, and the requests that they stand for."""

    questions: int
    requests: int


class DataFacts(Struct, frozen=True, kw_only=True):
    """`data.json`. `kept` requests are in the parts or among the unknown; `dropped` are the rest of `read`.
    `asked` are those with a question, by intent, dropped or not: what the traffic asks for.

    `intents` and `languages` have the questions of each part, `failed` counts answers that did not pass, `hidden`
    and `found` personal data that mining took out, and that curation found besides. `traffic` is what mining says.
    """

    read: int
    kept: int
    dropped: Mapping[str, int]
    asked: Mapping[str, int]
    parts: Mapping[Part, Amount]
    unknown: Mapping[Part, Amount]
    intents: Mapping[str, Mapping[Part, int]]
    languages: Mapping[str, Mapping[Part, int]]
    confirmed: Mapping[str, int]
    failed: Mapping[str, int]
    found: Mapping[str, int]
    lesson: Lesson
    judging: Judging
    tenants: Mapping[str, int]
    first_day: str
    last_day: str
    files: Mapping[str, str]
    traffic: Mapping[str, Any]
    suite: str
    suite_version: str
    suite_skipped: Mapping[str, int]
    beside_cases: int
    settings: Mapping[str, Any]

    @classmethod
    def of(
        cls,
        traffic: MinedTraffic,
        examples: Mapping[Part, Sequence[Example]],
        unknown: Sequence[Unknown],
        fates: Fates,
        lesson: Lesson,
        judging: Judging,
        *,
        suite: Suite | None,
        settings: Mapping[str, Any],
    ) -> DataFacts:
        every = [one for part in PARTS for one in examples[part]]
        days = sorted(one.day for one in traffic.requests if one.day)
        parts: dict[Part, Amount] = {part: _amount(examples[part]) for part in PARTS}
        strange: dict[Part, Amount] = {
            part: _amount([one for one in unknown if one.part == part]) for part in PARTS
        }
        return cls(
            read=len(traffic.requests),
            kept=sum(amount.requests for amount in (*parts.values(), *strange.values())),
            dropped=_by_name(fates.dropped),
            asked=_by_name(fates.asked),
            parts=parts,
            unknown=strange,
            intents=_by_part(examples, "intent"),
            languages=_by_part(examples, "lang"),
            confirmed=_by_name(Counter(one.source for one in every)),
            failed=_by_name(fates.failed),
            found=_by_name(fates.hidden),
            lesson=lesson,
            judging=judging,
            tenants=_by_name(Counter(request.tenant for request in traffic.requests)),
            first_day=days[0] if days else "",
            last_day=days[-1] if days else "",
            files=traffic.files,
            traffic=traffic.told,
            suite=suite.name if suite is not None else "",
            suite_version=suite.version if suite is not None else "",
            suite_skipped=_by_name(fates.skipped),
            beside_cases=fates.beside_cases,
            settings=settings,
        )

    @property
    def limits(self) -> list[str]:
        """What a reader has to know before they trust a student that learned from this."""
        thin = [intent for intent, parts in self.intents.items() if parts["test"] < _THIN]
        told = [
            "Names that just stand there, street addresses and the like are not found: people must read examples.",
            "An answer counts as good where something spoke for it; nobody checked all of them.",
        ]
        if thin:
            told.append(f"Fewer than {_THIN} test questions: {', '.join(thin)}.")
        if self.confirmed.get("few to compare with"):
            told.append(f"Nothing speaks for or against {self.confirmed['few to compare with']:,} of the answers.")
        if self.lesson.left_out:
            told.append(f"The cap left {self.lesson.left_out:,} questions without the teacher's answer.")
        if silent := self.judging.asked - self.judging.told:
            told.append(f"The judge had no verdict on {silent:,} answers: words alone spoke for them, or against.")
        if len(self.tenants) > 1:
            told.append(f"It is of {len(self.tenants)} tenants together: what one was told, all are.")
        return told


def data_card(facts: DataFacts) -> str:
    """Markdown."""
    share = facts.kept / facts.read if facts.read else 0.0
    period = f"from {facts.first_day} to {facts.last_day}" if facts.first_day else "of days that nobody noted"
    parts = [
        [part, facts.parts[part].questions, facts.parts[part].requests, facts.unknown[part].questions]
        for part in PARTS
    ]
    blocks = [
        "# Data card",
        f"{facts.read:,} requests {period}; {facts.kept:,} ({share:.1%}) are in the parts.",
        "## Parts",
        _table(["part", "questions", "requests", "unknown questions"], parts),
        "Unknown questions are of intents that were not picked: the student is kept away from them.",
        _suite(facts),
        "## Intents",
        _table(["intent", *PARTS], _rows(facts.intents)),
        "## Languages",
        _table(["language", *PARTS], _rows(facts.languages)),
        "## What was dropped, and why",
        _table(["reason", "requests"], facts.dropped.items()),
        "Answers that did not pass, whose questions may have had another one:",
        _table(["reason", "answers"], facts.failed.items()),
        "Cases of the suite that no student is asked:",
        _table(["reason", "cases"], facts.suite_skipped.items()),
        "## What speaks for the answers",
        _table(["source", "questions"], facts.confirmed.items()),
        _asked(facts.lesson),
        _judged(facts.judging),
        "## Personal data",
        "Found after mining had hidden what it found; such requests were dropped:",
        _table(["kind", "times"], facts.found.items()),
        "## Where it comes from",
        "Traffic of tenants who consent to `training`, and of nobody else:",
        _table(["tenant", "requests"], facts.tenants.items()),
        _table(["file", "SHA-256"], facts.files.items()),
        "\n".join(f"- {key}: {_said(value)}" for key, value in facts.traffic.items() if key != "settings"),
        "## Limits",
        "\n".join(f"- {limit}" for limit in facts.limits),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _suite(facts: DataFacts) -> str:
    if not facts.suite:
        return "No suite was given."
    return (
        f"Cases of the suite {facts.suite} (`{facts.suite_version}`) are in `tune` and `test`. "
        f"{facts.beside_cases:,} requests that ask the same are there with them, and not learned from."
    )


def _asked(lesson: Lesson) -> str:
    if not lesson.teacher:
        return "No teacher was asked."
    return (
        f"{lesson.teacher} was asked {lesson.asked:,} questions and answered {lesson.answered:,}, for "
        f"${plain(round(lesson.usd, 6))}; the cap left out {lesson.left_out:,}."
    )


def _judged(judging: Judging) -> str:
    if not judging.judge:
        return "No judge was asked."
    return (
        f"{judging.judge} was asked whether {judging.asked:,} answers are right and had a verdict on "
        f"{judging.told:,}, for ${plain(round(judging.usd, 6))}; the cap left out {judging.left_out:,}."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    if not lines:
        return "None."
    return "\n".join([f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}", *lines])


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value).replace("|", "\\|") or "not said"


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_said(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(_said(one) for one in value) or "none"
    return _cell(value)


def _rows(parts: Mapping[str, Mapping[Part, int]]) -> list[list[object]]:
    return [[name, *(found[part] for part in PARTS)] for name, found in parts.items()]


def _by_part(examples: Mapping[Part, Sequence[Example]], field: str) -> dict[str, Mapping[Part, int]]:
    counts = {part: Counter(str(getattr(one, field)) for one in examples[part]) for part in PARTS}
    names = sorted({name for count in counts.values() for name in count})
    return {name: {part: counts[part][name] for part in PARTS} for name in names}


def _by_name(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}


def _amount(questions: Sequence[Example]) -> Amount:
    return Amount(len(questions), int(sum(one.weight for one in questions)))
