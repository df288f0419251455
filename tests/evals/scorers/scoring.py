"""A scorer as a suite names it, asked about one answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from numpy.typing import NDArray

from evals.cases import Case, Document
from evals.records import Answer, Citation, Score, ToolCall
from evals.scorers.catalogue import SETTINGS, scorer_of
from evals.scorers.port import Instruments, Scorer

unhurried = settings(deadline=None)
"""For properties that ask a scorer: an event loop each time is slow on a busy machine, which is no fault."""
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


async def nobody(_: Mapping[str, Any]) -> Answer:
    raise AssertionError("these scorers ask no model")


def letters(texts: Sequence[str]) -> NDArray[np.float32]:
    """An encoder that counts the letters a to z."""
    counts = np.array([[text.lower().count(chr(97 + place)) for place in range(26)] for text in texts], np.float32)
    return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def scorer(kind: str, *, encode: Encode = letters, encoder: str = "", **options: Any) -> Scorer:
    instruments = Instruments(ask=nobody, encode=encode, encoder=encoder)
    return scorer_of(SETTINGS.validate_python({"kind": kind, **options}), instruments)


def case(expected: Mapping[str, Any], documents: Sequence[str] = ()) -> Case:
    return Case(
        id="a",
        messages=({"role": "user", "content": "Well?"},),
        expected=expected,
        segment="all",
        cluster="a",
        metadata={},
        documents=tuple(Document(f"doc-{place}", text) for place, text in enumerate(documents, 1)),
    )


def lacks(kind: str, expected: Mapping[str, Any], documents: Sequence[str] = (), **options: Any) -> str:
    return scorer(kind, **options).lacks(case(expected, documents))


def scored(
    kind: str,
    expected: Mapping[str, Any],
    text: str = "",
    *,
    calls: Sequence[tuple[str, str]] = (),
    documents: Sequence[str] = (),
    cites: Sequence[tuple[str, str, str]] = (),
    evidence: Mapping[str, str] | None = None,
    tokens: int = 1,
    **options: Any,
) -> Score:
    """The score of an answer; that it can be judged at all, and that a reason goes with a fault, is seen to.

    `cites` has a mark, a file's name and a passage for each citation.
    """
    asked, judge = case(expected, documents), scorer(kind, **options)
    assert judge.lacks(asked) == ""
    answer = Answer(
        text=text,
        tool_calls=tuple(ToolCall(name, arguments) for name, arguments in calls),
        citations=tuple(Citation(mark=mark, filename=name, text=passage) for mark, name, passage in cites),
        evidence=evidence or {},
        completion_tokens=tokens,
    )
    score = asyncio.run(judge.score(asked, answer))
    assert 0 <= score.value <= 1
    assert not judge.binary or score.value in (0, 1)
    assert bool(score.why) == (score.value < 1) or not judge.binary
    return score


def right(kind: str, expected: Mapping[str, Any], text: str, **options: Any) -> bool:
    return scored(kind, expected, text, **options).value == 1
