"""What a usage event adds to the sums by hour and day, and to the spread of latencies.

Money stands with the model that was paid. An event whose first answer was paid for and not delivered is several
parts: one for the model that answered, with the request itself, and one for each attempt. They add up to the
event's cost to the last digit.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Any, NamedTuple

import orjson
from msgspec import Struct

from contracts.errors import BreakerOpen, BudgetSpent, BudgetUnavailable, LimitReached
from contracts.money import ZERO, usd
from contracts.records import CHARGE, AttemptRecord, UsageEvent, Verdict
from contracts.usage import TokenUsage

_HITS = ("exact", "semantic")
_NEVER_CALLED = frozenset({LimitReached.code, BudgetSpent.code, BudgetUnavailable.code, BreakerOpen.code})
"""Attempts that ended so took nothing of an upstream: it was not asked."""
_LONGEST_TAG = 64
"""Characters. Longer values are cut, so that a client's text cannot outgrow an index entry."""
_SMALLEST_MS = 0.1
_WIDTH = 1.05
_BOUNDS = [_SMALLEST_MS * _WIDTH**step for step in range(480)]
"""From a tenth of a millisecond to more than two weeks."""


READ_BY_PARTS = (
    "request_id", "at", "tenant", "key_id", "route", "endpoint", "model", "purpose", "outcome", "prompt_tokens",
    "completion_tokens", "cached_tokens", "usage_source", "cost", "saved", "avoided", "priced_by", "verdict",
    "attempts", "tags",
)  # fmt: skip
"""What `parts_of` looks at in a row of `usage_events`, and when it was."""


class Place(NamedTuple):
    """Where an amount belongs. `tags` is a JSON object of those tags that are told apart, names sorted."""

    tenant: str
    key_id: str
    route: str
    model: str
    purpose: str
    tags: str


class Sums(Struct, frozen=True, kw_only=True):
    """What can be added up. Tokens are those an upstream billed: a cached answer's are not counted again."""

    requests: int = 0
    hits: int = 0
    """Answered from Weir's cache, exact or semantic."""
    failed: int = 0
    """Requests without a whole answer."""
    estimated: int = 0
    """Requests whose tokens had to be estimated."""
    unpriced: int = 0
    """Requests whose model has no price, so that their cost is unknown and counted as nothing."""
    calls: int = 0
    """Attempts at which an upstream was asked, whatever came of them."""
    failed_calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """The part of `prompt_tokens` that providers read from their own caches."""
    cost: Decimal = ZERO
    saved: Decimal = ZERO
    avoided: Decimal = ZERO

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            requests=self.requests + other.requests,
            hits=self.hits + other.hits,
            failed=self.failed + other.failed,
            estimated=self.estimated + other.estimated,
            unpriced=self.unpriced + other.unpriced,
            calls=self.calls + other.calls,
            failed_calls=self.failed_calls + other.failed_calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=self.cost + other.cost,
            saved=self.saved + other.saved,
            avoided=self.avoided + other.avoided,
        )

    @property
    def hit_rate(self) -> float:
        """Share of requests answered from the cache; 0 where there were none."""
        return self.hits / self.requests if self.requests else 0.0

    @property
    def estimated_share(self) -> float:
        """Share of requests whose tokens were estimated; 0 where there were none."""
        return self.estimated / self.requests if self.requests else 0.0


def parts_of(event: UsageEvent | Mapping[str, Any], tags: Sequence[str] = ()) -> list[tuple[Place, Sums]]:
    """One event, or a row of `usage_events`, by whom it was spent on which model. `tags`: names to tell apart.

    Raises ValueError or ArithmeticError where money in it is none.
    """
    found = _counted(event) if isinstance(event, Mapping) else event
    usage, billed = found.usage, found.usage.source != "cache"
    place = _place_of(found, tags)
    undelivered, calls, failed_calls, others = ZERO, 0, 0, []
    for attempt in found.attempts:
        if attempt.cost is None and attempt.usage is None:
            if attempt.error in _NEVER_CALLED:
                continue
            if _clean(attempt.model) == place.model:
                calls += 1
                failed_calls += attempt.error != ""
                continue
        sums = _of_attempt(attempt)
        undelivered += sums.cost
        others.append((place._replace(model=_clean(attempt.model)), sums))
    own = Sums(
        requests=int(found.endpoint != CHARGE),
        hits=int(found.verdict.kind in _HITS),
        failed=int(found.outcome != "answered"),
        estimated=int(usage.source == "estimated"),
        unpriced=int(found.priced_by == "unpriced"),
        calls=calls,
        failed_calls=failed_calls,
        prompt_tokens=usage.prompt if billed else 0,
        completion_tokens=usage.completion if billed else 0,
        cached_tokens=usage.cached if billed else 0,
        cost=usd(found.cost) - undelivered,
        saved=usd(found.saved),
        avoided=usd(found.avoided),
    )
    return [(place, own), *others]


