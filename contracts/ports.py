"""The doors between rooms. What one room needs of another is a Protocol here, handed over in `router/main.py`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from contracts.records import Decision, Endpoint, Key, StoredAnswer, UsageEvent
from contracts.request import ModelRequest
from contracts.usage import TokenUsage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float32]
    """Of one dimension and length one; read-only."""


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
    locale: str = ""
    """What the client's Accept-Language said."""


class CacheRules(Struct, frozen=True, kw_only=True):
    """Which requests of a route the cache refuses."""

    max_temperature: float = 1.0
    personal: bool = True
    """Refuse what holds personal data."""
    live: tuple[str, ...] = ()
    """Words and phrases of questions whose answer changes from hour to hour."""


class CacheTerms(Struct, frozen=True):
    """What the cache may do for a request: look for an answer, keep the new one. `reason` says why it may not."""

    lookup: bool
    store: bool
    reason: str = ""
    exact_only: bool = False
    """The client takes no answer to another question."""
    max_wrong_hits: float = 1.0
    """The client's own bound, which can only make the route's stricter."""
    tags: tuple[str, ...] = ()
    """The client's own names for what the answer will be filed under."""


class Filing(Struct, frozen=True, kw_only=True):
    """How an answer is kept: for how long, whose it is, and what makes it die early."""

    ttl_s: float
    owner: str = ""
    """A tenant, or a pool."""
    writer: str = ""
    """The tenant whose request made it."""
    tags: tuple[str, ...] = ()
    revision: int = 0
    """What had been invalidated when its request began: what is invalidated later makes it stale."""
    asked: bool = False
    """Its question follows, to be found by meaning."""


class Found(Struct, frozen=True, kw_only=True):
    """An answer that is there and alive."""

    answer: StoredAnswer
    entry_id: str
    age_s: float
    writer: str = ""


