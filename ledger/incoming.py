"""A spooled record on its way into the database: its columns, and what it adds to the roll-ups.

What this Weir wrote is decoded by its types, and its JSON columns are cut out of the record as they stand: that is
several times as fast as to take the record apart and put it together again. Whatever does not fit these types (a
null, a type that another Weir used) is left to `events.to_row`, which knows what to forgive.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, cast, get_args

import msgspec
from msgspec import Meta, Raw, Struct
from sqlalchemy import JSON

from contracts.money import ZERO, usd
from contracts.records import UsageEvent, Verdict, VerdictKind
from ledger.events import to_row
from ledger.rollups import Place, Sums, parts_of
from ledger.tables import usage_events

_LAST_STATUS = 999
_Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
_Status = Annotated[int, Meta(ge=0, le=_LAST_STATUS)]
_FIRST, _END = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
_NUL = b"\\u0000"
_MOST_USD = Decimal(10) ** 12

COLUMNS = tuple(column.name for column in usage_events.columns)
_JSON = frozenset(column.name for column in usage_events.columns if isinstance(column.type, JSON))
_COUNTS = tuple(name for name in COLUMNS if name.endswith("_tokens"))


class Incoming(Struct, frozen=True):
    """`values` are in the order of `COLUMNS`: JSON as text, money rounded, the time in UTC. `parts`: `parts_of`."""

    record: bytes
    request_id: str
    at: datetime
    latency_ms: float
    values: tuple[Any, ...]
    parts: list[tuple[Place, Sums]]


def incoming(record: bytes, tags: Sequence[str]) -> Incoming:
    """`record` is JSON of `events.to_json`. Raises ValueError where it is no usage event, or makes no sense."""
    try:
        if _NUL in record:
            return _forgiven(record, tags)
        event = _DECODER.decode(record)
        kind = event.verdict.pop("kind", "bypass")
        if type(kind) is not str:
            return _forgiven(record, tags)
        if event.at.tzinfo is not UTC:
            event.at = event.at.astimezone(UTC) if event.at.tzinfo else event.at.replace(tzinfo=UTC)
        _check(event.at, (event.cost, event.saved), ())
        values = _values(event, kind)
        parts = parts_of(_counted(event, kind), tags)
        return Incoming(record, event.request_id, event.at, event.latency_ms, values, parts)
    except (msgspec.MsgspecError, ArithmeticError, RecursionError):
        return _forgiven(record, tags)


def _forgiven(record: bytes, tags: Sequence[str]) -> Incoming:
    row = to_row(record)
    try:
        _check(row["at"], (row["cost"], row["saved"]), [row[name] for name in _COUNTS])
        if not 0 <= row["status"] <= _LAST_STATUS:
            raise ValueError(f"its status is not to be believed: {row['status']}")
        parts = parts_of(row, tags)
        for name in ("cost", "saved", "avoided"):
            row[name] = usd(row[name])
        for name in _JSON:
            if row[name] is not None:
                row[name] = _ENCODER.encode(row[name]).decode()
    except (TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a usage event: {type(error).__name__}: {error}") from error
    values = tuple(row[name] for name in COLUMNS)
    return Incoming(record, row["request_id"], row["at"], row["latency_ms"], values, parts)


def _check(at: datetime, amounts: Sequence[Decimal], counts: Sequence[int]) -> None:
    """What types cannot tell. `avoided` may be below zero."""
    if not _FIRST <= at < _END:
        raise ValueError(f"its time is not to be believed: {at.isoformat()}")
    for amount in amounts:
        if not ZERO <= amount < _MOST_USD:
            raise ValueError(f"its cost is not to be believed: {amount}")
    for count in counts:
        if not 0 <= count < 2**63:
            raise ValueError(f"its tokens are not to be believed: {count}")


class _Usage(Struct):
    prompt: _Count = 0
    completion: _Count = 0
    cached: _Count = 0
    cache_write: _Count = 0
    reasoning: _Count = 0
    audio_prompt: _Count = 0
    audio_completion: _Count = 0
    source: str = "reported"
    method: str = ""
    tier: str = ""
    raw: Raw = Raw(b"null")


class _Attempt(Struct):
    model: str
    error: str = ""
    usage: _Usage | None = None
    cost: Decimal | None = None


class _Event(Struct):
    request_id: str
    at: datetime
    tenant: str
    key_id: str
    route: str
    endpoint: str
    requested_model: str
    model: str = ""
    upstream: str = ""
    stream: bool = False
    purpose: str = "serve"
    outcome: str = "answered"
    error: str = ""
    status: _Status = 200
    usage: _Usage = msgspec.field(default_factory=_Usage)
    cost: Decimal = ZERO
    saved: Decimal = ZERO
    avoided: Decimal = ZERO
    priced_by: str = ""
    verdict: dict[str, Any] = msgspec.field(default_factory=dict)
    decision: Raw = Raw(b"null")
    attempts: Raw = Raw(b"[]")
    latency_ms: float = 0.0
    first_token_ms: float | None = None
    hung_up: bool = False
    prompt_version: str = ""
    policy_version: str = ""
    corpus_version: str = ""
    retrieval: Raw = Raw(b"null")
    conversation: str = ""
    arm: str = ""
    tags: dict[str, Any] = msgspec.field(default_factory=dict)


_DECODER = msgspec.json.Decoder(_Event)
_ATTEMPTS = msgspec.json.Decoder(tuple[_Attempt, ...])
_ENCODER = msgspec.json.Encoder()
_KINDS = {kind: Verdict(kind=kind) for kind in get_args(VerdictKind)}
_OTHER = Verdict(kind="bypass")
"""For what a later Weir says: no hit that is known here."""


def _counted(event: _Event, kind: str) -> UsageEvent:
    """Of an event all that is counted, by the same names. To be called last: it takes `event` apart."""
    attempts = _ATTEMPTS.decode(event.attempts) if len(event.attempts) != len(b"[]") else ()
    event.verdict, event.attempts = _KINDS.get(kind, _OTHER), attempts  # type: ignore[assignment]
    return cast(UsageEvent, event)


def _values(event: _Event, kind: str) -> tuple[Any, ...]:
    usage = event.usage
    return (
        event.request_id,
        event.at,
        event.tenant,
        event.key_id,
        event.route,
        event.endpoint,
        event.requested_model,
        event.model,
        event.upstream,
        event.stream,
        event.purpose,
        event.outcome,
        event.error,
        event.status,
        usage.prompt,
        usage.completion,
        usage.cached,
        usage.cache_write,
        usage.reasoning,
        usage.audio_prompt,
        usage.audio_completion,
        usage.source,
        usage.method,
        usage.tier,
        _text(usage.raw),
        usd(event.cost),
        usd(event.saved),
        usd(event.avoided),
        event.priced_by,
        kind,
        _ENCODER.encode(event.verdict).decode(),
        _text(event.decision),
        _text(event.attempts),
        event.latency_ms,
        event.first_token_ms,
        event.hung_up,
        event.prompt_version,
        event.policy_version,
        event.corpus_version,
        _text(event.retrieval),
        event.conversation,
        event.arm,
        _ENCODER.encode(event.tags).decode() if event.tags else "{}",
    )


def _text(raw: Raw) -> str | None:
    return None if (text := bytes(raw).decode()) == "null" else text
