"""Whether Weir holds under mixed traffic for long: memory, sockets, tasks and the ledger.

    .venv/bin/python benchmarks/soak.py --short
    .venv/bin/python benchmarks/soak.py --minutes 60 --clients 128 --json

Answers from the cache and from a model, streams that are read, cut and broken, upstreams that fail in every way,
wrong requests, scrapes, and a reload with new upstreams every other second, all at once. Exit status 1 where Weir
was wrong: an answer that was not asked for, a usage event too few or too many, a socket or task left over, an error
in the log. A target missed is not that.

The cache and the recent decisions are kept small here. At their usual size they would still be filling while memory
is measured, and what is meant to grow would hide what is not. So they are full before the first sample, and as busy
as ever: every answer that comes in pushes another out.
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
import urllib.request
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import astuple, replace
from itertools import cycle
from pathlib import Path
from statistics import median_low
from typing import Any

import uvloop
import yaml
from rich.console import Console

from benchmarks.mock_upstream import streaming
from benchmarks.processes import usage
from benchmarks.soak_results import (
    Sample,
    due,
    left_over,
    logged,
    markdown,
    miscounted,
    outcomes,
    slope,
    sparkline,
    targets,
    unexpected,
)
from benchmarks.soak_traffic import KINDS, Traffic
from benchmarks.systems import (
    SYSTEMS,
    WEIR_KEY,
    Command,
    Place,
    Running,
    free_port,
    process,
    running,
    weir_config,
    weir_metric,
)
from benchmarks.targets import tell

_GAP_S, _TOKENS = 0.005, 16  # of the mock's streams
_SAMPLE_S = 0.5
_RELOAD_S = 2.0
_REST_LOOKS = 6
_PATIENT_LOOKS = 140  # a pool gives up idle connections within a minute
_NOTES = Console(stderr=True, soft_wrap=True)


# --- Weir and its upstreams ----------------------------------------------------------------------------


def soak_config(mock_url: str, scripted_url: str, *, connections: int = 1024) -> dict[str, Any]:
    """A route for each kind of request that reaches a model: one of a mock upstream, or one that fails."""
    config = weir_config(mock_url)
    price = config["models"]["mock"]["price"]
    config["upstreams"]["scripted"] = {"kind": "openai", "base_url": f"{scripted_url}/v1"}
    for upstream in config["upstreams"].values():
        upstream["max_connections"] = connections
    for kind in KINDS:
        for model in kind.models:
            config["models"].setdefault(model, {"upstream": "scripted", "price": price})
        if kind.models:
            attempts = dict(kind.attempts)
            config["routes"][kind.name] = {"candidates": list(kind.models), "attempts": attempts}
    return config | {
        "server": {"max_body_bytes": 1_000_000, "recent_decisions": 500},
        "cache": {"max_bytes": 2 * 1024 * 1024},
        "breaker": {"failures": 1_000_000_000},  # each failure here is asked for, and is to be met
    }


def _weir(place: Place, scripted_url: str) -> Command:
    config = place.folder / "weir.yaml"
    config.write_text(yaml.safe_dump(soak_config(place.upstream_url, scripted_url)), encoding="utf-8")
    arguments = [sys.executable, "-m", "weir", "serve", "--config", str(config), "--port", str(place.port)]
    return Command(arguments, {"WEIR_STATE_DIR": str(place.folder / "state")})


@contextmanager
def _scripted() -> Iterator[str]:
    """The URL, without a path, of Weir's own scripted provider, whose models fail as they are named."""
    with tempfile.TemporaryDirectory(prefix="bench-scripted-") as folder:
        port = free_port()
        command = Command([sys.executable, "-m", "weir", "scripted", "--port", str(port)])
        with process(command, Path(folder)) as started:
            while started.poll() is None:
                with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=5):
                    yield f"http://127.0.0.1:{port}"
                    return
                time.sleep(0.05)
            raise RuntimeError(f"the scripted provider did not start: {(Path(folder) / 'log').read_text()}")


# --- the soak ------------------------------------------------------------------------------------------