class AnswerCache(Protocol):
    """Finished answers, and the rules of which may be one. Nothing here raises for what a client or model sent."""

    @property
    def revision(self) -> int:
        """Grows with each invalidation."""

    def terms(self, request: ModelRequest, headers: Mapping[str, str], rules: CacheRules) -> CacheTerms:
        """What `request` allows. Header names are lower case."""

    def refuse_answer(self, data: Mapping[str, Any]) -> str:
        """Why the whole answer `data` may not be stored, or "" where it may."""

    def key(self, scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
        """The exact key of a rendered request body inside `scope`."""

    def find(self, key: bytes) -> Found | None:
        """The live answer under `key`; None where there is none."""

    def store(self, key: bytes, answer: StoredAnswer, filing: Filing) -> None: ...

    def drop(self, key: bytes) -> bool:
        """Forget the answer under `key`; False where there is none."""


class SemanticRules(Struct, frozen=True, kw_only=True):
    """What a route's user allows answers to other questions to do. Shares, all of them."""

    max_wrong_hits: float
    """Wrong answers among all lookups."""
    max_wrong_of_hits: float | None = None
    """Wrong answers among those served, on top."""
    confidence: float = 0.95
    """With which both are kept."""
    audit_share: float = 0.05
    """Answers served that a model is asked for too."""


class Finding(Struct, frozen=True, kw_only=True):
    """What the semantic cache knows of one request. `found` may be served; without it `reason` says why not.

    The rest goes back to the cache when a fresh answer is there. `similarity` and `score`, a probability, are those
    of the nearest stored question.
    """

    found: Found | None = None
    reason: str = ""
    degraded: str = ""
    """The part that failed, or empty."""
    similarity: float | None = None
    score: float | None = None
    near: bytes = b""
    """The nearest question's key."""
    best: tuple[tuple[Any, bytes, float], ...] = ()
    """What each way to score thought best: its name, that question's key, its score."""
    audit: bool = False
    """A model is to be asked too, after the answer was served."""
    tenant: str = ""
    owner: str = ""
    route: str = ""
    hard_key: bytes = b""
    """Empty where the request is not one that is compared by meaning."""
    text: str = ""


class SemanticAnswers(Protocol):
    """Answers to questions that mean the same. Nothing here raises; what it cannot do it leaves."""

    async def recall(
        self,
        scope: CacheScope,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        rules: SemanticRules,
        terms: CacheTerms,
    ) -> Finding: ...

    def learn(self, finding: Finding, key: bytes, fresh: StoredAnswer) -> None:
        """A model answered what `finding` was about; the answer has been stored under `key`."""

    def audited(self, finding: Finding, fresh: StoredAnswer) -> None:
        """A model was asked what had been served from the cache."""


class Judge(Protocol):
    """Compares two answers in meaning, where their words do not tell."""

    async def same(self, tenant: str, question: str, one: str, other: str) -> bool | None:
        """Whether both say the same; `tenant` is who asked. None where it cannot say, or cannot be reached."""


class AnswerControl(Protocol):
    """What an operator sees of stored answers and does with them.

    An owner is a tenant or a pool, "" all of them; a key is that of an entry. What is changed here, other workers
    and nodes do too, a moment later.
    """

    async def invalidate(self, owner: str, tag: str) -> int:
        """Make stale what is filed under `tag`, `*` being everything; returns the revision from which it counts."""

    def drop(self, owner: str, key: bytes) -> bool:
        """Forget one entry; False where this owner has none."""

    def report(self, owner: str, route: str, key: bytes, score: float | None) -> bool:
        """An answer was bad, says who got it; False where its entry is gone. `score`: it was a semantic hit."""

    def inspect(
        self, owner: str, *, tag: str = "", key: bytes = b"", most: int = 20
    ) -> Sequence[Mapping[str, Any]]:
        """Entries, the most recently used first: one by its key, or those filed under `tag`, or any."""

    def stats(self, rules: Callable[[str, str], SemanticRules | None]) -> Mapping[str, Any]:
        """Counts, and what the evidence of each owner on each route allows; `rules` gives those two's rules."""


class Encoder(Protocol):
    """Turns texts into vectors: the nearer two texts are in meaning, the nearer their product is to one."""

    @property
    def version(self) -> str:
        """Vectors of different versions say nothing about each other."""

    @property
    def dimensions(self) -> int: ...

    @property
    def up(self) -> bool:
        """Whether a text sent now can be expected to get its vector."""

    async def encode(self, text: str) -> Vector:
        """Of any text; the end of a long one is not read. Raises EncoderUnavailable, in bounded time."""


class Keyring(Protocol):
    """Keys in memory. A secret is taken as the client sent it."""

    def find(self, secret: str) -> Key:
        """A tenant's key.

        Raises KeyRefused, AccessDenied for a key of the staff, or KeysUnavailable while the store has never been
        read, so that an unknown key may be a good one.
        """

    def staff(self, secret: str) -> Key | None:
        """The key with a role; None for every other secret, and for one that was revoked."""

    @property
    def known(self) -> bool:
        """Whether the store has been read, or what was known of it at the last start is at hand."""


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
    """An immutable version of a prompt, its slots filled, with the rule by which it meets what the client sent."""

    @property
    def version(self) -> str:
        """Hash of what it does before slots are filled: the registry's name for it, in headers and events."""

    @property
    def rendering(self) -> str:
        """What answers depend on: the version, and a hash of what its slots are filled with."""

    def apply(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        """`body` with this prompt in it; `body` itself where nothing changes. Never changes what it is given."""


class Prompts(Protocol):
    """What of the prompts concerns one route."""

    def of(self, tenant: str, lot: float) -> Prompt | None:
        """The version in force for a request of `tenant` that begins now; None where it has no prompt.

        `lot`, at least 0 and below 1, says whether it gets a canary. Raises nothing, and is asked once a request.
        """


class PromptStore(Protocol):
    """Versions of prompts that were stored, and which of them were promoted."""

    def stamp(self) -> Hashable:
        """Another value whenever something was promoted or taken back, whoever did it. Costs microseconds."""

    def aliases(self, name: str) -> Mapping[str, str]:
        """Alias to version, of the prompt of that name. Raises OSError, or ValueError where they are damaged."""

    def content(self, name: str, version: str) -> bytes:
        """What was stored under it, found to be whole. Raises OSError, or ValueError where it is not."""


class Query(Struct, frozen=True, kw_only=True):
    """One request as a policy sees it. `body` is the request as its route's prompt left it."""

    request: ModelRequest
    body: Mapping[str, Any]
    tenant: str
    request_id: str
    session: str = ""
    """What the client calls the conversation, or empty."""
    resting: frozenset[str] = frozenset()
    """Models that are left alone for the moment, because they failed."""
    grounded: bool = False
    """Passages of documents are in `body`, or word that none were found: the answer is to be built on them."""


class CheckTerms(Struct, frozen=True, kw_only=True):
    """How an answer that is to be checked is fetched. Of a stream, that much is held back until it is judged."""

    logprobs: int = 0
    """Ask for each token's log probability, and for those of so many alternatives; 0: do not ask."""
    first_tokens: int | None = None
    """Judge a stream by its first tokens; None: by all of it."""
    hold_s: float = 10.0
    """But hold it no longer than this, in seconds."""


class Draft(Struct, frozen=True, kw_only=True):
    """What is known of an answer before it is delivered. `whole`: it has ended."""

    model: str
    text: str
    whole: bool
    finish: str = ""
    logprobs: Sequence[Any] = ()
    """OpenAI's `logprobs.content`, as it came: one object for each token."""
    tool_calls: bool = False


class Policy(Protocol):
    """How a route chooses among its candidates."""

    @property
    def version(self) -> str:
        """Of its settings. Answers that were given under another version are not served from the cache."""

    @property
    def check(self) -> CheckTerms | None:
        """How the answers of a decision whose outlook is unsure are fetched. None: they are not checked."""

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        """`models` are the candidates this key may use, in the route's order; never empty.

        `dry`: no model will be called, somebody only wants to know; so nothing is counted, nor drawn by lot.
        """

    async def review(self, query: Query, decision: Decision, draft: Draft) -> Decision:
        """The same decision with its `check`, which says whether another model is asked."""

    def settled(self, query: Query, event: UsageEvent) -> None:
        """A request that this policy decided has ended. Raises nothing, and waits for nothing."""


class TokenCounter(Protocol):
    """Estimates tokens where a provider reports none."""

    def estimate(self, request_body: Mapping[str, Any], answer_text: str) -> TokenUsage: ...
