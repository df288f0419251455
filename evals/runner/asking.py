"""One request until it is answered or there is no use: at its turn, within the sum, tried again where it helps."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Protocol

from evals.records import Answer
from evals.runner.allowance import Allowance
from evals.runner.ending import Ended, Ending
from evals.runner.pace import PATIENCE_S, Pace
from evals.targets.port import TargetFailure

ATTEMPTS = 5
"""Of one request, besides those that a target sent away because it has too much to do."""
MAY_BE_PAID = frozenset({"timeout", "reset", "malformed"})
"""Failures of calls that the target may well have answered."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0


class Answering(Protocol):
    """What is asked: of a target no more than this."""

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        """As `evals.targets.port.Target`."""


class Asking:
    """Asks `target`. `fresh`: no stored answer will do."""

    def __init__(
        self, target: Answering, *, ending: Ending, pace: Pace, allowance: Allowance, fresh: bool = True
    ) -> None:
        self._target = target
        self._ending = ending
        self._pace = pace
        self._allowance = allowance
        self._fresh = fresh

    async def judge(self, body: Mapping[str, Any]) -> Answer:
        """The answer of the model that `body` names. Raises as `answer`."""
        return await self.answer({name: value for name, value in body.items() if name != "model"}, body["model"])

    async def answer(self, body: Mapping[str, Any], model: str = "") -> Answer:
        """Raises TargetFailure where this request has no answer, and Ended where the run ends."""
        failures = 0
        while True:
            try:
                return await self._once(body, model)
            except TargetFailure as failure:
                failures += not failure.slow_down
                await self._after(failure, failures)

    async def _once(self, body: Mapping[str, Any], model: str) -> Answer:
        reserved = await self._allowance.reserve(body, model)
        doubted = False
        try:
            await self._pace.turn()
            doubted = True
            answer = await self._target.ask(body, fresh=self._fresh, model=model)
            doubted = False
            self._allowance.settle(body, answer, model)
        except TargetFailure as failure:
            doubted = failure.code in MAY_BE_PAID
            raise
        finally:
            self._allowance.release(reserved, doubted=doubted)
        self._pace.answered()
        return answer

    async def _after(self, failure: TargetFailure, failures: int) -> None:
        """Wait before another attempt. Raises the failure where there is none."""
        if failure.fatal:
            self._ending.call(failure.message)
            raise Ended(failure.message) from failure
        if failure.slow_down:
            if not self._pace.slow_down(failure.retry_after_s):
                self._ending.call(
                    f"The target has sent all requests away for {PATIENCE_S / 60:.0f} minutes, or will: "
                    f"{failure.message} Try later with the same --out, or with a lower --rate or --concurrency."
                )
                raise Ended(failure.message) from failure
            return
        after = failure.retry_after_s or 0.0
        if not failure.retryable or failures >= ATTEMPTS or after > PATIENCE_S:
            raise failure
        longest = min(_FIRST_WAIT_S * 2 ** (failures - 1), _LONGEST_WAIT_S)
        wait = random.uniform(longest / 2, longest)  # noqa: S311 - jitter
        await self._ending.rest(max(wait, after))
