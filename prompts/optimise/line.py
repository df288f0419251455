"""The way to models and scorers while searching: a whole Weir in this process, in a thread of its own.

The non-obvious decision: every answer is bounded. Where a suite's `request` sets no bound, `ANSWER_TOKENS` is sent
with it, since a cap can only be held over answers that cannot become longer than what was set aside for them. It is
sent without a cap as well: another budget must not make other requests, which could not be resumed.

The cap holds over task, reflection and judge calls together, to the cent, as long as models keep to their bound and
bills to the price list; a prompt may have as many tokens as its JSON has bytes. It can be passed by a model whose
bills exceed that: by its first call, which goes out alone so that the others know, and later by as many calls as
were under way when one exceeds all before it. It may also be passed by what an upstream bills for attempts inside
Weir that broke off, which nobody is told. Judges are bounded where they are made.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from decimal import Decimal
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.errors import LedgerUnavailable
from evals.cases import Case
from evals.records import Answer
from evals.runner.allowance import Allowance, longest_answer
from evals.runner.asking import Asking
from evals.runner.ending import Ended, Ending
from evals.runner.marking import Marking
from evals.runner.pace import Pace
from evals.runner.plan import body_of
from evals.runner.running import IN_A_ROW
from evals.scorers.catalogue import scorer_of
from evals.scorers.port import Instruments, Scorer
from evals.targets.port import TargetFailure
from prompts.optimise.calls import Calls, Kind, Recorded, SearchRefused, Weir, open_calls, quality_of, search_of
from prompts.optimise.order import Order
from prompts.optimise.ports import CallFailed, Marked, SearchEnded

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

    Encode = Callable[[Sequence[str]], Vectors]

ANSWER_TOKENS = 2048
"""Ten times what `evals.runner.estimate` takes for an everyday answer: it cuts none that a help desk sends."""
_ROOM = 2
"""A model that reflects may write a prompt of the most tokens that one may have, and think as long before it."""
_BOUND = "max_completion_tokens"
"""Of the two names for it the one that all of OpenAI's models take, as do vLLM and llama.cpp. It covers what a
model thinks, which is paid for as well."""
OVER = "The search is over."

T = TypeVar("T")


@contextmanager
def open_line(
    weir: Weir,
    order: Order,
    *,
    cap: Decimal | None,
    told: Callable[[], None] = lambda: None,
    encode: Encode | None = None,
    encoder: str = "",
) -> Iterator[PaidLine]:
    """The line of the search in `order.folder` to a `weir` that has not started yet.

    `cap` is in dollars, over all starts of the search; None: no cap. `told` is called after each call, in another
    thread. `encode` and `encoder`: see `evals.scorers.port.Instruments`. Raises SearchRefused, TargetFailure,
    OSError, and what a scorer raises that cannot be used.
    """
    with open_calls(order.folder, search_of(order)) as calls, _loop() as loop:
        line = PaidLine(order, weir, calls, loop, cap=cap, told=told, encode=encode or _no_encoder, encoder=encoder)
        try:
            asyncio.run_coroutine_threadsafe(weir.start(), loop).result()
            yield line
        finally:
            line.close()


def bounded(request: Mapping[str, Any]) -> dict[str, Any]:
    """A suite's fields of requests, with the bound on answers that tasks of a search are sent with."""
    return {**request} if longest_answer(request) is not None else {**request, _BOUND: ANSWER_TOKENS}


