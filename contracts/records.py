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
Purpose = Literal["serve", "audit", "judge", "check", "shadow", "rewrite", "eval", "optimise", "train"]
"""Why a model was called: for a client; to see whether the cache was right; to compare two answers; for a second
opinion on a cheap answer before it is delivered; to learn what another candidate would have answered; to put a
question so that it can be searched for; by an evaluation, a prompt optimiser or a training run, which say so
themselves."""
OWN: frozenset[Purpose] = frozenset({"audit", "judge", "check", "shadow", "rewrite"})
"""What Weir asks on its own account: it takes tokens and money of its tenant's, but is no request that it sent."""
Arm = Literal["", "usual", "dear"]
"""Of a route that measures its saving: `dear` was drawn by lot to go to the reference past the cache, `usual` was
drawn not to. Empty where nothing was drawn."""
Role = Literal["", "viewer", "operator", "approver"]
"""What a key opens besides answers: reports; keys and the cache as well; tenants, budgets and roles as well. Empty:
a tenant's own key, which opens answers only."""
Outlook = Literal["", "local", "hosted", "unsure"]
"""What was known before a model was called: that a cheaper candidate will do, that only the reference will, or
neither. Empty where the policy predicts nothing."""
EventOutcome = Literal["answered", "failed", "cut"]
"""`cut`: the client had part of the answer when the upstream broke off."""

CHARGE: Literal["charge"] = "charge"
"""The endpoint, and in place of a key, of a cost that was stated and is no request's."""
DIRECT = "direct"
"""The route of a request that named a model instead of a route. No configured route may take this name."""
UNPRICED = "unpriced"
"""`priced_by` of a model without a price: its cost of zero is not known to be one."""


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
    """One model the router could have chosen. `quality` is a probability, `cost` dollars; None: not predicted.

    `deviation` is the standard error of `quality`; `latency_ms` what its slowest answers in twenty took at least.
    `propensity` is the probability with which the policy chose it, so that another policy can be judged by what
    came of it.
    """

    model: str
    eligible: bool = True
    reason: str = ""
    quality: float | None = None
    deviation: float | None = None
    cost: Decimal | None = None
    latency_ms: float | None = None
    propensity: float | None = None


class Check(Struct, frozen=True, kw_only=True):
    """How the answer of a cheap model was judged before the client had it.

    `good` is the probability that it is good enough, `needed` what would have sufficed; `signals` what it was
    judged by, and `reasons` those of them that weighed most, in words.
    """

    model: str
    good: float
    needed: float
    escalated: bool
    reasons: tuple[str, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    degraded: str = ""
    """What failed while it was judged, or empty."""


class Near(Struct, frozen=True):
    """A query that the router has learned from, and how near it is: the cosine of the two."""

    query_id: str
    similarity: float


class Decision(Struct, frozen=True, kw_only=True):
    """The router's choice. `candidates` stand in the order in which they will be tried."""

    model: str
    policy: str
    reason: str
    intent: str = "unknown"
    intent_probability: float | None = None
    outlook: Outlook = ""
    candidates: tuple[Candidate, ...] = ()
    nearest: tuple[Near, ...] = ()
    otherwise: str = ""
    """What would have changed the choice."""
    check: Check | None = None
    degraded: str = ""
    """Why a lesser policy had to choose, or empty."""


class AttemptRecord(Struct, frozen=True, kw_only=True):
    """One call to an upstream. `error` is an error code, or empty where it answered.

    `usage` and `cost` are those of an answer that was paid for and not delivered, because a check failed it or it
    broke off while it was held back; the event's own cost has them in it. None: no such answer.
    """

    model: str
    upstream: str
    started_ms: float
    """Since the request arrived."""
    took_ms: float
    error: str = ""
    status: int | None = None
    detail: str = ""
    usage: TokenUsage | None = None
    cost: Decimal | None = None


class PassageRecord(Struct, frozen=True, kw_only=True):
    """A passage that a model was given: which document, characters `start` to `end` of it, how useful it was held
    to be, and whether the answer cites it."""

    store_id: str
    file_id: str
    filename: str
    start: int
    end: int
    score: float
    cited: bool = False


class Retrieval(Struct, frozen=True, kw_only=True):
    """What was looked up in documents for one request. It holds no text of a client or a document.

    `tokens` are those of the passages that were put into the prompt, `whole_tokens` those of their documents whole,
    and `saved` what the difference would have cost, in dollars, as input of the model that answered.
    """

    stores: tuple[str, ...]
    passages: tuple[PassageRecord, ...] = ()
    answerable: float = 0.0
    """The probability that they hold the answer."""
    nothing: bool = False
    """That was below the route's floor, so none was put into the prompt."""
    rewritten: bool = False
    tokens: int = 0
    whole_tokens: int = 0
    saved: Decimal = ZERO
    stray: int = 0
    """Citations in the answer that lead to no passage."""
    took_ms: float = 0.0
    degraded: str = ""
    """The part that failed: `encoder`, words alone were compared; `retrieval`, nothing could be searched."""


class UsageEvent(Struct, frozen=True, kw_only=True):
    """One request's record, written exactly once. Latencies in milliseconds, money in dollars, times in UTC."""

    request_id: str
    at: datetime
    tenant: str
    key_id: str
    route: str
    endpoint: Endpoint | Literal["charge"]
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
    """Of the answer that was delivered."""
    cost: Decimal = ZERO
    """Of all answers that were paid for."""
    saved: Decimal = ZERO
    """What a stored answer cost when it was made."""
    avoided: Decimal = ZERO
    """What the route's reference would have cost for the same tokens, less `cost`; below zero where both were
    paid. By price list, not measured; of clients' requests only."""
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
    """Of the stores that were searched, as they were then."""
    retrieval: Retrieval | None = None
    conversation: str = ""
    """A fingerprint of the conversation it belongs to, or empty."""
    arm: Arm = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A tenant's key as it is held in memory: never the secret, only its hash.

    `routes` and `models` are what it may address; None means all of its tenant's. One with a role opens /admin
    instead, for its tenant, or for all where that is empty.
    """

    id: str
    tenant: str
    hash: str
    name: str = ""
    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None
    created_at: datetime | None = None
    revoked_at: datetime | None = None
    role: Role = ""


class StoredAnswer(Struct, frozen=True, kw_only=True):
    """One finished answer as the cache keeps it.

    `body` is the whole JSON answer; `pieces` are the lengths, in characters, of the pieces in which its text
    was streamed (empty where it came whole). `usage` is the raw usage object that a replay reports; `cost` is
    what it cost, in dollars. `basis` is what it was built on in documents: it dies with any of that.
    """

    body: bytes
    pieces: tuple[int, ...]
    model: str
    usage: Mapping[str, Any] | None
    cost: Decimal
    basis: tuple[str, ...] = ()