def bucket_of(ms: float) -> int:
    """The class of latencies that `ms` falls into: 0 below a tenth of a millisecond, then 5 % wide each."""
    return bisect_right(_BOUNDS, ms)


def bounds_of(bucket: int) -> tuple[float, float]:
    """From which milliseconds on, and below which; the last class has no end."""
    low = 0.0 if bucket <= 0 else _BOUNDS[min(bucket, len(_BOUNDS)) - 1]
    return low, _BOUNDS[max(bucket, 0)] if bucket < len(_BOUNDS) else float("inf")


def quantile_of(buckets: Mapping[int, int], share: float) -> float | None:
    """The latency in milliseconds that a `share` of the requests, counted by class, did not exceed; None for none.

    At most 2.5 % off what the single latencies would tell (the nearest rank): it is the geometric middle of the
    class. Below a tenth of a millisecond it is off by 0.05 at most.
    """
    classes = sorted(buckets)
    reached = list(accumulate(buckets[bucket] for bucket in classes))
    if not reached or not reached[-1]:
        return None
    rank = max(1.0, share * reached[-1])
    bucket = next(
        (bucket for bucket, count in zip(classes, reached, strict=True) if count >= rank - 1e-9), classes[-1]
    )
    low, high = bounds_of(bucket)
    if high == float("inf"):
        return low
    return float((low * high) ** 0.5) if low else high / 2


def _place_of(event: UsageEvent, tags: Sequence[str]) -> Place:
    return Place(
        _clean(event.tenant),
        _clean(event.key_id),
        _clean(event.route),
        _clean(event.model),
        _clean(event.purpose),
        _told_apart(event.tags, tags) if tags else "{}",
    )


def _of_attempt(attempt: AttemptRecord) -> Sums:
    usage = attempt.usage
    billed = usage is not None and usage.source != "cache"
    return Sums(
        calls=1,
        failed_calls=int(attempt.error != ""),
        prompt_tokens=usage.prompt if usage is not None and billed else 0,
        completion_tokens=usage.completion if usage is not None and billed else 0,
        cached_tokens=usage.cached if usage is not None and billed else 0,
        cost=usd(attempt.cost) if attempt.cost is not None else ZERO,
    )


def _counted(row: Mapping[str, Any]) -> UsageEvent:
    """Of a row, what is counted."""
    return UsageEvent(
        request_id=row["request_id"],
        at=row["at"],
        tenant=row["tenant"],
        key_id=row["key_id"],
        route=row["route"],
        endpoint=row["endpoint"],
        requested_model="",
        model=row["model"],
        purpose=row["purpose"],
        outcome=row["outcome"],
        usage=TokenUsage(
            prompt=row["prompt_tokens"],
            completion=row["completion_tokens"],
            cached=row["cached_tokens"],
            source=row["usage_source"],
        ),
        cost=row["cost"],
        saved=row["saved"],
        avoided=row["avoided"],
        priced_by=row["priced_by"],
        verdict=Verdict(kind=row["verdict"]),
        attempts=tuple(map(_attempt, row["attempts"])),
        tags=row["tags"],
    )


def _attempt(raw: Mapping[str, Any]) -> AttemptRecord:
    usage, cost = raw.get("usage"), raw.get("cost")
    return AttemptRecord(
        model=raw["model"],
        upstream="",
        started_ms=0,
        took_ms=0,
        error=raw.get("error") or "",
        usage=None
        if usage is None
        else TokenUsage(
            prompt=usage.get("prompt") or 0,
            completion=usage.get("completion") or 0,
            cached=usage.get("cached") or 0,
            source=usage.get("source") or "reported",
        ),
        cost=None if cost is None else Decimal(cost),
    )


def _told_apart(tags: Mapping[str, str], names: Sequence[str]) -> str:
    found = {name: str(tags[name]) for name in names if name in tags}
    for name, value in found.items():
        if len(value) > _LONGEST_TAG:
            found[name] = value[: _LONGEST_TAG - 1] + "…"
    return orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()


def _clean(text: str) -> str:
    """As a row has it: PostgreSQL has no NUL in text."""
    return text.replace("\0", "\ufffd") if "\0" in text else text
