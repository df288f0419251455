"""Plain parts for tests of the router, and a whole pipeline in this process over the shipped ones.

Nothing here stands in for a part that ships where that part is quick: cache, spool, keyring and prices are the real
ones. Only upstreams have a plain form too, because a test must be able to stop one half-way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from cache.exact import ExactCache
from cache.semantic import SemanticCache
from contracts.errors import SlowUpstream, UpstreamFailure
from contracts.ports import (
    AnswerStream,
    CacheRules,
    CacheTerms,
    Policy,
    Prompt,
    Prompts,
    Upstream,
    UpstreamCall,
    WholeAnswer,
)
from contracts.records import DIRECT, Endpoint, Key, UsageEvent
from contracts.request import ModelRequest
from contracts.sse import event, payloads
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring, hash_of
from ledger.prices import PriceList, PriceRule, TokenRates
from ledger.spool import Spool, waiting
from router.breaker import Breakers
from router.calling import Caller
from router.choice.fixed import FixedChoice, NamedChoice
from router.config import schema
from router.estimates import TokenEstimator
from router.exchange import Exchange, Incoming, Reply
from router.permits import Permits
from router.pipeline import Pipeline
from router.retrieving import Retrieving
from router.setup import Access, CacheRule, Deployment, Plan, RetrievalRules, Setup
from router.spending import Spending
from router.trail import Trail, new_request_id
from router.web.errors import status_of

SECRET = "sk-weir-of-acme"
ACME = Key(id="acme/main", tenant="acme", name="main", hash=hash_of(SECRET))
QUICK = schema.Attempts(deadline_seconds=20, attempt_seconds=10, stall_seconds=10, retries=1, backoff_seconds=0.001)
KEPT = CacheRule(enabled=True, ttl_s=3600, rules=CacheRules())
UNKEPT = CacheRule(enabled=False, ttl_s=3600, rules=CacheRules())
HELLO: Sequence[Mapping[str, Any]] = ({"role": "user", "content": "Hello"},)


def chunk(content: str | None = None, *, finish: str | None = None, index: int = 0, **more: object) -> bytes:
    """One event of a streamed chat."""
    delta = {} if content is None else {"content": content}
    return event(orjson.dumps({"choices": [{"index": index, "delta": delta, "finish_reason": finish}], **more}))


COST = Decimal("0.000007")
"""Of 3 + 2 tokens at 1 and 2 dollars a million."""
USAGE = event(orjson.dumps({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}))
DONE = event(b"[DONE]")
HELLO_STREAM = (chunk("He"), chunk("llo"), chunk(finish="stop"), USAGE, DONE)


def whole(text: str = "Hello", finish: str = "stop", **more: object) -> WholeAnswer:
    """A whole chat answer of 3 + 2 tokens."""
    data = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "upstreams-own",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish},
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        **more,
    }
    return WholeAnswer(body=orjson.dumps(data), data=data)


class Script:
    """An AnswerStream that follows a script: bytes are given, errors raised, events waited for."""

    def __init__(self, *steps: bytes | BaseException | asyncio.Event) -> None:
        self._steps = list(steps)
        self.closed = 0

    @property
    def left(self) -> int:
        """Steps that nobody has read yet."""
        return len(self._steps)

    async def read(self) -> bytes:
        while self._steps:
            step = self._steps[0]
            if isinstance(step, asyncio.Event):
                await step.wait()
            self._steps.pop(0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, bytes):
                return step
        return b""

    async def close(self) -> None:
        self.closed += 1


Turn = WholeAnswer | AnswerStream | UpstreamFailure | Exception


class PlainUpstream:
    """An upstream in memory that takes its `turns` one after the other, the last one again and again.

    With a `gate`, no call is answered before it is set.
    """

    def __init__(self, name: str, *turns: Turn, gate: asyncio.Event | None = None) -> None:
        self.name = name
        self.calls: list[UpstreamCall] = []
        self.called = asyncio.Event()
        self.started = 0
        self.closed = 0
        self._turns = list(turns)
        self.gate = gate

    async def start(self) -> None:
        self.started += 1

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        turn = await self._turn(call)
        assert isinstance(turn, WholeAnswer)
        return turn

    async def open(self, call: UpstreamCall) -> AnswerStream:
        turn = await self._turn(call)
        assert not isinstance(turn, WholeAnswer)
        return turn

    async def probe(self) -> None:
        """Always well."""

    async def close(self) -> None:
        self.closed += 1

    async def _turn(self, call: UpstreamCall) -> WholeAnswer | AnswerStream:
        self.calls.append(call)
        self.called.set()
        if self.gate is not None:
            try:
                await asyncio.wait_for(self.gate.wait(), call.first_byte_s)
            except TimeoutError:
                raise SlowUpstream("The gate stayed closed.") from None
        turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        if isinstance(turn, Exception):
            raise turn
        return turn


@dataclass(frozen=True)
class OnePrompt:
    """The port `Prompts`: the same for everybody."""

    prompt: Prompt

    def of(self, tenant: str, lot: float) -> Prompt:
        return self.prompt


def plan(
    route: str,
    *candidates: str,
    policy: Policy | None = None,
    prompt: Prompt | None = None,
    prompts: Prompts | None = None,
    cache: CacheRule = KEPT,
    attempts: schema.Attempts = QUICK,
    retrieval: RetrievalRules | None = None,
) -> Plan:
    return Plan(
        route=route,
        candidates=candidates,
        resolved=candidates,
        policy=policy or FixedChoice(None),
        prompts=OnePrompt(prompt) if prompt is not None else prompts,
        cache=cache,
        attempts=attempts,
        retrieval=retrieval or RetrievalRules(),
    )


def setup_over(models: Mapping[str, Upstream], *routes: Plan, named: CacheRule = KEPT) -> Setup:
    """`models` under their own names at their upstreams, to be named directly or through `routes`; for acme."""
    direct = {model: plan(DIRECT, model, policy=NamedChoice(), cache=named) for model in models}
    rates = TokenRates(input=Decimal(1), output=Decimal(2))
    return Setup(
        plans={**direct, **{route.route: route for route in routes}},
        deployments={
            model: Deployment(model=model, upstream=upstream, upstream_name=model)
            for model, upstream in models.items()
        },
        tenants={"acme": Access(routes=None, models=None)},
        prices=PriceList(PriceRule(model=model, rates=rates, listed_as=model) for model in models),
    )


def incoming(body: Mapping[str, Any] | bytes, endpoint: Endpoint = "chat/completions", **headers: str) -> Incoming:
    """A request as the web layer hands it over, with acme's key. Underscores in `headers` become dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Incoming(
        endpoint=endpoint,
        key=ACME,
        body=body if isinstance(body, bytes) else orjson.dumps(body),
        headers={"authorization": f"Bearer {SECRET}", **named},
        request_id=new_request_id(),
        arrived=time.perf_counter(),
    )


