"""What the test of a prompt sends counts in all its starts, and what was answered is asked once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson

from evals.run_folder import RESULTS, read_run
from evals.targets.in_process import InProcessTarget
from prompts.optimise.calls import FILE, open_calls
from prompts.optimise.optimisation import prepared
from prompts.optimise.order import Order
from prompts.optimise.recorded_target import RecordedTarget
from prompts.optimise.trial import Scoring, Trial, route_target, tried
from prompts.optimise.watching import Progress, Stop, Watch
from router.config.load import load
from tests.evals.runner.plain import no_encoder
from tests.prompts.optimise.plain_order import Tries, all_sent, config_in, order_in, suite_in

SCORING = Scoring(no_encoder)
PRICE = {"input": "1.25", "output": "10"}
BODY = {"messages": [{"role": "user", "content": "How much?"}], "max_tokens": 9}


def slow_order(folder: Path) -> Order:
    """Of a model that takes a while, so that calls are under way when the test is broken off."""
    models = {"attentive": {"upstream": "stand-in", "name": "slow-150", "price": PRICE}}
    order = order_in(folder, suite=suite_in(folder / "suite", every=12))
    return replace(order, loaded=load(config_in(folder, models=models), {}))


def measured(order: Order, stop: Stop | None = None, watch: Watch = lambda _: None) -> Trial:
    parts = prepared(order, SCORING, Tries()).parts
    return tried(order, parts, None, SCORING, spent=Decimal(0), stop=stop or Stop(), watch=watch)


def broken_off(order: Order) -> Trial:
    """With the first answer, as a second Ctrl-C does it."""
    stop = Stop()

    def interrupt(step: Progress) -> None:
        if step.calls == 1:
            stop.call("Stopped.")
            stop.call("Stopped.")

    return measured(order, stop, interrupt)


def costs(order: Order) -> Decimal:
    """Of the answers that the run's rows have."""
    rows = read_run(order.folder / "before").rows
    return sum((row.answer.cost or Decimal(0) for row in rows if row.answer), Decimal(0))


def lost(order: Order) -> Decimal:
    """Set aside for calls that were broken off."""
    lines = [orjson.loads(line) for line in (order.folder / FILE).read_bytes().splitlines()[1:]]
    failed = [line["failed"] for line in lines if line.get("paid")]
    return sum((Decimal(line["aside"]) for line in lines if line.get("sent") in failed), Decimal(0))


def test_calls_of_a_test_that_were_broken_off_count_as_paid_ever_after(tmp_path: Path) -> None:
    order = slow_order(tmp_path)
    first = broken_off(order)
    assert first.ended == "Stopped."
    broken = lost(order)
    assert broken > 0
    assert first.spent == costs(order) + broken
    second = measured(order)
    assert second.before is not None
    assert second.before.complete
    assert second.spent == costs(order) + broken, "what was broken off stays spent, and no more is"


def test_what_a_killed_test_may_have_paid_is_gone_from_the_budget(tmp_path: Path) -> None:
    order = slow_order(tmp_path)
    first = broken_off(order)
    with (order.folder / FILE).open("ab") as record:
        record.write(b'{"sent":"test-0-1","aside":"0.5"}\n')
    budget = first.spent + Decimal("0.5")
    held = measured(replace(order, budget=budget))
    assert "do not pay for the whole test" in held.ended
    assert held.spent == budget


def test_an_answer_that_no_row_has_is_heard_again(tmp_path: Path) -> None:
    order = slow_order(tmp_path)
    whole = measured(order)
    asked, results = all_sent(order), order.folder / "before" / RESULTS
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join(lines[:-3]))
    again = measured(order)
    assert again.before is not None
    assert again.before.complete
    assert (all_sent(order), again.spent) == (asked, whole.spent)


def test_the_same_question_is_asked_as_often_as_rows_need_answers(tmp_path: Path) -> None:
    order = order_in(tmp_path)

    async def asked(target: InProcessTarget, times: int) -> int:
        """How many calls it takes where one answer is in a row and one in none."""
        await target.start()
        try:
            with open_calls(order.folder, {}) as calls:
                fresh = RecordedTarget(target, calls, [])
                had = [await fresh.ask(BODY) for _ in range(2)]
                before = calls.tested
            with open_calls(order.folder, {}) as calls:
                goes_on = RecordedTarget(target, calls, had[:1])
                said = [await goes_on.ask(BODY) for _ in range(times)]
                assert said[0] == had[1]
                assert len({answer.latency_ms for answer in said}) == times
                return round((calls.tested - before) / (before / 2))
        finally:
            await target.close()

    assert asyncio.run(asked(route_target(order), 3)) == 2
