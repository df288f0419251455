"""Budgets in Redis: among replicas and processes, some of which are killed; with Redis killed, hung and emptied."""

from __future__ import annotations

import asyncio
import logging
import math
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.budgets import Amount, Budget, Claim, Crossing
from contracts.errors import BudgetUnavailable, LimitReached
from ledger.budgets.accounts import Values, account_of
from ledger.budgets.counters import Counters
from ledger.budgets.link import end
from ledger.budgets.shared import SharedBudgets
from ledger.budgets.tabs import Line, Settlement, Tab
from ledger.budgets.under_way import ADMITTED
from ledger.budgets.windows import span_at
from tests.contracts.budgets import counted, known, until
from tests.redis_process import RedisProcess, redis_program

pytestmark = pytest.mark.redis
ROOT = Path(__file__).parents[3]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(redis_program(), tmp_path)
    process.start()
    yield process
    process.kill()


class Ledger:
    """Everything that was settled, as events would have it."""

    def __init__(self) -> None:
        self.spent: dict[Values, int] = {}

    async def spent_so_far(self, budget: Budget, begin: datetime | None) -> Mapping[Values, int]:
        return dict(self.spent) if budget.measure == "tokens" else {}


class Replicas:
    """Engines over one Redis, as replicas with one database have them."""

    def __init__(self, server: RedisProcess) -> None:
        self.server = server
        self.ledger = Ledger()
        self.alerts: list[Crossing] = []
        self.engines: list[SharedBudgets] = []

    async def make(self, *budgets: Budget, **options: Any) -> SharedBudgets:
        settings = {
            "name": "b",
            "alert": self.alerts.append,
            "spent_so_far": self.ledger.spent_so_far,
            "deadline_s": 5.0,  # that only a dead Redis misses, however busy this machine is
            "settling_s": 0.1,
        }
        engine = SharedBudgets(self.server.url, **{**settings, **options})
        self.engines.append(engine)
        engine.configure(budgets)
        await engine.start()
        return engine

    def settle(self, engine: SharedBudgets, request_id: str, amount: int, model: str = "large") -> None:
        """As the pipeline does it: the event first."""
        self.ledger.spent[()] = self.ledger.spent.get((), 0) + amount
        engine.settle(claim(request_id), {model: Amount(tokens=amount)})


@pytest.fixture
async def replicas(server: RedisProcess) -> AsyncIterator[Replicas]:
    made = Replicas(server)
    yield made
    for engine in made.engines:
        await engine.stop()


def budget(limit: int = 10, **changes: Any) -> Budget:
    return Budget(**{"name": "b", "measure": "tokens", "limit": limit, "window": "total", **changes})


def claim(request_id: str = "r1") -> Claim:
    return Claim(request_id=request_id, tenant="acme", key_id="key_1", route="support")


async def take(engine: SharedBudgets, request_id: str, amount: int, model: str = "large") -> bool:
    """Whether there was room."""
    try:
        await engine.reserve(claim(request_id), model, Amount(tokens=amount))
    except LimitReached:
        return False
    return True


async def standing(engine: SharedBudgets) -> tuple[int, int]:
    await counted(engine)
    (found, *_) = await engine.standings()
    return found.spent, found.held


async def test_replicas_share_what_there_is(replicas: Replicas) -> None:
    hundred = budget(100, warn_at=(0.5, 1.0))
    engines = [await replicas.make(hundred) for _ in range(2)]

    async def one(number: int) -> bool:
        engine = engines[number % 2]
        if not await take(engine, f"r{number}", 1):
            return False
        replicas.settle(engine, f"r{number}", 1)
        return True

    granted = await asyncio.gather(*(one(number) for number in range(300)))
    assert sum(granted) == 100
    for engine in engines:
        assert await standing(engine) == (100, 0)
    await until(lambda: len(replicas.alerts) >= 2)
    await asyncio.gather(*(engine.stop() for engine in engines))
    assert sorted(one.share for one in replicas.alerts) == [0.5, 1.0], "each once among all replicas"


