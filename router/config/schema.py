"""The shape of `weir.yaml`. Unknown settings are refused; everything is frozen once read.

Each field's description is what `docs/reference/config.md` prints. What one part of a configuration asks of
another, of the environment or of the disk is not in here but in `links.py`: it is checked on the file as it was
written, so that a wrong type in one place hides no wrong name in another.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from prompts.reading import SlotName, WholeText
from prompts.render import MergeRule
from router.config.caching import CacheStore, RouteCache
from router.config.money import Alerts, Budget
from router.config.policies import FixedPolicy, Learning, Policy, StudentPolicy
from router.config.prices import Price
from router.config.retrieval import DeclaredStore, Rag, Retrieval
from router.config.students import StudentUpstream, VLLMUpstream
from router.config.values import (
    Address,
    Day,
    FilePath,
    FolderPath,
    KeyHash,
    Name,
    OptionName,
    Secret,
    Section,
)


class Server(Section):
    """The HTTP server and what it takes on."""

    max_body_bytes: PositiveInt = Field(20 * 1024 * 1024, description="Largest request body; more is a 413.")
    max_concurrent: PositiveInt = Field(
        4096, description="Requests in flight in one process; the next one is a 503 with Retry-After."
    )
    drain_seconds: PositiveFloat = Field(
        60, description="How long a stream whose client hung up is read on, so that its bill is right."
    )
    shutdown_seconds: PositiveFloat = Field(30, description="How long open requests may take to end on shutdown.")
    reload_seconds: PositiveFloat = Field(1, description="How often this file is looked at for changes.")
    recent_decisions: PositiveInt = Field(
        10_000, description="Decisions explained from memory; older ones come from the ledger."
    )
    admin_key: Secret | None = Field(
        None,
        description="The key of /admin and /metrics. Left out, one is made in the state folder at first start.",
    )
    metrics_key: Secret | None = Field(None, description="A key that opens /metrics only, for Prometheus.")


class Ledger(Section):
    """Usage events, keys and prices."""

    url: Secret | None = Field(
        None,
        description="Database URL as an environment reference, such as postgresql://user:password@host/name. "
        "Left out, SQLite in the state folder.",
    )
    prices: FilePath | None = Field(
        None, description="YAML file of prices, relative to this config; they come before the built-in list."
    )
    flush_seconds: PositiveFloat = Field(0.5, description="How often spooled events are written to the database.")
    batch: PositiveInt = Field(2000, description="Most events in one database transaction.")
    spool_max_bytes: PositiveInt = Field(
        1024**3,
        description="Most bytes of events waiting on disk; then new requests get a 503.",
    )
    fsync: Literal["flush", "always", "never"] = Field(
        "flush",
        description="When the spool is forced to disk: at each flush, at each event, or left to the system. "
        "A killed process loses nothing either way; this is about power cuts.",
    )
    keys_refresh_seconds: PositiveFloat = Field(
        1, description="How often keys, tenants and budgets are read again from the database."
    )
    tags: tuple[Name, ...] = Field(
        (),
        max_length=4,
        description="Tags that reports are cut by: names in the `metadata` of requests, with few values.",
    )
    unpriced: Literal["refuse", "mark"] = Field(
        "refuse",
        description="What becomes of a model without a price: the configuration is refused, or its requests are "
        "marked as unpriced in every report.",
    )
    keep_events_days: PositiveInt | None = Field(
        None,
        le=36_500,
        description="Days after which single events are deleted; sums by hour and day stay. Left out: never.",
    )
    counters: Secret | None = Field(
        None,
        description="URL of a Redis as an environment reference, such as redis://host:6379/1, that counts what "
        "is left of budgets, for several workers or replicas. Left out, this process counts.",
    )
    counters_down: Literal["refuse", "allow"] = Field(
        "refuse",
        description="What becomes of requests under a hard budget while its counter cannot be reached.",
    )
    counters_deadline_seconds: PositiveFloat = Field(
        0.05, le=60, description="How long a request waits for its counter."
    )
    first_output_tokens: PositiveInt = Field(
        1024,
        description="Tokens that budgets set aside for an answer whose request sets no limit, while no such answer "
        "has been seen.",
    )
    lease_seconds: float = Field(
        60, ge=1, le=86_400, description="After which what a crashed process had set aside of a budget comes back."
    )


class Encoder(Section):
    """What turns questions into vectors, in a process of its own."""

    path: FolderPath | None = Field(
        None,
        description="Folder that `weir encoder build` made, relative to this config. Left out, the one that was "
        "built at installation.",
    )
    backend: Literal["onnxruntime", "openvino"] = Field(
        "onnxruntime",
        description="What runs it. OpenVINO (`weir[openvino]`) takes a third less for long texts, and as much for "
        "short ones.",
    )
    deadline_seconds: PositiveFloat = Field(
        0.1, description="How long a request waits for its vector before it goes on without."
    )
    cache_bytes: PositiveInt = Field(
        16 * 1024 * 1024, description="Bound on vectors kept by their text, in each process."
    )


class OpenAIUpstream(Section):
    """Any server that speaks OpenAI's protocol: OpenAI, vLLM, llama.cpp and others."""

    kind: Literal["openai"] = Field(description="Says which kind of upstream this is.")
    base_url: Address = Field(description="Up to and with /v1.")
    api_key: Secret | None = Field(None, description="Sent as a bearer token.")
    headers: dict[str, Secret] = Field(default_factory=dict, description="More headers, values by reference.")
    max_connections: PositiveInt = Field(1024, description="Open connections at most.")
    connect_seconds: PositiveFloat = Field(3, description="How long connecting may take.")
    stand_in: Name | None = Field(
        None, description="The upstream that answers instead while the environment has no `api_key`."
    )


