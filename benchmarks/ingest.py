"""How fast the ledger's writer takes events into the database, beside what the proxy makes of them.

    .venv/bin/python benchmarks/ingest.py
    .venv/bin/python benchmarks/ingest.py --rounds 5 --events 50000 --postgres postgresql://me@host/postgres --json

Each round first loads the proxy, one worker over a mock upstream with no delay, and then ships a spool of events
that look like those which the proxy has just written: to SQLite and to PostgreSQL, roll-ups included, each into a
new database. Told is the median of the rounds' ratios, and what each round saw: where they are far apart, something
else kept the machine busy. The proxy has its own writer beside it, as it runs in production. Without a PostgreSQL,
that row is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import truediv
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import asyncpg
import uvloop
from msgspec.structs import replace
from rich.console import Console
from sqlalchemy import select

from benchmarks.load import MARK, closed
from benchmarks.mock_upstream import whole
from benchmarks.systems import SYSTEMS, Running, require_programs, running
from benchmarks.targets import Target, at_least, tell
from contracts.records import UsageEvent
from ledger.database import Database, sqlite_url
from ledger.events import from_row, to_json
from ledger.incoming import incoming
from ledger.spool import Spool
from ledger.tables import usage_events
from ledger.writer import Writer
from ledger.writer_child import spare_the_collector
from router.trail import new_request_id

CONNECTIONS = 32
TARGET = 5.0
"""Times the proxy's own requests per second."""

