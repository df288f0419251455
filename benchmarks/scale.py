"""How Weir grows: one worker, two workers, and two replicas that share a PostgreSQL database.

    .venv/bin/python benchmarks/scale.py --short
    .venv/bin/python benchmarks/scale.py --seconds 10 --rounds 5 --json
    .venv/bin/python benchmarks/scale.py --database postgresql://postgres@127.0.0.1:5432

Throughput of pass-through and of exact hits, from a closed loop of wrk with 32 connections; the CPU time that Weir,
wrk, the mock upstream and all the rest (the database above all) took meanwhile; and whether the books agree: what
the answers said against what the ledger holds. Then a crowd comes to two workers, to see that
`server.max_concurrent` holds for both together. Exit status 1 where the books differ or the limit was passed.

On a machine with few cores, load generator, mock and database take what a second worker would need. So beside the
ratio that was seen stands the one that CPU time tells: what two workers could answer on two cores of their own,
over what one could on one. Budgets and rate limits are not measured: Weir has none yet.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from os import getpid, sysconf
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from rich.console import Console

from benchmarks.load import MARK, Load, closed
from benchmarks.mock_upstream import whole
from benchmarks.processes import tree, usage
from benchmarks.scale_setups import COUNTED, COUNTED_KEY, KEY, LOADED, Weir, fresh_database, new_folder, serving
from benchmarks.scale_totals import Totals, asked, booked, crowd
from benchmarks.slow_upstream import slow_upstream
from benchmarks.systems import SYSTEMS, require_programs
from benchmarks.targets import Target, at_least, below, tell

POSTGRES = "postgresql://postgres@127.0.0.1:5432"
SETUPS = {"1 worker": (1, 1), "2 workers": (1, 2), "2 replicas": (2, 1)}
"""How many Weirs, and how many workers each."""
KINDS = ("pass-through", "exact hit")

_CONNECTIONS = 32
_WARM_S = 1
_MOST_AT_A_TIME = 8
_CROWD, _WAVES = 64, 4
_TEXT = "How do I reset my password?"
_WEIR = SYSTEMS["weir"]
_BODIES = {"pass-through": _WEIR.body(f"{_TEXT} {MARK}"), "exact hit": _WEIR.body(_TEXT)}
_NOTES = Console(stderr=True, soft_wrap=True)


@dataclass(frozen=True)
class Measured:
    """One run of wrk. `cpu_s` is whose CPU time it took: Weir's, the load's, the mock's, or that of the rest."""

    rps: float
    requests: int
    errors: int
    took_s: float
    cpu_s: dict[str, float]


@dataclass
class Setup:
    """One row of the results. `answered` and `sent` count what wrk saw, `said` what the counted answers said."""

    name: str
    weirs: list[Weir]
    runs: dict[str, list[Measured]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    answered: int = 0
    sent: int = 0
    said: Totals = field(default_factory=Totals)

    def load(self, kind: str, seconds: float, mock: int) -> Measured:
        """All Weirs at once; the connections are shared out among them."""

        def one(weir: Weir) -> Load:
            url, share = weir.url + _WEIR.path, _CONNECTIONS // len(self.weirs)
            return closed(url, weir.headers(KEY), _BODIES[kind], connections=share, seconds=seconds)

        began, before = time.perf_counter(), self._cpu_s(mock)
        with ThreadPoolExecutor(len(self.weirs)) as pool:
            loads = list(pool.map(one, self.weirs))
        spent = {name: after - before[name] for name, after in self._cpu_s(mock).items()}
        requests, errors = sum(load.requests for load in loads), sum(load.errors for load in loads)
        self.answered += requests - errors
        self.sent += requests + _CONNECTIONS  # with those that were cut off at the end
        return Measured(sum(load.rps for load in loads), requests, errors, time.perf_counter() - began, spent)

    def _cpu_s(self, mock: int) -> dict[str, float]:
        rusages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        found = {
            "weir": sum(usage(weir.pid).cpu_s for weir in self.weirs),
            "load": sum(rusage.ru_utime + rusage.ru_stime for rusage in rusages),
            "mock": usage(mock).cpu_s,
        }
        return {**found, "rest": _machine_s() - sum(found.values())}

    def count(self, number: int) -> None:
        """Ask about `number` questions, each twice: which answers are hits is for the workers to say."""
        bodies = [_WEIR.body(f"Question {index // 2}") for index in range(number)]
        Random(number).shuffle(bodies)
        urls = [weir.url + _WEIR.path for weir in self.weirs]
        self.said = asyncio.run(asked(urls, self.weirs[0].headers(COUNTED_KEY), bodies))


def _machine_s() -> float:
    """Seconds that all cores together were busy since the machine started (proc(5), /proc/stat)."""
    user, nice, system, _idle, _waiting, *more = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(more)) / sysconf("SC_CLK_TCK")


