"""The doors between rooms. What one room needs of another is a Protocol here, handed over in `router/main.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from msgspec import Struct

from contracts.records import Decision, Endpoint, Key, StoredAnswer, UsageEvent
from contracts.request import ModelRequest
from contracts.usage import TokenUsage


class UpstreamCall(Struct, frozen=True, kw_only=True):
    """What an upstream is asked: `body` is the JSON object to send, its `model` already the upstream's own name.

    `first_byte_s` bounds the wait for a whole answer or for a stream's first event, `stall_s` the silence
    between two events. Seconds.
    """

    endpoint: Endpoint
    body: Mapping[str, Any]
    request_id: str
    first_byte_s: float
    stall_s: float


class WholeAnswer(Struct, frozen=True, kw_only=True):
    """`body` as it came, `data` the same parsed. Its shape has been checked: an object with the endpoint's list."""

    body: bytes
    data: Mapping[str, Any]


class AnswerStream(Protocol):
    """An answer that has begun. Not an iterator, so that another task can go on reading after a hang-up."""

    async def read(self) -> bytes:
        """One or more whole server-sent events as they came, or b"" at the end of the body.

        Raises StreamStalled, StreamCut (connection lost) or MalformedAnswer, and where not a byte of the body
        has come yet, SlowUpstream or ConnectionReset. Cancelling loses nothing.
        """

    async def close(self) -> None:
        """Let go of the connection. Safe to call twice."""


class Upstream(Protocol):
    """A server that answers. Every failure is an UpstreamFailure; nothing else is raised."""

    @property
    def name(self) -> str: ...

    async def start(self) -> None:
        """Get ready: start a child process, import a library. Raises UpstreamFailure with advice."""

    async def send(self, call: UpstreamCall) -> WholeAnswer: ...

    async def open(self, call: UpstreamCall) -> AnswerStream:
        """Start a streamed answer; returns once the upstream has accepted the request (headers are in)."""

    async def probe(self) -> None:
        """Raise UpstreamFailure when it could not answer right now. Costs no tokens."""

    async def close(self) -> None: ...


class CacheScope(Struct, frozen=True):
    """What must be equal for a stored answer to be served. Every part is in the key."""

    tenant: str
    """Or the name of a declared pool, prefixed `pool:`."""
    route: str
    policy_version: str
    prompt_version: str
    corpus_version: str
    candidates: tuple[str, ...]
    """The models that may answer here."""


class CacheTerms(Struct, frozen=True):
    """What the cache may do for a request: look for an answer, keep the new one. `reason` says why it may not."""

    lookup: bool
    store: bool
    reason: str = ""


class AnswerCache(Protocol):
    """Finished answers, and the rules of which may be one. Nothing here raises for what a client or model sent."""

    def terms(self, request: ModelRequest, headers: Mapping[str, str], max_temperature: float) -> CacheTerms:
        """What `request` allows. Header names are lower case; `max_temperature` is the route's bound."""

    def refuse_answer(self, data: Mapping[str, Any]) -> str:
        """Why the whole answer `data` may not be stored, or "" where it may."""

    def key(self, scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
        """The exact key of a rendered request body inside `scope`."""

    def find(self, key: bytes) -> tuple[StoredAnswer, str, float] | None:
        """The live answer under `key`, its entry id and its age in seconds; None where there is none."""

    def store(self, key: bytes, answer: StoredAnswer, *, ttl_s: float) -> None: ...


class Keyring(Protocol):
    """Keys in memory. `find` takes the secret as the client sent it."""

    def find(self, secret: str) -> Key:
        """Raises KeyRefused, or KeysUnavailable while the store has never been read."""

    @property
    def known(self) -> bool:
        """Whether the store has been read, so that an unknown key is really unknown."""


class KeyStore(Protocol):
    """Keys in the database. What changes here is in force in this process when the call returns."""

    async def create(
        self, tenant: str, name: str, routes: Sequence[str] | None, models: Sequence[str] | None
    ) -> tuple[Key, str]:
        """A new key and its secret, which is never shown again."""

    async def revoke(self, key_id: str) -> bool:
        """False where there is no such key."""

    async def list(self, tenant: str | None = None) -> Sequence[Key]:
        """Oldest first, revoked ones included."""


class Prices(Protocol):
    """What tokens cost."""

    def cost(self, model: str, usage: TokenUsage) -> Decimal:
        """Dollars, rounded to `money.QUANTUM`. `model` is Weir's name for it."""

    def priced_by(self, model: str) -> str:
        """Where that price comes from, with its version."""


class EventLog(Protocol):
    """Where usage events go. Durable when `append` returns."""

    def append(self, event: UsageEvent) -> None:
        """Raises LedgerUnavailable when it cannot be written."""

    def ready(self) -> bool:
        """Whether `append` is expected to work: asked before an upstream is paid."""


class EventArchive(Protocol):
    """Usage events that have reached the database."""

    async def find(self, request_id: str) -> UsageEvent | None: ...


class Prompt(Protocol):
    """An immutable version of a system prompt, with the rule by which it meets what the client sent."""

    @property
    def version(self) -> str:
        """Hash of text and rule: equal exactly where the prompt does the same."""

    def apply(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """`body` with this prompt in it; `body` itself where nothing changes. Never changes what it is given."""


class Policy(Protocol):
    """How a route chooses among its candidates."""

    @property
    def version(self) -> str: ...

    async def choose(self, request: ModelRequest, models: Sequence[str]) -> Decision:
        """`models` are the candidates this key may use, in the route's order; never empty."""


class TokenCounter(Protocol):
    """Estimates tokens where a provider reports none."""

    def estimate(self, request_body: Mapping[str, Any], answer_text: str) -> TokenUsage: ...