class LiteLLMUpstream(Section):
    """A provider with a protocol of its own, reached through the litellm library."""

    kind: Literal["litellm"] = Field(description="Says which kind of upstream this is.")
    provider: Name = Field(description="litellm's name of it: anthropic, gemini, bedrock, azure, ...")
    api_key: Secret | None = Field(None, description="Left out, litellm looks where it usually does.")
    base_url: Address | None = Field(None, description="Where the provider's default address is not the right one.")
    options: dict[OptionName, str] = Field(
        default_factory=dict,
        description="More litellm arguments, such as api_version or aws_region_name; no secrets.",
    )
    stand_in: Name | None = Field(
        None, description="The upstream that answers instead while the environment has no `api_key`."
    )


class GGUFUpstream(Section):
    """A small model on this machine's CPU, in a child process that runs llama.cpp."""

    kind: Literal["gguf"] = Field(description="Says which kind of upstream this is.")
    path: FilePath = Field(description="The GGUF file, relative to this config.")
    threads: PositiveInt = Field(1, description="CPU threads; never more than there are idle cores.")
    context: PositiveInt = Field(2048, description="Context window in tokens.")
    start_seconds: PositiveFloat = Field(60, description="How long loading may take.")


class ScriptedUpstream(Section):
    """A stand-in that ships with Weir: an OpenAI-compatible server on loopback, in this process.

    The model's name chooses what it does, faults included; see docs/reference/scripted.md.
    """

    kind: Literal["scripted"] = Field(description="Says which kind of upstream this is.")
    knowledge: FilePath | None = Field(
        None, description="JSONL of {questions: [...], answer: ...} that it answers from, relative to this config."
    )


Upstream = Annotated[
    OpenAIUpstream | LiteLLMUpstream | GGUFUpstream | VLLMUpstream | StudentUpstream | ScriptedUpstream,
    Field(discriminator="kind"),
]


