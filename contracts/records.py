"""What Weir writes down about a request: the cache's verdict, the router's decision, each attempt, the event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct, field

from contracts.money import ZERO
from contracts.usage import TokenUsage

Endpoint = Literal["chat/completions", "completions", "embeddings"]
VerdictKind = Literal["exact", "semantic", "miss", "bypass"]
Purpose = Literal["serve", "audit", "judge"]
"""Why a model was called: for a client, to see whether the cache was right, or to compare two answers."""
EventOutcome = Literal["answered", "failed", "cut"]
"""`cut`: the client had part of the answer when the upstream broke off."""

DIRECT = "direct"
"""The route of a request that named a model instead of a route. No configured route may take this name."""


class Verdict(Struct, frozen=True, kw_only=True):
    """What the cache said, and why. `saved` is what the stored answer cost when it was made, in dollars.

    `similarity` and `score` are those of the nearest stored question, served or not: the cosine of the two, and how
    probable it is that one answer does for both. `audited`: a model was asked too, to see whether it was right.
    """

    kind: VerdictKind
    reason: str = ""
    entry_id: str = ""
    age_s: float = 0.0
    saved: Decimal = ZERO
    similarity: float | None = None
    score: float | None = None
    audited: bool = False
    foreign: bool = False
    """Another tenant of the pool wrote the answer; then its entry is not named to this one."""
    degraded: str = ""
    """The part of the cache that failed, or empty."""


class Candidate(Struct, frozen=True, kw_only=True):
    """One model the router could have chosen. `quality` is a probability, `cost` dollars; None: not predicted."""

    model: str
    eligible: bool = True
    reason: str = ""
    quality: float | None = None
    cost: Decimal | None = None


class Decision(Struct, frozen=True, kw_only=True):
    """The router's choice. `candidates` stand in the order in which they will be tried."""

    model: str
    policy: str
    reason: str
    intent: str = "unknown"
    candidates: tuple[Candidate, ...] = ()
    degraded: str = ""
    """Why a lesser policy had to choose, or empty."""


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One call to an upstream. `error` is an error code, or empty where it answered."""

    model: str
    upstream: str
    started_ms: float
    """Since the request arrived."""
    took_ms: float
    error: str = ""
    status: int | None = None
    detail: str = ""


class UsageEvent(Struct, frozen=True, kw_only=True):
    """One request's record, written exactly once. Latencies in milliseconds, money in dollars, times in UTC."""

    request_id: str
    at: datetime
    tenant: str
    key_id: str
    route: str
    endpoint: Endpoint
    requested_model: str
    model: str = ""
    """The model that answered; empty where none did."""
    upstream: str = ""
    stream: bool = False
    purpose: Purpose = "serve"
    outcome: EventOutcome = "answered"
    error: str = ""
    status: int = 200
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: Decimal = ZERO
    saved: Decimal = ZERO
    priced_by: str = ""
    """Where the price came from, with its version."""
    verdict: Verdict = field(default_factory=lambda: Verdict(kind="bypass"))
    decision: Decision | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    latency_ms: float = 0.0
    first_token_ms: float | None = None
    hung_up: bool = False
    prompt_version: str = ""
    policy_version: str = ""
    corpus_version: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A tenant's key as it is held in memory: never the secret, only its hash.

    `routes` and `models` are what it may address; None means all of its tenant's.
    """

    id: str
    tenant: str
    hash: str
    name: str = ""
    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None


class StoredAnswer(Struct, frozen=True, kw_only=True):
    """One finished answer as the cache keeps it.

    `body` is the whole JSON answer; `pieces` are the lengths, in characters, of the pieces in which its text
    was streamed (empty where it came whole). `usage` is the raw usage object that a replay reports; `cost` is
    what it cost, in dollars.
    """

    body: bytes
    pieces: tuple[int, ...]
    model: str
    usage: Mapping[str, Any] | None
    cost: Decimal
