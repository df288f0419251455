"""The composition root: with `composition` the only place that names concrete classes. Reads as the wiring plan.

A `House` is one running Weir. What the configuration says is in its `Setup`, which a reload replaces; what must
outlive a reload (ledger, keys, cache, breakers, upstreams that did not change) stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from cache.room import CacheRoom
from contracts.errors import UpstreamFailure
from contracts.ports import Upstream
from contracts.records import Endpoint, UsageEvent
from ledger.database import Database, DatabaseUnusable, sqlite_url
from ledger.doors import StoredEvents, StoredKeys
from ledger.handover import Handover
from ledger.keys import MemoryKeyring
from ledger.prices import PricesUnknown
from ledger.spool import Spool
from ledger.writer_process import WriterProcess
from registry.store import Registry
from router.auditing import Audits
from router.board import PAGES, Board
from router.breaker import Breakers
from router.cache_metrics import wire_cache, wire_encoder
from router.calling import Caller
from router.choice.opinions import Opinions
from router.choice.parts import ChoiceParts
from router.choice.promotions import Promotions
from router.choice.sessions import Sessions
from router.choice_metrics import wire_choice
from router.composition import (
    cache_settings,
    declared_keys,
    encoder_of,
    head_places,
    learns,
    make_upstream,
    operators_of,
    prices_of,
    setup_of,
)
from router.config.load import Loaded
from router.config.watch import Outcome, Watch
from router.estimates import TokenEstimator
from router.evidence import RecentDecisions
from router.health import Health
from router.judging import ModelJudge
from router.learning.lessons import Lessons
from router.learning.notebook import Notebook
from router.metrics import Metrics
from router.permits import Permits
from router.pipeline import Pipeline
from router.server import is_loopback
from router.station import Station, Word
from router.upstreams.fleet import Fleet
from router.upstreams.openai_http import OpenAIUpstream
from router.web.admin import admin_pages
from router.web.app import Front, pages_app
from router.web.cache_pages import cache_admin_pages, cache_pages
from router.web.errors import status_of
from router.web.hot import ModelEndpoint
from router.web.openapi import openapi_page
from router.web.pages import Decisions, decision_pages, model_pages, operator_pages
from router.web.route_pages import route_pages
from router.workers import WorkersFailed

if TYPE_CHECKING:
    pass

log = logging.getLogger("weir")

START_FAILURES = (UpstreamFailure, PricesUnknown, DatabaseUnusable, WorkersFailed, OSError)
"""What keeps a Weir from starting, each with advice."""

_AT_START = ("server", "ledger", "cache", "encoder", "breaker")
"""Sections that a reload cannot change."""


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
        self.registry = Registry(state / "registry")
        self.choice = ChoiceParts(
            encoder=self.encoder,
            sessions=Sessions(state / "sessions") if any(map(learns, config.routes.values())) else None,
        )
        self.notebook = Notebook(state)
        self.lessons: Lessons | None = None
        self.promotions = Promotions(
            self.registry.revision, self.choice.refresh, every_s=config.server.reload_seconds
        )
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
        self.choice.places = head_places(self._loaded, self.registry)
        self.pipeline = Pipeline(
            setup_of(self._loaded, self.fleet, prices, self.choice),
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
        self.choice.opinions = Opinions(self.pipeline.answer)
        self.notebook.start()
        shadow = Opinions(self.pipeline.answer, purpose="shadow")
        self.lessons = self.pipeline.lessons = Lessons(
            self.notebook, shadow, judge=lambda model: ModelJudge(model, self.pipeline.answer)
        )
        self.promotions.start()
        self.handover.start()
        self.writer.start()
        self.keys.start()
        self.watch.start()
        self._wire_gauges()
        return self._front(self.lessons)

    async def close(self) -> None:
        """End everything, the ledger last."""
        await self.watch.stop()
        await self.promotions.stop()
        if self.lessons is not None:
            await self.lessons.close()
        await self.notebook.stop()
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
        if self.choice.sessions is not None:
            self.choice.sessions.close()

    async def take(self, loaded: Loaded) -> None:
        """Put a new configuration in force; requests under way end with the old one. Raises what `open` raises."""
        prices = prices_of(loaded)  # before anything is started: this is what a new model lacks most often
        gone = await self.fleet.sail(loaded)
        self.choice.places = head_places(loaded, self.registry)
        # What was learned, and the prompts, are read beside the requests.
        setup = await asyncio.to_thread(setup_of, loaded, self.fleet, prices, self.choice)
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

    def _front(self, lessons: Lessons) -> Front:
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
                route_pages(
                    self.pipeline,
                    self.keys,
                    self.operators,
                    self.breakers,
                    decisions,
                    lessons,
                    told=self.metrics.feedback.add,
                ),
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
        wire_choice(self.metrics, self.choice, lambda: self.lessons)
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
