"""The work itself: so many ask at a time, and as many answers at most are being scored and handed over beside them.

The non-obvious decision: who has an answer asks the next question before that answer is scored. Answers come in
waves, and whoever scored one first would leave the target idle meanwhile.

Nothing is kept: works come from an iterator and rows go to `deliver`, so ten thousand cases need no more memory
than ten. A row is handed over once its answer has been scored, and an answer that was paid for is never dropped:
where the run ends before, the row goes out with the scores that there are. Where judges are asked, which takes
seconds, it goes out without any before, so that not even a killed process loses it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

from evals.records import Row
from evals.runner.asking import Asking
from evals.runner.ending import Ended, Ending
from evals.runner.marking import Marking, Marks
from evals.runner.plan import Work, body_of
from evals.runner.recall import Recall
from evals.targets.port import TargetFailure

IN_A_ROW = 20
"""Different cases that fail one after another, with none between that goes well: the next thousand would, too."""

Deliver = Callable[[Row, Mapping[str, str] | None], None]
"""Takes a row, and why scorers that apply to it gave no score; None where it has not been scored yet, and comes
again. May raise OSError."""


@dataclass(slots=True)
class _Streak:
    """Failures with nothing good between."""

    ending: Ending
    what: str
    length: int = 0

    def went(self, error: str) -> None:
        self.length = self.length + 1 if error else 0
        if self.length == IN_A_ROW:
            self.ending.call(
                f"{IN_A_ROW} {self.what} in a row, the last one with {error}\nMend that, and run the same command "
                "again: what was answered is kept, and what failed is tried again."
            )


@dataclass(slots=True, kw_only=True)
class Runner:
    """`request` are fields of every request."""

    asking: Asking
    marking: Marking
    recall: Recall
    ending: Ending
    request: Mapping[str, Any]
    deliver: Deliver
    _cases: _Streak = field(init=False)
    _judges: _Streak = field(init=False)
    _scoring: set[asyncio.Task[None]] = field(default_factory=set)
    _in_hand: dict[tuple[str, int], Row] = field(default_factory=dict)
    """Rows between their answer and their delivery."""

    def __post_init__(self) -> None:
        self._cases = _Streak(self.ending, "cases failed")
        self._judges = _Streak(self.ending, "answers could not be judged")

    async def work_through(self, works: Iterable[Work], concurrency: int) -> None:
        """Ends when all is done, or soon after the run's ending was called. Raises OSError of `deliver`."""
        source, room = iter(works), asyncio.Semaphore(concurrency)
        workers = [asyncio.create_task(self._worker(source, room)) for _ in range(concurrency)]
        ended = asyncio.create_task(self.ending.wait())
        try:
            await _any_failed_or(ended, workers)
            await _any_failed_or(ended, self._scoring)
            if not any(map(_failure, workers)):
                await self._grace(workers)
        finally:
            tasks = [ended, *workers, *self._scoring]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._hand_over_rest([failure for task in tasks if (failure := _failure(task)) is not None])

    async def _grace(self, workers: Sequence[asyncio.Task[None]]) -> None:
        """What is under way may end, for as long as the ending grants. Nothing is, where the run is through."""
        now = asyncio.get_running_loop().time
        until = now() + self.ending.grace_s
        while (pending := [task for task in (*workers, *self._scoring) if not task.done()]) and now() < until:
            await asyncio.wait(pending, timeout=until - now() if math.isfinite(until) else None)

    def _hand_over_rest(self, failures: list[BaseException]) -> None:
        """Rows whose scoring was not begun or broke off. Raises the first of `failures`, or OSError."""
        try:
            for row in list(self._in_hand.values()):
                self._hand_over(row, {"all": "the run ended"})
        except OSError as error:
            failures.append(error)
        if failures:
            raise failures[0]

    async def _worker(self, source: Iterator[Work], room: asyncio.Semaphore) -> None:
        for work in source:
            if self.ending.called:
                return
            try:
                row = work.had or await self._answered(work)
            except Ended:
                return
            await room.acquire()
            task = asyncio.create_task(self._handed_over(work, row))
            self._scoring.add(task)
            task.add_done_callback(lambda _: room.release())
            task.add_done_callback(self._scored)

    def _scored(self, task: asyncio.Task[None]) -> None:
        """One that failed stays, and is told in the end; the run has no use without its rows."""
        failure = _failure(task)
        if failure is None:
            self._scoring.discard(task)
        else:
            self.ending.call(str(failure), grace_s=0.0)

    async def _handed_over(self, work: Work, row: Row) -> None:
        marks = Marks({})
        if row.answer is not None:
            marks = await self.marking.mark(work.case, row.answer, self.ending, row.scores)
            self._judges.went(next(iter(marks.unjudged.values()), ""))
        self._hand_over(msgspec.structs.replace(row, scores=marks.scores), marks.unjudged)
        if marks.cancelled:
            raise asyncio.CancelledError

    def _hand_over(self, row: Row, unjudged: Mapping[str, str]) -> None:
        self.deliver(row, unjudged)
        self._in_hand.pop((row.case, row.repeat), None)

    async def _answered(self, work: Work) -> Row:
        """The row with its answer or error, not yet scored. Raises Ended, and OSError of `deliver`."""
        earlier = self.recall.get(work.key)
        if earlier is not None:
            return msgspec.structs.replace(row_of(work), answer=earlier, recalled=True)
        try:
            answer = await self.asking.answer(body_of(work.case, self.request))
        except TargetFailure as failure:
            error = f"{failure.code}: {failure.message}"
            self._cases.went(error)
            return msgspec.structs.replace(row_of(work), error=error)
        self._cases.went("")
        self.recall.put(work.key, answer)
        row = self._in_hand[work.case.id, work.repeat] = msgspec.structs.replace(row_of(work), answer=answer)
        if self.marking.judges:
            self.deliver(row, None)
        return row


def row_of(work: Work) -> Row:
    """Of work that is done now, without what came of it."""
    case = work.case
    return Row(
        key=work.key,
        case=case.id,
        repeat=work.repeat,
        segment=case.segment,
        cluster=case.cluster,
        at=datetime.now(UTC),
    )


async def _any_failed_or(ended: asyncio.Task[None], tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait until all `tasks` are through, one has raised, or `ended` is done."""
    pending = set(tasks)
    while pending and not ended.done():
        done, left = await asyncio.wait({*pending, ended}, return_when=asyncio.FIRST_COMPLETED)
        pending = left - {ended}
        if any(map(_failure, done)):
            return


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    """What a task that is done has raised; a cancelled one nothing."""
    return task.exception() if task.done() and not task.cancelled() else None
