"""What was found out about a version of a prompt, beside the version that it is to follow.

It is written into the registry's log as the evidence of a verdict: the same prompt may be tried again later, on
another suite or for another model, and its version stays what it was.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
from msgspec import Struct

Objective = Literal["quality", "cost"]
"""What an optimiser was after: better answers, or answers as good for less money."""


class Change(Struct, frozen=True, kw_only=True):
    """Before, after, and the change with its interval: a difference of quality, a ratio of dollars.

    `verdict` is one of `evals.verdicts`.
    """

    before: float
    after: float
    change: float
    low: float
    high: float
    verdict: str


class Share(Struct, frozen=True, kw_only=True):
    """The quality of a segment of the cases."""

    segment: str
    cases: int
    quality: Change


class ServedBy(Struct, frozen=True, kw_only=True):
    """A model that answered: its name in the configuration, its upstream, and what that calls it."""

    model: str
    upstream: str
    name: str


class Evidence(Struct, frozen=True, kw_only=True):
    """`before` and `after` are versions, the cases those that the optimiser never saw.

    Tokens and dollars are means for one request. `breaks_even` is after how many requests the new version has
    saved what finding it took: 0 where nothing was spent, None where no request gets cheaper.
    """

    route: str
    before: str
    after: str
    at: datetime
    objective: Objective
    optimiser: str
    suite: str
    """Its folder, as it was named."""
    suite_version: str
    cases: int
    level: float
    """Confidence of the intervals, such as 0.95."""
    quality: Change
    cost: Change | None
    segments: tuple[Share, ...]
    prompt_tokens_before: float
    prompt_tokens_after: float
    spent: Decimal
    """Dollars for the whole search."""
    breaks_even: int | None
    models: tuple[ServedBy, ...]
    """Who answered under the new version, but for those that only stood in for a failed one."""
    refusals: tuple[str, ...]
    """Why the new version may not be served, whatever its figures."""
    summary: str
    """What came of it, in a sentence or two."""
    unasked: tuple[str, ...] = ()
    """Models that the route's policy could have chosen too, and chose for none of the cases."""
    tenant: str = ""
    """Whose requests were asked."""
    reflect_with: str = ""
    """The model that wrote instructions; empty where the optimiser asks none to."""


def written(evidence: Evidence) -> dict[str, Any]:
    """As JSON has it; money as text, to the last digit."""
    return dict(msgspec.to_builtins(evidence))


def read(evidence: Any) -> Evidence | None:
    """What `written` made; None where a log's evidence is about something else."""
    try:
        return msgspec.convert(evidence, Evidence, strict=False)
    except msgspec.ValidationError:
        return None
