"""Whether usage events are lost or counted twice, whatever is killed: workers, writer, database, the disk.

    .venv/bin/python benchmarks/losses.py
    .venv/bin/python benchmarks/losses.py --requests 2000 --outage 5 --json

Two workers on a PostgreSQL of their own answer questions that were never asked before, half of them streamed. All
the while a process is killed at random; once the database is stopped hard for a minute, and Weir killed and started
again while it is down; once the disk takes nothing: the spool's small file system is filled where one can be
mounted, else processes are forbidden to write to files. In the end each answer that a client had whole must have
one usage event, at the cost that the answer named, and the roll-ups must hold what the events hold. Exit status 1
where they do not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from rich.console import Console
from sqlalchemy import func, select

from benchmarks.own_postgres import NoPostgres, OwnPostgres, own_postgres
from benchmarks.processes import tree
from benchmarks.systems import free_port, weir_config
from contracts.money import plain
from ledger.database import Database
from ledger.spool import segments
from ledger.tables import usage_days, usage_events

_CLIENTS = 24
_WORKERS = 2
_READY_S = 60.0
_DISK_BYTES = 256 * 1024 * 1024
_FULL_S = 3.0
_MOST_WINDOWS = 20
_NOTES = Console(stderr=True)


@dataclass
class Answers:
    """What clients had. `whole` maps the ids of complete answers to the cost that was named, None for streams."""

    whole: dict[str, Decimal | None] = field(default_factory=dict)
    twice: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    def had(self, request_id: str, cost: str | None) -> None:
        self.twice += request_id in self.whole
        self.whole[request_id] = Decimal(cost) if cost is not None else None


class Weir:
    """One with two workers, on a fixed port, that can be killed and started again on the same state."""

    def __init__(self, folder: Path, state: Path, database: str) -> None:
        self._folder, self.state = folder, state
        self.port = free_port()
        self._config = folder / "weir.yaml"
        self._variables = {**os.environ, "WEIR_STATE_DIR": str(state), "WEIR_DATABASE_URL": database}
        config = weir_config("http://127.0.0.1:1")
        price = config["models"]["mock"]["price"]
        config["upstreams"] = {"scripted": {"kind": "scripted"}}
        config["models"] = {"mock": {"upstream": "scripted", "name": "slow-tokens-2", "price": price}}
        config["ledger"] = {"url": "${WEIR_DATABASE_URL}"}
        self._config.write_text(yaml.safe_dump(config), encoding="utf-8")
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.killed: Counter[str] = Counter()

    def start(self) -> None:
        command = f"-m weir serve --config {self._config} --port {self.port} --workers {_WORKERS} --log-level error"
        log = (self._folder / "weir.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *command.split()],
            env=self._variables,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.starts += 1

    def verb(self, *arguments: str) -> dict[str, Any]:
        """What `weir ... --json` says."""
        command = [sys.executable, "-m", "weir", *arguments, "--config", str(self._config), "--json"]
        said = subprocess.run(command, env=self._variables, check=True, capture_output=True, timeout=120).stdout
        found: dict[str, Any] = json.loads(said)
        return found

    def kill_one(self) -> None:
        """SIGKILL a child at random: a worker, or the ledger's writer."""
        assert self.process is not None
        children = tree(self.process.pid)[1:]
        if children:
            with suppress(ProcessLookupError):
                os.kill(random.choice(children), signal.SIGKILL)
            self.killed["one"] += 1

    def kill(self) -> None:
        """SIGKILL everything at once."""
        assert self.process is not None
        members = tree(self.process.pid)
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        self.killed["all"] += 1

    def stop(self) -> None:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 256 MB at `folder`; False where this user may mount none."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and not subprocess.run(mount, capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


# --- clients and chaos


