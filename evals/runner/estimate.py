"""What a run will take, told before it starts: requests, tokens and dollars.

Prompts are counted, what models answer is guessed: from `max_tokens` where requests have it, else as an everyday
answer. `most` is told only where `max_tokens` bounds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from msgspec import Struct

from contracts.money import ZERO
from evals.runner.allowance import longest_answer
from evals.runner.plan import Work, body_of
from evals.scorers.port import Scorer
from evals.targets.port import Price
from router.estimates import TokenEstimator

ANSWER_TOKENS = 200
"""An everyday answer of a help desk."""
JUDGE_TASK_TOKENS, JUDGE_REPLY_TOKENS = 400, 100
"""What a judge is told beside question and answer, and what it replies."""
_COUNTED = 1000
"""Prompts whose tokens are counted; the others are taken to be as long on average."""


class Estimate(Struct, frozen=True, kw_only=True):
    """`requests` to the target and to judges. Dollars are None where a price is not known."""

    requests: int
    judged: int
    recalled: int
    prompt_tokens: int
    completion_tokens: int
    dollars: Decimal | None
    most: Decimal | None


def estimate(
    works: Iterable[Work],
    request: Mapping[str, Any],
    judges: Sequence[Scorer],
    price: Callable[[str], Price | None],
    recalled: Callable[[str], bool],
) -> Estimate:
    """Of works that are to be asked, of which those whose key was `recalled` cost nothing but their judges."""
    counter = TokenEstimator()
    counter.load()
    bound = longest_answer(request)
    each = ANSWER_TOKENS if bound is None else min(bound, ANSWER_TOKENS)
    asked = again = judged = 0
    prompts: list[int] = []
    for work in works:
        if len(prompts) < _COUNTED:
            prompts.append(counter.estimate(body_of(work.case, request), "").prompt)
        judged += sum(not judge.lacks(work.case) for judge in judges)
        if work.had is not None:
            continue
        known = recalled(work.key)
        again += known
        asked += not known
    length = round(sum(prompts) / len(prompts)) if prompts else 0
    answers = (asked * length, asked * each)
    per_judge = judged // len(judges) if judges else 0
    judging = (per_judge * (length + each + JUDGE_TASK_TOKENS), per_judge * JUDGE_REPLY_TOKENS)
    parts = [(judge.model, *judging) for judge in judges]
    dollars = _sum(price, [("", *answers), *parts])
    most = _sum(price, [("", answers[0], asked * bound), *parts]) if bound is not None else None
    return Estimate(
        requests=asked,
        judged=judged,
        recalled=again,
        prompt_tokens=answers[0] + judging[0] * len(judges),
        completion_tokens=answers[1] + judging[1] * len(judges),
        dollars=dollars,
        most=most,
    )


def _sum(price: Callable[[str], Price | None], parts: Sequence[tuple[str, int, int]]) -> Decimal | None:
    """Dollars for (model, prompt tokens, completion tokens); None where one has no price."""
    total = ZERO
    for model, prompt, completion in parts:
        if not prompt:
            continue
        found = price(model)
        if found is None:
            return None
        total += found.cost(prompt, completion)
    return total