class Soak:
    """One Weir under load. `config(connections)` is its configuration with so many connections per upstream."""

    def __init__(self, weir: Running, config: Callable[[int], dict[str, Any]]) -> None:
        assert weir.folder is not None
        assert weir.pid is not None
        self._weir, self._folder, self._pid = weir, weir.folder, weir.pid
        admin_key = (weir.folder / "state" / "admin.key").read_text().strip()
        self.traffic = Traffic(
            weir.base_url, {"tenant": WEIR_KEY, "admin": admin_key, "wrong": "sk-weir-of-nobody"}
        )
        self._sizes = cycle((1000, 1024))
        self._config = config
        self._began = time.perf_counter()
        self.reloads = 0

    async def load(self, seconds: float, clients: int) -> list[Sample]:
        """Traffic, and meanwhile reloads, for `seconds`. What was seen of Weir, from before the first request."""
        samples = [await asyncio.to_thread(self._sample)]
        background = [
            asyncio.create_task(self._keep_sampling(samples)),
            asyncio.create_task(self._keep_reloading()),
        ]
        await self.traffic.run(seconds, clients)
        for task in background:
            task.cancel()
        await asyncio.wait(background)
        return samples

    async def ready(self) -> None:
        """Wait until Weir says that it is: before it has read the ledger's keys, it judges no unknown one."""
        for _ in range(_PATIENT_LOOKS):
            with suppress(OSError):
                await asyncio.to_thread(urllib.request.urlopen, f"{self._weir.base_url}/readyz")
                return
            await asyncio.sleep(_SAMPLE_S)

    async def rest(self, most: Sample | None = None) -> Sample:
        """Weir with no client there: the median of a few looks, as Weir's own work comes and goes.

        While there are more sockets or tasks than in `most`, it is looked at again, up to the time in which a
        connection that is kept for the next request is given up. The reload gives up most of them at once.
        """
        self._reload()
        looks: deque[Sample] = deque(maxlen=_REST_LOOKS)
        for _ in range(_PATIENT_LOOKS):
            await asyncio.sleep(_SAMPLE_S)
            looks.append(await asyncio.to_thread(self._sample))
            sockets, tasks = (median_low(getattr(look, name) for look in looks) for name in ("sockets", "tasks"))
            resting = replace(looks[-1], sockets=sockets, tasks=tasks)
            if len(looks) == _REST_LOOKS and (most is None or not left_over(most, resting)):
                break
        return resting

    def metric(self, name: str, **labels: str) -> float:
        return weir_metric(self._weir, name, **labels)

    def events(self) -> dict[str, int]:
        """Usage events in the ledger, by route, as `weir report costs` tells them."""
        report = [sys.executable, "-m", "weir", "report", "costs", "--by", "route", "--json"]
        told = subprocess.run(
            [*report, "--config", str(self._folder / "weir.yaml")],
            check=True,
            capture_output=True,
            env={**os.environ, "WEIR_STATE_DIR": str(self._folder / "state")},
        ).stdout
        return {row["route"]: row["requests"] for row in json.loads(told)["rows"]}

    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def _sample(self) -> Sample:
        used = usage(self._pid)
        tasks = int(self.metric("weir_tasks"))
        at_s = time.perf_counter() - self._began
        return Sample(at_s, self.traffic.done, used.rss_mb, used.pss_mb, used.sockets, tasks)

    async def _keep_sampling(self, samples: list[Sample]) -> None:
        while True:
            await asyncio.sleep(_SAMPLE_S)
            samples.append(await asyncio.to_thread(self._sample))

    async def _keep_reloading(self) -> None:
        while True:
            await asyncio.sleep(_RELOAD_S)
            self._reload()

    def _reload(self) -> None:
        """Another configuration; every second time Weir has to notice by itself."""
        draft = self._folder / "weir.yaml.new"
        draft.write_text(yaml.safe_dump(self._config(next(self._sizes))), encoding="utf-8")
        draft.rename(self._folder / "weir.yaml")
        self.reloads += 1
        if self.reloads % 2:
            os.kill(self._pid, signal.SIGHUP)


def run(minutes: float = 10, clients: int = 64, warm_s: float = 20) -> list[dict[str, Any]]:
    """One result, for Weir."""
    with streaming(_GAP_S, _TOKENS) as mock_url, _scripted() as scripted_url:
        system = replace(SYSTEMS["weir"], command=lambda place: _weir(place, scripted_url))
        with running(system, mock_url) as weir:

            def config(connections: int) -> dict[str, Any]:
                return soak_config(mock_url, scripted_url, connections=connections)

            return [uvloop.run(_soak(Soak(weir, config), minutes * 60, clients, warm_s))]


async def _soak(soak: Soak, seconds: float, clients: int, warm_s: float) -> dict[str, Any]:
    await soak.ready()
    _NOTES.print(f"Warming up for {warm_s:g} s, with {clients} clients")
    before = await soak.rest()
    await soak.load(warm_s, clients)
    _NOTES.print(f"{soak.traffic.done:,} requests to warm up; now for {seconds:g} s")
    samples = await soak.load(seconds, clients)
    after = await soak.rest(before)
    first, last = samples[0], samples[-1]
    _NOTES.print(f"RSS from {first.rss_mb:.1f} to {last.rss_mb:.1f} MB: {sparkline(samples)}")
    events, counts = await asyncio.to_thread(soak.events), soak.traffic.counts
    refused = int(soak.metric("weir_config_reloads_total", result="refused"))
    slopes = {name: slope([(s.requests, getattr(s, name)) for s in samples[1:]]) for name in ("rss_mb", "pss_mb")}
    return {
        "benchmark": "soak",
        "system": "weir",
        "seconds": round(last.at_s - first.at_s, 1),
        "warm_up_requests": first.requests,
        "requests": after.requests - first.requests,
        "outcomes": outcomes(counts),
        "reloads": {"asked_for": soak.reloads, "refused": refused},
        "events": {"due": sum(due(counts).values()), "found": sum(events.get(name, 0) for name in due(counts))},
        "before": _told(before),
        "warm": _told(first),
        "most": {"sockets": max(s.sockets for s in samples), "tasks": max(s.tasks for s in samples)},
        "after": _told(after),
        "slope_mb_per_100k": {name: astuple(found) for name, found in slopes.items()},
        "problems": [
            *unexpected(counts),
            *miscounted(counts, events),
            *left_over(before, after),
            *([f"{refused} reloads were refused"] if refused else []),
            *logged(soak.log()),
        ],
        "samples": [astuple(sample) for sample in samples],
    }


def _told(sample: Sample) -> dict[str, float]:
    return {
        "rss_mb": round(sample.rss_mb, 1),
        "pss_mb": round(sample.pss_mb, 1),
        "sockets": sample.sockets,
        "tasks": sample.tasks,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--minutes", type=float, default=10, help="of load, after the warm-up; default: %(default)s"
    )
    parser.add_argument("--short", action="store_true", help="one minute")
    parser.add_argument("--warm-up", type=float, default=20, help="in seconds; default: %(default)s")
    parser.add_argument("--clients", type=int, default=64, help="at a time; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON line with the samples, and one per target")
    args = parser.parse_args()
    results = run(1 if args.short else args.minutes, args.clients, args.warm_up)
    tell(results, markdown(results), targets(results), as_json=args.json)
    sys.exit(1 if results[0]["problems"] else 0)


if __name__ == "__main__":
    main()