async def _ask(session: aiohttp.ClientSession, weir: Weir, key: str, answers: Answers) -> None:
    stream = random.random() < 0.5
    question = f"What about {random.getrandbits(64):x}?"
    body = {"model": "mock", "messages": [{"role": "user", "content": question}], "stream": stream}
    url = f"http://127.0.0.1:{weir.port}/v1/chat/completions"
    try:
        async with session.post(url, json=body, headers={"authorization": f"Bearer {key}"}) as answer:
            data = await answer.read()
            if answer.status != 200:
                code = json.loads(data)["error"]["code"]
                answers.failed[f"{answer.status} {code}"] += 1
                await asyncio.sleep(0.1)
                return
            if stream and not data.endswith(b"data: [DONE]\n\n"):
                answers.failed["cut"] += 1
                return
            answers.had(answer.headers["x-weir-request-id"], answer.headers.get("x-weir-cost"))
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        answers.failed[type(error).__name__] += 1
        await asyncio.sleep(0.05)


async def _clients(weir: Weir, key: str, answers: Answers, over: asyncio.Event) -> None:
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:

        async def work() -> None:
            while not over.is_set():
                await _ask(session, weir, key, answers)

        await asyncio.gather(*(work() for _ in range(_CLIENTS)))


async def _until(happened: Callable[[], bool], while_it_lasts: Callable[[], Awaitable[None]]) -> None:
    """Once, and again where a busy machine let nothing happen meanwhile."""
    for _ in range(_MOST_WINDOWS):
        await while_it_lasts()
        if happened():
            return


async def _outage(weir: Weir, server: OwnPostgres, answers: Answers, seconds: float) -> dict[str, Any]:
    """The database is stopped hard; halfway, Weir is killed and started again without it."""
    before, failed = len(answers.whole), answers.failed.total()
    await asyncio.to_thread(server.stop)
    await _until(lambda: len(answers.whole) > before, lambda: _kill_children(weir, seconds / 2))
    half = len(answers.whole)
    weir.kill()
    weir.start()
    await _ready(weir)
    await _until(lambda: len(answers.whole) > half, lambda: _kill_children(weir, seconds / 2))
    after = len(answers.whole)
    refused = {name: count for name, count in answers.failed.items() if name.startswith("401")}
    await asyncio.to_thread(server.start)
    return {
        "seconds": seconds,
        "answered_while_down": half - before,
        "answered_after_a_restart_without_database": after - half,
        "failed_meanwhile": answers.failed.total() - failed,
        "keys_refused": refused,
    }


async def _kill_children(weir: Weir, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(left, random.uniform(2, 8)))
        weir.kill_one()


async def _full_disk(weir: Weir, disk: Path | None, answers: Answers) -> dict[str, Any]:
    """For some seconds no usage event can be written."""
    code = "503 ledger_unavailable"
    before, began = answers.failed[code], time.monotonic()
    with _filled(disk) if disk is not None else _forbidden(weir):
        await _until(lambda: answers.failed[code] > before, lambda: asyncio.sleep(_FULL_S))
    return {
        "how": "a file system was full" if disk is not None else "a limit on the size of files",
        "seconds": round(time.monotonic() - began, 1),
        "refused_as_ledger_unavailable": answers.failed[code] - before,
    }


@contextmanager
def _filled(disk: Path) -> Iterator[None]:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    yield
    filler.unlink()


@contextmanager
def _forbidden(weir: Weir) -> Iterator[None]:
    assert weir.process is not None
    members = tree(weir.process.pid)
    for pid in members:
        _allow_file_bytes(pid, 0)
    yield
    for pid in members:
        _allow_file_bytes(pid, resource.RLIM_INFINITY)


def _allow_file_bytes(pid: int, most: int) -> None:
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


