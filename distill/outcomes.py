"""Outcomes: what each model's answer to a query was worth. What heads learn from, and how they are read from a
file.

The non-obvious decision: a line is wrong or right as a whole, and a wrong one ends the reading with its number. Of
labels that cost a person's time, none should vanish without a word.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct


class Outcome(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One model's answer to one query. `score`: 0..1, 1 for as good as can be.

    `source`: where the query came from; equal queries of different sources are different ones.
    """

    query: str
    model: str
    score: float
    weight: float = 1.0
    cost_usd: float | None = None
    source: str = ""
    tenant: str = ""
    route: str = ""
    request_id: str = ""


class OutcomeFault(ValueError):
    """An outcome that cannot be learned from. The message says which and why."""


_DECODER = msgspec.json.Decoder(Outcome)


def parsed(lines: Iterable[bytes | str], name: str = "outcomes") -> Iterator[Outcome]:
    """An outcome for each line of JSON; blank lines are skipped. Raises OutcomeFault with `name` and the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            outcome = _DECODER.decode(line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise OutcomeFault(f"{name}, line {number}: {error}") from error
        if fault := fault_of(outcome):
            raise OutcomeFault(f"{name}, line {number}: {fault}")
        yield outcome


def read_outcomes(path: Path) -> list[Outcome]:
    """JSON lines, gzipped where the name ends in .gz. Raises OutcomeFault, also where the file holds no outcome."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            outcomes = list(parsed(lines, str(path)))
    except (OSError, EOFError) as error:
        raise OutcomeFault(f"{path} cannot be read: {error}") from error
    if not outcomes:
        raise OutcomeFault(f"{path} holds no outcomes")
    return outcomes


def fault_of(outcome: Outcome) -> str:
    """Why it cannot be learned from; empty where it can."""
    if not 0 <= outcome.score <= 1:  # NaN is neither
        return f"the score is {outcome.score}, which is not in 0..1"
    if not 0 < outcome.weight < math.inf:
        return f"the weight is {outcome.weight}, which is not above 0"
    if outcome.cost_usd is not None and not 0 <= outcome.cost_usd < math.inf:
        return f"the cost is {outcome.cost_usd}, which is no amount"
    if not outcome.model:
        return "the model has no name"
    return ""
