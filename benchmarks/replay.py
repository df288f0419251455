"""Replays a log of requests against a running Weir, and prints what it did for the bill and the wait.

    python benchmarks/replay.py --config examples/support/weir.yaml --log examples/support/log.jsonl --json

Without --base-url it starts a Weir of its own with that configuration and an empty state folder, so that the cache
starts cold. The log's arrival order is kept; its pauses are not.

Spend without Weir is a price list times counted tokens: each request's tokens, as Weir reported them, at the price
of the dearest candidate of its route. It is a counterfactual of price, not of behaviour: it takes for granted that
the dear model would have written as much.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from contracts.money import plain
from contracts.ports import Prices
from contracts.usage import reported_usage
from router.composition import prices_of
from router.config.load import Loaded, load

_NOTES = Console(stderr=True)


@dataclass(frozen=True)
class Outcome:
    """One replayed request. Times in milliseconds from sending to the last byte, and to the first token."""

    status: int
    cache: str
    model: str
    cost: Decimal
    without_weir: Decimal
    took_ms: float
    first_token_ms: float | None


class Replay:
    """Sends logged requests, and asks Weir what each one cost."""

    def __init__(self, base_url: str, loaded: Loaded, prices: Prices, keys: dict[str, str]) -> None:
        self._base_url = f"{base_url.rstrip('/').removesuffix('/v1')}/v1"
        self._config = loaded.config
        self._prices = prices
        self._keys = keys

    async def run(self, log: list[dict[str, Any]], concurrency: int) -> tuple[list[Outcome], float]:
        """Outcomes in arrival order, and the seconds all of it took."""
        outcomes: list[Outcome | None] = [None] * len(log)
        waiting = iter(range(len(log)))
        began = time.perf_counter()
        with Progress(console=_NOTES, transient=True) as progress:
            task = progress.add_task("Replaying", total=len(log))
            async with aiohttp.ClientSession() as session:

                async def work() -> None:
                    for index in waiting:
                        outcomes[index] = await self._one(session, log[index])
                        progress.advance(task)

                await asyncio.gather(*(work() for _ in range(concurrency)))
        return [outcome for outcome in outcomes if outcome is not None], time.perf_counter() - began

    async def _one(self, session: aiohttp.ClientSession, entry: dict[str, Any]) -> Outcome:
        headers = {"Authorization": f"Bearer {self._keys[entry['tenant']]}"}
        body: dict[str, Any] = {"model": entry["route"], "messages": entry["messages"]}
        if entry["stream"]:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        sent = time.perf_counter()
        first: float | None = None
        async with session.post(f"{self._base_url}/chat/completions", json=body, headers=headers) as response:
            received = b""
            async for chunk in response.content.iter_any():
                first = first or time.perf_counter()
                received += chunk
        done = time.perf_counter()
        usage = _usage(received, streamed=entry["stream"] and response.status == 200)
        return Outcome(
            status=response.status,
            cache=response.headers.get("x-weir-cache", "none"),
            model=response.headers.get("x-weir-model", "none"),
            cost=await self._cost(session, response, headers),
            without_weir=self._without_weir(entry["route"], usage),
            took_ms=(done - sent) * 1000,
            first_token_ms=(first - sent) * 1000 if first and entry["stream"] else None,
        )

    async def _cost(
        self, session: aiohttp.ClientSession, response: aiohttp.ClientResponse, headers: dict[str, str]
    ) -> Decimal:
        if "x-weir-cost" in response.headers:
            return Decimal(response.headers["x-weir-cost"])
        request_id = response.headers["x-weir-request-id"]
        async with session.get(f"{self._base_url}/decisions/{request_id}", headers=headers) as decision:
            if decision.status != 200:
                return Decimal(0)
            return Decimal((await decision.json())["cost_usd"])

    def _without_weir(self, route: str, raw_usage: object) -> Decimal:
        usage = reported_usage(raw_usage)
        if usage is None:
            return Decimal(0)
        candidates = self._config.routes[route].candidates if route in self._config.routes else (route,)
        return max(self._prices.cost(model, usage) for model in candidates)


def _usage(received: bytes, *, streamed: bool) -> object:
    if not streamed:
        return json.loads(received).get("usage")
    last = None
    for line in received.splitlines():
        if line.startswith(b"data: {"):
            last = json.loads(line[6:]).get("usage") or last
    return last


def summary(outcomes: list[Outcome], seconds: float) -> dict[str, Any]:
    """The figures. Money as exact strings in dollars; times in milliseconds."""
    took = sorted(outcome.took_ms for outcome in outcomes)
    verdicts = Counter(outcome.cache for outcome in outcomes)
    spend = sum((outcome.cost for outcome in outcomes), Decimal(0))
    without = sum((outcome.without_weir for outcome in outcomes), Decimal(0))
    hits = verdicts["exact"] + verdicts["semantic"]
    return {
        "requests": len(outcomes),
        "failed": sum(outcome.status != 200 for outcome in outcomes),
        "hit_rate": round(hits / len(outcomes), 4),
        "verdicts": dict(verdicts),
        "models": dict(Counter(outcome.model for outcome in outcomes)),
        "spend_usd": plain(spend),
        "spend_without_weir_usd": plain(without),
        "saved_share": round(float(1 - spend / without), 4) if without else None,
        "p50_ms": round(_quantile(took, 0.50), 2),
        "p95_ms": round(_quantile(took, 0.95), 2),
        "p99_ms": round(_quantile(took, 0.99), 2),
        "requests_per_second": round(len(outcomes) / seconds, 1),
    }


def _quantile(ordered: list[float], share: float) -> float:
    """Nearest rank."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def own_weir(config: Path) -> Iterator[str]:
    """A fresh Weir on a free port, with a state folder of its own; yields its base URL."""
    with tempfile.TemporaryDirectory() as state:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "weir",
                "serve",
                "--config",
                str(config),
                "--port",
                "0",
                "--log-level",
                "warning",
            ],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "WEIR_STATE_DIR": state},
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "Base URL" in line:
                    yield line.split()[-1]
                    break
            else:
                raise SystemExit("Weir did not start; its message stands above.")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title="Replay", show_header=False)
    for name, value in figures.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        table.add_row(name.replace("_", " "), shown)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True, help="JSONL: tenant, route, stream, messages")
    parser.add_argument("--base-url", help="a running Weir with that configuration")
    parser.add_argument("--key", action="append", default=[], metavar="TENANT=KEY", help="default: the demo keys")
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()

    loaded = load(args.config)
    log = [json.loads(line) for line in args.log.read_text(encoding="utf-8").splitlines() if line]
    keys = {tenant: f"sk-weir-demo-{tenant}" for tenant in loaded.config.tenants}
    keys |= dict(pair.split("=", 1) for pair in args.key)

    def replay(base_url: str) -> None:
        run = Replay(base_url, loaded, prices_of(loaded), keys).run(log, args.concurrency)
        figures = summary(*asyncio.run(run))
        if args.json:
            print(json.dumps(figures))
        else:
            Console().print(_table(figures))

    if args.base_url:
        replay(args.base_url)
    else:
        with own_weir(args.config) as base_url:
            replay(base_url)


if __name__ == "__main__":
    main()
