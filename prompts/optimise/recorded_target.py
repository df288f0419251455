"""The target of a test run, whose calls are recorded beside those of the search.

The non-obvious decision: a run's own rows would do for what came of a call, but not for one under way when the
process was killed, nor for an answer that was still to be scored. The record has both before anybody is told, so
the cap holds over any number of starts, and what was answered is not asked again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from evals.records import Answer
from evals.runner.allowance import Allowance
from evals.runner.ending import Ending
from evals.targets.in_process import InProcessTarget
from evals.targets.port import Price
from prompts.optimise.calls import Calls, Recorded


class RecordedTarget:
    """Implements `evals.targets.port.Target` around another. `had` are the answers that the run's rows have."""

    def __init__(self, target: InProcessTarget, calls: Calls, had: Collection[Answer]) -> None:
        self._target = target
        self._calls = calls
        self._had = had
        self._allowance = Allowance(target.price, Ending())

    @property
    def name(self) -> str:
        return self._target.name

    @property
    def version(self) -> str:
        return self._target.version

    async def start(self) -> None:
        await self._target.start()

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        """Also raises OSError, where the call cannot be recorded."""
        content = {**body, "target": self.version}
        key = self._calls.key("test", content, model)
        while (known := self._calls.answer(key)) is not None:
            if model or known not in self._had:
                return known  # in an earlier start, which ended before a row had it
            key = self._calls.key("test", content, model)
        way = Recorded(self._target, self._calls, self._allowance, key, "")
        answer = await way.ask(body, fresh=fresh, model=model)
        self._allowance.learn(body, answer, model)
        return answer

    def price(self, model: str = "") -> Price | None:
        return self._target.price(model)

    async def close(self) -> None:
        await self._target.close()