class Model(Section):
    """One upstream model."""

    upstream: Name = Field(description="One of `upstreams`.")
    name: Name | None = Field(None, description="The upstream's own name for it; left out, this model's.")
    price: Price | None = Field(
        None,
        description="Left out, it is looked up under the upstream's name for the model; see `ledger.unpriced` for "
        "one that is not listed.",
    )
    context_tokens: PositiveInt | None = Field(
        None, description="Most tokens of prompt and answer together. Left out, no request counts as too long."
    )
    images: bool = Field(True, description="Off: learned policies send it no requests that hold images.")
    audio: bool = Field(True, description="The same of audio.")
    tools: bool = Field(True, description="The same of requests that offer tools.")
    owner: str | None = Field(
        None, min_length=1, max_length=128, description="Who answers for it: a person or a team."
    )
    shutdown_date: Day | None = Field(
        None,
        description="When its provider turns it off, as 2027-01-14; `weir check` warns of it. Left out, what "
        "litellm's list knows, if that is installed.",
    )


class Prompt(Section):
    """A system prompt, kept in a file; what was promoted over it with `weir prompts promote` takes its place."""

    file: FilePath = Field(
        description="Path relative to this config, of a text, or of a `.yaml` with sections, slots, demonstrations "
        "and an output contract."
    )
    merge: MergeRule = Field("prepend", description="What becomes of a system message that the client sent.")
    slots: dict[SlotName, WholeText] = Field(
        default_factory=dict, description="Values for slots that the file declares, in place of its own."
    )
    most_tokens: PositiveInt = Field(
        4000,  # seven times the longest that a search of the example has found: see benchmarks/PROMPTS.md
        description="Most tokens that its instructions and demonstrations may take: an optimiser keeps to it, and "
        "`weir check` tells of a file that does not.",
    )
    canary_share: float = Field(
        0,
        ge=0,
        le=1,
        description="Of conversations that clients name in x-weir-session, else of requests, that get the version "
        "promoted as `canary`, while there is one.",
    )


class Attempts(Section):
    """How long a route tries, and how often."""

    deadline_seconds: PositiveFloat = Field(
        300, description="From arrival to a whole answer, or to the first token of a stream."
    )
    attempt_seconds: PositiveFloat = Field(
        120, description="The same for one attempt; the next one follows while the deadline allows."
    )
    stall_seconds: PositiveFloat = Field(30, description="Longest silence inside a stream.")
    retries: int = Field(1, ge=0, le=10, description="More attempts at the same model before the next candidate.")
    backoff_seconds: PositiveFloat = Field(
        0.2, description="Pause before the first retry; it doubles, with full jitter."
    )
    backoff_max_seconds: PositiveFloat = Field(5, description="Longest such pause.")


class Breaker(Section):
    """When a model that keeps failing is left alone for a while."""

    failures: PositiveInt = Field(5, description="Failures in a row that open it.")
    rest_seconds: PositiveFloat = Field(10, description="How long it stays open before one request may try.")
    rest_max_seconds: PositiveFloat = Field(120, description="It doubles with each failed try, up to this.")


class Counterfactual(Section):
    """A random share of requests goes to the reference past the cache: what the others save is measured by it."""

    share: float = Field(
        0.01, gt=0, le=0.5, description="Of conversations that clients name in x-weir-session, else of requests."
    )


class Route(Section):
    """A policy that clients address as a model."""

    candidates: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Models that may answer; after the chosen one, the others stand by in this order."
    )
    policy: Policy = Field(FixedPolicy(kind="fixed"), description="How one of them is chosen.")
    reference: Name | None = Field(
        None,
        description="The candidate that savings are measured against. Left out, the policy's, or the first.",
    )
    counterfactual: Counterfactual | None = Field(
        None,
        description="Measure what is saved, by a random share that goes to the reference.",
    )
    prompt: Name | None = Field(None, description="One of `prompts`.")
    retrieval: Retrieval | None = Field(
        None,
        description="Look things up in documents first. Left out, only for requests with a `file_search` tool.",
    )
    cache: RouteCache = Field(RouteCache(), description="Which answers are kept.")
    attempts: Attempts = Field(Attempts(), description="Deadline, retries and pauses.")
    learning: Learning | None = Field(None, description="Write down how good answers are. Left out: nothing is.")