def run(
    seconds: float = 5, rounds: int = 3, *, counted: int = 2000, postgres: str = POSTGRES
) -> list[dict[str, Any]]:
    """A result for each set-up, and one for the limit. The set-ups stand side by side and are loaded in turn."""
    with ExitStack() as books:
        with ExitStack() as servers:
            others = tree(getpid())
            mock_url = servers.enter_context(whole())
            mock = next(pid for pid in tree(getpid()) if pid not in others)
            setups = _setups(books, servers, mock_url, postgres)
            for kind in KINDS:
                for setup in setups:
                    setup.load(kind, _WARM_S, mock)
            for number in range(1, rounds + 1):
                _NOTES.print(f"Round {number} of {rounds}")
                for kind in KINDS:
                    for setup in setups:
                        setup.runs[kind].append(setup.load(kind, seconds, mock))
            for setup in setups:
                setup.count(counted)
            _NOTES.print("Ending all, so that everything is in the ledger")
        results = [_result(setup, setups[0], booked(setup.weirs[0])) for setup in setups]
    return [*results, _limit()]


def _setups(books: ExitStack, servers: ExitStack, mock_url: str, postgres: str) -> list[Setup]:
    """Each with a database of its own. Without PostgreSQL there are no replicas, and the rest is on SQLite."""
    setups = []
    for name, (replicas, workers) in SETUPS.items():
        database = books.enter_context(fresh_database(postgres))
        if database is None and replicas > 1:
            _NOTES.print(f"There is no PostgreSQL at {postgres}: {name} are left out", style="yellow")
            continue
        weirs = [
            servers.enter_context(
                serving(books.enter_context(new_folder()), mock_url, workers=workers, database=database)
            )
            for _ in range(replicas)
        ]
        setups.append(Setup(name, weirs))
    return setups


def _limit() -> dict[str, Any]:
    """What becomes of a crowd at two workers."""
    with (
        slow_upstream() as upstream,
        new_folder() as folder,
        serving(folder, upstream.url, workers=2, max_concurrent=_MOST_AT_A_TIME) as weir,
    ):
        waves = [[_WEIR.body(f"{wave} {index}") for index in range(_CROWD)] for wave in range(_WAVES)]
        seen = asyncio.run(crowd(upstream, weir.url + _WEIR.path, weir.headers(KEY), waves))
    held = seen.most <= _MOST_AT_A_TIME and not seen.other
    return {
        "benchmark": "scale",
        "setup": "limit",
        "max_concurrent": _MOST_AT_A_TIME,
        **asdict(seen),
        "right": held,
    }


# --- results -------------------------------------------------------------------------------------------


def _result(setup: Setup, one: Setup, ledger: Mapping[str, Totals]) -> dict[str, Any]:
    """`ledger` has a total for each tenant."""
    loaded, counted = ledger.get(LOADED, Totals()), ledger.get(COUNTED, Totals())
    return {
        "benchmark": "scale",
        "setup": setup.name,
        "system": "weir",
        **{kind: _cell(setup.runs[kind], one.runs[kind], SETUPS[setup.name]) for kind in KINDS},
        "said": setup.said.shown(),
        "booked": counted.shown(),
        "load": {"answered": setup.answered, "booked": loaded.requests, "sent_at_most": setup.sent},
        "right": counted == setup.said and setup.answered <= loaded.requests <= setup.sent,
    }


