"""A route's own traffic as it was written down beside the requests, read back for learning.

The non-obvious decision: a score that came later than its question (feedback) is joined to it by the request's id,
so that nobody needs to send a question twice, and a score whose question is gone teaches nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import orjson
from msgspec import Struct, field

from distill.checks import Example
from distill.outcomes import Outcome
from heads.signals import Signals

_SIGNALS = frozenset(Signals.__struct_fields__)


class Asked(Struct, frozen=True, kw_only=True):
    """One answered request. `propensities`: with which the policy could have chosen each model; cost in dollars."""

    request_id: str
    at: str
    query: str
    model: str
    chosen: str
    propensities: Mapping[str, float]
    cost: float
    intent: str


class Traffic(Struct, frozen=True, kw_only=True):
    """What lines of one route amount to. `unread` counts lines that are no JSON objects."""

    asked: list[Asked] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By request and model: the mean, where several scored it."""
    unread: int = 0


def read_traffic(paths: Sequence[Path], route: str) -> Traffic:
    """The lines about `route` in `paths`, oldest file first. Raises OSError."""
    lines, unread = _lines(paths)
    mine = [line for line in lines if line.get("route") == route]
    asked: dict[str, Asked] = {}
    for line in mine:
        if "score" not in line and (one := _asked(line)) is not None:
            asked[one.request_id] = one
    outcomes: list[Outcome] = []
    examples: list[Example] = []
    scores: dict[str, dict[str, list[float]]] = {}
    for line in mine:
        score, model, request_id = line.get("score"), line.get("model"), str(line.get("request_id", ""))
        if not isinstance(score, int | float) or not isinstance(model, str) or not model or not 0 <= score <= 1:
            continue
        query = line.get("query") or (asked[request_id].query if request_id in asked else "")
        if not query or not isinstance(query, str):
            continue
        # Who scored is no source of queries: a question that was shadowed and scored by a client is the same one.
        outcomes.append(Outcome(query=query, model=model, score=float(score)))
        scores.setdefault(request_id, {}).setdefault(model, []).append(float(score))
        if isinstance(line.get("signals"), dict):
            examples.append(_example(line, query, float(score)))
    return Traffic(
        asked=list(asked.values()),
        outcomes=outcomes,
        examples=examples,
        scores={id_: {model: fmean(each) for model, each in found.items()} for id_, found in scores.items()},
        unread=unread,
    )


def _lines(paths: Sequence[Path]) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    unread = 0
    for path in paths:
        for line in _rows(path):
            try:
                value = orjson.loads(line)
            except orjson.JSONDecodeError:  # the last line of a Weir that was killed, most often
                unread += 1
                continue
            if isinstance(value, dict):
                found.append(value)
            else:
                unread += 1
    return found, unread


def _rows(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            if line.strip():
                yield line


def _asked(line: Mapping[str, Any]) -> Asked | None:
    try:
        return Asked(
            request_id=str(line["request_id"]),
            at=str(line.get("at", "")),
            query=str(line["query"]),
            model=str(line["model"]),
            chosen=str(line.get("chosen", line["model"])),
            propensities={str(model): float(one) for model, one in dict(line.get("propensities", {})).items()},
            cost=float(line.get("cost_usd", 0.0)),
            intent=str(line.get("intent", "unknown")),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _example(line: Mapping[str, Any], query: str, score: float) -> Example:
    known = {name: value for name, value in line["signals"].items() if name in _SIGNALS and _is_number(value)}
    answer = line.get("answer")
    known |= {"question": query, "answer": answer if isinstance(answer, str) else None}
    return Example(
        signals=Signals(**known), good=score, strong=1.0, task=str(line.get("intent", "")), group=query[:200]
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
