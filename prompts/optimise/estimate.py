"""What a search and its test will take, told before anything is asked: calls, tokens and dollars.

The non-obvious decision: the test comes out of the same budget, and what it takes is set aside before the search
begins. Otherwise a search would spend all of it, and nobody would know whether what it found is better. It is for a
prompt as long as one may be expected, not as it may be: else a short prompt would need the budget of a long one.
Where a longer one is found and the rest does not pay its test, the order goes on with a larger budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_UP, Decimal
from functools import cache

from msgspec import Struct

from contracts.money import ZERO
from evals.cases import Case
from evals.runner.allowance import longest_answer
from evals.runner.estimate import ANSWER_TOKENS, JUDGE_REPLY_TOKENS, JUDGE_TASK_TOKENS
from evals.runner.plan import body_of
from evals.scorers.port import Scorer
from evals.targets.port import Price
from prompts.optimise.line import bounded
from prompts.optimise.order import Order
from prompts.optimise.ports import Expected, Parts
from prompts.prompt import BookedPrompt
from router.estimates import BYTES_PER_TOKEN, TokenEstimator

USUAL_TOKENS = 120
"""Of an answer, for what is likely: between the 75 of the example business's answers, and the 200 of everyday
answers anywhere, by which sums are set aside."""
WRITTEN_TOKENS = 200
"""That instructions gain while they are searched for: a model that is asked to be brief adds six or eight rules."""
_ASKED_TOKENS, _SEEN = 250, 4
"""A request for other instructions: what it says by itself, and how many answers it shows beside those of now."""
_GROWN = 2
"""Times the tokens of the prompt to begin with, for what is set aside; or as many demonstrations as it may have, if
they are more."""
_CENT = Decimal("0.01")


class BudgetTooSmall(ValueError):
    """It could not pay the test. `least` dollars could, and leave as much for the search."""

    def __init__(self, message: str, least: Decimal) -> None:
        super().__init__(message)
        self.least = least


class Forecast(Struct, frozen=True, kw_only=True):
    """Calls of the route and the model that reflects while searching, of the route in the test, of judges in both.

    Tokens and dollars are what is likely; `aside` is for the test, of a prompt that has become as long as they do.
    Dollars are None where a price is not known.
    """

    task: int
    reflection: int
    test: int
    judged: int
    tokens: int
    search: Decimal | None
    """Dollars for the search where no budget ends it before."""
    tested: Decimal | None
    aside: Decimal | None
    budget: Decimal | None = None

    @property
    def likely(self) -> Decimal | None:
        """Dollars for all of it, within the budget."""
        if self.search is None or self.tested is None:
            return None
        whole = self.search + self.tested
        return whole if self.budget is None else min(whole, self.budget)

    @property
    def for_search(self) -> Decimal | None:
        """Dollars that the search may spend; None: any."""
        return None if self.budget is None or self.aside is None else self.budget - self.aside


def prompt_tokens(prompt: BookedPrompt) -> int:
    """Of instructions and demonstrations as they are sent, slots filled as usual: an estimate."""
    return _count(prompt.filled().apply({"messages": []}, "chat/completions")["messages"])


def forecast(
    order: Order,
    parts: Parts,
    expected: Expected,
    judges: Sequence[Scorer],
    price: Callable[[str], Price | None],
) -> Forecast:
    """`judges` are the suite's; `price` finds that of a model, the route's own for "".

    Raises BudgetTooSmall, and ValueError where a budget cannot be kept since a price is not known.
    """
    sums = _Sums(price)
    quality = order.suite.quality
    usual = _shorter(USUAL_TOKENS, order)
    base = prompt_tokens(order.prompt)
    searched, tested = _length((*parts.train, *parts.validation), order), _length(parts.test, order)
    written = WRITTEN_TOKENS if expected.reflection and order.objective == "quality" else 0
    added = written // 2 + expected.shown * (searched + usual)

    sums.add("search", "", expected.task, base + added + searched, usual)
    asked = _ASKED_TOKENS + base + written + _SEEN * (searched + usual)
    sums.add("search", order.reflect_with, expected.reflection, asked, base + written)
    for judge in (judge for judge in judges if judge.name == quality):
        sums.judge("search", judge, expected.task, searched + usual)
    test = len(parts.test)
    sums.add("test", "", test, base + tested, usual)
    sums.add("test", "", test, base + added + tested, usual)
    for judge in judges:
        sums.judge("test", judge, _judged(judge, parts), tested + usual)
    shown = base + order.most_demonstrations * (searched + _shorter(ANSWER_TOKENS, order))
    grown = min(max(_GROWN * base, shown), max(base, order.most_tokens))
    _set_aside(sums, order, parts, judges, grown)
    found = Forecast(
        task=expected.task,
        reflection=expected.reflection,
        test=2 * test,
        judged=sums.judged["search"] + sums.judged["test"],
        tokens=sums.tokens["search"] + sums.tokens["test"],
        search=sums.dollars["search"],
        tested=sums.dollars["test"],
        aside=sums.dollars["aside"],
        budget=order.budget,
    )
    _check(order, found, sums.unknown)
    return found


def usd_for_test(
    order: Order, parts: Parts, prompt: BookedPrompt, judges: Sequence[Scorer], price: Callable[[str], Price | None]
) -> Decimal | None:
    """What has to be left for the test of `prompt` beside the order's; None where a price is not known."""
    sums = _Sums(price)
    _set_aside(sums, order, parts, judges, prompt_tokens(prompt))
    return sums.dollars["aside"]


