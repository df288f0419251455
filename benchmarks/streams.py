"""Holds many streams open at 50 tokens a second each, through each proxy and without one.

    .venv/bin/python benchmarks/streams.py --short
    .venv/bin/python benchmarks/streams.py --systems weir,bare --streams 512 --seconds 10 --json

Each token carries the moment it was sent at (see mock_upstream.py), so its delay is exact, and whatever the mock,
the client and the machine add to it stands in the row `direct` of the same run. Streams begin evenly over `--ramp`
seconds, and are long enough that all of them run together for `--seconds` more. One is held if all its tokens come
and it ends in good order, 10 seconds late at most. The next number of streams is only tried on those that held all
of the one before.

Weir is as shipped, but for `max_connections` of its upstream, which is raised to the number of streams.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from typing import Any
from urllib.parse import urlsplit

import yaml
from rich.console import Console

from benchmarks.mock_upstream import streaming
from benchmarks.peers import PINNED
from benchmarks.processes import tree, usage
from benchmarks.stream_client import STALL_MS, Order, hold
from benchmarks.systems import SYSTEMS, Command, Place, Running, System, running
from benchmarks.targets import Target, at_least, below, tell

STREAMS = (512, 2000)
RAMP_S = 3
NAMES = ("direct", "bare", "weir", "litellm", "portkey", "tensorzero")

_GAP_S = 0.02
_PATIENCE_S = 10
_WARM_UP = 64
_WARM_UP_S = 0.2
_QUIET_S = 0.5
_WHEN_ALL_RUN = 0.9  # of the time that a stream takes
_NOTES = Console(stderr=True, soft_wrap=True)


def run(
    seconds: float = 5,
    names: Sequence[str] = NAMES,
    streams: Sequence[int] = STREAMS,
    ramp_s: float = RAMP_S,
) -> list[dict[str, Any]]:
    """One result for each system; `direct` is always among them, and those not installed are left out."""
    _allow_open_files()
    results = []
    others = set(tree(os.getpid()))
    with streaming(_GAP_S, _WARM_UP) as mock_url:
        (mock_pid,) = set(tree(os.getpid())) - others
        for name in ["direct", *(name for name in names if name != "direct")]:
            if not SYSTEMS[name].installed():
                _NOTES.print(f"{name} is left out. {SYSTEMS[name].advice}", style="yellow")
                continue
            try:
                with running(_prepared(SYSTEMS[name], max(streams)), mock_url) as started:
                    subject = Subject(SYSTEMS[name], started, mock_pid, seconds, ramp_s)
                    results.append(subject.result(streams))
            except RuntimeError as error:
                _NOTES.print(str(error), style="yellow")
    for result in results:
        for count, cell in result["streams"].items():
            _compare(cell, results[0]["streams"][count])
    return results


def _allow_open_files() -> None:
    """For this process and all that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _prepared(system: System, streams: int) -> System:
    return replace(system, command=lambda place: _weir(place, streams)) if system.name == "weir" else system


def _weir(place: Place, connections: int) -> Command:
    assert SYSTEMS["weir"].command is not None
    command = SYSTEMS["weir"].command(place)
    config = place.folder / "weir.yaml"
    document = yaml.safe_load(config.read_text(encoding="utf-8"))
    document["upstreams"]["mock"]["max_connections"] = connections
    config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return command