class TenantKey(Section):
    """A key that is declared here; `weir keys create` makes others in the database."""

    hash: KeyHash = Field(description="`weir keys hash` prints it. The key itself is never written down.")
    routes: tuple[Name, ...] | None = Field(None, description="Routes it may use; left out, all of its tenant's.")
    models: tuple[Name, ...] | None = Field(None, description="Models it may name; left out, all of its tenant's.")


class Tenant(Section):
    """Who pays."""

    routes: tuple[Name, ...] | None = Field(None, description="Routes it may use; left out, all.")
    models: tuple[Name, ...] | None = Field(None, description="Models it may name directly; left out, all.")
    refused_models: tuple[Name, ...] = Field(
        (), description="Models that learned policies keep this tenant's requests from."
    )
    consents: tuple[Literal["evals", "training"], ...] = Field(
        (),
        description="What its requests may be used for beyond answering them: `evals`, cases of eval suites; "
        "`training`, examples that models learn from. Left out, nothing.",
    )
    training_days: PositiveInt | None = Field(
        None,
        description="Days after which its requests are not learned from any more. Left out: all that is there.",
    )
    prompts: dict[Name, Name] = Field(
        default_factory=dict,
        description="Prompts of its own, by the route whose prompt they take the place of.",
    )
    slots: dict[SlotName, WholeText] = Field(
        default_factory=dict,
        description="Values for slots of prompts in its requests, before those of `prompts`.",
    )
    keys: dict[Name, TenantKey] = Field(default_factory=dict, description="Keys by name.")


class Staff(Section):
    """A key that opens /admin as far as its role goes."""

    hash: KeyHash = Field(description="`weir keys hash` prints it. The key itself is never written down.")
    role: Literal["viewer", "operator", "approver"] = Field(
        description="Reports; keys and the cache as well; tenants, budgets and roles as well."
    )
    tenant: Name | None = Field(None, description="For this tenant only. Left out, for all.")


class Config(Section):
    """A whole Weir."""

    server: Server = Field(Server(), description="The HTTP server.")
    ledger: Ledger = Field(Ledger(), description="Usage events, keys and prices.")
    cache: CacheStore = Field(CacheStore(), description="Bounds of the cache.")
    encoder: Encoder = Field(Encoder(), description="What turns questions into vectors.")
    breaker: Breaker = Field(Breaker(), description="The circuit breaker of every model.")
    rag: Rag = Field(Rag(), description="Where files and stores are kept.")
    stores: dict[Name, DeclaredStore] = Field(
        default_factory=dict, description="Stores that are kept in step with folders; the API makes others."
    )
    upstreams: dict[Name, Upstream] = Field(description="Servers that answer, by name.")
    models: dict[Name, Model] = Field(description="Models, by the name clients and routes use.")
    prompts: dict[Name, Prompt] = Field(default_factory=dict, description="System prompts, by name.")
    routes: dict[Name, Route] = Field(
        default_factory=dict, description="Routes, by name. `auto` is the default one."
    )
    tenants: dict[Name, Tenant] = Field(description="Who may call, by name.")
    budgets: dict[Name, Budget] = Field(
        default_factory=dict, description="How much may be spent, by a name of yours; `weir budgets` makes others."
    )
    alerts: Alerts = Field(Alerts(), description="Where alerts go.")
    staff: dict[Name, Staff] = Field(
        default_factory=dict,
        description="Keys of those who look after Weir; `weir keys create` makes others.",
    )

    def student_of(self, route: Route) -> str:
        """The candidate that is a student; empty where none is."""
        named = route.policy.student if isinstance(route.policy, StudentPolicy) else None
        students = (each for each in route.candidates if self.student_behind(each) is not None)
        return named or next(students, "")

    def student_behind(self, model: str) -> StudentUpstream | None:
        """The upstream of a model that is a student."""
        upstream = self.upstreams[self.models[model].upstream]
        return upstream if isinstance(upstream, StudentUpstream) else None
