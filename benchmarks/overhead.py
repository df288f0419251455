"""What each proxy costs per request: throughput, added latency, CPU and memory, over a mock upstream with no delay.

    .venv/bin/python benchmarks/overhead.py --short
    .venv/bin/python benchmarks/overhead.py --systems weir,bare,litellm --seconds 5 --rounds 3 --json

All systems run side by side, idle but for the one that is loaded, and are loaded in turn in each round: what
disturbs the machine meanwhile disturbs them alike, and the medians over the rounds are what is told. Added latency
is what a system's quantile has over that of the mock called directly, in the same round, with as many connections.
Weir is measured twice: with texts that never repeat, which all pass through, and with one that is an exact hit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.load import MARK, Load, closed, opened
from benchmarks.mock_upstream import whole
from benchmarks.overhead_results import HIT, cell, markdown, ratio, targets
from benchmarks.peers import PINNED
from benchmarks.processes import Usage, usage
from benchmarks.systems import SYSTEMS, Running, System, require_programs, running, weir_metric
from benchmarks.targets import tell

CONNECTIONS = (1, 4, 32, 128)
RATES = (50, 200, 1000)

_TEXT = "How do I reset my password?"
_SETTLED_S = 1
_WARM_S = 1
_LONGEST_S = 10
_BEARABLE = 0.8  # of what the closed loop reached; an open loop beyond it measures its own queue
_NOTES = Console(stderr=True, soft_wrap=True)


@dataclass
class Subject:
    """One row of the results. `text` tells whether requests repeat; cells are keyed by connections or rate."""

    name: str
    system: System
    text: str
    running: Running
    started: Usage | None = None
    counted: dict[str, float] = field(default_factory=dict)
    closed: dict[int, list[Load]] = field(default_factory=dict)
    cpu_s: dict[int, list[float]] = field(default_factory=dict)
    opened: dict[int, list[Load]] = field(default_factory=dict)

    @property
    def target(self) -> tuple[str, Any, bytes]:
        return self.running.base_url + self.system.path, self.running.headers, self.system.body(self.text)

    def usage(self) -> Usage | None:
        return usage(self.running.pid) if self.running.pid else None

    def warm_up(self) -> None:
        closed(*self.target, connections=max(CONNECTIONS), seconds=_WARM_S)
        self.counted = self.counts()

    def load_closed(self, connections: int, seconds: float) -> None:
        """Again for longer where the time was too short for an answer on each connection."""
        before = self.usage()
        load = closed(*self.target, connections=connections, seconds=seconds)
        after = self.usage()
        if load.requests < connections and seconds < _LONGEST_S:
            self.load_closed(connections, _LONGEST_S)
            return
        self.closed.setdefault(connections, []).append(load)
        if before and after and load.requests:
            spent = (after.cpu_s - before.cpu_s) / load.requests * 1000
            self.cpu_s.setdefault(connections, []).append(spent)

    def load_open(self, rate: int, seconds: float) -> None:
        best = max(loads[0].rps for loads in self.closed.values())  # the first round decides for all
        if rate <= _BEARABLE * best:
            self.opened.setdefault(rate, []).append(opened(*self.target, rate=rate, seconds=seconds))

    def counts(self) -> dict[str, float]:
        """Weir's own account of what it answered, to prove that hits were hits and misses misses."""
        if self.system.name != "weir":
            return {}
        return {
            "requests": weir_metric(self.running, "weir_requests_total"),
            "exact_hits": weir_metric(self.running, "weir_requests_total", cache="exact"),
            "upstream_calls": weir_metric(self.running, "weir_attempts_total"),
        }


