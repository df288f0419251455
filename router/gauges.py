"""What a House shows on /metrics that is read when somebody looks: tasks, queues, connections, what is up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from router.cache_metrics import wire_cache, wire_encoder
from router.choice_metrics import wire_choice
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.student import StudentUpstream

if TYPE_CHECKING:
    from router.main import House


def wire_gauges(house: House) -> None:
    """In the running loop, once `house` has its pipeline."""
    metrics, loop = house.metrics, asyncio.get_running_loop()
    audits = house.pipeline.audits
    ProcessCollector(registry=metrics.registry)
    metrics.gauge("weir_tasks", "asyncio tasks that are alive.", lambda: len(asyncio.all_tasks(loop)))
    metrics.gauge("weir_in_flight", "Requests being answered now.", lambda: house.permits.taken)
    wire_cache(
        metrics,
        house.cache,
        lambda owner, route: house.pipeline.setup.semantic_rules(owner, route),
        lambda: audits.skipped if audits else 0,
    )
    wire_encoder(metrics, lambda: house.encoder)
    wire_choice(metrics, house.choice, lambda: house.lessons)
    _wire_ledger(house)
    metrics.labelled_gauge(
        "weir_prompt_in_force",
        "1 for a version of a prompt that requests get now, by where it comes from: file, registry or canary.",
        ("prompt", "version", "source"),
        lambda: dict.fromkeys(house.book.in_force(), 1.0),
    )
    metrics.labelled_gauge(
        "weir_prompt_outdated",
        "1 while a prompt must be optimised again, as the models it was measured with are not those that answer.",
        "prompt",
        house.prompt_watch.readings,
    )
    metrics.labelled_gauge(
        "weir_student_in_force",
        "1 for a version of a student that can be asked now, 0 while its engine is down or there is no version.",
        ("upstream", "version"),
        lambda: {
            (name, up.version): float(up.serving is not None)
            for name, up in house.fleet.running.items()
            if isinstance(up, StudentUpstream)
        },
    )
    metrics.labelled_gauge(
        "weir_upstream_connections",
        "Open connections to an upstream.",
        "upstream",
        lambda: {n: up.connections for n, up in house.fleet.running.items() if isinstance(up, OpenAIUpstream)},
    )
    metrics.labelled_gauge(
        "weir_breaker_open",
        "1 while a model is left alone.",
        "model",
        lambda: {m: float(s == "open") for m, s in house.breakers.states(time.perf_counter()).items()},
    )


def _wire_ledger(house: House) -> None:
    gauge, counter, writer = house.metrics.gauge, house.metrics.counter, house.writer
    first = house.worker == 0

    def events_waiting() -> int:
        return house.spool.events_waiting + (writer.report.events_waiting if first else 0)

    gauge("weir_spool_events", "Usage events not yet in the database.", events_waiting)
    if first:  # what is known of the whole folder is told once
        gauge("weir_spool_bytes", "Bytes of them.", lambda: house.spool.bytes_in_folder)
        counter("weir_events_written", "Usage events written to the database.", lambda: writer.report.written)
        counter("weir_events_rejected", "Usage events set aside.", lambda: writer.report.rejected)
    gauge("weir_database_up", "1 while the ledger's database answers.", lambda: house.database_up)
    gauge(
        "weir_budget_counters_up",
        "1 while it is known what is left of every budget.",
        lambda: house.budgets.up,
    )