def _cell(runs: Sequence[Measured], one: Sequence[Measured], shape: tuple[int, int]) -> dict[str, Any]:
    """Medians over the rounds. `by_cpu` is the ratio that CPU time tells."""
    spent, spent_by_one = (median(r.cpu_s["weir"] / max(1, r.requests) * 1000 for r in rs) for rs in (runs, one))
    return {
        "rps": round(median(run.rps for run in runs), 1),
        "ratio": round(median(run.rps for run in runs) / median(run.rps for run in one), 3),
        "by_cpu": round(shape[0] * shape[1] * spent_by_one / spent, 3),
        "cpu_s_per_1000": round(spent, 4),
        "cores": {name: round(median(run.cpu_s[name] / run.took_s for run in runs), 2) for name in runs[0].cpu_s},
        "errors": sum(run.errors for run in runs),
    }


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Those that this benchmark can judge."""
    rows = {result["setup"]: result for result in results}
    wrong = sum(not result["right"] for result in results)
    two = rows["2 workers"]["pass-through"]
    return [
        at_least("Two workers, pass-through, requests/s over one's", two["ratio"], 1.7),
        at_least("The same by CPU time, had each a core of its own", two["by_cpu"], 1.7),
        below("Set-ups whose books or limit are wrong", wrong, 1, ""),
    ]


def markdown(results: list[dict[str, Any]]) -> str:
    """Tables: throughput and CPU, the books, the limit."""
    *setups, limit = results
    heads = ["set-up", "requests/s", "over 1 worker", "by CPU time", "CPU s per 1,000"]
    heads += [f"cores: {name}" for name in ("Weir", "wrk", "mock", "rest")]
    parts = []
    for kind in KINDS:
        cells = [(result["setup"], result[kind]) for result in setups]
        parts += [f"{kind.capitalize()}, {_CONNECTIONS} connections.", _table(heads, [_row(*c) for c in cells])]
    parts += ["The books: what answers said, and what the ledger holds.", _books(setups)]
    verdict = "held" if limit["right"] else "was **passed**"
    parts += [
        "Hits differ, as every worker has a cache of its own for now.",
        f"The limit: {_WAVES} crowds of {_CROWD} requests came to two workers with `max_concurrent: "
        f"{limit['max_concurrent']}`. The upstream saw {limit['most']} at a time at most; {limit['answered']} were "
        f"answered and {limit['refused']} refused with a 503: the limit {verdict}.",
        "Budgets and rate limits are not measured: Weir has none yet.",
    ]
    return "\n\n".join(parts)


def _row(setup: str, cell: dict[str, Any]) -> list[str]:
    return [
        setup,
        f"{cell['rps']:,.0f}",
        f"{cell['ratio']:.2f}",
        f"{cell['by_cpu']:.2f}",
        f"{cell['cpu_s_per_1000']:.3f}",
        *(f"{cell['cores'][name]:.2f}" for name in ("weir", "load", "mock", "rest")),
    ]


def _books(setups: Sequence[dict[str, Any]]) -> str:
    names = ["requests", "hits", "prompt_tokens", "completion_tokens", "cost"]
    rows = []
    for result in setups:
        pairs = ((result["said"][name], result["booked"][name]) for name in names)
        told = (f"{a}" if a == b else f"**{a} / {b}**" for a, b in pairs)
        load = result["load"]
        rows.append([result["setup"], *told, f"{load['answered']} to {load['sent_at_most']}: {load['booked']}"])
    heads = ["set-up", "requests", "hits", "prompt tokens", "completion tokens", "cost $"]
    return _table([*heads, "of wrk's, answered to sent: booked"], rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in heads[1:])]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--counted", type=int, default=2000, help="requests for the books; default: %(default)s")
    parser.add_argument("--short", action="store_true", help="2 rounds of 2 seconds, 500 requests for the books")
    parser.add_argument("--database", default=POSTGRES, help="a PostgreSQL server; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON line per set-up, and one per target")
    args = parser.parse_args()
    require_programs()
    seconds, rounds, counted = (2, 2, 500) if args.short else (args.seconds, args.rounds, args.counted)
    results = run(seconds, rounds, counted=counted, postgres=args.database)
    tell(results, markdown(results), targets(results), as_json=args.json)
    sys.exit(not all(result["right"] for result in results))


if __name__ == "__main__":
    main()
