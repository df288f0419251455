"""Budgets in one process: windows that end, clocks that jump, and a ledger that answers late."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from contracts.budgets import Amount, Budget, Claim, Crossing
from contracts.errors import BudgetUnavailable, LimitReached
from ledger.budgets.accounts import Values
from ledger.budgets.local import LocalBudgets
from tests.contracts.budgets import known

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def budget(**changes: Any) -> Budget:
    return Budget(**{"name": "b", "measure": "tokens", "limit": 10, "window": "day", **changes})


def claim(request_id: str, tenant: str = "acme") -> Claim:
    return Claim(request_id=request_id, tenant=tenant, key_id="k", route="r")


def local(clock: Clock, *budgets: Budget, **options: Any) -> LocalBudgets:
    engine = LocalBudgets(clock=clock, **options)
    engine.configure(budgets or [budget()])
    return engine


async def take(engine: LocalBudgets, request_id: str, amount: int) -> int:
    """What is left of the first budget."""
    return (await engine.reserve(claim(request_id), "m", Amount(tokens=amount)))[0].left


async def test_a_new_window_begins_anew_and_the_old_one_keeps_what_is_its_own() -> None:
    clock = Clock()
    engine = local(clock, budget(window="minute"))
    await take(engine, "r1", 9)
    with pytest.raises(LimitReached) as raised:
        await take(engine, "r2", 2)
    assert raised.value.retry_after_s == 60
    clock.now += 60
    assert await take(engine, "r2", 2) == 8
    engine.settle(claim("r1"), {"m": Amount(tokens=9)})
    (standing,) = await engine.standings()
    assert (standing.spent, standing.held) == (0, 2), "it was set aside, and counts, in the window before"


async def test_a_clock_that_is_set_back_opens_no_past_window() -> None:
    clock = Clock()
    clock.now = NOON + DAY / 2
    engine = local(clock)
    await take(engine, "r1", 9)
    clock.now -= 60
    with pytest.raises(LimitReached):
        await take(engine, "r2", 2)
    (standing,) = await engine.standings()
    assert standing.resets_at == datetime(2026, 11, 27, tzinfo=UTC)


async def test_a_window_that_a_wrong_clock_was_in_before_is_asked_of_the_ledger() -> None:
    clock = Clock()
    tomorrow = datetime(2026, 11, 26, tzinfo=UTC)

    async def spent_so_far(_: Budget, begin: datetime | None) -> Mapping[Values, int]:
        return {(): 9} if begin == tomorrow else {}

    engine = local(clock, spent_so_far=spent_so_far)
    await engine.start()
    clock.now += DAY
    await take(engine, "r1", 9)
    engine.settle(claim("r1"), {"m": Amount(tokens=9)})
    clock.now -= DAY
    with pytest.raises(BudgetUnavailable):
        await take(engine, "r2", 1)
    await known(engine)
    assert await take(engine, "r2", 1) == 9
    clock.now += DAY
    with pytest.raises(BudgetUnavailable):
        await take(engine, "r3", 2)
    await known(engine)
    with pytest.raises(LimitReached):
        await take(engine, "r3", 2)
    await engine.stop()


async def test_after_a_large_step_back_the_ledger_is_asked() -> None:
    clock = Clock()
    asked: list[datetime | None] = []

    async def spent_so_far(_: Budget, begin: datetime | None) -> Mapping[Values, int]:
        asked.append(begin)
        return {(): 7}

    engine = local(clock, spent_so_far=spent_so_far)
    await engine.start()
    clock.now += DAY
    assert await take(engine, "r1", 10) == 0, "a window that begins while we look is empty"
    clock.now -= DAY
    with pytest.raises(BudgetUnavailable):
        await take(engine, "r2", 1)
    await known(engine)
    assert await take(engine, "r2", 3) == 0
    assert asked == [datetime(2026, 11, 25, tzinfo=UTC)] * 2
    await engine.stop()


async def test_accounts_of_past_windows_are_let_go_of() -> None:
    clock = Clock()
    engine = local(clock, budget(each=("tenant",), window="minute"))
    for minute in range(3):
        for number in range(50):
            await engine.reserve(claim(f"r{minute}-{number}", f"t{number}"), "m", Amount(tokens=1))
        assert len(await engine.standings()) == 50
        clock.now += 60
    assert await engine.standings() == []


async def test_what_was_crossed_before_a_start_was_told_then() -> None:
    alerts: list[Crossing] = []

    async def spent_so_far(_: Budget, begin: datetime | None) -> Mapping[Values, int]:
        return {(): 8}

    engine = local(Clock(), budget(warn_at=(0.5, 0.9)), spent_so_far=spent_so_far, alert=alerts.append)
    await engine.start()
    assert alerts == []
    engine.settle(claim("r1"), {"m": Amount(tokens=1)})
    assert [one.share for one in alerts] == [0.9]
    engine.configure([budget(warn_at=(0.5, 0.9)), budget(name="new", warn_at=(0.5, 0.9))])
    await known(engine)
    assert [(one.budget, one.share) for one in alerts] == [("b", 0.9), ("new", 0.5)], "this is news"
    await engine.stop()


async def test_what_ends_while_the_ledger_is_read_is_never_forgotten() -> None:
    reading, go_on = asyncio.Event(), asyncio.Event()

    async def spent_so_far(_: Budget, begin: datetime | None) -> Mapping[Values, int]:
        reading.set()
        await go_on.wait()
        return {(): 4}

    engine = local(Clock(), spent_so_far=spent_so_far, when_down="allow")
    engine.settle(claim("before"), {"m": Amount(tokens=4)})
    starting = asyncio.create_task(engine.start())
    await reading.wait()
    engine.settle(claim("during"), {"m": Amount(tokens=1)})
    go_on.set()
    await starting
    (standing,) = await engine.standings()
    assert standing.spent == 5
    await engine.stop()


@pytest.mark.parametrize("window", ["minute", "day"])
async def test_where_others_count_for_themselves_no_hard_budget_is_known_ever(window: Any) -> None:
    clock = Clock()
    engine = local(clock, budget(window=window), budget(name="soft", window=window, hard=False), alone=False)
    for _ in range(2):
        with pytest.raises(BudgetUnavailable):
            await take(engine, f"r{clock.now}", 1)
        clock.now += 2 * DAY
    assert not engine.up
    relaxed = local(clock, budget(window=window), alone=False, when_down="allow")
    assert await take(relaxed, "r9", 1) == 9