class PaidLine:
    """Implements `prompts.optimise.ports.Line`. At most `order.concurrency` calls are under way at a time.

    A call that failed is no answer, and is asked again when the search goes on. The same answer to a case is marked
    once.
    """

    def __init__(
        self,
        order: Order,
        weir: Weir,
        calls: Calls,
        loop: asyncio.AbstractEventLoop,
        *,
        cap: Decimal | None,
        told: Callable[[], None],
        encode: Encode,
        encoder: str,
    ) -> None:
        self._order, self._weir, self._calls, self._loop, self._told = order, weir, calls, loop, told
        self._request = bounded(order.suite.request)
        self._ending = Ending()
        self._pace = Pace(self._ending)
        self._allowance = Allowance(weir.price, self._ending, cap=cap, spent=calls.spent, option="--budget-usd")
        instruments = Instruments(ask=self._judge, encode=encode, candidate=weir.name, encoder=encoder)
        self._scorer = _scorer(order, instruments)
        self._marking = Marking([self._scorer])
        if cap is not None:
            _check_prices(weir, order, self._scorer)
        self._room = asyncio.Semaphore(order.concurrency)
        self._firsts: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._met: set[str] = set()
        self._failed = Counter[str]()  # in a row, by model: where one is down, others may answer
        self._marks: dict[Any, asyncio.Task[Marked]] = {}
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._door = Lock()

    @property
    def spent(self) -> Decimal:
        return self._calls.spent

    @property
    def ended(self) -> str:
        return self._ending.reason or (OVER if self._closed else "")

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        body = {**body_of(case, self._request), "messages": list(messages), **_warmth(temperature)}
        return self._heard(self._answered("task", body, version=version))

    def model(self, messages: Sequence[Mapping[str, Any]], temperature: float | None = None) -> str:
        body = {"messages": list(messages), _BOUND: _ROOM * self._order.most_tokens, **_warmth(temperature)}
        return self._heard(self._answered("reflection", body, self._order.reflect_with)).text

    def mark(self, case: Case, answer: Answer) -> Marked:
        return self._heard(self._marked(case, answer))

    def end(self, reason: str, *, at_once: bool = False) -> None:
        """No more calls. Those under way may end, within `evals.runner.ending.GRACE_S`; `at_once`: they are broken
        off, and count as paid at what was set aside for them. From any thread.
        """
        if not self._closed:
            self._loop.call_soon_threadsafe(self._end, reason, at_once)

    def close(self) -> None:
        """Ends what is under way, and the Weir."""
        with self._door:
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._drained(), self._loop).result()

    def _heard(self, doing: Coroutine[Any, Any, T]) -> T:
        """The result of `doing`, which runs on the line's loop."""
        with self._door:  # what is handed over after the loop has ended would be waited for without end
            if self._closed:
                doing.close()
                raise SearchEnded(self.ended)
            future = asyncio.run_coroutine_threadsafe(self._counted(doing), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise SearchEnded(self.ended) from None

    async def _counted(self, doing: Coroutine[Any, Any, T]) -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._running.add(task)
        try:
            return await doing
        except Ended:
            raise SearchEnded(self._ending.reason) from None
        except TargetFailure as failure:
            raise CallFailed(f"{failure.code}: {failure.message}") from failure
        except OSError as error:
            self._ending.call(f"{error}. Mend that, and the same command goes on: what was answered is kept.")
            raise SearchEnded(self._ending.reason) from error
        finally:
            self._running.discard(task)

    def _end(self, reason: str, at_once: bool) -> None:
        self._ending.call(reason)
        for task in self._running if at_once else ():
            task.cancel()

    async def _drained(self) -> None:
        self._ending.call(OVER)
        now = self._loop.time
        until = now() + self._ending.grace_s
        while self._running and now() < until:
            await asyncio.wait(self._running, timeout=until - now() if math.isfinite(until) else None)
        left = [*self._running]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self._weir.close()

    async def _judge(self, body: Mapping[str, Any]) -> Answer:
        return await self._answered("judge", {name: body[name] for name in body if name != "model"}, body["model"])

    async def _answered(self, kind: Kind, body: Mapping[str, Any], model: str = "", *, version: str = "") -> Answer:
        """What was answered in an earlier start, or else is answered now. Raises TargetFailure, Ended, OSError."""
        self._ending.check()
        key = self._calls.key(kind, body, model)
        answer = self._calls.answer(key)
        if answer is not None:
            self._allowance.learn(body, answer, model)
            self._met.add(model)
        else:
            answer = await self._in_turn(key, body, model, version)
        self._told()
        return answer

    async def _in_turn(self, key: str, body: Mapping[str, Any], model: str, version: str) -> Answer:
        """The first call to a model goes alone: it tells how dear the others can be."""
        if model not in self._met:
            async with self._firsts[model]:
                if model not in self._met:
                    return await self._asked(key, body, model, version)
        return await self._asked(key, body, model, version)

    async def _asked(self, key: str, body: Mapping[str, Any], model: str, version: str) -> Answer:
        way = Recorded(self._weir, self._calls, self._allowance, key, version)
        asking = Asking(way, ending=self._ending, pace=self._pace, allowance=self._allowance)
        async with self._room:
            try:
                answer = await asking.answer(body, model)
            except TargetFailure as failure:
                self._failed[model] += 1
                if failure.code == LedgerUnavailable.code:
                    self._ending.call(f"The state folder takes no usage events, so no more is asked: {failure}")
                elif self._failed[model] == IN_A_ROW:
                    whose = f" of {model}" if model else ""
                    self._ending.call(
                        f"{IN_A_ROW} calls{whose} failed in a row, the last one with "
                        f"{failure.code}: {failure.message}\n"
                        "Mend that, and run the same command again: what was answered is kept."
                    )
                raise
        self._failed[model] = 0
        self._met.add(model)
        return answer

    async def _marked(self, case: Case, answer: Answer) -> Marked:
        what = (case.id, answer.text, answer.tool_calls)
        marking = self._marks.get(what)
        if marking is None:
            marking = self._marks[what] = asyncio.create_task(self._scored(case, answer))
        try:
            return await marking
        except (CallFailed, Ended, asyncio.CancelledError):
            self._marks.pop(what, None)
            raise

    async def _scored(self, case: Case, answer: Answer) -> Marked:
        if missing := self._scorer.lacks(case):
            raise CallFailed(f"{self._scorer.name} cannot judge {case.id}: it needs {missing}")
        marks = await self._marking.mark(case, answer, self._ending, {})
        score = marks.scores.get(self._scorer.name)
        if score is not None:
            return Marked(score.value, score.why)
        if marks.cancelled:
            raise asyncio.CancelledError
        self._ending.check()
        raise CallFailed("; ".join(marks.unjudged.values()))


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    ready, found = Event(), []

    def run() -> None:
        with asyncio.Runner() as runner:
            found.append(runner.get_loop())
            ready.set()
            found[0].run_forever()

    thread = Thread(target=run, name="line")
    thread.start()
    ready.wait()
    try:
        yield found[0]
    finally:
        found[0].call_soon_threadsafe(found[0].stop)
        thread.join()


def _scorer(order: Order, instruments: Instruments) -> Scorer:
    scorer = scorer_of(quality_of(order), instruments)
    missing = [scorer.lacks(case) for case in order.suite.cases]
    if all(missing):
        raise SearchRefused(
            f"{scorer.name}, which stands for quality, can judge none of the cases: it needs {missing[0]}. "
            "Let the suite's `quality` name another scorer."
        )
    return scorer


def _check_prices(weir: Weir, order: Order, scorer: Scorer) -> None:
    """A cap that cannot be kept is refused."""
    names = ["", order.reflect_with, *([scorer.model] if scorer.model else [])]
    unknown = [name or order.route for name in names if weir.price(name) is None]
    if unknown:
        raise SearchRefused(
            f"--budget-usd cannot be kept, since nobody knows what {' and '.join(dict.fromkeys(unknown))} costs. "
            "Give the models a `price` in the configuration, or leave the budget out."
        )


def _warmth(temperature: float | None) -> Mapping[str, float]:
    return {} if temperature is None else {"temperature": temperature}


def _no_encoder(_: Sequence[str]) -> Vectors:
    raise OSError("the suite's scorer compares texts by an encoder, and there is none")