_POSTGRES = os.environ.get("WEIR_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
_TEMPLATES = 1000
_WRITTEN_WITHIN_S = 30
_NOTES = Console(stderr=True, soft_wrap=True)


@dataclass
class Measured:
    """A figure for each round, per second."""

    requests: list[float] = field(default_factory=list)
    events: dict[str, list[float]] = field(default_factory=dict)
    cpu_us: dict[str, list[float]] = field(default_factory=dict)
    """Of the writer, for each event."""
    reading_us: float = 0.0
    """What of it goes into reading an event's JSON."""
    event_bytes: int = 0


def run(*, rounds: int, seconds: float, events: int, batch: int, postgres: str) -> Measured:
    found = Measured()
    with whole() as mock, running(SYSTEMS["weir"], mock) as weir:
        for number in range(1, rounds + 1):
            _NOTES.print(f"Round {number} of {rounds}: the proxy")
            system = SYSTEMS["weir"]
            target = weir.base_url + system.path, weir.headers, system.body(f"How do I reset my password? {MARK}")
            found.requests.append(closed(*target, connections=CONNECTIONS, seconds=seconds).rps)
            templates = uvloop.run(_written(weir))
            found.event_bytes = round(sum(len(to_json(event)) for event in templates) / len(templates))
            found.reading_us = _reading_us(templates)
            for engine in ("sqlite", "postgresql"):
                _NOTES.print(f"Round {number} of {rounds}: {events:,} events to {engine}")
                took = uvloop.run(_ingested(engine, postgres, templates, events, batch))
                if took is not None:
                    wall_s, cpu_s = took
                    found.events.setdefault(engine, []).append(events / wall_s)
                    found.cpu_us.setdefault(engine, []).append(cpu_s / events * 1e6)
    return found


def _reading_us(templates: Sequence[UsageEvent]) -> float:
    records = list(map(to_json, templates))
    began = time.process_time()
    for record in records:
        incoming(record, ())
    return (time.process_time() - began) / len(records) * 1e6


async def _written(weir: Running) -> Sequence[UsageEvent]:
    """Some of the proxy's own events, once its writer has them in the database."""
    assert weir.folder is not None
    database = Database(sqlite_url(weir.folder / "state"))
    until = time.monotonic() + _WRITTEN_WITHIN_S
    try:
        while True:
            async with database.reading() as connection:
                query = select(usage_events).order_by(usage_events.c.at.desc()).limit(_TEMPLATES)
                rows = (await connection.execute(query)).mappings().all()
            if len(rows) == _TEMPLATES or time.monotonic() > until:
                return [from_row(row) for row in rows]
            await asyncio.sleep(0.2)
    finally:
        await database.close()


async def _ingested(
    engine: str, postgres: str, templates: Sequence[UsageEvent], events: int, batch: int
) -> tuple[float, float] | None:
    """Seconds from a full spool to an empty one, and those of CPU; None where there is no such engine."""
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        async with _database(engine, postgres, Path(folder)) as database:
            if database is None:
                return None
            await database.prepare()
            spool = Spool(Path(folder) / "spool")
            for _ in range(events):
                event = replace(random.choice(templates), request_id=new_request_id(), at=datetime.now(UTC))
                spool.append(event)
            writer = Writer(spool, database, batch=batch)
            spare_the_collector()  # as the writer's process does
            began, cpu = time.perf_counter(), time.process_time()
            await writer.flush()
            took = time.perf_counter() - began, time.process_time() - cpu
            assert (writer.written, writer.rejected) == (events, 0), "every event once"
            spool.close()
    return took


@asynccontextmanager
async def _database(engine: str, postgres: str, folder: Path) -> AsyncIterator[Database | None]:
    """A new one, gone at the end."""
    if engine == "sqlite":
        database = Database(sqlite_url(folder))
        yield database
        await database.close()
        return
    try:
        server = await asyncpg.connect(postgres, timeout=5)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        _NOTES.print(f"PostgreSQL is left out: {error}. Name one with --postgres.", style="yellow")
        yield None
        return
    name = f"weir_ingest_{uuid4().hex[:12]}"
    await server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    database = Database(f"{postgres.rpartition('/')[0]}/{name}")
    try:
        yield database
    finally:
        await database.close()
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


def results(found: Measured) -> list[dict[str, Any]]:
    """A line for the proxy, and one for each engine with its ratio to it."""
    proxy = median(found.requests)
    lines: list[dict[str, Any]] = [
        {"benchmark": "ingest", "what": "proxy", "per_second": round(proxy), "rounds": _rounded(found.requests)}
    ]
    for engine, rates in found.events.items():
        rate = median(rates)
        lines.append(
            {
                "benchmark": "ingest",
                "what": engine,
                "per_second": round(rate),
                "ratio": round(median(map(truediv, rates, found.requests)), 2),
                "cpu_us": round(median(found.cpu_us.get(engine, [0.0])), 1),
                "reading_us": round(found.reading_us, 1),
                "event_bytes": found.event_bytes,
                "rounds": _rounded(rates),
            }
        )
    return lines


def targets(lines: Sequence[dict[str, Any]]) -> list[Target]:
    ratios = {line["what"]: line.get("ratio") for line in lines}
    return [
        at_least(f"events into {name}, beside the proxy's requests", ratios.get(engine), TARGET)
        for name, engine in (("PostgreSQL", "postgresql"), ("SQLite", "sqlite"))
    ]


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    rows = [
        f"| {line['what']} | {line['per_second']:,} | {line['ratio']:.2f} x | {line['cpu_us']} |"
        if "ratio" in line
        else f"| {line['what']}, requests | {line['per_second']:,} | 1 | |"
        for line in lines
    ]
    heading = "| what | per second | to the proxy | writer's CPU, us each |"
    return "\n".join([heading, "| --- | ---: | ---: | ---: |", *rows])


def _rounded(rates: Sequence[float]) -> list[int]:
    return [round(rate) for rate in rates]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="of load on the proxy; default: %(default)s")
    parser.add_argument("--events", type=int, default=30_000, help="shipped each time; default: %(default)s")
    parser.add_argument("--batch", type=int, default=2000, help="most in a transaction; default: %(default)s")
    parser.add_argument("--postgres", default=_POSTGRES, help="where a database may be made; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON line for each figure, and one per target")
    args = parser.parse_args()
    require_programs(("wrk",))
    found = run(
        rounds=args.rounds, seconds=args.seconds, events=args.events, batch=args.batch, postgres=args.postgres
    )
    lines = results(found)
    tell(lines, markdown(lines), targets(lines), as_json=args.json)


if __name__ == "__main__":
    main()
