from __future__ import annotations

import asyncio

import pytest

from evals.runner.ending import Ended, Ending
from evals.runner.pace import PATIENCE_S, Pace
from tests.evals.runner.plain import leaping


def now() -> float:
    return asyncio.get_running_loop().time()


async def turns(pace: Pace, many: int) -> list[float]:
    """When each of `many` that come at once gets its turn."""
    found: list[float] = []

    async def one() -> None:
        await pace.turn()
        found.append(now())

    await asyncio.gather(*(one() for _ in range(many)))
    return found


def test_a_rate_is_kept_evenly() -> None:
    async def asked() -> list[float]:
        return await turns(Pace(Ending(), rate=120), 5)

    assert leaping(asked()) == pytest.approx([0, 0.5, 1, 1.5, 2])


def test_without_a_rate_nobody_waits() -> None:
    async def asked() -> list[float]:
        return await turns(Pace(Ending()), 50)

    assert set(leaping(asked())) == {0.0}


def test_time_without_requests_is_not_saved_up_for_a_burst() -> None:
    async def asked() -> list[float]:
        pace = Pace(Ending(), rate=60)
        await pace.turn()
        await asyncio.sleep(100)
        return [at - 100 for at in await turns(pace, 4)]

    first, *_, last = leaping(asked())
    assert first == 0
    assert last >= 2


def test_a_pause_is_everybodys_and_is_followed_by_requests_apart() -> None:
    async def asked() -> list[float]:
        pace = Pace(Ending())
        assert pace.slow_down(7)
        assert pace.slow_down(3), "a shorter one does not shorten it"
        return await turns(pace, 10)

    found = leaping(asked())
    assert found[0] == pytest.approx(7)
    assert len(set(found)) >= 9


def test_pauses_grow_where_the_target_does_not_say_how_long() -> None:
    async def asked() -> list[float]:
        pace = Pace(Ending())
        lengths = []
        for _ in range(5):
            began = now()
            pace.slow_down(None)
            await pace.turn()
            lengths.append(now() - began)
        return lengths

    first, *_, last = leaping(asked())
    assert 0.5 <= first <= 1.1
    assert 8 <= last <= 17


def test_answers_bring_back_the_usual_speed() -> None:
    async def asked() -> list[float]:
        pace = Pace(Ending())
        pace.slow_down(1)
        await pace.turn()
        for _ in range(100):
            pace.answered()
        return await turns(pace, 5)

    assert len(set(leaping(asked())[1:])) == 1


def test_patience_ends_where_nothing_is_answered_between() -> None:
    async def asked() -> tuple[bool, bool, bool]:
        pace = Pace(Ending())
        first = pace.slow_down(PATIENCE_S - 1)
        await pace.turn()
        pace.answered()
        after_an_answer = pace.slow_down(PATIENCE_S - 1)
        await pace.turn()
        return first, after_an_answer, pace.slow_down(10)

    assert leaping(asked()) == (True, True, False)


def test_whoever_waits_for_a_turn_hears_that_the_run_ends() -> None:
    async def asked() -> float:
        ending = Ending()
        pace = Pace(ending)
        pace.slow_down(60)
        waiting = [asyncio.create_task(pace.turn()) for _ in range(3)]
        await asyncio.sleep(1)
        ending.call("enough")
        for found in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(found, Ended)
        return now()

    assert leaping(asked()) == pytest.approx(1)
