"""The shape of `weir.yaml`. Unknown settings are refused; everything is frozen once read.

Each field's description is what `docs/reference/config.md` prints.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from contracts.records import DIRECT

_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


def _secret(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise ValueError("write secrets as environment references, such as ${OPENAI_API_KEY}, never in the file")
    return value


def _key_hash(value: str) -> str:
    if not _HASH.fullmatch(value):
        raise ValueError("must be 'sha256:' and 64 hex digits; `weir keys hash` prints it for a key")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("must be 1 to 128 letters, digits or . _ : / -, and start with a letter or digit")
    return value


Secret = Annotated[str, AfterValidator(_secret)]
KeyHash = Annotated[str, AfterValidator(_key_hash)]
Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


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
    prices: str | None = Field(
        None, description="Path of a YAML file of prices that take precedence over the built-in list."
    )
    flush_seconds: PositiveFloat = Field(0.5, description="How often spooled events are written to the database.")
    batch: PositiveInt = Field(500, description="Most events in one database transaction.")
    spool_max_bytes: PositiveInt = Field(
        1024**3, description="Most bytes of events waiting on disk; beyond it requests get a 503."
    )
    fsync: Literal["flush", "always", "never"] = Field(
        "flush",
        description="When the spool is forced to disk: at each flush, at each event, or left to the system. "
        "A killed process loses nothing either way; this is about power cuts.",
    )
    keys_refresh_seconds: PositiveFloat = Field(1, description="How often keys are read again from the database.")


class CacheStore(Section):
    """The answers kept in memory, for all routes together."""

    max_bytes: PositiveInt = Field(
        256 * 1024 * 1024, description="Bound on stored answers; the least used go first."
    )
    max_answer_bytes: PositiveInt = Field(1024 * 1024, description="A larger answer is not stored.")


class OpenAIUpstream(Section):
    """Any server that speaks OpenAI's protocol: OpenAI, vLLM, llama.cpp and others."""

    kind: Literal["openai"]
    base_url: str = Field(description="Up to and with /v1.", pattern=r"^https?://")
    api_key: Secret | None = Field(None, description="Sent as a bearer token.")
    headers: dict[str, Secret] = Field(default_factory=dict, description="More headers, values by reference.")
    max_connections: PositiveInt = Field(1024, description="Open connections at most.")
    connect_seconds: PositiveFloat = Field(3, description="How long connecting may take.")
    stand_in: Name | None = Field(
        None, description="The upstream that answers instead while the environment has no `api_key`."
    )


class LiteLLMUpstream(Section):
    """A provider with a protocol of its own, reached through the litellm library."""

    kind: Literal["litellm"]
    provider: Name = Field(description="litellm's name of it: anthropic, gemini, bedrock, azure, ...")
    api_key: Secret | None = Field(None, description="Left out, litellm looks where it usually does.")
    base_url: str | None = Field(None, description="Where the provider's default address is not the right one.")
    options: dict[str, str] = Field(
        default_factory=dict, description="More litellm arguments, such as api_version or aws_region_name."
    )
    stand_in: Name | None = Field(
        None, description="The upstream that answers instead while the environment has no `api_key`."
    )


class GGUFUpstream(Section):
    """A small model on this machine's CPU, in a child process that runs llama.cpp."""

    kind: Literal["gguf"]
    path: str = Field(description="The GGUF file, relative to this config.")
    threads: PositiveInt = Field(1, description="CPU threads; never more than there are idle cores.")
    context: PositiveInt = Field(2048, description="Context window in tokens.")
    start_seconds: PositiveFloat = Field(60, description="How long loading may take.")


class ScriptedUpstream(Section):
    """A stand-in that ships with Weir: an OpenAI-compatible server on loopback, in this process.

    The model's name chooses what it does, faults included; see docs/reference/scripted.md.
    """

    kind: Literal["scripted"]
    knowledge: str | None = Field(
        None, description="JSONL of {questions: [...], answer: ...} that it answers from, relative to this config."
    )


Upstream = Annotated[
    OpenAIUpstream | LiteLLMUpstream | GGUFUpstream | ScriptedUpstream, Field(discriminator="kind")
]


class TokenPrice(Section):
    """Dollars per million tokens. A part that is left out costs what the whole does."""

    input: Decimal = Field(ge=0, max_digits=18, decimal_places=6, description="Prompt tokens.")
    output: Decimal = Field(ge=0, max_digits=18, decimal_places=6, description="Completion tokens.")
    cached_input: Decimal | None = Field(
        None, ge=0, max_digits=18, decimal_places=6, description="Prompt tokens read from the provider's cache."
    )
    cache_write: Decimal | None = Field(
        None, ge=0, max_digits=18, decimal_places=6, description="Prompt tokens written to it."
    )


class ListedPrice(Section):
    """The price of a model in the built-in list (genai-prices)."""

    listed_as: Name = Field(description="The model's name there.")
    provider: Name | None = Field(None, description="The provider there, where the name alone is ambiguous.")


class Model(Section):
    """One upstream model."""

    upstream: Name = Field(description="One of `upstreams`.")
    name: Name | None = Field(None, description="The upstream's own name for it; left out, this model's.")
    price: TokenPrice | ListedPrice | None = Field(
        None,
        description="Left out, it is looked up under the upstream's name for the model, and a model that is not "
        "listed is refused.",
    )


class Prompt(Section):
    """A system prompt, kept in a file."""

    file: str = Field(description="Path of the text, relative to this config.")
    merge: Literal["prepend", "append", "replace", "only-if-absent"] = Field(
        "prepend", description="What becomes of a system message that the client sent."
    )


