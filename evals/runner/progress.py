"""What people see of a run: what it will take, a bar while it goes on, and how far it came."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.text import Text

from contracts.money import plain
from evals.runner.estimate import Estimate
from evals.runner.tally import Tally

_EVERY_S = 0.1
"""Between two looks of the bar at the tally: drawing it for each answer would cost more than asking."""
_SMALLEST = Decimal("0.0001")


@contextmanager
def bar(console: Console, *, shown: bool) -> Iterator[Callable[[Tally], None]]:
    """A bar with score, spending and errors; nothing where it is not `shown`. Takes tallies as they come."""
    if not shown:
        yield lambda _: None
        return
    told = _Told()
    with Progress(BarColumn(), MofNCompleteColumn(), told, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=None)
        drawn = 0.0

        def draw(tally: Tally) -> None:
            nonlocal drawn
            told.tally, now = tally, time.monotonic()
            if now - drawn >= _EVERY_S or tally.done == tally.total:
                drawn = now
                progress.update(task, total=tally.total, completed=tally.done)

        yield draw


class _Told(ProgressColumn):
    """Reads the tally whenever the bar is drawn, so that it also tells what comes without an answer."""

    tally: Tally | None = None

    def render(self, task: Task) -> Text:
        return Text(so_far(self.tally) if self.tally is not None else "")


def so_far(tally: Tally) -> str:
    score = "" if tally.score is None else f"{tally.quality} {tally.score:.3f}, "
    parts = [f"{score}{dollars(tally.spent)}"]
    if tally.errors:
        parts.append(f"{tally.errors:,} error{'s' * (tally.errors > 1)}")
    if tally.unjudged:
        parts.append(f"{tally.unjudged:,} not judged")
    if tally.note:
        parts.append(tally.note)
    return ", ".join(parts)


def expected(found: Estimate, kept: int) -> str:
    """The estimate as a sentence."""
    judges = f" and {found.judged:,} to judges" if found.judged else ""
    tokens = found.prompt_tokens + found.completion_tokens
    if found.dollars is None:
        price = "at a price that nobody knows (state it with --price)"
    else:
        most = f" (at most about {dollars(found.most)})" if found.most is not None else ""
        price = f"about {dollars(found.dollars)}{most}"
    done = f" {kept:,} are done already." if kept else ""
    known = f" {found.recalled:,} answers are recalled from earlier runs (--no-recall asks anew)." * bool(
        found.recalled
    )
    return f"{found.requests:,} requests{judges}, about {tokens:,} tokens, {price}.{done}{known}"


def dollars(amount: Decimal) -> str:
    """To the cent, and below a dollar as exactly as is of interest."""
    if amount >= 1:
        return f"${amount:,.2f}"
    return f"${plain(amount.quantize(_SMALLEST) if amount >= _SMALLEST else round(amount, 8))}"
