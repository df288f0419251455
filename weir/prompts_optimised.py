"""What people see of `weir prompts optimise`: what it will take, a bar while it goes on, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from msgspec import to_builtins
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
from rich.text import Text

from contracts.money import plain
from evals.runner.progress import dollars
from prompts.evidence import written
from prompts.optimise.enough import lacking
from prompts.optimise.optimisation import COMPARISON, PAGE, Prepared
from prompts.optimise.outcome import Outcome
from prompts.optimise.watching import Progress as Step
from prompts.optimise.watching import Watch
from weir.prompts_evidence import print_evidence
from weir.prompts_subject import readable

_EVERY_S = 0.1
"""Between two looks of the bar: drawing it for each answer would cost more than asking."""
_STAGES = {"search": "searching", "before": "testing before", "after": "testing after"}


def forecast_text(ready: Prepared) -> Iterator[str]:
    """What it will take, in a few lines."""
    order, found, parts = ready.order, ready.forecast, ready.parts
    yield (
        f"{ready.optimiser.name} works on {order.name}@{order.prompt.version}, the prompt of {order.route} "
        f"({ready.optimiser.tunes}). It learns from {len(parts.train):,} cases of {order.suite.name}, chooses by "
        f"{len(parts.validation):,}, and never sees the {len(parts.test):,} of the test."
    )
    if found.reflection:
        yield f"{order.reflect_with} writes the instructions (--reflect-with names another model)."
    judges = f", {found.judged:,} to judges" if found.judged else ""
    reflecting = f", {found.reflection:,} to {order.reflect_with}" if found.reflection else ""
    yield (
        f"About {found.task:,} requests to the route{reflecting} and {found.test:,} for the test{judges}; "
        f"{found.tokens:,} tokens, {_price(ready)}."
    )
    lacks = lacking(parts.test, order.suite.margin) if order.objective == "cost" else 0
    if lacks:
        yield (
            f"The test is too small: even where no answer changes, {len(parts.test):,} cases do not show that "
            f"quality falls by less than {order.suite.margin * 100:g} points. It takes about {lacks:,} more: give "
            "a larger --test-share, or add cases to the suite."
        )


def _price(ready: Prepared) -> str:
    found = ready.forecast
    if found.likely is None:
        return "at a price that nobody knows (state `price` of its models in the configuration)"
    told = f"about {dollars(found.likely)}"
    if found.budget is None or found.aside is None:
        return f"{told}, and no --budget-usd bounds it"
    return f"{told}, at most {dollars(found.budget)}, of which {dollars(found.aside)} are set aside for the test"


def forecast_json(ready: Prepared) -> Mapping[str, Any]:
    found, order = ready.forecast, ready.order
    return {
        "prompt": order.name,
        "route": order.route,
        "before": order.prompt.version,
        "optimiser": ready.optimiser.name,
        "reflect_with": order.reflect_with or None,
        "cases": {name: len(cases) for name, cases in ready.parts._asdict().items()},
        "calls": {"task": found.task, "reflection": found.reflection, "test": found.test, "judges": found.judged},
        "tokens": found.tokens,
        "likely_usd": _money(found.likely),
        "most_usd": _money(found.budget),
        "aside_usd": _money(found.aside),
    }


@contextmanager
def bar(console: Console, budget: Decimal | None, *, shown: bool) -> Iterator[Watch]:
    """A bar with what was spent and the best score so far; nothing where it is not `shown`."""
    if not shown:
        yield lambda _: None
        return
    told = _Told(budget)
    columns = (told, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        drawn = 0.0

        def draw(step: Step) -> None:
            nonlocal drawn
            told.step, now = step, time.monotonic()
            if now - drawn >= _EVERY_S or step.calls == step.of:
                drawn = now
                progress.update(task, total=max(step.of, step.calls), completed=step.calls)

        yield draw


class _Told(ProgressColumn):
    """Reads the last step whenever the bar is drawn."""

    def __init__(self, budget: Decimal | None) -> None:
        super().__init__()
        self.step: Step | None = None
        self._budget = budget

    def render(self, task: Task) -> Text:
        return Text(so_far(self.step, self._budget) if self.step is not None else "")


def so_far(step: Step, budget: Decimal | None) -> str:
    """Such as "searching, $0.12 of $5.00, best 0.812 (0.640 at first)"."""
    spent = dollars(step.spent) if budget is None else f"{dollars(step.spent)} of {dollars(budget)}"
    parts = [_STAGES[step.stage], spent]
    if step.quality is not None:
        best = "best" if step.stage == "search" else "quality"
        first = "" if step.base is None else f" ({step.base:.3f} at first)"
        parts.append(f"{best} {step.quality:.3f}{first}")
    return ", ".join(parts)


def print_outcome(outcome: Outcome, console: Console, command: Callable[[str], str], *, promoted: bool) -> None:
    """The evidence with its intervals, the verdict, and the next command. `command` writes one for a shell."""

    def say(text: str) -> None:
        console.print(readable(text), markup=False, highlight=False, soft_wrap=True)

    if outcome.ended and outcome.came_to != "stopped":
        say(f"The search ended early: {outcome.ended}")
    for one in outcome.turned_away:
        say(f"{one.version} scored better and may not serve: {one.why}")
    if outcome.evidence is not None:
        print_evidence(outcome.evidence, console, rest="see the page")
    say(f"{_VERDICTS[outcome.came_to]} {outcome.reason}".strip())
    say(f"Spent {dollars(outcome.spent)}, of which {dollars(outcome.searched)} for the search.")
    compared = f", {outcome.folder / COMPARISON}" if outcome.evidence is not None else ""
    say(f"See {outcome.folder / PAGE}{compared}")
    if outcome.found is not None and promoted:
        back = command(f"prompts rollback {outcome.name} --reason WHY")
        say(f"{outcome.found.version} is in force from the next request on. To go back: {back}")
    elif outcome.found is not None and outcome.came_to == "passed":
        say(f"Next: {command(f'prompts promote {outcome.name} {outcome.found.version}')}")
    elif outcome.came_to == "stopped":
        say("What was answered is kept: the same command goes on.")


_VERDICTS = {
    "passed": "Passed:",
    "refused": "Refused:",
    "nothing": "Nothing better was found.",
    "stopped": "Not finished.",
}


def outcome_json(outcome: Outcome, ready: Prepared, *, promoted: bool) -> Mapping[str, Any]:
    return {
        **forecast_json(ready),
        "came_to": outcome.came_to,
        "reason": outcome.reason,
        "version": outcome.found.version if outcome.found is not None else None,
        "promoted": promoted,
        "ended": outcome.ended,
        "tried": outcome.tried,
        "spent_usd": plain(outcome.spent),
        "searched_usd": plain(outcome.searched),
        "evidence": written(outcome.evidence) if outcome.evidence is not None else None,
        "turned_away": to_builtins(outcome.turned_away),
        "folder": str(outcome.folder),
    }


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else plain(amount)
