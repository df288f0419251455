"""The example's log and suite as requests to its route, each with what a right answer says, where that is known.

A request is right where its answer states all facts of its intent, or those of a hard question; a later turn, where
its answer has the example's in it, or agrees with that in its words. Some hard questions have no known answer: they
are billed like all others, and judged by nobody.

The non-obvious decision: a question counts as new by its wording and not by its text. The log's customers say hello
and thank you around a phrasing, and a student that saw the one has seen the other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from benchmarks.example_weir import ROUTE
from evals.scorers.contains_facts import Fact
from heads.answers import agreement

Kind = Literal["first", "later", "hard"]
_AGREES = 0.7
"""Of the example's answers to different questions no two agree by more than 0.6, and a copy agrees by 1."""
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`at` in seconds. `kind`: a first turn, a later one, or a hard question, for which no intent is known.

    `facts` and `answer` are what a right answer states or agrees with; where both are empty, nobody knows.
    """

    tenant: str
    conversation: str
    at: float
    stream: bool
    messages: Sequence[Mapping[str, Any]]
    kind: Kind
    intent: str
    wording: str
    facts: tuple[Fact, ...] = ()
    answer: str = ""

    @property
    def judged(self) -> bool:
        return bool(self.facts or self.answer)

    def right(self, text: str) -> bool:
        if self.answer:
            return Fact((self.answer,)).stated_in(text) or agreement(self.answer, text) >= _AGREES
        return all(fact.stated_in(text) for fact in self.facts)


class Example:
    """The files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        intents = self._lines("intents.jsonl")
        self._facts = {row["intent"]: _facts(row["facts"]) for row in intents}
        self._phrasings = {
            row["intent"]: sorted((_plain(each["text"]) for each in row["phrasings"]), key=len, reverse=True)
            for row in intents
        }
        self._later = {(row["intent"], row["text"]): row["answer"] for row in self._lines("followups.jsonl")}
        self._hard = {row["text"]: _facts(row["expected"]) for row in self._lines("hard.jsonl")}

    def weeks(self) -> tuple[list[str], list[Request], list[Request]]:
        """The first half of the log as it stands, of all routes, and the route's requests in either half.

        No conversation is in both: the log's halves are cut where none is going on.
        """
        lines = self._text("log.jsonl")
        rows = [json.loads(line) for line in lines]
        turn = sorted(row["at"] for row in rows)[len(rows) // 2]
        early = [line for line, row in zip(lines, rows, strict=True) if row["at"] < turn]
        mine = [row for row in rows if row["route"] == ROUTE]
        first = [self._request(row) for row in mine if row["at"] < turn]
        second = [self._request(row) for row in mine if row["at"] >= turn]
        if both := {one.conversation for one in first} & {one.conversation for one in second}:
            raise SystemExit(f"the log's halves share conversations, such as {min(both)}: cut it elsewhere")
        return early, first, second

    def cases(self) -> list[Request]:
        """The suite's, each asked once by one tenant; a conversation is a cluster of the suite."""
        return [
            Request(
                tenant="acme",
                conversation=row["cluster"],
                at=0.0,
                stream=False,
                messages=row["messages"],
                kind=_kind(len(row["messages"]), known=row["segment"] in self._facts),
                intent=row["segment"],
                wording=_plain(row["messages"][-1]["content"]),
                facts=_facts(row["expected"].get("facts", ())),
            )
            for row in self._lines("suite/cases.jsonl")
        ]

    def _request(self, row: Mapping[str, Any]) -> Request:
        text, intent, known = row["messages"][-1]["content"], row["intent"], row["intent"] != _UNKNOWN
        answer = self._later.get((intent, text), "") if row["turn"] > 1 else ""
        return Request(
            tenant=row["tenant"],
            conversation=row["conversation"],
            at=datetime.fromisoformat(row["at"]).timestamp(),
            stream=row["stream"],
            messages=row["messages"],
            kind=_kind(row["turn"], known=known),
            intent=intent,
            wording=self._wording(intent, text),
            facts=() if answer else self._facts[intent] if known else self._hard.get(text, ()),
            answer=answer,
        )

    def _wording(self, intent: str, text: str) -> str:
        plain = _plain(text)
        return next((phrasing for phrasing in self._phrasings.get(intent, ()) if phrasing in plain), plain)

    def _lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._text(name)]

    def _text(self, name: str) -> list[str]:
        return (self._folder / name).read_text(encoding="utf-8").splitlines()


def wordings(requests: Iterable[Request]) -> frozenset[str]:
    """All that were asked, in whatever turn."""
    return frozenset(one.wording for one in requests)


def _kind(turns: int, *, known: bool) -> Kind:
    if turns > 1:
        return "later"
    return "first" if known else "hard"


def _facts(texts: Iterable[str]) -> tuple[Fact, ...]:
    return tuple(map(Fact.parse, texts))


def _plain(text: str) -> str:
    return text.casefold().strip(" .?!¿¡")