def spender(server: RedisProcess, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ledger.budgets.spender", server.url, "b", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


async def test_processes_never_spend_more_than_there_is(server: RedisProcess, replicas: Replicas) -> None:
    processes = [spender(server, 500, 20, "settle") for _ in range(2)]
    outputs = await asyncio.gather(*(asyncio.to_thread(process.communicate) for process in processes))
    assert sum(int(output) for output, _ in outputs) == 500
    assert await standing(await replicas.make(budget(500))) == (500, 0)


async def test_what_a_killed_process_held_comes_back(server: RedisProcess, replicas: Replicas) -> None:
    engine = await replicas.make(budget(10))
    process = spender(server, 10, 8, "hold")
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "ready\n"
    assert await standing(engine) == (0, 8)
    await asyncio.sleep(1.5)  # longer than its lease: it is alive, so it goes on holding
    assert not await take(engine, "r1", 3)
    process.kill()
    process.communicate()
    await eventually(engine, "r2", 10)
    assert await standing(engine) == (0, 10)


async def eventually(engine: SharedBudgets, request_id: str, amount: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if await take(engine, request_id, amount):
                    return
            except BudgetUnavailable:
                pass
            await asyncio.sleep(0.02)


async def test_a_request_settled_by_two_counts_once(replicas: Replicas) -> None:
    first, second = await replicas.make(budget(10)), await replicas.make(budget(10))
    await take(first, "r1", 5)
    second.settle(claim("r1"), {"large": Amount(tokens=4)})
    await counted(second)
    first.settle(claim("r1"), {"large": Amount(tokens=4)})
    assert await standing(first) == (4, 0)


@pytest.fixture
async def counters(server: RedisProcess) -> AsyncIterator[Counters]:
    made = Counters(server.url, "b", "process", deadline_s=5)
    yield made
    await made.close()


async def test_a_batch_sent_again_counts_once_and_nothing_is_held_after_the_end(
    server: RedisProcess, counters: Counters
) -> None:
    """What a lost reply, or a slow network, would do."""
    epoch, _ = await counters.join("node", 60, [], first=True)
    tab = Tab(account_of(budget(), ()), span_at("total", 0))
    await counters.take(epoch, "node", "r1", "large", [(tab, 5)], refuses=False)
    settled = [Settlement("r1", [Line(tab, "large", 5, 3)])]
    for _ in range(2):
        assert (await counters.settle(epoch, 1, settled)).figures == [3]
    late = await counters.take(epoch, "node", "r1", "large", [(tab, 5)], refuses=False)
    assert late.figures == [3, 0]
    with redis.Redis(port=server.port) as client:
        client.delete("{b}:r:r1")  # long after: the request is remembered no more, its batch is
    assert (await counters.settle(epoch, 1, settled)).figures == [3]
    assert await counters.read(epoch, [tab]) == [(3, 0)]
    assert [await counters.tell(epoch, tab, 0.5) for _ in range(2)] == [True, True], "it asks again"


async def test_an_admission_of_which_nothing_was_heard_counts_once(counters: Counters) -> None:
    epoch, _ = await counters.join("node", 60, [], first=True)
    tab = Tab(account_of(budget(measure="requests"), ()), span_at("total", 0))
    await counters.take(epoch, "node", "r1", ADMITTED, [(tab, 1)], refuses=False)
    for number in (1, 2):  # the first was counted, though nobody heard of it; the second never came
        line = Line(tab, ADMITTED, 0, 1, once=True)
        assert (await counters.settle(epoch, number, [Settlement(f"r{number}", [line])])).figures == [number]


async def test_the_clock_of_redis_says_which_window_it_is(replicas: Replicas, counters: Counters) -> None:
    engine = await replicas.make(budget(10, window="day"))
    assert await take(engine, "r1", 6)
    for wrong in (-400, -1, 1, 40):
        engine._link.heard(time.time() + wrong * 86_400)
        assert not await take(engine, f"wrong{wrong}", 5)
    tab = Tab(account_of(budget(10, window="day"), ()), span_at("day", time.time() - 86_400))
    said = await counters.take(engine._link.epoch, engine._link.node, "r9", "m", [(tab, 1)], refuses=False)
    assert said.word == "turned"


async def test_while_redis_is_dead_nothing_hard_is_spent_and_nobody_waits(
    server: RedisProcess, replicas: Replicas, caplog: pytest.LogCaptureFixture
) -> None:
    soft = budget(10, name="soft", measure="usd", hard=False)
    engine = await replicas.make(budget(10), soft)
    lenient = await replicas.make(budget(10), soft, when_down="allow")
    await take(engine, "r1", 6)
    server.kill()
    for number in range(20):
        with pytest.raises(BudgetUnavailable) as raised:
            await take(engine, f"down{number}", 1)
        assert raised.value.retry_after_s
        engine.settle(claim(f"down{number}"), {})
    await engine.reserve(claim("soft"), "large", Amount(usd=5))
    assert not engine.up
    assert engine.unavailable == 20
    assert await take(lenient, "r2", 99)
    replicas.settle(engine, "r1", 4)
    replicas.settle(lenient, "r2", 3)
    with pytest.raises(BudgetUnavailable):
        await engine.standings()
    server.start()
    for one in (engine, lenient):
        await known(one)
        await counted(one)
    assert await standing(engine) == (7, 0), "from the ledger, and what waited is in there"
    assert not await take(engine, "r3", 4)
    assert await take(engine, "r4", 3)
    said = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert sum("cannot be reached" in message for message in said) == 2, "each of them once"
    assert sum("can be reached again" in message for message in said) == 2


async def test_an_emptied_redis_is_filled_from_the_ledger(server: RedisProcess, replicas: Replicas) -> None:
    engine = await replicas.make(budget(100))
    other = await replicas.make(budget(100))
    for number in range(5):
        assert await take(engine, f"r{number}", 7)
        replicas.settle(engine, f"r{number}", 7)
    await take(engine, "open", 20)
    await take(other, "open too", 10)
    await counted(engine)
    with redis.Redis(port=server.port) as client:
        client.flushall()
    await eventually(engine, "next", 5)
    await eventually(other, "next too", 5)
    await known(engine)
    await known(other)
    assert await standing(engine) == (35, 40), "what is under way is set aside again"
    assert not await take(other, "too much", 26)
    replicas.settle(engine, "open", 18)
    replicas.settle(other, "open too", 10)
    await counted(other)
    assert await standing(engine) == (63, 10)


async def test_a_redis_that_hangs_is_left_alone(server: RedisProcess, replicas: Replicas) -> None:
    engine = await replicas.make(budget(10), deadline_s=0.05)
    await eventually(engine, "r0", 1)
    server.send(signal.SIGSTOP)
    hung = [take(engine, f"hung{number}", 1) for number in range(4)]
    ended = await asyncio.gather(*hung, return_exceptions=True)
    assert [type(one) for one in ended] == [BudgetUnavailable] * 4
    assert not engine.up, "from now on nobody waits for it"
    engine.settle(claim("hung0"), {})
    for number in range(1, 4):
        replicas.settle(engine, f"hung{number}", 0)
    server.send(signal.SIGCONT)
    await known(engine)
    await counted(engine)
    await until_held(engine, 1)


async def until_held(engine: SharedBudgets, held: int) -> None:
    """What was sent to a hanging Redis may come late; it is given back all the same."""
    async with asyncio.timeout(20):
        while await standing(engine) != (0, held):  # noqa: ASYNC110 - engines tell nobody
            await asyncio.sleep(0.01)


async def test_a_process_that_was_taken_for_dead_holds_it_again(server: RedisProcess, replicas: Replicas) -> None:
    engine, other = await replicas.make(budget(10)), await replicas.make(budget(10))
    await take(engine, "r1", 8)
    with redis.Redis(port=server.port) as client:
        client.zrem("{b}:nodes", engine._link.node)
        assert await take(other, "r2", 1), "it looks at the account, and finds it dead"
        with pytest.raises(BudgetUnavailable):
            await take(engine, "r3", 1)
        await known(engine)
    assert await standing(engine) == (0, 9), "without what was refused meanwhile"
    engine.settle(claim("r3"), {})
    replicas.settle(engine, "r1", 8)
    assert await standing(engine) == (8, 1)


async def test_what_waits_for_redis_is_bounded(server: RedisProcess, replicas: Replicas) -> None:
    engine = await replicas.make(budget(100), most_waiting=3)
    server.kill()
    replicas.settle(engine, "noticed", 5)
    await until(lambda: not engine.up)
    for number in range(10):
        replicas.settle(engine, f"r{number}", 5)
    assert engine.waiting <= 3
    assert engine.uncounted >= 7
    server.start()
    await known(engine)
    assert await standing(engine) == (55, 0), "all the same: the ledger has them"


async def test_what_could_not_be_counted_is_made_up_for(server: RedisProcess, replicas: Replicas) -> None:
    """Redis hangs and loses nothing: a request that was let in counts, and what was dropped is in the ledger."""
    calls = budget(100, name="calls", measure="requests")
    engine = await replicas.make(calls, budget(100), most_waiting=2, deadline_s=0.05, when_down="allow")
    server.send(signal.SIGSTOP)
    await engine.admit(claim("let in"))
    for number in range(6):
        replicas.settle(engine, f"r{number}", 5)
    engine.settle(claim("let in"), {})
    assert engine.uncounted >= 4
    await until(lambda: not engine.up)
    server.send(signal.SIGCONT)
    await known(engine)
    await counted(engine)
    found = {one.budget: one.spent for one in await engine.standings()}
    assert found == {"calls": 1, "b": 30}


async def test_a_new_life_finds_what_the_last_one_left_uncounted(replicas: Replicas) -> None:
    """Killed after the event was on disk, before Redis had heard of it. Its mark is still good."""
    engine = await replicas.make(budget(10))
    await take(engine, "r1", 5)
    replicas.settle(engine, "r1", 5)
    await counted(engine)
    replicas.ledger.spent[()] += 4
    assert await standing(await replicas.make(budget(10))) == (9, 0)


async def test_replicas_that_ask_the_ledger_together_add_it_once(replicas: Replicas) -> None:
    replicas.ledger.spent[()] = 7
    asked, together = 0, asyncio.Event()

    async def slow(budget: Budget, begin: datetime | None) -> Mapping[Values, int]:
        nonlocal asked
        asked += 1
        if asked == 3:
            together.set()
        await together.wait()
        return dict(replicas.ledger.spent)

    engines = await asyncio.gather(*(replicas.make(budget(10), spent_so_far=slow) for _ in range(3)))
    for engine in engines:
        await known(engine)
        assert await standing(engine) == (7, 0)


async def test_keys_go_by_themselves(server: RedisProcess, replicas: Replicas) -> None:
    windows = [budget(name=window, window=window) for window in ("minute", "day", "month", "total")]
    engine = await replicas.make(*windows)
    await take(engine, "r1", 5)
    replicas.settle(engine, "r1", 5)
    await counted(engine)
    with redis.Redis(port=server.port, decode_responses=True) as client:
        lasting = sorted(key.split(":")[1] for key in client.scan_iter() if client.ttl(key) < 0)
        ends = [client.expiretime(key) for key in client.scan_iter("{b}:a:*") if client.ttl(key) > 0]
    assert lasting == ["a", "epoch", "i", "nodes"], "those of the budget without an end"
    month_end = span_at("month", time.time()).end
    assert max(ends) == month_end + 172_800
    assert math.isfinite(month_end)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "reserve", "settle", "settle twice", "crash", "expire"]),
        st.integers(0, 1),
        st.integers(0, 5),
        st.integers(1, 6),
    ),
    max_size=30,
)


