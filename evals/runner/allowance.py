"""A sum that a run never spends more than: what a call could cost is set aside before it is sent.

The non-obvious decision: a prompt is taken to have as many tokens as its JSON has bytes, since no tokeniser that
works on bytes makes more of it. What a target adds to it, and by how much its bills are above its price, is learned
from what it reports. With `max_tokens` in the request and a price that is right the cap holds to the cent. Without
a bound the longest answer so far is set aside, and 1,000 tokens at least; a target that went beyond a bound is
expected to do so again. What is dearer than what was set aside is counted when it has come, and may pass the cap
with the calls that were under way.

A call that broke off may have been paid for, and nobody tells: what was set aside for it stays so until this start
of the run ends. `spent`, and what rows say, count it as nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from contracts.money import ZERO, plain
from evals.cases import canonical
from evals.records import Answer
from evals.runner.ending import Ending
from evals.targets.port import Price

FIRST_GUESS_TOKENS = 1000
"""Longer than nearly all answers to customers, and about what models write when nobody bounds them."""


class Allowance:
    """What was spent, under a `cap` in dollars or none. `price` finds that of a model, the target's own for "".

    `option` is what the cap is called on the command line.
    """

    def __init__(
        self,
        price: Callable[[str], Price | None],
        ending: Ending,
        *,
        cap: Decimal | None = None,
        spent: Decimal = ZERO,
        option: str = "--max-usd",
    ) -> None:
        self._price = price
        self._ending = ending
        self._cap = cap
        self._option = option
        self.spent = spent
        self._reserved = ZERO
        self._doubted = ZERO
        self._freed = asyncio.Event()
        self._longest: defaultdict[str, int] = defaultdict(lambda: FIRST_GUESS_TOKENS)
        self._added: defaultdict[str, int] = defaultdict(int)
        self._beyond: defaultdict[str, Decimal] = defaultdict(lambda: Decimal(1))
        self._dearer: defaultdict[str, Decimal] = defaultdict(lambda: Decimal(1))

    async def reserve(self, body: Mapping[str, Any], model: str = "") -> Decimal:
        """Set aside what a call could cost. Raises Ended, and ends the run, where there is not so much left.

        While others are under way, whose rest may come back, it waits for them.
        """
        if self._cap is None:
            return ZERO
        while True:
            self._ending.check()
            need = self.most(body, model)
            left = self._cap - self.spent - self._doubted
            if self._reserved + need <= left:
                self._reserved += need
                return need
            if not self._reserved or need > left:
                self._ending.call(self._over(need, body), grace_s=math.inf)
                continue
            self._freed.clear()
            await self._freed.wait()

    def release(self, reserved: Decimal, *, doubted: bool = False) -> None:
        """The call has ended, whether well or not; `doubted` where it may have been paid for all the same."""
        self._reserved -= reserved
        self._doubted += reserved * doubted
        self._freed.set()

    def settle(self, body: Mapping[str, Any], answer: Answer, model: str = "") -> None:
        """Count what an answer took."""
        self.spent += self.bill(answer, model)
        self.learn(body, answer, model)
        if self._cap is not None and self.spent > self._cap:
            self._ending.call(self._over(ZERO, body), grace_s=math.inf)

    def bill(self, answer: Answer, model: str = "") -> Decimal:
        """What an answer took: what the target says, or else what its tokens cost."""
        return answer.cost if answer.cost is not None else self._expected(answer, model)

    def learn(self, body: Mapping[str, Any], answer: Answer, model: str = "") -> None:
        """What an answer tells about the next ones, which one that was paid earlier does too."""
        expected, bound = self._expected(answer, model), longest_answer(body)
        self._longest[model] = max(self._longest[model], answer.completion_tokens)
        self._added[model] = max(self._added[model], answer.prompt_tokens - len(canonical(body)))
        if bound:
            self._beyond[model] = max(self._beyond[model], Decimal(answer.completion_tokens) / bound)
        if expected:
            self._dearer[model] = max(self._dearer[model], self.bill(answer, model) / expected)

    def most(self, body: Mapping[str, Any], model: str = "") -> Decimal:
        """What a call could cost, so far as it can be known. Raises ValueError where no price is known."""
        price = self._price(model)
        if price is None:
            raise ValueError(f"nobody knows what {model or 'the target'} costs, so no cap can be kept")
        bound = longest_answer(body)
        completion = self._longest[model] if bound is None else math.ceil(bound * self._beyond[model])
        return price.cost(len(canonical(body)) + self._added[model], completion) * self._dearer[model]

    def _expected(self, answer: Answer, model: str) -> Decimal:
        price = self._price(model)
        return price.cost(answer.prompt_tokens, answer.completion_tokens) if price else ZERO

    def _over(self, need: Decimal, body: Mapping[str, Any]) -> str:
        more = f", and the next call could take ${plain(round(need, 6))}" if need else ""
        if need and longest_answer(body) is None:
            more += " (answers are not bounded: `--set max_tokens=N` in a new run does that)"
        lost = f", calls that broke off may have taken ${plain(round(self._doubted, 6))}" if self._doubted else ""
        spent = f"${plain(round(self.spent, 6))} are spent{lost}{more}"
        return (
            f"{self._option} {plain(self._cap or ZERO)} ends the run: {spent}. "
            "Give a larger sum with the same --out to go on."
        )


def longest_answer(body: Mapping[str, Any]) -> int | None:
    """The most tokens that a request lets all its choices have together; None where it does not say."""
    bounds = [body[name] for name in ("max_completion_tokens", "max_tokens") if isinstance(body.get(name), int)]
    return max(bounds) * int(body.get("n") or 1) if bounds else None