async def _chaos(
    weir: Weir,
    server: OwnPostgres,
    disk: Path | None,
    answers: Answers,
    most: int,
    outage_s: float,
    over: asyncio.Event,
) -> dict[str, Any]:
    """All that can go wrong, in this order, until there are answers enough; then clients are told so."""
    told: dict[str, Any] = {}
    try:
        await _killing(weir, answers, most // 4)
        told["outage"] = await _outage(weir, server, answers, outage_s)
        await _killing(weir, answers, len(answers.whole) + most // 4)
        told["full_disk"] = await _full_disk(weir, disk, answers)
        await _killing(weir, answers, max(most, len(answers.whole) + most // 8))
    finally:
        over.set()
    return {**told, "killed": dict(weir.killed), "starts": weir.starts}


async def _killing(weir: Weir, answers: Answers, until: int) -> None:
    """Kill processes at random until so many answers were had."""
    while len(answers.whole) < until:
        await asyncio.sleep(random.uniform(0.2, 1.5))
        if random.random() < 0.2:
            weir.kill()
        else:
            weir.kill_one()
        assert weir.process is not None
        if weir.process.poll() is not None:  # killed, or too many of its workers died in a row
            weir.start()


# --- the books


async def audited(url: str, spool: Path, answers: Answers) -> dict[str, Any]:
    """What the database says of the answers that clients had."""
    database = Database(url)
    await database.prepare()
    async with database.reading() as connection:
        rows = (await connection.execute(select(usage_events.c.request_id, usage_events.c.cost))).all()
        total = (await connection.execute(select(func.sum(usage_events.c.cost)))).scalar() or Decimal(0)
        days = (
            await connection.execute(select(func.sum(usage_days.c.cost), func.sum(usage_days.c.requests)))
        ).one()
    await database.close()
    stored = {str(request_id): cost for request_id, cost in rows}
    lost = [request_id for request_id in answers.whole if request_id not in stored]
    other = [
        request_id
        for request_id, cost in answers.whole.items()
        if cost is not None and request_id in stored and stored[request_id] != cost
    ]
    return {
        "answers": len(answers.whole),
        "events": len(rows),
        "lost": len(lost),
        "twice": len(rows) - len(stored) + answers.twice,
        "at_another_cost": len(other),
        "cost_of_events": plain(total),
        "cost_of_roll_ups": plain(days[0] or Decimal(0)),
        "requests_in_roll_ups": int(days[1] or 0),
        "segments_left": len(segments(spool)),
    }


def sound(books: dict[str, Any]) -> bool:
    """Whether nothing was lost, nothing counted twice, and all sums agree."""
    wrong = books["lost"] + books["twice"] + books["at_another_cost"] + books["segments_left"]
    same = books["cost_of_events"] == books["cost_of_roll_ups"]
    return not wrong and same and books["events"] == books["requests_in_roll_ups"] >= books["answers"]


async def measured(folder: Path, requests: int, outage_s: float) -> dict[str, Any]:
    """Do all of it in `folder`. Raises NoPostgres."""
    answers = Answers()
    with small_disk(folder / "disk") as mounted, own_postgres() as server:
        state = folder / "disk" / "state"
        weir = Weir(folder, state, server.url)
        weir.start()
        try:
            await _ready(weir)
            key = weir.verb("keys", "create", "--tenant", "acme")["key"]
            await asyncio.sleep(2)  # until both workers know it
            disk = folder / "disk" if mounted else None
            over = asyncio.Event()
            _, told = await asyncio.gather(
                _clients(weir, key, answers, over),
                _chaos(weir, server, disk, answers, requests, outage_s, over),
            )
        finally:
            weir.stop()
        weir.start()  # what the last kill left behind is taken up
        await _ready(weir)
        weir.stop()
        books = await audited(server.url, state / "spool", answers)
    return {**books, **told, "failed": dict(answers.failed)}


async def _ready(weir: Weir) -> None:
    until = time.monotonic() + _READY_S
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < until:
            with suppress(aiohttp.ClientError, OSError):
                async with session.get(f"http://127.0.0.1:{weir.port}/healthz") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.1)
    raise SystemExit("Weir did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="answers that clients shall have (10000)")
    parser.add_argument("--outage", type=float, default=60.0, help="seconds without database (60)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-losses-") as name:
        try:
            with _NOTES.status(f"answering {options.requests:,} requests while things are killed"):
                found = asyncio.run(measured(Path(name), options.requests, options.outage))
        except NoPostgres as error:
            raise SystemExit(str(error)) from error
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        for name, value in found.items():
            sys.stdout.write(f"{name.replace('_', ' '):24} {value}\n")
    sys.exit(0 if sound(found) else 1)


if __name__ == "__main__":
    main()