def _set_aside(sums: _Sums, order: Order, parts: Parts, judges: Sequence[Scorer], tokens: int) -> None:
    """For a test of a prompt of so many `tokens`, with answers as long as they may be."""
    test, tested, bound = len(parts.test), _length(parts.test, order), longest_answer(order.suite.request)
    longest = ANSWER_TOKENS if bound is None else bound
    sums.add("aside", "", test, prompt_tokens(order.prompt) + tested, longest)
    sums.add("aside", "", test, tokens + tested, longest)
    due = longest_answer(bounded(order.suite.request)) or longest  # what the runner sets aside for its last call
    sums.add("aside", "", 1, BYTES_PER_TOKEN * (tokens + tested), due)
    for judge in judges:
        sums.judge("aside", judge, _judged(judge, parts), tested + longest)


class _Sums:
    """Calls, tokens and dollars by what they are for."""

    def __init__(self, price: Callable[[str], Price | None]) -> None:
        self._price = price
        self.unknown: dict[str, None] = {}
        self.judged = {"search": 0, "test": 0, "aside": 0}
        self.tokens = {"search": 0, "test": 0, "aside": 0}
        self.dollars: dict[str, Decimal | None] = {"search": ZERO, "test": ZERO, "aside": ZERO}

    def add(self, part: str, model: str, calls: int, prompt: int, completion: int) -> None:
        if not calls:
            return
        self.tokens[part] += calls * (prompt + completion)
        price, so_far = self._price(model), self.dollars[part]
        if price is None:
            self.unknown[model] = None
            self.dollars[part] = None
        elif so_far is not None:
            self.dollars[part] = so_far + price.cost(calls * prompt, calls * completion)

    def judge(self, part: str, judge: Scorer, calls: int, read: int) -> None:
        if judge.model:
            self.judged[part] += calls
            self.add(part, judge.model, calls, read + JUDGE_TASK_TOKENS, JUDGE_REPLY_TOKENS)


def _check(order: Order, found: Forecast, unknown: dict[str, None]) -> None:
    if order.budget is None:
        return
    if unknown or found.aside is None:
        names = " and ".join(model or f"the route {order.route}" for model in unknown)
        raise ValueError(
            f"--budget-usd cannot be kept, since nobody knows what {names} costs. State its `price` in the "
            "configuration, or leave the budget out."
        )
    if found.aside >= order.budget:
        least = (2 * found.aside).quantize(_CENT, ROUND_UP)
        raise BudgetTooSmall(
            f"--budget-usd {order.budget} cannot pay for the test: asking {found.test // 2:,} cases before and "
            f"after may take ${found.aside.quantize(_CENT, ROUND_UP)}, which is set aside before the search. "
            f"${least} pays for the test and as much of a search; a smaller --test-share makes the test cheaper, "
            "and `max_tokens` in the suite's `request` its answers.",
            least,
        )


def _judged(judge: Scorer, parts: Parts) -> int:
    """Answers of the test that it can judge."""
    return 2 * sum(not judge.lacks(case) for case in parts.test)


def _shorter(tokens: int, order: Order) -> int:
    """Of an answer, where the suite's requests allow for so many."""
    bound = longest_answer(order.suite.request)
    return tokens if bound is None else min(bound, tokens)


def _length(cases: Sequence[Case], order: Order) -> int:
    """Tokens of a request without its prompt, on average."""
    if not cases:
        return 0
    return round(sum(_count(body_of(case, order.suite.request)["messages"]) for case in cases) / len(cases))


def _count(messages: Sequence[object]) -> int:
    return _counter().estimate({"messages": messages}, "").prompt


@cache
def _counter() -> TokenEstimator:
    counter = TokenEstimator()
    counter.load()
    return counter
