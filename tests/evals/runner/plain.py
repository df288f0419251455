"""A target, a suite and a clock for tests of the runner."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from evals.records import Answer, Row
from evals.run_folder import read_run
from evals.runner.ending import Ending
from evals.runner.evaluation import Order, Prepared, carry_out, locally, prepared
from evals.runner.recall import Recall
from evals.suite import read_suite
from evals.targets.port import Price

T = TypeVar("T")


@dataclass(frozen=True)
class PlainPrice:
    """A thousandth of a dollar for a token of an answer, a millionth for one of a prompt."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        return Decimal(completion_tokens) / 1000 + Decimal(prompt_tokens) / 10**6


@dataclass
class PlainTarget:
    """Answers what `reply` says, or raises it. `asked` counts questions, `most` how many were asked at a time."""

    reply: Callable[[str, int], Answer | Exception] = lambda question, _: Answer(text=question)
    name: str = "plain"
    version: str = "1"
    takes_s: float = 0.01
    priced: bool = True
    asked: Counter[str] = field(default_factory=Counter)
    now: int = 0
    most: int = 0

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        question = body["messages"][-1]["content"]
        self.asked[question] += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.now -= 1
        said = self.reply(question, self.asked[question])
        if isinstance(said, Exception):
            raise said
        return said

    def price(self, model: str = "") -> Price | None:
        return PlainPrice() if self.priced else None


def write_suite(folder: Path, cases: Sequence[Mapping[str, Any]], *, scorers: str = "[contains_facts]") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    head = f"name: tiny\ndescription: Some questions.\nscorers: {scorers}\n"
    (folder / "suite.yaml").write_text(head, encoding="utf-8")
    (folder / "cases.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    return folder


def questions(many: int, **changes: Any) -> list[dict[str, Any]]:
    """Cases whose question is their own right answer."""
    return [
        {
            "id": f"c{number}",
            "input": f"question {number}",
            "expected": {"facts": [f"question {number}"]},
            **changes,
        }
        for number in range(many)
    ]


def order(suite: Path, folder: Path, **changes: Any) -> Order:
    found = read_suite(suite)
    told: dict[str, Any] = {
        "suite": found,
        "cases": found.cases,
        "folder": folder,
        "repeats": 1,
        "encode": no_encoder,
        "concurrency": 4,
    }
    return Order(**{**told, **changes})


def no_encoder(_: Sequence[str]) -> Any:
    raise OSError("there is no encoder here")


@dataclass
class Went:
    """What came of a run: why it ended early, its tally, and the rows in its folder."""

    reason: str
    run: Prepared

    @property
    def rows(self) -> Sequence[Row]:
        return read_run(self.run.order.folder).rows

    @property
    def scores(self) -> Mapping[tuple[str, int], float]:
        quality = self.run.manifest.quality
        return {(row.case, row.repeat): row.scores[quality].value for row in self.rows if not row.error}


def go(
    wanted: Order,
    target: PlainTarget,
    recall: Path | None = None,
    ending: Ending | None = None,
    *,
    of_weirs: bool = False,
) -> Went:
    """A whole run, in time that passes by itself."""

    async def run() -> Went:
        called = ending or Ending()
        with prepared(wanted, target, called, Recall(recall, of_weirs=of_weirs)) as ready:
            await carry_out(ready, locally, lambda _: None)
            return Went(called.reason, ready)

    return leaping(run())


class _Leaps(selectors.DefaultSelector):
    """Never waits: the time that it should have waited has passed, by its `clock`."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout:
            self.clock += timeout
        return ready if timeout is not None or ready else super().select(0.001)


class _LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._leaps = _Leaps()
        super().__init__(self._leaps)

    def time(self) -> float:
        return self._leaps.clock


def leaping(doing: Coroutine[Any, Any, T]) -> T:
    """The result of `doing`, on an event loop where waiting takes no time. For what waits for nothing else."""
    with asyncio.Runner(loop_factory=_LeapingLoop) as runner:
        return runner.run(doing)