class FixedPolicy(Section):
    """Always the same choice."""

    kind: Literal["fixed"]
    choose: Name | None = Field(None, description="The candidate to choose; left out, the first.")


Policy = Annotated[FixedPolicy, Field(discriminator="kind")]


class RouteCache(Section):
    """Which answers of a route are kept, and how long."""

    enabled: bool = Field(True, description="Off: every request goes to a model.")
    ttl_seconds: PositiveFloat = Field(3600, description="How long an answer may be served again.")
    max_temperature: float = Field(1.0, ge=0, le=2, description="Requests that ask for more are not cached.")
    pool: Name | None = Field(
        None, description="Share answers among all tenants of the routes that name this pool. Left out: never."
    )


class Attempts(Section):
    """How long a route tries, and how often."""

    deadline_seconds: PositiveFloat = Field(
        60, description="From arrival to a whole answer, or to the first token of a stream."
    )
    attempt_seconds: PositiveFloat = Field(
        30, description="The same for one attempt; the next one follows while the deadline allows."
    )
    stall_seconds: PositiveFloat = Field(15, description="Longest silence inside a stream.")
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


class Route(Section):
    """A policy that clients address as a model."""

    candidates: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Models that may answer; after the chosen one, the others stand by in this order."
    )
    policy: Policy = Field(FixedPolicy(kind="fixed"), description="How one of them is chosen.")
    prompt: Name | None = Field(None, description="One of `prompts`.")
    cache: RouteCache = Field(RouteCache(), description="Which answers are kept.")
    attempts: Attempts = Field(Attempts(), description="Deadline, retries and pauses.")


class TenantKey(Section):
    """A key that is declared here; `weir keys create` makes others in the database."""

    hash: KeyHash = Field(description="`weir keys hash` prints it. The key itself is never written down.")
    routes: tuple[Name, ...] | None = Field(None, description="Routes it may use; left out, all of its tenant's.")
    models: tuple[Name, ...] | None = Field(None, description="Models it may name; left out, all of its tenant's.")


class Tenant(Section):
    """Who pays."""

    routes: tuple[Name, ...] | None = Field(None, description="Routes it may use; left out, all.")
    models: tuple[Name, ...] | None = Field(None, description="Models it may name directly; left out, all.")
    keys: dict[Name, TenantKey] = Field(default_factory=dict, description="Keys by name.")


class Config(Section):
    """A whole Weir."""

    server: Server = Field(Server(), description="The HTTP server.")
    ledger: Ledger = Field(Ledger(), description="Usage events, keys and prices.")
    cache: CacheStore = Field(CacheStore(), description="Bounds of the cache.")
    breaker: Breaker = Field(Breaker(), description="The circuit breaker of every model.")
    upstreams: dict[Name, Upstream] = Field(description="Servers that answer, by name.")
    models: dict[Name, Model] = Field(description="Models, by the name clients and routes use.")
    prompts: dict[Name, Prompt] = Field(default_factory=dict, description="System prompts, by name.")
    routes: dict[Name, Route] = Field(
        default_factory=dict, description="Routes, by name. `auto` is the default one."
    )
    tenants: dict[Name, Tenant] = Field(description="Who may call, by name.")

    @model_validator(mode="after")
    def _names_resolve(self) -> Config:
        problems = [*self._dangling(), *self._clashes()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _dangling(self) -> list[str]:
        found: list[str] = []

        def expect(name: str | None, known: dict[str, Any], path: str, table: str) -> None:
            if name is not None and name not in known:
                options = ", ".join(sorted(known)) or "none"
                found.append(f"{path}: '{name}' is not one of `{table}` ({options})")

        for name, upstream in self.upstreams.items():
            if isinstance(upstream, OpenAIUpstream | LiteLLMUpstream):
                expect(upstream.stand_in, self.upstreams, f"upstreams.{name}.stand_in", "upstreams")
        for name, model in self.models.items():
            expect(model.upstream, self.upstreams, f"models.{name}.upstream", "upstreams")
        for name, route in self.routes.items():
            for candidate in route.candidates:
                expect(candidate, self.models, f"routes.{name}.candidates", "models")
            expect(route.prompt, self.prompts, f"routes.{name}.prompt", "prompts")
            if route.policy.choose is not None and route.policy.choose not in route.candidates:
                found.append(f"routes.{name}.policy.choose: '{route.policy.choose}' is not one of its candidates")
        for name, tenant in self.tenants.items():
            holders = [(f"tenants.{name}", tenant.routes, tenant.models)]
            holders += [(f"tenants.{name}.keys.{key}", k.routes, k.models) for key, k in tenant.keys.items()]
            for path, routes, models in holders:
                for route_name in routes or ():
                    expect(route_name, self.routes, f"{path}.routes", "routes")
                for model_name in models or ():
                    expect(model_name, self.models, f"{path}.models", "models")
        return found

    def _clashes(self) -> list[str]:
        found = [
            f"routes.{name}: a model has this name too; clients could not tell which they get"
            for name in self.routes.keys() & self.models.keys()
        ]
        if DIRECT in self.routes:
            found.append(f"routes.{DIRECT}: this name is kept for requests that name a model")
        owners: dict[str, str] = {}
        for tenant_name, tenant in self.tenants.items():
            for key_name, key in tenant.keys.items():
                path = f"tenants.{tenant_name}.keys.{key_name}.hash"
                if key.hash in owners:
                    found.append(f"{path}: the same key as {owners[key.hash]}")
                owners[key.hash] = path
        return found
