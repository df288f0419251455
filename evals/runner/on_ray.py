"""A run on a Ray cluster: each shard asks and scores part of the work, and this process alone writes it down.

The non-obvious decision: rate, concurrency and what is left of the cap are divided among the shards, so that
together they keep to them without talking to each other. A shard whose part of the cap is spent ends the run, even
if another has something left. Weir must be installed on the cluster's machines, in this version.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec

from evals.records import Row
from evals.runner.ending import Ending
from evals.runner.evaluation import Desk, Order, Prepared, Way
from evals.runner.plan import Work
from evals.runner.recall import Recall
from evals.runner.running import Deliver, row_of
from evals.runner.standing import RunRefused
from evals.targets.port import TargetFailure
from evals.targets.spec import TargetSpec, open_target

_MISSING = "--on ray needs Ray: pip install 'weir[ray]'. Without it the run is done here."


class Told(msgspec.Struct, frozen=True):
    """From a shard: a row as `Deliver` takes it, or at its end, why it ended early. `spent` is all it has spent."""

    spent: Decimal
    row: Row | None = None
    unjudged: Mapping[str, str] | None = None
    reason: str = ""


class Shard:
    """A part of a run, in a process of Ray's."""

    def __init__(self, spec: TargetSpec, order: Order) -> None:
        self._spec = spec
        self._order = order
        self._ending: Ending | None = None

    def stop(self, reason: str) -> None:
        if self._ending is not None:
            self._ending.call(reason)

    async def work_through(self, works: Sequence[Work]) -> AsyncIterator[Told]:
        self._ending = ending = Ending()
        told: asyncio.Queue[Told] = asyncio.Queue()
        try:
            async with open_target(self._spec) as target:
                desk = Desk.of(self._order, target, ending)

                def deliver(row: Row, unjudged: Mapping[str, str] | None) -> None:
                    told.put_nowait(Told(desk.allowance.spent, row, unjudged))

                runner = desk.runner(self._order, Recall(None), deliver)
                doing = asyncio.create_task(runner.work_through(works, self._order.concurrency))
                while not (doing.done() and told.empty()):
                    waiting = asyncio.create_task(told.get())
                    await asyncio.wait({waiting, doing}, return_when=asyncio.FIRST_COMPLETED)
                    if waiting.done():
                        yield waiting.result()
                    else:
                        waiting.cancel()
                doing.result()
                yield Told(desk.allowance.spent, reason=ending.reason)
        except TargetFailure as failure:
            yield Told(Decimal(0), reason=failure.message)


def on_ray(spec: TargetSpec, address: str = "") -> Way:
    """The way of a run on the cluster at `address`, or on one of this machine. Raises RunRefused without Ray."""
    try:
        import ray
    except ImportError as error:
        raise RunRefused(_MISSING) from error

    async def way(run: Prepared, deliver: Deliver) -> None:
        works = list(_with_recalled(run))
        with _cluster(ray, address) as processors:
            many = max(1, min(processors, run.order.concurrency, len(works)))
            order = _part(run, many)
            shards = [ray.remote(num_cpus=1)(Shard).remote(spec, order) for _ in range(many)]
            spent = dict.fromkeys(range(many), Decimal(0))
            before = run.desk.allowance.spent
            ended = asyncio.create_task(_stop_all(run.desk.ending, shards))

            async def follow(place: int) -> None:
                rows = shards[place].work_through.options(num_returns="streaming").remote(works[place::many])
                async for reference in rows:
                    told: Told = await reference
                    spent[place] = max(spent[place], told.spent)
                    run.desk.allowance.spent = before + sum(spent.values())
                    if told.row is not None:
                        if told.row.answer is not None and not told.row.recalled:
                            run.recall.put(told.row.key, told.row.answer)
                        deliver(told.row, told.unjudged)
                    elif told.reason:
                        run.desk.ending.call(told.reason)

            try:
                await asyncio.gather(*map(follow, range(many)))
            except ray.exceptions.RayError as error:
                run.desk.ending.call(f"A shard of the run was lost: {error}")
            finally:
                ended.cancel()

    return way


async def _stop_all(ending: Ending, shards: Sequence[Any]) -> None:
    await ending.wait()
    for shard in shards:
        shard.stop.remote(ending.reason)


def _with_recalled(run: Prepared) -> Iterator[Work]:
    """What is left to do; what can be recalled here is only to be scored there."""
    for work in run.works():
        answer = run.recall.get(work.key) if work.had is None else None
        if answer is None:
            yield work
        else:
            yield replace(work, had=msgspec.structs.replace(row_of(work), answer=answer, recalled=True))


def _part(run: Prepared, many: int) -> Order:
    order = run.order
    return replace(
        order,
        concurrency=-(-order.concurrency // many),
        rate=order.rate / many if order.rate else None,
        cap=(order.cap - run.desk.allowance.spent) / many if order.cap is not None else None,
    )


@contextmanager
def _cluster(ray: Any, address: str) -> Iterator[int]:
    """Its processors. One that runs already, as in a job of Ray's, is used and left running."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of a run is told to anybody
    begun = not ray.is_initialized()
    if begun:
        where = {"address": address} if address else {"include_dashboard": False}
        try:
            ray.init(**where, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunRefused(f"Ray cannot be reached at {address or 'this machine'}: {error}") from error
    try:
        yield int(ray.cluster_resources().get("CPU", 1))
    finally:
        if begun:
            ray.shutdown()
