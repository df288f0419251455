"""The composition root: the only file that names concrete classes. Reads as the wiring plan.

A `House` is one running Weir. What the configuration says is in its `Setup`, which a reload replaces; what must
outlive a reload (ledger, keys, cache, breakers, upstreams that did not change) stays.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prometheus_client import ProcessCollector

from cache.limits import AcceptanceLimits, SemanticLimits
from cache.refusals import phrases
from cache.room import VERIFIER, CacheRoom, CacheSettings
from contracts.errors import UpstreamFailure
from contracts.ports import CacheRules, Policy, Prices, SemanticRules, Upstream
from contracts.records import DIRECT, Endpoint, Key, UsageEvent
from encoder.address import socket_path
from encoder.card import BUILT, EncoderFault, read_card
from ledger.database import Database, DatabaseUnusable, sqlite_url
from ledger.doors import StoredEvents, StoredKeys
from ledger.handover import Handover
from ledger.keys import MemoryKeyring
from ledger.prices import PriceList, PriceRule, PricesUnknown, TokenRates
from ledger.spool import Spool
from ledger.writer_process import WriterProcess
from prompts.book import PromptBook
from router.access import Operators
from router.auditing import Audits
from router.board import PAGES, Board
from router.breaker import Breakers
from router.cache_metrics import wire_cache, wire_encoder
from router.calling import Caller
from router.choice import FixedChoice, NamedChoice
from router.config import schema
from router.config.load import Loaded
from router.config.watch import Outcome, Watch
from router.estimates import TokenEstimator
from router.evidence import RecentDecisions
from router.health import Health
from router.judging import ModelJudge
from router.metrics import Metrics
from router.permits import Permits
from router.pipeline import Pipeline
from router.server import is_loopback
from router.setup import Access, CacheRule, Deployment, Plan, Setup
from router.station import Station, Word
from router.upstreams.fleet import Fleet
from router.upstreams.gguf import GGUFUpstream
from router.upstreams.litellm_library import LiteLLMUpstream
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.scripted import ScriptedUpstream
from router.web.admin import admin_pages
from router.web.app import Front, pages_app
from router.web.cache_pages import cache_admin_pages, cache_pages
from router.web.errors import status_of
from router.web.hot import ModelEndpoint
from router.web.openapi import openapi_page
from router.web.pages import Decisions, decision_pages, model_pages, operator_pages
from router.workers import WorkersFailed

if TYPE_CHECKING:
    from encoder.client import EncoderClient
    from system.kept_process import KeptProcess

log = logging.getLogger("weir")

START_FAILURES = (UpstreamFailure, PricesUnknown, DatabaseUnusable, WorkersFailed, OSError)
"""What keeps a Weir from starting, each with advice."""

_AT_START = ("server", "ledger", "cache", "encoder", "breaker")
"""Sections that a reload cannot change."""


def policy_of(policy: schema.Policy) -> Policy:
    match policy:
        case schema.FixedPolicy():
            return FixedChoice(policy.choose)


def make_upstream(name: str, upstream: schema.Upstream, loaded: Loaded) -> Upstream:
    def secret(reference: str | None) -> str | None:
        return loaded.secret(reference) if reference and loaded.has_secret(reference) else None

    match upstream:
        case schema.OpenAIUpstream():
            return OpenAIUpstream(
                name,
                upstream.base_url,
                secret(upstream.api_key),
                {header: loaded.secret(value) for header, value in upstream.headers.items()},
                upstream.max_connections,
                upstream.connect_seconds,
            )
        case schema.LiteLLMUpstream():
            return LiteLLMUpstream(
                name, upstream.provider, secret(upstream.api_key), upstream.base_url, upstream.options
            )
        case schema.GGUFUpstream():
            return GGUFUpstream(
                name, loaded.folder / upstream.path, upstream.threads, upstream.context, upstream.start_seconds
            )
        case schema.ScriptedUpstream():
            return ScriptedUpstream(name, loaded.folder / upstream.knowledge if upstream.knowledge else None)


def prices_of(loaded: Loaded) -> Prices:
    """The price of every model. Raises PricesUnknown, naming all the models that have none."""
    config = loaded.config
    overrides = loaded.folder / config.ledger.prices if config.ledger.prices else None
    return PriceList((_price_rule(name, model) for name, model in config.models.items()), overrides)


def _price_rule(name: str, model: schema.Model) -> PriceRule:
    match model.price:
        case schema.TokenPrice() as price:
            return PriceRule(model=name, rates=TokenRates(**dict(price)), listed_as=model.name or name)
        case schema.ListedPrice() as price:
            return PriceRule(model=name, listed_as=price.listed_as, provider=price.provider)
        case None:
            return PriceRule(model=name, listed_as=model.name or name)


def setup_of(loaded: Loaded, fleet: Fleet, prices: Prices) -> Setup:
    """What `loaded` amounts to, with the upstreams of a fleet that has sailed with it."""
    config = loaded.config
    deployments = {
        name: Deployment(
            model=name, upstream=fleet.running[loaded.upstream_of(name)], upstream_name=model.name or name
        )
        for name, model in config.models.items()
    }
    book = PromptBook({name: (loaded.folder / p.file, p.merge) for name, p in config.prompts.items()})

    def plan(shown_as: str, route: schema.Route, policy: Policy) -> Plan:
        return Plan(
            route=shown_as,
            candidates=route.candidates,
            resolved=tuple(
                f"{model}={fleet.version_of(loaded.upstream_of(model))}/{deployments[model].upstream_name}"
                for model in route.candidates
            ),
            policy=policy,
            prompt=book[route.prompt] if route.prompt else None,
            cache=CacheRule(
                enabled=route.cache.enabled,
                ttl_s=route.cache.ttl_seconds,
                rules=CacheRules(
                    max_temperature=route.cache.max_temperature,
                    personal=route.cache.personal == "refuse",
                    live=route.cache.live,
                ),
                shorter=tuple((phrases(rule.words), rule.ttl_seconds) for rule in route.cache.shorter.values()),
                pool=route.cache.pool or "",
                writers=frozenset(route.cache.pool_writers),
                semantic=semantic_rules(route.cache.semantic),
            ),
            attempts=route.attempts,
        )

    routes = {name: plan(name, route, policy_of(route.policy)) for name, route in config.routes.items()}
    named = {name: plan(DIRECT, schema.Route(candidates=(name,)), NamedChoice()) for name in config.models}
    return Setup(
        plans={**named, **routes},
        deployments=deployments,
        tenants={name: _access(tenant) for name, tenant in config.tenants.items()},
        prices=prices,
    )


def semantic_rules(semantic: schema.Semantic | None) -> SemanticRules | None:
    return SemanticRules(**dict(semantic)) if semantic is not None else None


def _access(holder: schema.Tenant | schema.TenantKey) -> Access:
    return Access(
        routes=frozenset(holder.routes) if holder.routes is not None else None,
        models=frozenset(holder.models) if holder.models is not None else None,
    )


def declared_keys(config: schema.Config) -> list[Key]:
    """The keys that the configuration itself holds."""
    return [
        Key(id=f"{tenant_name}/{name}", tenant=tenant_name, name=name, hash=key.hash, **_limits(_access(key)))
        for tenant_name, tenant in config.tenants.items()
        for name, key in tenant.keys.items()
    ]


def _limits(access: Access) -> dict[str, Any]:
    return {"routes": access.routes, "models": access.models}


def cache_settings(loaded: Loaded, state: Path, worker: int, workers: int) -> CacheSettings:
    cache = loaded.config.cache
    matching = cache.matching
    return CacheSettings(
        max_bytes=cache.max_bytes,
        max_answer_bytes=cache.max_answer_bytes,
        folder=state / "cache",
        warm_start=cache.warm_start,
        worker=worker,
        workers=workers,
        shared_url=loaded.secret(cache.shared) if cache.shared else "",
        verifier=loaded.folder / matching.verifier if matching.verifier else VERIFIER,
        limits=SemanticLimits(
            floor=matching.floor,
            nearest=matching.nearest,
            same_words=matching.same_words,
            acceptance=AcceptanceLimits(memory=matching.memory_lookups, least_labels=matching.least_labels),
        ),
    )


def encoder_of(loaded: Loaded, state: Path) -> tuple[KeptProcess | None, EncoderClient | None]:
    """The encoder, where a route needs one and it can be had."""
    config = loaded.config.encoder
    if not any(route.cache.semantic for route in loaded.config.routes.values()):
        return None, None
    from encoder.client import EncoderClient  # needs numpy, which a Weir of exact hits need not have
    from encoder.process import encoder_process

    folder = loaded.folder / config.path if config.path else BUILT
    try:
        card, socket = read_card(folder), socket_path(state)
    except EncoderFault as error:
        log.warning("exact hits only: %s", error)
        return None, None
    client = EncoderClient(card, socket, deadline_s=config.deadline_seconds, recent_bytes=config.cache_bytes)
    return encoder_process(folder, socket), client


class House:
    """One running Weir, or one of its workers. `bound_to` is its address: demo keys work on loopback only.

    Several workers share `state` and count their `permits` together; `tell` has the other ones do something.
    """

    def __init__(
        self,
        loaded: Loaded,
        config_path: Path,
        *,
        state: Path,
        bound_to: str,
        worker: int = 0,
        workers: int = 1,
        permits: Permits | None = None,
        tell: Callable[[Word], None] = lambda _: None,
    ) -> None:
        config = loaded.config
        self.worker, self.workers = worker, workers
        self._tell = tell
        self.shutdown_s = config.server.shutdown_seconds
        self._loaded = loaded
        self.database = Database(loaded.secret(config.ledger.url) if config.ledger.url else sqlite_url(state))
        folder = state / "spool"
        self.spool = Spool(folder, max_bytes=config.ledger.spool_max_bytes, fsync=config.ledger.fsync, adopts=False)
        self.handover = Handover(self.spool, flush_s=config.ledger.flush_seconds)
        self.writer = WriterProcess(
            self.database.url,
            folder,
            flush_s=config.ledger.flush_seconds,
            batch=config.ledger.batch,
            fsync=config.ledger.fsync,
        )
        self.keys = MemoryKeyring(
            declared_keys(config),
            config.tenants,
            self.database,
            refresh_s=config.ledger.keys_refresh_seconds,
            demo_keys=is_loopback(bound_to),
        )
        self.encoder_process, self.encoder = encoder_of(loaded, state)
        self.cache = CacheRoom(cache_settings(loaded, state, worker, workers), self.encoder)
        self.audits: Audits | None = None
        self.breakers = Breakers(config.breaker)
        self.permits = permits or Permits(config.server.max_concurrent)
        self.recent = RecentDecisions(config.server.recent_decisions)
        self.archive = StoredEvents(self.database, folder)
        self.operators = operators_of(loaded, state)
        self.metrics = Metrics()
        self.board = Board(state / PAGES, worker, workers, page=self.metrics.page, ask=lambda: tell("publish"))
        self.fleet = Fleet(make_upstream)
        self.watch = Watch(
            config_path, loaded, every_s=config.server.reload_seconds, on_change=self.take, on_problem=self.refuse
        )

    async def open(self) -> Front:
        """Start everything and return the ASGI application.

        Raises UpstreamFailure, PricesUnknown or DatabaseUnusable, with advice, where a part cannot work.
        """
        config = self._loaded.config
        prices = prices_of(self._loaded)
        await self.fleet.sail(self._loaded)
        self.pipeline = Pipeline(
            setup_of(self._loaded, self.fleet, prices),
            keys=self.keys,
            cache=self.cache.answers,
            semantic=self.cache.semantic,
            caller=Caller(self.breakers, keep_bytes=config.cache.max_answer_bytes),
            tokens=TokenEstimator(),
            events=self.spool,
            permits=self.permits,
            drain_s=config.server.drain_seconds,
            status_of=status_of,
            settled=self._settled,
        )
        if self.cache.semantic is not None and config.cache.matching.judge:
            self.cache.semantic.judge = ModelJudge(config.cache.matching.judge, self.pipeline.answer)
        if self.encoder is not None and self.encoder_process is not None:
            if self.worker == 0:  # the other workers are its clients too
                self.encoder_process.start()
            self.encoder.start()
        await self.cache.open()
        self.audits = self.pipeline.audits
        self.handover.start()
        self.writer.start()
        self.keys.start()
        self.watch.start()
        self._wire_gauges()
        return self._front()

    async def close(self) -> None:
        """End everything, the ledger last."""
        await self.watch.stop()
        await self.fleet.close()
        await self.keys.stop()
        if self.audits is not None:
            await self.audits.close()
        await self.cache.close()
        if self.encoder is not None and self.encoder_process is not None:
            await self.encoder.close()
            await self.encoder_process.stop()
        await self.handover.stop()
        self.spool.close()
        await self.writer.stop()
        await self.database.close()

    async def take(self, loaded: Loaded) -> None:
        """Put a new configuration in force; requests under way end with the old one. Raises what `open` raises."""
        prices = prices_of(loaded)  # before anything is started: this is what a new model lacks most often
        gone = await self.fleet.sail(loaded)
        setup = setup_of(loaded, self.fleet, prices)
        old, self.pipeline.setup = self.pipeline.setup, setup
        self.keys.configure(declared_keys(loaded.config), loaded.config.tenants)
        # The last request that began with the old setup lets go of it, and only then may its upstreams close.
        weakref.finalize(old, _close_soon, asyncio.get_running_loop(), gone)
        self.metrics.reloads.add("taken")
        log.info("the changed configuration is in force")
        for section in _AT_START:
            if getattr(loaded.config, section) != getattr(self._loaded.config, section):
                log.warning("the change of `%s` takes effect at the next start", section)

    async def join(self, station: Station, end: Callable[[], None]) -> None:
        """Heed the other workers from now on; `end` is called where the parent has died."""
        station.attend({"reload": self.watch.check_soon, "publish": self.board.publish}, end=end)
        if station.replaces:  # the configuration may have changed since the parent read it
            await self.watch.check_now()

    async def reload(self) -> Outcome:
        """Read the configuration again now, and have the other workers do so; what came of it here."""
        self._tell("reload")
        return await self.watch.check_now()

    async def metrics_page(self) -> bytes:
        """Of all workers."""
        return await self.board.joined() if self.workers > 1 else self.metrics.page()

    def refuse(self, error: Exception) -> None:
        self.metrics.reloads.add("refused")
        log.error("the changed configuration is refused, the old one stays in force:\n%s", error)

    def _settled(self, event: UsageEvent) -> None:
        self.recent.add(event)
        self.metrics.observe(event)

    def _front(self) -> Front:
        config = self._loaded.config
        health = Health(
            keys=self.keys,
            events=self.spool,
            permits=self.permits,
            upstreams=lambda: self.fleet.running,
            database_up=self._database_up,
        )
        decisions = Decisions(self.recent, self.archive, self.keys, self.operators)
        control, setup = self.cache.control, lambda: self.pipeline.setup
        pages = pages_app(
            [
                model_pages(self.pipeline, self.keys),
                decision_pages(decisions),
                cache_pages(self.keys, control, decisions, setup, reported=self.metrics.cache_reports.add),
                cache_admin_pages(self.operators, control, setup, worker=self.worker, workers=self.workers),
                operator_pages(health, self.metrics_page, self.operators),
                admin_pages(
                    self.operators,
                    StoredKeys(self.database, self.keys),
                    setup=setup,
                    reload=self.reload,
                ),
            ]
        )
        pages.include_router(openapi_page(pages, self.keys, self.operators))
        most = config.server.max_body_bytes
        endpoints: tuple[Endpoint, ...] = ("chat/completions", "completions", "embeddings")
        hot = {
            f"/v1/{endpoint}": ModelEndpoint(endpoint, self.pipeline, self.metrics, max_body_bytes=most)
            for endpoint in endpoints
        }
        return Front(hot, pages)

    def _wire_gauges(self) -> None:
        ProcessCollector(registry=self.metrics.registry)
        loop = asyncio.get_running_loop()
        gauge, counter = self.metrics.gauge, self.metrics.counter
        gauge("weir_tasks", "asyncio tasks that are alive.", lambda: len(asyncio.all_tasks(loop)))
        gauge("weir_in_flight", "Requests being answered now.", lambda: self.permits.taken)
        audits = self.pipeline.audits
        wire_cache(
            self.metrics,
            self.cache,
            lambda owner, route: self.pipeline.setup.semantic_rules(owner, route),
            lambda: audits.skipped if audits else 0,
        )
        wire_encoder(self.metrics, self.encoder)
        gauge("weir_spool_events", "Usage events not yet in the database.", self._events_waiting)
        if self.worker == 0:  # what is known of the whole folder is told once
            writer = self.writer
            gauge("weir_spool_bytes", "Bytes of them.", lambda: self.spool.bytes_in_folder)
            counter("weir_events_written", "Usage events written to the database.", lambda: writer.report.written)
            counter("weir_events_rejected", "Usage events set aside.", lambda: writer.report.rejected)
        gauge("weir_database_up", "1 while the ledger's database answers.", self._database_up)
        self.metrics.labelled_gauge(
            "weir_upstream_connections",
            "Open connections to an upstream.",
            "upstream",
            self._upstream_connections,
        )
        self.metrics.labelled_gauge(
            "weir_breaker_open", "1 while a model is left alone.", "model", self._open_breakers
        )

    def _events_waiting(self) -> int:
        return self.spool.events_waiting + (0 if self.worker else self.writer.report.events_waiting)

    def _database_up(self) -> bool:
        return self.keys.database_up and self.writer.report.database_up

    def _upstream_connections(self) -> dict[str, float]:
        upstreams = self.fleet.running.items()
        return {name: up.connections for name, up in upstreams if isinstance(up, OpenAIUpstream)}

    def _open_breakers(self) -> dict[str, float]:
        states = self.breakers.states(time.perf_counter())
        return {model: float(state == "open") for model, state in states.items()}


def _close_soon(loop: asyncio.AbstractEventLoop, upstreams: list[Upstream]) -> None:
    async def close() -> None:
        await asyncio.gather(*(upstream.close() for upstream in upstreams))

    if upstreams and not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(close()))


def operators_of(loaded: Loaded, state: Path) -> Operators:
    """The admin key of the configuration, or the one in the state folder, made at first start."""
    server = loaded.config.server
    metrics_key = loaded.secret(server.metrics_key) if server.metrics_key else None
    if server.admin_key:
        return Operators(loaded.secret(server.admin_key), metrics_key)
    file = state / "admin.key"
    admin_key = file.read_text().strip() if file.exists() else ""
    if not admin_key:  # also where the disk was full when one was to be written
        admin_key = f"sk-weir-admin-{secrets.token_urlsafe(32)}"
        file.touch(mode=0o600)
        file.write_text(f"{admin_key}\n")
    return Operators(admin_key, metrics_key)
