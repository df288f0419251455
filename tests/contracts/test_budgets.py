"""What every engine of budgets promises, wherever it counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.budgets import Amount, Budget, Claim, Left, Standing
from contracts.errors import BudgetSpent, BudgetUnavailable, LimitReached
from ledger.budgets.accounts import Values
from tests.contracts.budgets import SUBJECTS, Engine, Subject, counted, known

DOLLAR = 10**9


@pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.redis] * (name == "shared")) for name in SUBJECTS])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with SUBJECTS[request.param]() as subject:
        yield subject


def budget(limit: int = 10, **changes: Any) -> Budget:
    return Budget(**{"name": "b", "measure": "tokens", "limit": limit, "window": "total", **changes})


def claim(request_id: str = "r1", **changes: Any) -> Claim:
    values = {"tenant": "acme", "key_id": "key_1", "route": "support", "tags": {"team": "search"}}
    return Claim(request_id=request_id, **{**values, **changes})


def tokens(amount: int) -> Amount:
    return Amount(requests=1, tokens=amount, usd=amount * DOLLAR)


async def standing(engine: Engine, name: str = "b") -> tuple[int, int]:
    """Spent and held of the only account of a budget."""
    await counted(engine)
    (found,) = [one for one in await engine.standings() if one.budget == name]
    return found.spent, found.held


async def refused(
    engine: Engine, request_id: str, amount: int, model: str = "large", **changes: Any
) -> LimitReached:
    with pytest.raises(LimitReached) as raised:
        await engine.reserve(claim(request_id, **changes), model, tokens(amount))
    return raised.value


async def test_what_is_set_aside_is_gone_until_it_is_settled(subject: Subject) -> None:
    engine = await subject.make(budget(10))
    left = await engine.reserve(claim("r1"), "large", tokens(7))
    assert left == [Left(budget="b", measure="tokens", limit=10, left=3, resets_at=None)]
    assert await standing(engine) == (0, 7)
    await refused(engine, "r2", 4)
    engine.settle(claim("r1"), {"large": tokens(2)})
    assert await standing(engine) == (2, 0)
    (left_now,) = await engine.reserve(claim("r2"), "large", tokens(8))
    assert left_now.left == 0
    await refused(engine, "r3", 1)


async def test_asked_twice_it_counts_once(subject: Subject) -> None:
    engine = await subject.make(budget(10), budget(5, name="calls", measure="requests"))
    for _ in range(3):
        (admitted,) = await engine.admit(claim())
        (left,) = await engine.reserve(claim(), "large", tokens(6))
        assert (admitted.left, left.left) == (4, 4)
    for _ in range(3):
        engine.settle(claim(), {"large": tokens(5)})
    assert await standing(engine) == (5, 0)
    assert await standing(engine, "calls") == (1, 0)
    assert await engine.reserve(claim(), "large", tokens(6)) == ()
    assert await engine.admit(claim()) == ()
    assert await standing(engine) == (5, 0)


async def test_each_model_of_a_request_sets_aside_its_own_part(subject: Subject) -> None:
    engine = await subject.make(budget(10))
    await engine.reserve(claim(), "small", tokens(3))
    await engine.reserve(claim(), "large", tokens(5))
    assert await standing(engine) == (0, 8)
    engine.settle(claim(), {"small": tokens(1), "large": tokens(4)})
    assert await standing(engine) == (5, 0)


async def test_all_budgets_take_it_or_none(subject: Subject) -> None:
    engine = await subject.make(budget(100, name="wide"), budget(10, name="narrow"))
    error = await refused(engine, "r1", 11)
    assert error.budget == "narrow"
    assert await standing(engine, "wide") == (0, 0)
    assert engine.refused == {"narrow": 1}


async def test_a_budget_about_no_model_is_named_first(subject: Subject) -> None:
    """Else another model would be tried, only to be refused as well."""
    engine = await subject.make(budget(1, name="large only", model="large"), budget(1, name="all"))
    assert (await refused(engine, "r1", 2)).budget == "all"


async def test_what_takes_nothing_is_not_refused(subject: Subject) -> None:
    engine = await subject.make(budget(1))
    await engine.reserve(claim("r1"), "large", tokens(1))
    engine.settle(claim("r1"), {"large": tokens(9)})
    await counted(engine)
    (left,) = await engine.reserve(claim("r2"), "own", Amount(requests=1))
    assert left.left == 0


async def test_what_was_not_set_aside_counts_when_it_is_settled(subject: Subject) -> None:
    engine = await subject.make(budget(10))
    await engine.reserve(claim("r1"), "small", tokens(1))
    engine.settle(claim("r1"), {"small": tokens(3), "large": tokens(40)})
    engine.settle(claim("r2"), {"large": tokens(5)})
    engine.settle(claim("r3"), {"large": tokens(-5)})
    assert await standing(engine) == (48, 0)


async def test_a_soft_budget_refuses_nothing(subject: Subject) -> None:
    engine = await subject.make(budget(10, hard=False))
    (left,) = await engine.reserve(claim(), "large", tokens(25))
    assert left.left == 0
    engine.settle(claim(), {"large": tokens(25)})
    assert await standing(engine) == (25, 0)


@pytest.mark.parametrize("amount", [Amount(usd=-1), Amount(tokens=-1), Amount(requests=-1)])
async def test_negative_amounts_are_refused(subject: Subject, amount: Amount) -> None:
    engine = await subject.make(budget(10))
    with pytest.raises(ValueError, match="negative"):
        await engine.reserve(claim(), "large", amount)
    assert await standing(engine) == (0, 0)


async def test_requests_are_counted_when_they_are_admitted(subject: Subject) -> None:
    calls = budget(2, name="calls", measure="requests", window="minute", each=("key",))
    engine = await subject.make(calls, budget(1, name="large", measure="requests", model="large"))
    for number in range(2):
        (left,) = await engine.admit(claim(f"r{number}"))
        assert (left.budget, left.left) == ("calls", 1 - number)
        engine.settle(claim(f"r{number}"), {})
    with pytest.raises(LimitReached) as raised:
        await engine.admit(claim("r3"))
    assert not isinstance(raised.value, BudgetSpent)
    assert 0 < (raised.value.retry_after_s or 0) <= 60
    await engine.admit(claim("r3", key_id="key_2"))
    (left,) = await engine.reserve(claim("r3"), "large", tokens(5))
    assert (left.budget, left.left) == ("large", 0)
    await refused(engine, "r4", 5)
    engine.settle(claim("r3"), {"large": Amount()})
    await counted(engine)
    assert await engine.reserve(claim("r4"), "large", tokens(5)), "the call that failed is given back"


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ({"tenant": "acme"}, {"tenant": "globex"}),
        ({"key": "key_1"}, {"key_id": "key_2"}),
        ({"route": "support"}, {"route": "sales"}),
        ({"tag": ("team", "search")}, {"tags": {"team": "ads"}}),
        ({"tag": ("team", "search")}, {"tags": {}}),
    ],
)
async def test_it_is_about_what_it_names(subject: Subject, part: Any, other: Mapping[str, Any]) -> None:
    engine = await subject.make(budget(10, **part))
    assert await engine.reserve(claim("r1", **other), "large", tokens(99)) == ()
    engine.settle(claim("r1", **other), {"large": tokens(99)})
    assert await standing(engine) == (0, 0)
    await refused(engine, "r2", 99)


async def test_it_may_be_about_one_model(subject: Subject) -> None:
    engine = await subject.make(budget(10, model="large"))
    assert await engine.reserve(claim("r1"), "small", tokens(99)) == ()
    await refused(engine, "r1", 99)


async def test_there_may_be_one_account_for_each(subject: Subject) -> None:
    engine = await subject.make(budget(10, each=("tenant", "model"), route="support"))
    assert await engine.standings() == []
    await engine.reserve(claim("r1"), "large", tokens(9))
    await engine.reserve(claim("r2"), "small", tokens(8))
    await engine.reserve(claim("r3", tenant="globex"), "large", tokens(7))
    error = await refused(engine, "r4", 2)
    assert "tenant acme, model large" in error.message
    found = sorted(await engine.standings(), key=lambda one: -one.held)
    assert found[0] == Standing(
        budget="b",
        account={"route": "support", "tenant": "acme", "model": "large"},
        measure="tokens",
        hard=True,
        window="total",
        spent=0,
        held=9,
        limit=10,
        resets_at=None,
    )
    assert [one.left for one in found] == [1, 2, 3]


async def test_errors_say_which_what_is_left_and_until_when(subject: Subject) -> None:
    engine = await subject.make(
        budget(3 * DOLLAR // 2, name="acme monthly", measure="usd", window="month", tenant="acme")
    )
    await engine.reserve(claim("r1"), "large", tokens(1))
    error = await refused(engine, "r2", 1)
    assert isinstance(error, BudgetSpent)
    assert error.code == "insufficient_quota"
    assert (error.budget, error.measure, error.limit, error.left) == ("acme monthly", "usd", "1.5", "0.5")
    ends = datetime.fromisoformat(error.resets_at)
    assert (ends.day, ends.hour, ends.tzinfo) == (1, 0, UTC)
    assert ends > datetime.now(UTC)
    assert error.retry_after_s is None, "no waiting helps"
    assert error.message == (
        "The budget 'acme monthly' of tenant acme allows $1.5 a month; $0.5 is left and this request may take $1. "
        f"It begins anew at {error.resets_at}."
    )


async def test_a_request_that_is_too_large_for_ever_is_told_so(subject: Subject) -> None:
    engine = await subject.make(budget(10, window="minute", warn_at=(1.0,), tenant="acme"))
    error = await refused(engine, "r1", 11)
    assert "this request alone may take 11 tokens. Ask for less" in error.message
    assert error.retry_after_s is None
    await counted(engine)
    assert subject.alerts == [], "nothing is used up"


async def test_what_several_tenants_share_is_not_told_to_one(subject: Subject) -> None:
    engine = await subject.make(budget(10, window="minute", each=("model",)))
    error = await refused(engine, "r1", 11)
    assert (error.limit, error.left, error.retry_after_s) == ("", "", None), "no waiting helps"
    await engine.reserve(claim("r2"), "large", tokens(9))
    error = await refused(engine, "r3", 2)
    assert (error.limit, error.left, error.budget) == ("", "", "b")
    assert error.message == (
        "The budget 'b' of model large, which several share, has not enough left for this request. "
        f"It begins anew at {error.resets_at}."
    )
    assert 0 < (error.retry_after_s or 0) <= 60
    own = await subject.make(budget(10, each=("tenant",)))
    assert (await refused(own, "r4", 11)).limit == "10"


async def test_two_hundred_at_once_get_what_there_is(subject: Subject) -> None:
    engine = await subject.make(budget(1_000), budget(150, name="calls", measure="requests"))

    async def one(number: int) -> bool:
        try:
            await engine.admit(claim(f"r{number}"))
        except LimitReached:
            return False
        try:
            await engine.reserve(claim(f"r{number}"), "large", tokens(10))
        except LimitReached:
            engine.settle(claim(f"r{number}"), {})
            return False
        await asyncio.sleep(0)
        engine.settle(claim(f"r{number}"), {"large": tokens(10)})
        return True

    outcomes = Counter(await asyncio.gather(*(one(number) for number in range(200))))
    assert outcomes == {True: 100, False: 100}
    assert await standing(engine) == (1_000, 0)
    assert await standing(engine, "calls") == (150, 0)
    assert engine.refused == {"calls": 50, "b": 50}


async def test_a_share_that_is_passed_is_told_once(subject: Subject) -> None:
    engine = await subject.make(budget(10, warn_at=(0.7, 1.0, 2.0), hard=False, each=("tenant",)))
    await engine.reserve(claim("r1"), "large", tokens(99))
    engine.settle(claim("r1"), {"large": tokens(6)})
    await told(engine)
    assert subject.alerts == [], "what is only set aside alarms nobody"
    for number in range(2, 6):
        engine.settle(claim(f"r{number}"), {"large": tokens(2)})
        await told(engine)
    assert [(one.share, one.spent, one.limit) for one in subject.alerts] == [(0.7, 8, 10), (1.0, 10, 10)]
    assert subject.alerts[0].account == {"tenant": "acme"}
    assert not subject.alerts[0].hard
    engine.settle(claim("r9", tenant="globex"), {"large": tokens(8)})
    await told(engine)
    assert subject.alerts[-1].account == {"tenant": "globex"}


async def test_the_first_refusal_is_told_as_the_whole(subject: Subject) -> None:
    engine = await subject.make(budget(10, warn_at=(1.0,)))
    await engine.reserve(claim("r1"), "large", tokens(9))
    for number in range(2, 5):
        await refused(engine, f"r{number}", 2)
    engine.settle(claim("r1"), {"large": tokens(10)})
    await told(engine)
    assert [(one.share, one.spent, one.hard) for one in subject.alerts] == [(1.0, 0, True)]


async def test_whoever_is_alerted_and_fails_harms_nothing(subject: Subject, caplog: Any) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("no webhook")

    engine = await subject.make(budget(10, warn_at=(0.5,)), alert=fail)
    engine.settle(claim("r1"), {"large": tokens(6)})
    await told(engine)
    engine.settle(claim("r2"), {"large": tokens(1)})
    assert await standing(engine) == (7, 0)
    assert "no alert was sent" in caplog.text


async def told(engine: Engine) -> None:
    """Until what was crossed is told: it is so before anything that is settled later is counted."""
    await counted(engine)
    for _ in range(3):
        await engine.standings()
        await asyncio.sleep(0.005)


async def test_a_new_limit_keeps_what_was_spent(subject: Subject) -> None:
    engine = await subject.make(budget(10, warn_at=(0.8,)))
    await engine.reserve(claim("r1"), "large", tokens(9))
    engine.settle(claim("r1"), {"large": tokens(9)})
    await told(engine)
    engine.configure([budget(20, warn_at=(0.8,)), budget(5, name="other")])
    await known(engine)
    assert await standing(engine) == (9, 0)
    left = await engine.reserve(claim("r2"), "small", tokens(5))
    assert [one.left for one in left] == [6, 0]
    engine.settle(claim("r2"), {"small": tokens(5), "large": tokens(3)})
    await told(engine)
    assert [(one.spent, one.limit) for one in subject.alerts] == [(9, 10), (17, 20)]


async def test_a_budget_that_is_newer_than_a_request_counts_it(subject: Subject) -> None:
    engine = await subject.make(budget(10))
    await engine.reserve(claim("r1"), "large", tokens(4))
    engine.configure([budget(10), budget(50, name="new"), budget(5, name="gone")])
    engine.configure([budget(10), budget(50, name="new")])
    engine.settle(claim("r1"), {"large": tokens(3)})
    assert await standing(engine) == (3, 0)
    assert await standing(engine, "new") == (3, 0)


async def test_no_budget_is_no_work(subject: Subject) -> None:
    engine = await subject.make()
    waiting = engine.reserve(claim(), "large", tokens(5))
    with pytest.raises(StopIteration) as ended:  # it ends without waiting for anything
        waiting.send(None)
    assert ended.value.value == ()
    engine.settle(claim(), {"large": tokens(5)})
    assert await engine.admit(claim()) == ()
    assert await engine.standings() == []


class Ledger:
    """What was spent before, which can be made to fail."""

    def __init__(self, spent: Mapping[Values, int], *, broken: bool = False) -> None:
        self.spent = spent
        self.broken = broken
        self.asked: list[tuple[str, datetime | None]] = []
        self.was_asked = asyncio.Event()

    async def spent_so_far(self, budget: Budget, begin: datetime | None) -> Mapping[Values, int]:
        self.asked.append((budget.name, begin))
        self.was_asked.set()
        broken = self.broken
        await asyncio.sleep(0)
        if broken:
            raise OSError("no database")
        return self.spent


async def test_what_was_spent_before_counts(subject: Subject) -> None:
    ledger = Ledger({("acme",): 8, ("globex",): 1})
    monthly = budget(10, window="month", each=("tenant",))
    engine = await subject.make(
        monthly, budget(100, name="minutes", window="minute"), spent_so_far=ledger.spent_so_far
    )
    ((name, begin),) = ledger.asked
    assert name == "b"
    assert begin is not None
    assert (begin.day, begin.hour, begin.minute, begin.tzinfo) == (1, 0, 0, UTC)
    await refused(engine, "r1", 3)
    left, _ = await engine.reserve(claim("r1"), "large", tokens(2))
    assert left.left == 0
    await engine.reserve(claim("r2", tenant="globex"), "large", tokens(9))


async def test_until_that_is_known_a_hard_budget_refuses(subject: Subject) -> None:
    ledger = Ledger({(): 8}, broken=True)
    engine = await subject.make(budget(10), spent_so_far=None)
    engine.configure([])
    await engine.stop()
    slow = subject.build(spent_so_far=ledger.spent_so_far)
    subject.engines.append(slow)
    slow.configure([budget(10), budget(10, name="soft", measure="usd", hard=False)])
    starting = asyncio.create_task(slow.start())
    async with asyncio.timeout(20):
        await ledger.was_asked.wait()
    with pytest.raises(BudgetUnavailable) as raised:
        await slow.reserve(claim("r1"), "large", tokens(1))
    assert (raised.value.retry_after_s or 0) > 0
    assert "'b'" in raised.value.message
    assert slow.unavailable == 1
    slow.settle(claim("r1"), {})
    assert len(await slow.reserve(claim("r2"), "large", Amount(requests=1))) == 2, "it takes nothing of it"
    ledger.broken = False
    await starting
    await eventually(slow, claim("r3"), 1)
    await refused(slow, "r4", 2)


async def eventually(engine: Engine, who: Claim, amount: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await engine.reserve(who, "large", tokens(amount))
            except BudgetUnavailable:
                await asyncio.sleep(0.01)
            else:
                return


async def test_or_lets_pass_and_counts_if_that_is_wanted(subject: Subject) -> None:
    ledger = Ledger({(): 8}, broken=True)
    engine = subject.build(spent_so_far=ledger.spent_so_far, when_down="allow")
    subject.engines.append(engine)
    engine.configure([budget(10)])
    starting = asyncio.create_task(engine.start())
    async with asyncio.timeout(20):
        await ledger.was_asked.wait()
    await engine.reserve(claim("r1"), "large", tokens(5))
    engine.settle(claim("r1"), {"large": tokens(5)})
    await counted(engine)
    ledger.broken = False
    await starting
    await known(engine)
    assert await standing(engine) == (8, 0), "what was counted already is in what the ledger has"
    await refused(engine, "r2", 3)


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "settle nothing", "again"]),
        st.integers(0, 7),
        st.sampled_from(["small", "large"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


@given(operations=OPERATIONS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_the_order_no_hard_budget_is_overspent(subject: Subject, operations: list[Any]) -> None:
    """Against a plain model of it: nothing is settled that was not set aside."""
    limits = {"all": 12, "large": 7}
    engine = await subject.make(
        budget(limits["all"], name="all"), budget(limits["large"], name="large", model="large")
    )
    held: dict[int, dict[str, int]] = {}
    spent = {"small": 0, "large": 0}
    over: set[int] = set()

    def gone(*models: str) -> int:
        return sum(spent[model] + sum(request.get(model, 0) for request in held.values()) for model in models)

    for operation, number, model, amount in operations:
        who = claim(f"r{number}")
        if operation == "reserve" or operation == "again":
            known = number in over or model in held.get(number, {})
            fits = gone("small", "large") + amount <= limits["all"]
            fits = fits and (model == "small" or gone("large") + amount <= limits["large"])
            if known or fits or not amount:
                await engine.reserve(who, model, tokens(amount))
                if not known:
                    held.setdefault(number, {})[model] = amount
            else:
                await refused(engine, f"r{number}", amount, model)
        else:
            taken = held.pop(number, {}) if operation == "settle" else dict.fromkeys(held.pop(number, {}), 0)
            engine.settle(who, {name: tokens(part) for name, part in taken.items()})
            if number not in over:
                for name, part in taken.items():
                    spent[name] += part
            over.add(number)
            await counted(engine)
        assert await standing(engine, "all") == (sum(spent.values()), gone("small", "large") - sum(spent.values()))
        assert await standing(engine, "large") == (spent["large"], gone("large") - spent["large"])
        for one in await engine.standings():
            assert one.spent + one.held <= one.limit
    await engine.stop()
    subject.engines.remove(engine)