@dataclass(frozen=True)
class Subject:
    """A system that runs, and what it is to hold."""

    system: System
    started: Running
    mock_pid: int
    seconds: float
    ramp_s: float

    def result(self, streams: Sequence[int]) -> dict[str, Any]:
        """A cell for each number of streams, up to the first that was not held."""
        name = self.system.name
        cells: dict[str, dict[str, Any]] = {}
        with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as clients:
            clients.submit(hold, self._order(_WARM_UP, _WARM_UP_S, 0)).result()
            for count in streams:
                cell = cells[str(count)] = self._load(clients, self._order(count, self.ramp_s, self.seconds))
                _NOTES.print(f"{name}: {cell['held']:,} of {count:,} streams held {cell['failures'] or ''}")
                if cell["held"] < count and self.started.pid:
                    break
                time.sleep(_QUIET_S)
        version = PINNED[name].version if name in PINNED else None
        return {"benchmark": "streams", "system": name, "version": version, "streams": cells}

    def _order(self, streams: int, ramp_s: float, seconds: float) -> Order:
        """Each request's text is unlike any other, so that no cache answers it."""
        tokens = round((ramp_s + seconds) / _GAP_S)
        parts = urlsplit(self.started.base_url)
        requests = []
        for _ in range(streams):
            text = f"Tell me the story of {secrets.token_hex(8)} in {tokens} tokens."
            body = self.system.body(text, stream=True)
            head = {"host": parts.netloc, "content-length": str(len(body)), **self.started.headers}
            lines = [f"POST {self.system.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
            requests.append("\r\n".join([*lines, "", ""]).encode() + body)
        return Order(
            host=parts.hostname or "",
            port=parts.port or 80,
            requests=requests,
            tokens=tokens,
            ramp_s=ramp_s,
            within_s=ramp_s + tokens * _GAP_S + _PATIENCE_S,
        )

    def _load(self, clients: ProcessPoolExecutor, order: Order) -> dict[str, Any]:
        """Carry out `order`; memory and sockets are read while all streams are open."""
        pid = self.started.pid or self.mock_pid
        before, mock_before = usage(pid), usage(self.mock_pid)
        carrying_out = clients.submit(hold, order)
        time.sleep(_WHEN_ALL_RUN * order.tokens * _GAP_S)
        during = usage(pid)
        report = carrying_out.result()
        spent_s, mock_spent_s = usage(pid).cpu_s - before.cpu_s, usage(self.mock_pid).cpu_s - mock_before.cpu_s
        return {
            **asdict(report),
            "cpu_s_per_1000_tokens": spent_s / report.tokens * 1000 if report.tokens else None,
            "cpu_share": spent_s / report.took_s,
            "mock_cpu_share": mock_spent_s / report.took_s,
            "client_cpu_share": report.cpu_s / report.took_s,
            "rss_mb": during.rss_mb,
            "pss_mb": during.pss_mb,
            "sockets": during.sockets,
        }


def _compare(cell: dict[str, Any], direct: dict[str, Any]) -> None:
    for name in ("first_ms", "token_ms"):
        cell[f"added_{name}"] = {share: cell[name][share] - direct[name][share] for share in cell[name]}


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Those that this benchmark can judge."""
    streams = {result["system"]: result["streams"] for result in results}.get("weir", {})
    few, many = streams.get("512"), streams.get("2000")
    return [
        at_least("512 streams: held", few and few["held"], 512, ""),
        below(f"512 streams: gaps over {STALL_MS} ms", few and few["stalls"], 1, ""),
        below("512 streams: added time to first token, P99", few and few["added_first_ms"]["p99"], 5, "ms"),
        at_least("2,000 streams: held", many and many["held"], 2000, ""),
    ]


# --- Markdown ------------------------------------------------------------------------------------------

_HEADS = (
    "system",
    "held",
    "first token, added P50 / P99 ms",
    "gap P50 / P99 / longest ms",
    f"gaps over {STALL_MS} ms (streams)",
    "token's delay, added P50 / P99 ms",
    "CPU s per 1,000 tokens",
    "CPU share",
    "RSS MB",
    "PSS MB",
)


def markdown(results: list[dict[str, Any]]) -> str:
    """A table for each number of streams."""
    parts = []
    for count in results[0]["streams"]:
        rows = [
            _row(result["system"], result["streams"][count]) for result in results if count in result["streams"]
        ]
        rule = ["---", *("---:" for _ in _HEADS[1:])]
        parts += [
            f"{int(count):,} streams of {1 / _GAP_S:.0f} tokens/s (direct: its own times, and the mock's CPU).",
            "\n".join(f"| {' | '.join(row)} |" for row in (_HEADS, rule, *rows)),
            _limits(results, count),
        ]
    return "\n\n".join(parts)


def _row(name: str, cell: dict[str, Any]) -> list[str]:
    prefix = "" if name == "direct" else "added_"
    first, gap, token = cell[f"{prefix}first_ms"], cell["gap_ms"], cell[f"{prefix}token_ms"]
    failures = ", ".join(f"{count:,} {why}" for why, count in cell["failures"].items())
    spent = cell["cpu_s_per_1000_tokens"]
    return [
        name,
        f"{cell['held']:,}" + (f" ({failures})" if failures else ""),
        f"{first['p50']:.2f} / {first['p99']:.2f}",
        f"{gap['p50']:.1f} / {gap['p99']:.1f} / {gap['most']:.0f}",
        f"{cell['stalls']:,} ({cell['stalled_streams']:,})",
        f"{token['p50']:.2f} / {token['p99']:.2f}",
        "-" if spent is None else f"{spent:.3f}",
        f"{cell['cpu_share']:.0%}",
        f"{cell['rss_mb']:,.0f}",
        f"{cell['pss_mb']:,.0f}",
    ]


def _limits(results: list[dict[str, Any]], count: str) -> str:
    """What the yardstick itself did, worst of all rows."""
    cells = {result["system"]: result["streams"][count] for result in results if count in result["streams"]}
    told = (
        f"{name} {cell['upstream_gap_ms']:.0f} / {cell['lag_ms']:.0f}, "
        f"{cell['mock_cpu_share']:.0%} / {cell['client_cpu_share']:.0%}"
        for name, cell in cells.items()
    )
    return f"Mock / client meanwhile: longest wait in ms, share of a CPU: {'; '.join(told)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(NAMES), help="default: %(default)s")
    parser.add_argument("--streams", default=",".join(map(str, STREAMS)), help="default: %(default)s")
    parser.add_argument(
        "--seconds", type=float, default=5, help="that all streams run together; default: %(default)s"
    )
    parser.add_argument("--ramp", type=float, default=RAMP_S, help="seconds to begin them in; default: %(default)s")
    parser.add_argument("--short", action="store_true", help="1 second")
    parser.add_argument("--json", action="store_true", help="one JSON line per system, and one per target")
    args = parser.parse_args()
    streams = [int(number) for number in args.streams.split(",")]
    results = run(1 if args.short else args.seconds, args.systems.split(","), streams, args.ramp)
    tell(results, markdown(results), targets(results), as_json=args.json)


if __name__ == "__main__":
    main()
