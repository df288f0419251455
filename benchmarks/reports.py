"""How long a monthly report takes with 10 million usage events, beside 100 thousand: roll-ups make it as long.

    .venv/bin/python benchmarks/reports.py --database postgresql://postgres@127.0.0.1:5432
    .venv/bin/python benchmarks/reports.py --events 100000,1000000 --json

Each size gets a database of its own on that server, dropped at the end. Both hold one month of the same tenants,
keys, routes and models, so the larger one has more events in each sum and not more sums. Printed are the medians of
each report and their ratio. The totals of roll-ups and events are compared to the last digit: exit status 1 says
that they differ.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import asyncpg
from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select, text

from contracts.money import plain
from ledger.backfill import days_of, rebuild
from ledger.database import Database
from ledger.partitions import make_partitions
from ledger.reports.costs import CostReport, cost_report
from ledger.tables import usage_events

_BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
_DAYS = 31
_TENANTS, _KEYS, _ROUTES, _MODELS = 40, 2, 3, 3
_NOTES = Console(stderr=True)

_EVENTS = """
INSERT INTO usage_events (
  request_id, at, tenant, key_id, route, endpoint, requested_model, model, upstream, stream, purpose, outcome,
  error, status, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens,
  audio_prompt_tokens, audio_completion_tokens, usage_source, usage_method, usage_tier, usage_raw, cost, saved,
  avoided, priced_by, verdict, verdict_detail, decision, attempts, latency_ms, hung_up, prompt_version,
  policy_version, corpus_version, conversation, arm, tags
)
SELECT
  'req_' || lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || md5(n::text || at::text),
  at, 'tenant-' || n % {tenants}, 'key-' || n / 7 % {keys}, 'route-' || n / 3 % {routes}, 'chat/completions',
  'route-' || n / 3 % {routes}, 'model-' || n / 11 % {models}, 'hosted', n % 2 = 0, 'serve',
  CASE n % 50 WHEN 0 THEN 'failed' ELSE 'answered' END, '', 200, 400 + n % 900, 20 + n % 300, n % 200, 0, 0, 0, 0,
  'reported', '', '', '{{"prompt_tokens": 400, "completion_tokens": 20}}'::json, (n % 997) * 0.000001, 0,
  (n % 13) * 0.000001, 'config', CASE n % 4 WHEN 0 THEN 'exact' ELSE 'miss' END, '{{}}'::json, NULL, '[]'::json,
  20 + n % 4000, false, '', 'fixed:first', '', '', '', '{{}}'::json
FROM (
  SELECT
    n,
    CAST(:begin AS timestamptz) + (n % 86400) * interval '1 second' + (n % 1000) * interval '1 millisecond' AS at
  FROM generate_series(CAST(:first AS bigint), CAST(:last AS bigint)) AS n
) AS numbered
"""


async def fill(database: Database, number: int, tick: Callable[[int], None]) -> None:
    """One month of `number` events, made by the server, and their roll-ups, made by Weir's own backfill."""
    await database.prepare()
    async with database.writing() as connection:
        await make_partitions(connection, [_BEGIN])
    insert = text(_EVENTS.format(tenants=_TENANTS, keys=_KEYS, routes=_ROUTES, models=_MODELS))
    a_day = -(-number // _DAYS)
    for day in range(_DAYS):
        first, last = day * a_day, min(number, (day + 1) * a_day) - 1
        span = {"begin": _BEGIN + timedelta(days=day), "first": first, "last": last}
        async with database.writing() as connection:
            await connection.execute(insert, span)
        tick(last - first + 1)
    async with database.writing() as connection:
        await connection.execute(text("ANALYZE usage_events"))


async def timed(ask: Callable[[], Awaitable[Any]], times: int) -> float:
    """Median seconds."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        took.append(time.perf_counter() - began)
    return median(took)


async def measured(database: Database, times: int) -> dict[str, Any]:
    """Seconds of each report, and whether roll-ups and events agree."""
    with tempfile.TemporaryDirectory() as name:

        async def month(tenant: str | None = None) -> CostReport:
            until = _BEGIN + timedelta(days=_DAYS)
            return await cost_report(database, Path(name), since=_BEGIN, until=until, tenant=tenant)

        found = await month()
        seconds = {
            "one tenant's month": await timed(lambda: month("tenant-7"), times),
            "all tenants' month": await timed(month, times),
        }
    async with database.reading() as connection:
        events = (await connection.execute(select(func.count(), func.sum(usage_events.c.cost)))).one()
    return {
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "events": events[0],
        "cost_of_events": plain(events[1]),
        "cost_of_roll_ups": plain(found.total.cost),
    }


async def on_server(server: str, number: int, times: int) -> dict[str, Any]:
    """Fill a database of its own on `server`, ask it, and drop it."""
    name = f"weir_bench_{uuid4().hex[:12]}"
    control = await asyncpg.connect(f"{server}/postgres")
    await control.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    database = Database(f"{server}/{name}")
    try:
        with Progress(console=_NOTES) as progress:
            made = progress.add_task(f"{number:,} events", total=number)
            await fill(database, number, lambda more: progress.advance(made, more))
            summed = progress.add_task("their roll-ups", total=_DAYS)
            began = time.perf_counter()
            for day in await days_of(database, _BEGIN, _BEGIN + timedelta(days=_DAYS)):
                await rebuild(database, day, ())
                progress.advance(summed)
            took = time.perf_counter() - began
        return {**await measured(database, times), "backfill_events_per_second": round(number / took)}
    finally:
        await database.close()
        await control.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await control.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", default="postgresql://postgres@127.0.0.1:5432", help="a server's URL")
    parser.add_argument("--events", default="100000,10000000", help="sizes, smallest first (100000,10000000)")
    parser.add_argument("--times", type=int, default=9, help="how often each report is asked for (9)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    sizes = [int(size) for size in options.events.split(",")]
    found = {size: asyncio.run(on_server(options.database, size, options.times)) for size in sizes}
    small, large = found[sizes[0]]["seconds"], found[sizes[-1]]["seconds"]
    ratios = {name: round(large[name] / small[name], 2) for name in small}
    if options.json:
        sys.stdout.write(json.dumps({"sizes": found, "ratios": ratios}, indent=2) + "\n")
    else:
        for size, told in found.items():
            spent = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in told["seconds"].items())
            sys.stdout.write(f"{size:>12,} events: {spent}\n")
        for name, ratio in ratios.items():
            sys.stdout.write(f"{name}: {ratio} times as long\n")
    sys.exit(
        0
        if all(Decimal(each["cost_of_events"]) == Decimal(each["cost_of_roll_ups"]) for each in found.values())
        else 1
    )


if __name__ == "__main__":
    main()