def chat(model: str = "good", text: str = "Hello", **more: object) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def exchange_for(setup: Setup, body: Mapping[str, Any], *, terms: CacheTerms | None = None) -> Exchange:
    """A request to a chat endpoint as it stands when its model is called."""
    request = ModelRequest("chat/completions", dict(body))
    found = setup.plan(request.model, ACME)
    return Exchange(
        incoming=incoming(body),
        setup=setup,
        request=request,
        plan=found,
        trail=Trail(new_request_id(), time.perf_counter(), ACME, found.route, request),
        terms=terms or CacheTerms(lookup=True, store=True),
        body=request.raw,
    )


async def read_out(reply: Reply) -> bytes:
    """All of a reply, as the web layer reads it. Raises what breaks it off."""
    if reply.stream is None:
        return reply.body
    parts = []
    try:
        while part := await reply.stream.next():
            parts.append(part)
    finally:
        await reply.stream.close()
    return b"".join(parts)


def text_in(events: bytes, index: int = 0) -> str:
    chunks = [orjson.loads(payload) for payload in payloads(events) if payload != b"[DONE]"]
    choices = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def text_of(body: bytes) -> str:
    return str(orjson.loads(body)["choices"][0]["message"]["content"])


async def ticks(until: Callable[[], bool]) -> None:
    """Let other tasks run until it is so."""
    async with asyncio.timeout(10):
        while not until():  # noqa: ASYNC110 - what is waited for is inside the pipeline
            await asyncio.sleep(0)


@dataclass(kw_only=True)
class Works:
    """A pipeline with what it stands on. `told` are the events it has announced as settled."""

    pipeline: Pipeline
    cache: ExactCache
    spool: Spool
    permits: Permits
    breakers: Breakers
    keys: MemoryKeyring
    folder: Path
    semantic: SemanticCache | None = None
    told: list[UsageEvent] = field(default_factory=list)

    @property
    def events(self) -> list[UsageEvent]:
        """What is on disk, in order of arrival there."""
        return list(waiting(self.folder))

    async def ask(
        self, body: Mapping[str, Any] | bytes, endpoint: Endpoint = "chat/completions", **headers: str
    ) -> Reply:
        return await self.pipeline.answer(incoming(body, endpoint, **headers))


async def ask_and_read(works: Works, body: Mapping[str, Any]) -> bytes:
    return await read_out(await works.ask(body))


Semantics = Callable[[ExactCache], SemanticCache]
"""Makes a semantic cache over an exact one."""


@asynccontextmanager
async def works_over(
    setup: Setup,
    folder: Path,
    *,
    most: int = 100,
    drain_s: float = 60,
    semantic: Semantics | None = None,
    spending: Spending | None = None,
    retrieving: Retrieving | None = None,
    **spool: Any,
) -> AsyncIterator[Works]:
    """A pipeline that spools into `folder` and has given back every permit when it is left."""
    database = Database(sqlite_url(folder))
    keys = MemoryKeyring([ACME], ["acme"], database)
    cache = ExactCache(max_bytes=10_000_000, max_answer_bytes=100_000)
    events, permits = Spool(folder / "spool", **spool), Permits(most)
    breakers = Breakers(schema.Breaker())
    told: list[UsageEvent] = []
    meanings = semantic(cache) if semantic else None
    pipeline = Pipeline(
        setup,
        keys=keys,
        cache=cache,
        semantic=meanings,
        caller=Caller(breakers, keep_bytes=100_000),
        tokens=TokenEstimator([]),
        events=events,
        permits=permits,
        drain_s=drain_s,
        status_of=status_of,
        settled=told.append,
        spending=spending,
        retrieving=retrieving,
    )
    del setup  # it is the pipeline's now
    try:
        yield Works(
            pipeline=pipeline,
            cache=cache,
            spool=events,
            permits=permits,
            breakers=breakers,
            keys=keys,
            folder=folder / "spool",
            semantic=meanings,
            told=told,
        )
        assert permits.taken == 0
    finally:
        events.close()
        await database.close()
