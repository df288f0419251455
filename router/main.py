"""The composition root: with `composition` the only place that names concrete classes. Reads as the wiring plan.

A `House` is one running Weir. What the configuration says is in its `Setup`, which a reload replaces; what must
outlive a reload (ledger, keys, cache, breakers, upstreams that did not change) stays.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cache.room import CacheRoom
from contracts.access import Known
from contracts.errors import UpstreamFailure
from contracts.ports import Upstream
from contracts.records import Endpoint, UsageEvent
from ledger.access_doors import StoredBudgets, StoredHistory, StoredKeys, StoredTenants
from ledger.database import Database, DatabaseUnusable, sqlite_url
from ledger.doors import StoredEvents
from ledger.handover import Handover
from ledger.keys import MemoryKeyring
from ledger.prices import PricesUnknown
from ledger.snapshot import Snapshot
from ledger.spool import Spool
from prompts.prompt import BookedPrompt
from registry.prompts import StoredPrompts
from registry.store import Registry
from router.alerts import Alerts
from router.auditing import Audits
from router.board import PAGES, Board
from router.bookkeeping import CountersMissing, counters_of, reports_of, require_counters, webhook_of, writer_of
from router.breaker import Breakers
from router.calling import Caller
from router.changes import budgets_in_force
from router.choice.opinions import Opinions
from router.choice.parts import ChoiceParts
from router.choice.promotions import Promotions
from router.choice.sessions import Sessions
from router.composition import (
    book_of,
    cache_settings,
    declared_keys,
    encoder_of,
    head_places,
    learns,
    make_upstream,
    operators_of,
    prices_of,
    require_one_worker,
    setup_of,
)
from router.config.load import Loaded
from router.config.watch import Outcome, Watch
from router.documents import MISSING, Documents
from router.estimates import TokenEstimator
from router.evidence import RecentDecisions
from router.forecast import Forecast
from router.gauges import wire_gauges
from router.health import Health
from router.judging import ModelJudge
from router.learning.lessons import Lessons
from router.learning.notebook import Notebook
from router.librarian import documents_folder, documents_of, ingest_of, looks_up, searched
from router.metrics import Metrics
from router.permits import Permits
from router.pipeline import Pipeline
from router.prompt_watch import PromptWatch
from router.retrieving import Retrieving
from router.rewriter import Rewriter
from router.server import is_loopback
from router.spending import Spending
from router.station import Station, Word
from router.upstreams.fleet import Fleet
from router.web.access_pages import audit_pages, budget_pages, tenant_pages
from router.web.admin import admin_pages
from router.web.app import Front, pages_app
from router.web.cache_pages import cache_admin_pages, cache_pages
from router.web.errors import status_of
from router.web.file_pages import file_pages
from router.web.hot import ModelEndpoint
from router.web.openapi import openapi_page
from router.web.pages import Decisions, decision_pages, model_pages, operator_pages
from router.web.report_pages import report_pages
from router.web.route_pages import feedback_pages, preview_pages
from router.web.store_pages import store_pages
from router.workers import WorkersFailed

if TYPE_CHECKING:
    from system.kept_process import KeptProcess

log = logging.getLogger("weir")

START_FAILURES = (UpstreamFailure, PricesUnknown, DatabaseUnusable, CountersMissing, WorkersFailed, OSError)
"""What keeps a Weir from starting, each with advice."""

_DATABASE_S = 5.0
_AT_START = ("server", "ledger", "cache", "encoder", "breaker", "rag")
"""Sections that a reload cannot change."""


class House:
    """One running Weir, or one of its workers. `bound_to` is its address: demo keys work on loopback only.

    Several workers share `state` and count their `permits` together; `tell` has the other ones do something.
    `pinned` prompts are in force in place of those of the configuration of that name, promoted or not.
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
        pinned: Mapping[str, BookedPrompt] | None = None,
    ) -> None:
        config = loaded.config
        self.worker, self.workers = worker, workers
        self._config_path = config_path
        self._tell = tell
        self.shutdown_s = config.server.shutdown_seconds
        self._loaded = self.in_force = loaded
        self.database = Database(loaded.secret(config.ledger.url) if config.ledger.url else sqlite_url(state))
        self.spool_folder = folder = state / "spool"
        self.spool = Spool(folder, max_bytes=config.ledger.spool_max_bytes, fsync=config.ledger.fsync, adopts=False)
        self.handover = Handover(self.spool, flush_s=config.ledger.flush_seconds)
        self.writer = writer_of(loaded, self.database.url, folder)
        self.keys = self._keyring(state, bound_to)
        self.encoder_process, self.encoder = encoder_of(loaded, state)
        self.documents = Documents(
            documents_of(loaded, state, lambda: self.encoder),
            folder=documents_folder(state),
            wake=self._need_documents,
        )
        self.ingest: KeptProcess | None = None
        self._state = state
        self.cache = CacheRoom(cache_settings(loaded, state, worker, workers), self.encoder)
        self.audits: Audits | None = None
        self.registry = Registry(state / "registry")
        self._pinned = pinned or {}
        self.book = book_of(loaded, StoredPrompts(self.registry), self._pinned)
        self.choice = ChoiceParts(
            encoder=self.encoder,
            sessions=Sessions(state / "sessions") if any(map(learns, config.routes.values())) else None,
        )
        self.notebook = Notebook(state)
        self.lessons: Lessons | None = None
        self.prompt_watch = PromptWatch(lambda: self.in_force, self.registry)
        self.promotions = Promotions(self.registry.revision, self._promoted, every_s=config.server.reload_seconds)
        self.breakers = Breakers(config.breaker)
        self.permits = permits or Permits(config.server.max_concurrent)
        self.recent = RecentDecisions(config.server.recent_decisions)
        self.archive = StoredEvents(self.database, folder)
        self.operators = operators_of(loaded, state, self.keys)
        self.metrics = Metrics()
        self._open_accounts()
        self.board = Board(state / PAGES, worker, workers, page=self.metrics.page, ask=lambda: tell("publish"))
        self.fleet = Fleet(partial(make_upstream, registry=self.registry))
        self.watch = Watch(
            config_path, loaded, every_s=config.server.reload_seconds, on_change=self.take, on_problem=self.refuse
        )

    def _open_accounts(self) -> None:
        """What counts budgets, asks them before money is spent, and tells of those that run out."""
        config = self._loaded.config
        self.alerts = Alerts(
            webhook_of(self._loaded), timeout_s=config.alerts.timeout_seconds, told=self.metrics.alerts.add
        )
        self.budgets = counters_of(
            self._loaded, self.database, self.spool_folder, workers=self.workers, alert=self.alerts.crossed
        )
        self.tokens = TokenEstimator()
        self.spending = Spending(
            self.budgets,
            Forecast(self.tokens, first_guess=config.ledger.first_output_tokens),
            refused=self.metrics.budget_refused.add,
            unavailable=self.metrics.budget_unavailable.add,
        )

    def _keyring(self, state: Path, bound_to: str) -> MemoryKeyring:
        config = self._loaded.config
        return MemoryKeyring(
            declared_keys(config),
            config.tenants,
            self.database,
            refresh_s=config.ledger.keys_refresh_seconds,
            demo_keys=is_loopback(bound_to),
            snapshot=Snapshot(state, self.database.name),
        )

    async def open(self) -> Front:
        """Start everything and return the ASGI application.

        Raises UpstreamFailure, PricesUnknown or DatabaseUnusable, with advice, where a part cannot work.
        """
        config = self._loaded.config
        prices = prices_of(self._loaded)
        require_one_worker(self._loaded, self.workers)
        database_answers = await self._open_database()
        await self.fleet.sail(self._loaded)
        self.choice.places = head_places(self._loaded, self.registry)
        self.pipeline = Pipeline(
            setup_of(self._loaded, self.fleet, prices, self.choice, self.book),
            keys=self.keys,
            cache=self.cache.answers,
            semantic=self.cache.semantic,
            caller=Caller(self.breakers, keep_bytes=config.cache.max_answer_bytes),
            tokens=self.tokens,
            events=self.spool,
            permits=self.permits,
            drain_s=config.server.drain_seconds,
            status_of=status_of,
            settled=self._settled,
            spending=self.spending,
            retrieving=Retrieving(
                self.documents.open_library if self.documents.installed else None,
                deadline_s=config.rag.deadline_seconds,
            ),
        )
        if self.cache.semantic is not None and config.cache.matching.judge:
            self.cache.semantic.judge = ModelJudge(config.cache.matching.judge, self.pipeline.answer)
        if self.encoder is not None and self.encoder_process is not None:
            if self.worker == 0:  # the other workers are its clients too
                self.encoder_process.start()
            self.encoder.start()
        self._start_documents(self.pipeline)
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
        self.keys.directory.follow(self._know)
        self._record(self._loaded)
        if database_answers:  # else it was waited for already, and is looked at in the background
            await self.keys.directory.first_look()
        self.keys.start()
        self._budget()
        await self.budgets.start()
        self.watch.start()
        wire_gauges(self)
        return self._front(self.lessons)

    async def _open_database(self) -> bool:
        """Whether it answers. Raises DatabaseUnusable where its schema is not this Weir's."""
        try:
            async with asyncio.timeout(_DATABASE_S):
                await self.database.prepare()
        except DatabaseUnusable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a driver raises: it is tried again in the background
            log.warning("the ledger's database does not answer (%s); events wait on disk", type(error).__name__)
            return False
        return True

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
        await self.documents.close()
        if self.ingest is not None:
            await self.ingest.stop()
        await self.cache.close()
        if self.encoder is not None and self.encoder_process is not None:
            await self.encoder.close()
            await self.encoder_process.stop()
        await self.budgets.stop()
        await self.alerts.close()
        await self.handover.stop()
        self.spool.close()
        await self.writer.stop()
        await self.database.close()
        if self.choice.sessions is not None:
            self.choice.sessions.close()

    def _start_documents(self, pipeline: Pipeline) -> None:
        config = self._loaded.config
        if looks_up(config) and not self.documents.installed:
            log.warning("documents cannot be looked up: %s", MISSING)
        pipeline.retrieving.rewriter = Rewriter(pipeline.answer, deadline_s=config.rag.deadline_seconds)
        self.documents.start(in_use=looks_up(config), searched=searched(config))

    def _need_documents(self) -> None:
        """Documents are used from now on: have them encoded and ingested."""
        if self.encoder is None:
            self.encoder_process, self.encoder = encoder_of(self._loaded, self._state, wanted=True)
            if self.encoder is not None and self.encoder_process is not None:
                if self.worker == 0:
                    self.encoder_process.start()
                self.encoder.start()
        if self.worker == 0:
            self.ingest = ingest_of(self.in_force, self._state)
            if self.ingest is not None:
                self.ingest.start()

    async def _ingest_anew(self) -> None:
        """Where other stores are declared than before."""
        if self.ingest is not None:
            await self.ingest.stop()
            self.ingest = None
            self._need_documents()
        elif looks_up(self.in_force.config):
            self.documents.start(in_use=True)

    def _promoted(self) -> None:
        """At the start, and whenever something was promoted; in a thread."""
        self.choice.refresh()
        if self.worker == 0:  # once is enough
            self.prompt_watch.tell()

    async def take(self, loaded: Loaded) -> None:
        """Put a new configuration in force; requests under way end with the old one. Raises what `open` raises."""
        prices = prices_of(loaded)  # before anything is started: this is what a new model lacks most often
        counted_as_now = loaded.config.model_copy(update={"ledger": self._loaded.config.ledger})
        require_counters(counted_as_now, self.workers)
        require_one_worker(loaded, self.workers)
        gone = await self.fleet.sail(loaded)
        self.choice.places = head_places(loaded, self.registry)
        # What was learned, and what was promoted, are read beside the requests.
        book = await asyncio.to_thread(book_of, loaded, StoredPrompts(self.registry), self._pinned)
        setup = await asyncio.to_thread(setup_of, loaded, self.fleet, prices, self.choice, book)
        watched = self.in_force.config.stores, self.in_force.folder
        old, self.pipeline.setup, self.in_force, self.book = self.pipeline.setup, setup, loaded, book
        self.keys.configure(declared_keys(loaded.config), loaded.config.tenants)
        self.alerts.configure(webhook_of(loaded), timeout_s=loaded.config.alerts.timeout_seconds)
        self._budget()
        self._record(loaded)
        if watched != (loaded.config.stores, loaded.folder):
            await self._ingest_anew()
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

    def _know(self, known: Known) -> None:
        """The database has told of tenants and budgets."""
        self.choice.tenancy.take(known.open_tenants().values())
        self._budget()

    def _budget(self) -> None:
        """Put budgets in force: those of the configuration, and those of the database that are known."""
        known = self.keys.directory.known
        stored = known.budgets if known is not None else ()
        budgets, strange = budgets_in_force(self.in_force.config.budgets, stored)
        for name in strange:
            log.error("the budget %s in the database is not one that this Weir understands: it does not hold", name)
        self.spending.configure(budgets)

    def _record(self, loaded: Loaded) -> None:
        """Have the audit log say that this configuration is in force."""
        if self.worker == 0:
            self.keys.directory.record_configuration(loaded.digest, str(self._config_path))

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
            database_up=lambda: self.database_up,
            budgets_up=lambda: self.budgets.up,
        )
        decisions = Decisions(self.recent, self.archive, self.keys, self.operators)
        control, setup = self.cache.control, lambda: self.pipeline.setup
        operators, in_force = self.operators, lambda: self.in_force.config
        pages = pages_app(
            [
                model_pages(self.pipeline, self.keys),
                decision_pages(decisions),
                preview_pages(self.pipeline, self.keys, operators, self.breakers),
                feedback_pages(self.pipeline, decisions, lessons, told=self.metrics.feedback.add),
                file_pages(self.keys, self.documents.open_corpus, max_file_bytes=config.rag.max_file_bytes),
                store_pages(
                    self.keys,
                    self.documents.open_corpus,
                    self.documents.open_library,
                    max_body_bytes=config.server.max_body_bytes,
                ),
                cache_pages(self.keys, control, decisions, setup, reported=self.metrics.cache_reports.add),
                cache_admin_pages(operators, control, setup, worker=self.worker, workers=self.workers),
                operator_pages(health, self.metrics_page, operators),
                admin_pages(operators, StoredKeys(self.database, self.keys), setup=setup, reload=self.reload),
                tenant_pages(operators, StoredTenants(self.database, self.keys), setup, in_force),
                budget_pages(operators, StoredBudgets(self.database, self.keys), setup, in_force, self.budgets),
                audit_pages(operators, StoredHistory(self.database)),
                report_pages(operators, reports_of(self.database.url, self.spool_folder, lambda: self.in_force)),
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

    @property
    def database_up(self) -> bool:
        """Whether keys can be read from it and events are taken by it."""
        return self.keys.database_up and self.writer.report.database_up


def _close_soon(loop: asyncio.AbstractEventLoop, upstreams: list[Upstream]) -> None:
    async def close() -> None:
        await asyncio.gather(*(upstream.close() for upstream in upstreams))

    if upstreams and not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(close()))