@given(operations=OPERATIONS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_happens_to_replicas_no_hard_budget_is_overspent(
    server: RedisProcess, operations: list[Any]
) -> None:
    """Against a plain model. A crash is the end of a lease; one that only seems to be dead holds it all again."""
    with redis.Redis(port=server.port) as client:
        client.flushall()
        replicas = Replicas(server)
        engines = [await replicas.make(budget(15)) for _ in range(2)]
        held: list[dict[str, int]] = [{}, {}]
        spent, serial = 0, 0
        for operation, place, number, amount in operations:
            engine, mine = engines[place], held[place]
            request = f"r{place}-{number}-{serial}"
            if operation == "reserve":
                serial += 1
                gone = spent + sum(held[0].values()) + sum(held[1].values())
                assert await take(engine, request, amount) == (gone + amount <= 15)
                if gone + amount <= 15:
                    mine[request] = amount
            elif operation.startswith("settle") and mine:
                request, taken = mine.popitem()
                spent += min(taken, amount)
                for _ in range(1 + operation.endswith("twice")):
                    engine.settle(claim(request), {"large": Amount(tokens=min(taken, amount))})
                replicas.ledger.spent[()] = spent
                await counted(engine)
            elif operation == "crash":
                await end(engine._topping._task)
                await end(engine._link._task)
                client.zrem("{b}:nodes", engine._link.node)
                await engine._counters.close()
                held[place] = {}
                engines[place] = await replicas.make(budget(15))
            elif operation == "expire":
                client.zrem("{b}:nodes", engine._link.node)
                engine._link.forgotten()
                await known(engine)
            total = sum(held[0].values()) + sum(held[1].values())
            assert await standing(engines[0]) == (spent, total)
            assert spent + total <= 15
        for engine in replicas.engines:
            await engine.stop()
