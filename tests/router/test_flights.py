"""One flies, the others ride; nobody is stranded, and nothing is left in the table."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import (
    Abandoned,
    BudgetUnavailable,
    DeadlineExceeded,
    LimitReached,
    RateLimited,
    StreamCut,
    WeirError,
)
from contracts.records import StoredAnswer
from router.flights import Flight, Flights

KEY = b"key"
SOON = 1e12
ANSWER = StoredAnswer(body=b"{}", pieces=(), model="m", usage=None, cost=Decimal(1))
Landed = tuple[Flight | None, StoredAnswer | None]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def pilot(flights: Flights, key: bytes = KEY) -> Flight:
    flight, landed = await flights.board(key, until=SOON)
    assert flight is not None
    assert landed is None
    return flight


async def passengers(flights: Flights, number: int, key: bytes = KEY) -> list[asyncio.Task[Landed]]:
    tasks = [asyncio.create_task(flights.board(key, until=SOON)) for _ in range(number)]
    await settle()
    return tasks


async def test_a_hundred_wait_for_one_answer() -> None:
    flights = Flights()
    flight = await pilot(flights)
    waiting = await passengers(flights, 100)
    assert (len(flights), flights.passengers) == (1, 100)
    flight.land(ANSWER)
    assert await asyncio.gather(*waiting) == [(None, ANSWER)] * 100
    assert (len(flights), flights.passengers) == (0, 0)


async def test_different_keys_fly_apart() -> None:
    flights = Flights()
    first, second = await pilot(flights, b"a"), await pilot(flights, b"b")
    first.land(None)
    second.land(None)
    assert len(flights) == 0


async def test_after_a_landing_the_next_one_flies() -> None:
    flights = Flights()
    (await pilot(flights)).land(ANSWER)
    (await pilot(flights)).land(ANSWER)


async def test_an_answer_that_is_not_shared_sends_everyone_on_alone() -> None:
    flights = Flights()
    flight = await pilot(flights)
    waiting = await passengers(flights, 3)
    flight.land(None)
    assert await asyncio.gather(*waiting) == [(None, None)] * 3


async def test_the_pilots_failure_is_everyones_with_all_that_it_says() -> None:
    flights = Flights()
    flight = await pilot(flights)
    waiting = await passengers(flights, 3)
    error = RateLimited("later", status=429, retry_after_s=7, detail="d")
    flight.land(None, error)
    got = await asyncio.gather(*waiting, return_exceptions=True)
    assert len({id(one) for one in got}) == 3
    for one in got:
        assert isinstance(one, RateLimited)
        assert (one.message, one.status, one.retry_after_s, one.detail) == ("later", 429, 7, "d")
        assert one.__cause__ is error
    assert len(flights) == 0


@pytest.mark.parametrize("error", [asyncio.CancelledError(), KeyError("bug")])
async def test_when_the_pilot_gives_up_the_first_passenger_takes_over(error: BaseException) -> None:
    flights = Flights()
    flight = await pilot(flights)
    first, *others = await passengers(flights, 3)
    flight.land(None, error)
    await settle()
    assert first.done()
    successor, landed = first.result()
    assert successor is not None
    assert landed is None
    await settle()
    assert not any(task.done() for task in others)
    successor.land(ANSWER)
    assert await asyncio.gather(*others) == [(None, ANSWER)] * 2
    assert len(flights) == 0


async def test_a_successor_that_is_cancelled_as_it_takes_over_hands_on() -> None:
    flights = Flights()
    flight = await pilot(flights)
    first, second = await passengers(flights, 2)
    flight.land(None, asyncio.CancelledError())
    first.cancel()
    await settle()
    assert second.done()
    successor, _ = second.result()
    assert successor is not None
    successor.land(ANSWER)
    assert first.cancelled()
    assert len(flights) == 0


@pytest.mark.parametrize(
    "error",
    [
        Abandoned("The client left."),
        LimitReached("x", budget="b", measure="usd", limit="1", left="0"),
        BudgetUnavailable("x"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_pilot_that_ends_for_a_reason_of_its_own_is_followed_by_a_passenger(error: WeirError) -> None:
    flights = Flights()
    first = await pilot(flights)
    waiting = await passengers(flights, 1)
    first.land(None, error)
    successor, _ = await waiting[0]
    assert successor is not None
    successor.land(ANSWER)


async def test_a_pilot_that_gives_up_alone_leaves_nothing_behind() -> None:
    flights = Flights()
    (await pilot(flights)).land(None, asyncio.CancelledError())
    assert len(flights) == 0


async def test_only_the_first_landing_counts() -> None:
    flights = Flights()
    first = await pilot(flights)
    first.land(ANSWER)
    second = await pilot(flights)
    waiting = await passengers(flights, 1)
    first.land(None, StreamCut("late"))
    await settle()
    assert not waiting[0].done()
    second.land(ANSWER)
    assert await waiting[0] == (None, ANSWER)


async def test_a_passenger_waits_no_longer_than_its_deadline() -> None:
    flights = Flights(clock=lambda: 50.0)
    flight = await pilot(flights)
    with pytest.raises(DeadlineExceeded):
        await flights.board(KEY, until=50.0)
    assert flights.passengers == 0
    flight.land(ANSWER)
    assert len(flights) == 0


async def test_a_passenger_that_leaves_does_not_disturb_the_others() -> None:
    flights = Flights()
    flight = await pilot(flights)
    first, second = await passengers(flights, 2)
    first.cancel()
    await settle()
    assert flights.passengers == 1
    flight.land(ANSWER)
    assert await second == (None, ANSWER)


LANDINGS: list[tuple[StoredAnswer | None, BaseException | None]] = [
    (ANSWER, None),
    (None, None),
    (None, StreamCut("cut")),
    (None, asyncio.CancelledError()),
]
events = st.one_of(
    st.tuples(st.just("board"), st.integers(0, 2)),
    st.tuples(st.just("cancel"), st.integers(0, 200)),
    st.tuples(st.just("land"), st.integers(0, len(LANDINGS) - 1)),
    st.tuples(st.just("tick"), st.just(0)),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(events, max_size=100))
def test_whatever_happens_every_caller_gets_somewhere(history: list[tuple[str, int]]) -> None:
    async def story() -> None:
        flights = Flights()
        tasks: list[asyncio.Task[None]] = []
        flying: list[Flight] = []

        async def ride(key: bytes) -> None:
            try:
                flight, _ = await flights.board(key, until=SOON)
            except WeirError:
                return
            if flight is not None:
                flying.append(flight)

        for what, number in history:
            if what == "board":
                tasks.append(asyncio.create_task(ride(bytes([number]))))
            elif what == "cancel" and tasks:
                tasks[number % len(tasks)].cancel()
            elif what == "land" and flying:
                flying.pop(0).land(*LANDINGS[number])
            elif what == "tick":
                await settle()
        for _ in range(len(tasks) + 1):
            await settle()
            while flying:
                flying.pop().land(None, asyncio.CancelledError())
        await settle()
        assert all(task.done() for task in tasks)
        assert (len(flights), flights.passengers) == (0, 0)

    asyncio.run(story())


async def test_an_answer_that_takes_longer_than_they_can_wait_sends_everyone_on_alone() -> None:
    flights = Flights(clock=lambda: 100.0)
    flight = await pilot(flights)
    waiting = await passengers(flights, 3)
    flight.share_until(99.0)
    assert await asyncio.gather(*waiting) == [(None, None)] * 3
    flight.land(ANSWER)
    assert len(flights) == 0


async def test_an_answer_that_lands_in_time_is_everyones_and_nothing_comes_after_it() -> None:
    flights = Flights(clock=lambda: 100.0)
    flight = await pilot(flights)
    waiting = await passengers(flights, 3)
    flight.share_until(100.01)
    flight.land(ANSWER)
    assert await asyncio.gather(*waiting) == [(None, ANSWER)] * 3
    following = await pilot(flights)
    await asyncio.sleep(0.02)
    assert len(flights) == 1
    following.land(None)
