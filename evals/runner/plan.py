"""What a run has to do: each case, as often as it is asked, under a key that names the answer.

The non-obvious decision: the key is of what is sent and to whom, not of the case's name. A case whose facts or
segment changed keeps its answer and is scored anew; one whose question changed is asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.cases import Case, canonical
from evals.records import Row, ScorerFacts

_DOCUMENTS = "Documents for the question below, each with its number and its id:"


@dataclass(frozen=True, slots=True)
class Work:
    """A case to be asked for the `repeat`-th time, from 0. `had` is its row, where only scores are wanting."""

    case: Case
    repeat: int
    key: str
    had: Row | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`request` are fields of every request; `fresh`: no stored answer of a Weir will do."""

    cases: Sequence[Case]
    repeats: int
    target_version: str
    request: Mapping[str, Any]
    fresh: bool = True

    @property
    def size(self) -> int:
        return len(self.cases) * self.repeats

    def key(self, case: Case, repeat: int) -> str:
        return _hash([case.asked, self.target_version, self.request, self.fresh, repeat])

    def config_hash(self, scorers: Mapping[str, ScorerFacts]) -> str:
        """Of all that changes a run's figures, but for its cases."""
        versions = {name: facts.version for name, facts in scorers.items()}
        return _hash([self.target_version, self.request, self.fresh, versions])

    def works(self, done: Collection[tuple[str, int]] = ()) -> Iterator[Work]:
        """All but those that are `done`. Every case comes once before one comes again: half a run is a sample."""
        for repeat in range(self.repeats):
            for case in self.cases:
                if (case.id, repeat) not in done:
                    yield Work(case, repeat, self.key(case, repeat))


def body_of(case: Case, request: Mapping[str, Any]) -> dict[str, Any]:
    """A case as a chat request without its model.

    Documents come first, as a system message: a line that says what follows, and for each, after an empty line,
    `[1] (id)` and its text. `request` comes last, so that it may also set `tools` or `messages` of its own.
    """
    messages: list[Mapping[str, Any]] = list(case.messages)
    if case.documents:
        parts = [f"[{number}] ({found.id})\n{found.text}" for number, found in enumerate(case.documents, 1)]
        messages.insert(0, {"role": "system", "content": "\n\n".join([_DOCUMENTS, *parts])})
    tools = {"tools": list(case.tools)} if case.tools else {}
    return {"messages": messages, **tools, **request}


def _hash(value: Any) -> str:
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()
