"""What a run would do, and what it may ask of the teacher, told before anything is done or paid.

The non-obvious decision: every question counts as asked that nobody has answered yet, those of the suite too, with
an answer as long as it may be. What the run takes is mostly far less. Names of intents (`mine.names`) are not
counted, since nobody knows how many there will be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from contracts.money import ZERO
from distill.student.curating.mined import read_mined
from distill.student.gating.parts import read_parts
from distill.student.mining.questions import first_questions
from distill.student.running import Stage, StageMissing, Tell, outlook
from distill.student.teacher import Asked
from evals.targets.port import Price
from router.estimates import TokenEstimator

if TYPE_CHECKING:
    from distill.student.means import Means

_ASK = frozenset({"mine", "curate", "gate"})
"""The stages that ask a teacher."""
_JUDGE = frozenset({"curate", "gate"})
"""Those that ask a judge."""


class Forecast(Struct, frozen=True, kw_only=True):
    """Stages with something to do, and those without. `questions` may be asked, for `most` dollars; None where no
    price is known and no cap. `judging` is what the judge may still take."""

    todo: tuple[str, ...]
    done: tuple[str, ...]
    questions: int
    most: Decimal | None
    judging: Decimal = ZERO


def forecast(means: Means, stages: Sequence[Stage], tell: Tell) -> Forecast:
    """Raises what reading the traffic, the suite and the teacher's answers does."""
    todo, done = outlooks(stages, means.folder)
    asked = list(_unanswered(means, todo, tell)) if _ASK & set(todo) else []
    teacher = means.teacher
    if teacher is not None:
        asked = teacher.unanswered(asked)
    cap = means.recipe.teacher.cap_usd
    left = None if teacher is None or cap is None else max(cap - teacher.spent, ZERO)
    most: Decimal | None = ZERO
    if teacher is not None and asked:
        most = most_for(asked, means.price, most_tokens=means.recipe.teacher.max_tokens, left=left)
    return Forecast(
        todo=tuple(todo), done=tuple(done), questions=len(asked), most=most, judging=_judging(means, todo)
    )


def outlooks(stages: Sequence[Stage], folder: Path) -> tuple[list[str], list[str]]:
    """Names of the stages with something to do, and of those without: once one has, all after it may."""
    done: list[str] = []
    for stage in stages:
        try:
            if outlook(stage, folder).state != "done":
                break
        except StageMissing:
            break
        done.append(stage.name)
    return [stage.name for stage in stages[len(done) :]], done


def most_for(
    asked: Iterable[Asked], price: Price | None, *, most_tokens: int, left: Decimal | None
) -> Decimal | None:
    """Dollars for an answer to each of the questions, and no more than what is `left` of a cap."""
    if price is None:
        return left
    counter = TokenEstimator(())  # as mining estimates what was spent
    prompts = [counter.estimate({"messages": list(one.messages)}, "").prompt for one in asked]
    dollars = sum((price.cost(prompt, most_tokens) for prompt in prompts), ZERO)
    return dollars if left is None else min(dollars, left)


def _judging(means: Means, todo: Sequence[str]) -> Decimal:
    """What is left of its cap: how many answers words leave open, nobody knows before they are there."""
    judge, cap = means.judge, means.recipe.judge.cap_usd
    if judge is None or cap is None or not _JUDGE & set(todo):
        return ZERO
    return max(cap - judge.spent, ZERO)


def _unanswered(means: Means, todo: Sequence[str], tell: Tell) -> Iterator[Asked]:
    if "curate" not in todo:
        parts = read_parts(means.folder / "curate")
        yield from (Asked(one.id, one.messages) for one in (*parts.tune, *parts.test) if not one.answer)
        return
    mined = "mine" not in todo
    requests = read_mined(means.folder / "mine").requests if mined else means.traffic(tell).requests
    anew, turns = means.recipe.curate.ask == "all", means.recipe.curate.turns
    yield from (Asked("", one.messages) for one in first_questions(requests) if anew or not one.answer)
    later = (one for one in requests if 1 < one.turn <= turns)
    yield from (Asked(one.id, one.messages) for one in later if anew or not one.answer)
    if means.suite is not None:
        yield from (Asked(case.id, tuple(case.messages)) for case in means.suite.cases)
