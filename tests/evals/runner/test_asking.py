from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from evals.records import Answer
from evals.runner.allowance import Allowance
from evals.runner.asking import ATTEMPTS, Asking
from evals.runner.ending import Ended, Ending
from evals.runner.pace import PATIENCE_S, Pace
from evals.targets.port import TargetFailure
from tests.evals.runner.plain import PlainTarget, leaping

BODY = {"messages": [{"role": "user", "content": "q"}]}
BUSY = TargetFailure("rate_limited", "Too many requests.", retryable=True, retry_after_s=2, slow_down=True)
FLAKY = TargetFailure("reset", "The connection broke off.", retryable=True)


def replies(*failures: TargetFailure, then: Answer | Exception | None = None) -> PlainTarget:
    """Fails with each in turn, and after them says `then`."""

    def reply(_: str, call: int) -> Answer | Exception:
        return failures[call - 1] if call <= len(failures) else then or Answer(text="fine")

    return PlainTarget(reply)


async def ask(target: PlainTarget, ending: Ending | None = None, many: int = 1) -> list[Any]:
    """What came of `many` requests, and when the last was answered."""
    ending = ending or Ending()
    asking = Asking(target, ending=ending, pace=Pace(ending), allowance=Allowance(target.price, ending))
    found = await asyncio.gather(*(asking.answer(BODY) for _ in range(many)), return_exceptions=True)
    return [*found, asyncio.get_running_loop().time()]


def test_what_may_go_well_later_is_tried_again() -> None:
    target = replies(FLAKY, FLAKY)
    answer, at = leaping(ask(target))
    assert answer == Answer(text="fine")
    assert target.asked["q"] == 3
    assert 0.75 <= at <= 2, "with a growing pause between"


def test_attempts_are_bounded() -> None:
    target = replies(*[FLAKY] * 99)
    failure, _ = leaping(ask(target))
    assert failure is FLAKY
    assert target.asked["q"] == ATTEMPTS


def test_what_the_target_says_of_later_is_heeded() -> None:
    later = TargetFailure("overloaded", "Later.", retryable=True, retry_after_s=45)
    _, at = leaping(ask(replies(later)))
    assert at >= 45


@pytest.mark.parametrize(
    "failure",
    [
        TargetFailure("invalid_request", "The question is too long."),
        TargetFailure("overloaded", "Come back tomorrow.", retryable=True, retry_after_s=PATIENCE_S + 1),
    ],
)
def test_what_helps_nothing_is_not_tried_again(failure: TargetFailure) -> None:
    target = replies(failure)
    found, _ = leaping(ask(target))
    assert found is failure
    assert target.asked["q"] == 1


def test_a_fatal_failure_ends_the_run() -> None:
    ending = Ending()
    found, _ = leaping(ask(replies(TargetFailure("unauthorized", "Wrong key: mend it.", fatal=True)), ending))
    assert isinstance(found, Ended)
    assert ending.reason == "Wrong key: mend it."


def test_a_storm_of_refusals_ends_well_however_many_they_are() -> None:
    """A target that takes ten requests a second, asked by two hundred at a time."""
    taken: list[float] = []

    def reply(_: str, __: int) -> Answer | Exception:
        at = asyncio.get_running_loop().time()
        if sum(at - earlier < 1 for earlier in taken) >= 10:
            return TargetFailure("rate_limited", "Slower.", retryable=True, retry_after_s=1, slow_down=True)
        taken.append(at)
        return Answer(text="fine")

    target = PlainTarget(reply)
    *found, at = leaping(ask(target, many=200))
    assert found == [Answer(text="fine")] * 200
    assert target.asked["q"] < 3 * 200, "190 go away at first; then most are let in, since nobody rushes back"
    assert at < 3 * 200 / 10


def test_a_target_that_sends_everybody_away_for_long_ends_the_run() -> None:
    ending = Ending()
    found, at = leaping(ask(replies(*[BUSY] * 9999), ending))
    assert isinstance(found, Ended)
    assert "--rate" in ending.reason
    assert at <= PATIENCE_S + 2


def test_a_judge_is_asked_by_its_name() -> None:
    class Named(PlainTarget):
        async def ask(self, body: Any, *, fresh: bool = True, model: str = "") -> Answer:
            assert "model" not in body
            return Answer(text=model)

    async def judge() -> Answer:
        ending = Ending()
        target = Named()
        asking = Asking(target, ending=ending, pace=Pace(ending), allowance=Allowance(target.price, ending))
        return await asking.judge({**BODY, "model": "the-judge"})

    assert leaping(judge()).text == "the-judge"


@pytest.mark.parametrize(("code", "attempts"), [("timeout", 2), ("reset", 2), ("unreachable", 5), ("http_500", 5)])
def test_what_a_call_that_broke_off_may_have_cost_stays_set_aside(code: str, attempts: int) -> None:
    """The cap is two and a half times what a call may cost; a target that was not reached takes nothing."""
    target = replies(*[TargetFailure(code, "No answer.", retryable=True)] * 99)

    async def spend() -> str:
        ending = Ending()
        bounded = {**BODY, "max_tokens": 100}
        cap = Allowance(target.price, ending).most(bounded) * Decimal("2.5")
        allowance = Allowance(target.price, ending, cap=cap)
        asking = Asking(target, ending=ending, pace=Pace(ending), allowance=allowance)
        with pytest.raises((Ended, TargetFailure)):
            await asking.answer(bounded)
        return ending.reason

    assert ("calls that broke off may have taken $0.2" in leaping(spend())) == (attempts < ATTEMPTS)
    assert target.asked["q"] == attempts