def run(
    seconds: float = 5,
    rounds: int = 3,
    names: Sequence[str] = tuple(SYSTEMS),
    connections: Sequence[int] = CONNECTIONS,
    rates: Sequence[int] = RATES,
) -> list[dict[str, Any]]:
    """One result for each system; `direct` is always among them, and those not installed are left out."""
    with whole() as mock, ExitStack() as stack:
        subjects = [subject for name in _rows(names) if (subject := _start(stack, name, mock))]
        time.sleep(_SETTLED_S)
        for subject in subjects:
            subject.started = subject.usage()
        for subject in subjects:
            subject.warm_up()
        for number in range(1, rounds + 1):
            for count in connections:
                _NOTES.print(f"Round {number} of {rounds}, closed loop, {count} connections")
                for subject in subjects:
                    subject.load_closed(count, seconds)
            for rate in rates:
                _NOTES.print(f"Round {number} of {rounds}, open loop, {rate} requests/s")
                for subject in subjects:
                    subject.load_open(rate, seconds)
        results = [_result(subject, subjects[0]) for subject in subjects]
    for result in results:
        result["ratios"] = {other["system"]: ratio(result, other) for other in results}
    return results


def short(names: Sequence[str] = tuple(SYSTEMS)) -> list[dict[str, Any]]:
    """Under 4 minutes for all systems."""
    return run(seconds=2, rounds=2, names=names, rates=(RATES[0], RATES[-1]))


def _rows(names: Sequence[str]) -> list[str]:
    """`direct` first, as all are compared with it."""
    rows = ["direct", *(name for name in names if name != "direct")]
    for name in rows:
        if not SYSTEMS[name].installed():
            _NOTES.print(f"{name} is left out. {SYSTEMS[name].advice}", style="yellow")
    rows = [name for name in rows if SYSTEMS[name].installed()]
    return [*rows, HIT] if "weir" in rows else rows


def _start(stack: ExitStack, name: str, mock_url: str) -> Subject | None:
    system = SYSTEMS["weir" if name == HIT else name]
    text = _TEXT if name == HIT else f"{_TEXT} {MARK}"
    try:
        started = stack.enter_context(running(system, mock_url))
    except RuntimeError as error:
        _NOTES.print(f"{name} is left out. {error}", style="yellow")
        return None
    _NOTES.print(f"{name} is up after {started.ready_s:.1f} s")
    return Subject(name, system, text, started)


def _result(subject: Subject, direct: Subject) -> dict[str, Any]:
    ended = subject.usage()
    counted = {name: after - subject.counted[name] for name, after in subject.counts().items()}
    cells = {str(c): cell(loads, direct.closed[c]) for c, loads in subject.closed.items()}
    for connections, spent in subject.cpu_s.items():
        cells[str(connections)]["cpu_s_per_1000"] = round(median(spent), 4)
    return {
        "benchmark": "overhead",
        "system": subject.name,
        "version": PINNED[subject.name].version if subject.name in PINNED else None,
        "closed": cells,
        "open": {str(r): cell(loads, direct.opened[r]) for r, loads in subject.opened.items()},
        "ready_s": round(subject.running.ready_s, 2) if ended else None,
        "start": _memory(subject.started),
        "end": _memory(ended),
        "counted": counted,
    }


def _memory(used: Usage | None) -> dict[str, float] | None:
    return None if used is None else {"rss_mb": round(used.rss_mb, 1), "pss_mb": round(used.pss_mb, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--short", action="store_true", help="2 rounds of 2 seconds, fewer rates")
    parser.add_argument("--connections", default=",".join(map(str, CONNECTIONS)), help="default: %(default)s")
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="open loop; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON line per system, and one per target")
    args = parser.parse_args()
    require_programs()
    names = args.systems.split(",")
    if unknown := set(names) - SYSTEMS.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(SYSTEMS)}")
    numbers = [[int(number) for number in text.split(",") if number] for text in (args.connections, args.rates)]
    results = short(names) if args.short else run(args.seconds, args.rounds, names, *numbers)
    tell(results, markdown(results), targets(results), as_json=args.json)


if __name__ == "__main__":
    main()
