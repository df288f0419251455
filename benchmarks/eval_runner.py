"""Whether the evals' runner keeps its target busy, and whether its memory stays flat.

    .venv/bin/python benchmarks/eval_runner.py
    .venv/bin/python benchmarks/eval_runner.py --cases 2000 --delay-ms 200 --json

A scripted server in a process of its own answers after a fixed delay, which makes an ideal: cases x delay /
concurrency. Told is the wall time in units of that, beside the same of a bare aiohttp loop that keeps nothing,
right before and in a process of its own: what that lacks is the machine's doing, not the runner's. Memory is the
most that the runner's process had held after a tenth of the cases, and at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from rich.console import Console

from evals.runner.ending import Ending
from evals.runner.evaluation import Order, carry_out, locally, prepared
from evals.runner.recall import Recall
from evals.runner.tally import Tally
from evals.suite import read_suite
from evals.targets.spec import TargetSpec, open_target
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer

TARGET = 1.3
"""Times the ideal, at most."""
_SUITE = "name: many\ndescription: Many questions.\nscorers: [contains_facts]\n"


@dataclass(frozen=True)
class Measured:
    """`wall_s` of all cases; the most memory in MB after a tenth of them, and after all."""

    wall_s: float
    early_mb: float
    peak_mb: float


@dataclass(frozen=True)
class Load:
    base_url: str
    model: str
    cases: int
    concurrency: int


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--delay-ms", type=int, default=50)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(arguments)
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    server = spawn.Process(target=_serve, args=(there,), daemon=True)
    server.start()
    load = Load(here.recv(), f"slow-{asked.delay_ms}/echo", asked.cases, asked.concurrency)
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as fresh_process:
        bare = fresh_process.submit(_bare, load).result()
        runner = fresh_process.submit(_runner, load).result()
    server.terminate()
    server.join()
    ideal = asked.cases * asked.delay_ms / 1000 / asked.concurrency
    _tell(ideal, bare, runner, as_json=asked.json)


def _tell(ideal: float, bare: Measured, runner: Measured, *, as_json: bool) -> None:
    found = {
        "ideal_s": ideal,
        "runner_over_ideal": runner.wall_s / ideal,
        "bare_over_ideal": bare.wall_s / ideal,
        "target": TARGET,
        "memory_end_over_tenth": runner.peak_mb / runner.early_mb,
        "runner": asdict(runner),
        "bare": asdict(bare),
    }
    if as_json:
        print(json.dumps(found, indent=1))
        return
    console = Console(highlight=False)
    console.print(f"ideal    {ideal:7.2f} s")
    console.print(f"bare     {bare.wall_s:7.2f} s, {bare.wall_s / ideal:.2f} times the ideal")
    console.print(f"runner   {runner.wall_s:7.2f} s, {runner.wall_s / ideal:.2f} times the ideal (target {TARGET})")
    console.print(f"memory   {runner.early_mb:.0f} MB after a tenth, {runner.peak_mb:.0f} MB at the end")


def _runner(load: Load) -> Measured:
    with tempfile.TemporaryDirectory() as folder:
        return uvloop.run(_run(load, Path(folder)))


async def _run(load: Load, folder: Path) -> Measured:
    (folder / "suite.yaml").write_text(_SUITE)
    with (folder / "cases.jsonl").open("w") as file:
        for number in range(load.cases):
            asked = f"Question {number}: how long does a delivery take, and what does it cost?"
            file.write(json.dumps({"id": str(number), "input": asked, "expected": {"facts": [str(number)]}}) + "\n")
    suite = read_suite(folder)
    order = Order(
        suite=suite,
        cases=suite.cases,
        folder=folder / "run",
        repeats=1,
        encode=_no_encoder,
        concurrency=load.concurrency,
    )
    early = 0.0

    def watch(tally: Tally) -> None:
        nonlocal early
        if tally.done == load.cases // 10:
            early = _peak_mb()

    ending = Ending()
    spec = TargetSpec(base_url=load.base_url, target=load.model)
    async with open_target(spec) as target:
        with prepared(order, target, ending, Recall(folder / "answers.db")) as ready:
            began = time.perf_counter()
            await carry_out(ready, locally, watch)
            wall = time.perf_counter() - began
            if ending.called or ready.tally.errors or ready.tally.done != load.cases:
                raise SystemExit(f"The run failed: {ending.reason} {ready.tally}")
    return Measured(wall, early, _peak_mb())


def _bare(load: Load) -> Measured:
    return uvloop.run(_ask_all(load))


async def _ask_all(load: Load) -> Measured:
    numbers = iter(range(load.cases))
    url = f"{load.base_url}/chat/completions"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=load.concurrency)) as session:

        async def worker() -> None:
            for number in numbers:
                turn = {"role": "user", "content": f"Question {number}"}
                async with session.post(url, json={"model": load.model, "messages": [turn]}) as answer:
                    await answer.json()

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(load.concurrency):
                group.create_task(worker())
        return Measured(time.perf_counter() - began, 0.0, _peak_mb())


def _serve(told: Connection) -> None:
    async def serve() -> None:
        server = ScriptedServer(Knowledge(()))
        await server.start()
        told.send(server.base_url)
        await asyncio.Event().wait()

    uvloop.run(serve())


def _no_encoder(_: Sequence[str]) -> Any:
    raise AssertionError("nothing is encoded here")


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
