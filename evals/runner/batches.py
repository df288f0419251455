"""A run through a provider's batch endpoint: all that is left is sent at once, and waited for.

`batches.json` in the run's folder says what was sent and which requests are in it, from before it is waited for
until its answers are written down: a run that is killed meanwhile goes on waiting, and nothing is paid for twice.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from contracts.money import ZERO
from evals.records import Answer, Row
from evals.runner.ending import Ended, Ending
from evals.runner.evaluation import Prepared, Way
from evals.runner.plan import Work, body_of
from evals.runner.progress import dollars
from evals.runner.running import Deliver, Runner, row_of
from evals.runner.standing import BATCHES, RunRefused
from evals.targets.batch import POLL_S, BatchClient, SentBatch
from evals.targets.port import TargetFailure
from evals.targets.prices import stated_price
from evals.targets.spec import TargetSpec
from system.files import replace_file

_AT_ONCE = 1000
"""Answers held in memory until they are scored."""
_FULL = "token_limit_exceeded"
"""A batch that was refused for now: as one that was refused for good it will never end, and is sent anew."""

Waiting = Mapping[str, list[Work]]
"""Work to be done, by its key: the id of its request. Works that ask the same have one request together."""


def in_batches(spec: TargetSpec, poll_s: float = POLL_S) -> Way:
    """The way through the batch endpoint at `spec`. Raises RunRefused where that is no provider's."""
    if spec.config is not None:
        raise RunRefused("--batch is for a provider's batch endpoint: give --base-url, and no --config.")

    async def way(run: Prepared, deliver: Deliver) -> None:
        runner = run.desk.runner(run.order, run.recall, deliver)
        known = (work for work in run.works() if not _to_ask(run, work))
        await runner.work_through(known, run.order.concurrency)
        try:
            await _through(run, runner, spec, poll_s)
        except TargetFailure as failure:
            run.desk.ending.call(failure.message)
        except Ended:
            return

    return way


def _to_ask(run: Prepared, work: Work) -> bool:
    return work.had is None and run.recall.get(work.key) is None


async def _through(run: Prepared, runner: Runner, spec: TargetSpec, poll_s: float) -> None:
    """Raises TargetFailure where a batch was refused, or the server is gone, and Ended.

    What is being sent when the run ends is sent to its end: cut off, it would be paid for and never be fetched.
    """
    ending = run.desk.ending
    ending.check()
    waiting: defaultdict[str, list[Work]] = defaultdict(list)
    for work in run.works():
        if _to_ask(run, work):
            waiting[work.key].append(work)
    path = run.order.folder / BATCHES
    sent = [batch for batch in _read(path) if not waiting.keys().isdisjoint(batch.requests)]
    on_the_way = {key for batch in sent for key in batch.requests}
    new = {key: works for key, works in waiting.items() if key not in on_the_way}
    _check_cap(run, new)
    price = stated_price(spec.price) if spec.price else None
    async with BatchClient(
        spec.target, spec.base_url, spec.api_key, price=price, timeout_s=spec.timeout_s, poll_s=poll_s
    ) as client:
        async for batch in client.submit(_bodies(run, new)):
            sent.append(batch)
            _write(path, sent)
            ending.check()
        while sent:
            try:
                await _unless_ended(ending, _fetch(run, runner, client, sent[0], waiting))
            except TargetFailure as failure:
                if failure.fatal or failure.code == _FULL:
                    _write(path, sent[1:])
                raise
            del sent[0]
            _write(path, sent)


async def _unless_ended(ending: Ending, doing: Coroutine[Any, Any, None]) -> None:
    """Cancels `doing` where the run ends, and raises Ended then."""
    task, ended = asyncio.create_task(doing), asyncio.create_task(ending.wait())
    try:
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        ending.check()
        task.result()
    finally:
        for one in (task, ended):
            one.cancel()
        await asyncio.gather(task, ended, return_exceptions=True)


async def _fetch(run: Prepared, runner: Runner, client: BatchClient, batch: SentBatch, waiting: Waiting) -> None:
    """Have what came of `batch` scored and written, some at a time: judges are asked side by side."""

    def told(done: int, of: int) -> None:
        run.tally.note = f"{done:,} of {of:,} in {batch.id}" if of else f"waiting for {batch.id}"

    came: list[Work] = []
    async for key, outcome in client.results(batch, told=told):
        works = waiting.get(key, ())
        if works and not isinstance(outcome, TargetFailure):
            run.desk.allowance.settle(body_of(works[0].case, run.order.request), outcome)
            run.recall.put(key, outcome)
        came += [replace(work, had=_row(work, outcome)) for work in works]
        if len(came) >= _AT_ONCE:
            await runner.work_through(came, run.order.concurrency)
            came.clear()
    await runner.work_through(came, run.order.concurrency)
    run.tally.note = ""


def _row(work: Work, outcome: Answer | TargetFailure) -> Row:
    if isinstance(outcome, TargetFailure):
        return msgspec.structs.replace(row_of(work), error=f"{outcome.code}: {outcome.message}")
    return msgspec.structs.replace(row_of(work), answer=outcome)


def _bodies(run: Prepared, new: Waiting) -> Iterator[tuple[str, dict[str, Any]]]:
    for key, works in new.items():
        yield key, body_of(works[0].case, run.order.request)


def _check_cap(run: Prepared, new: Waiting) -> None:
    """Nothing can be stopped once it is sent, so all of it must be within the cap. Raises TargetFailure."""
    cap = run.order.cap
    if cap is None or not new:
        return
    allowance = run.desk.allowance
    need = sum((allowance.most(body) for _, body in _bodies(run, new)), ZERO)
    if allowance.spent + need > cap:
        raise TargetFailure(
            "cap",
            f"--max-usd {cap} forbids this batch: {dollars(allowance.spent)} are spent, and it could take "
            f"{dollars(need)} more at the usual price. Nothing was sent. `--set max_tokens=N` bounds it closer.",
            fatal=True,
        )


def _read(path: Path) -> list[SentBatch]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[SentBatch])
    except FileNotFoundError:
        return []
    except msgspec.MsgspecError as error:
        raise RunRefused(f"{path} is damaged ({error}). Delete it to send the rest of the run anew.") from error


def _write(path: Path, sent: list[SentBatch]) -> None:
    """Raises OSError. An empty list leaves no file."""
    if not sent:
        path.unlink(missing_ok=True)
        return
    replace_file(path, msgspec.json.encode(sent))
