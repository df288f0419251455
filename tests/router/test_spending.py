"""Budgets on the way of a request: what is set aside for each model, what it takes in the end, what is refused.

Every test here also checks what `works_over` does at its end: all permits have been given back.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from contracts.budgets import Amount, Budget, dollars, nanodollars
from contracts.errors import (
    BudgetSpent,
    BudgetUnavailable,
    LedgerUnavailable,
    LimitReached,
    ServerFault,
    StreamCut,
    UpstreamRejected,
)
from contracts.money import ZERO
from contracts.ports import Upstream
from contracts.records import Purpose
from ledger.rollups import parts_of
from router.choice.fixed import FixedChoice
from router.config import schema
from router.setup import Setup
from tests.router.budgeted import Budgeted, at_most, budgeted, taken, usd
from tests.router.doubting import BAD, BETTER, GOOD, Doubting, answer, said, streamed
from tests.router.plain import (
    ACME,
    COST,
    HELLO_STREAM,
    QUICK,
    PlainUpstream,
    Script,
    chat,
    chunk,
    incoming,
    plan,
    read_out,
    setup_over,
    whole,
)

PLENTY = usd("1000")


def over(**models: Upstream) -> Setup:
    """Each model by its name, and the route `support` over all of them."""
    return setup_over(models, plan("support", *models))


def good(*turns: Any) -> PlainUpstream:
    return PlainUpstream("good", *(turns or (whole(),)))


async def ask(under: Budgeted, model: str = "good", **more: Any) -> bytes:
    return await read_out(await under.works.ask(chat(model, **more)))


def expected_prompt(under: Budgeted, body: dict[str, Any]) -> int:
    """A quarter more than is estimated, as long as nothing was learnt."""
    return math.ceil(under.spending.forecast.prompt(body) * 1.25)


# --- whom budgets concern


@pytest.mark.parametrize(
    ("scope", "concerned"),
    [
        ({}, True),
        ({"tenant": "acme"}, True),
        ({"tenant": "other"}, False),
        ({"key": "acme/main"}, True),
        ({"key": "acme/other"}, False),
        ({"route": "support"}, True),
        ({"route": "other"}, False),
        ({"tag": ("team", "search")}, True),
        ({"tag": ("team", "sales")}, False),
        ({"tag": ("cost", "search")}, False),
        ({"tenant": "acme", "route": "other"}, False),
    ],
)
async def test_only_who_falls_under_a_budget_asks_it(
    tmp_path: Path, scope: dict[str, Any], concerned: bool
) -> None:
    async with budgeted(over(good=good()), tmp_path, usd("1000", **scope)) as under:
        await ask(under, "support", metadata={"team": "search"})
        assert len(under.budgets.settled) == len(under.budgets.reserved) == concerned
        assert under.budgets.admitted == []


async def test_a_budget_of_another_model_sets_nothing_aside(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path, usd("0.000001", model="other")) as under:
        await ask(under)
        assert under.budgets.reserved == []


async def test_without_budgets_nothing_is_asked(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path) as under:
        await ask(under)
        assert (under.budgets.reserved, under.budgets.settled) == ([], [])


# --- what is set aside, and what counts in the end


@streamed
async def test_the_estimate_is_set_aside_and_what_was_paid_counts(tmp_path: Path, stream: bool) -> None:
    upstream = good(Script(*HELLO_STREAM) if stream else whole())
    async with budgeted(over(good=upstream), tmp_path, PLENTY) as under:
        await ask(under, max_tokens=40, stream=stream)
        ((model, amount),) = under.budgets.reserved
        prompt = expected_prompt(under, chat())
        assert (model, amount.requests, amount.tokens) == ("good", 1, prompt + 40)
        assert dollars(amount.usd) == (prompt * Decimal(1) + 40 * Decimal(2)).scaleb(-6)
        assert under.budgets.settled == [{"good": taken()}]
        assert dollars(await under.spent("money")) == under.works.events[0].cost == COST


async def test_later_answers_are_expected_to_be_like_the_ones_before(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path, PLENTY, first_guess=500) as under:
        for text in ("Hello", "Hullo", "Hallo"):
            await ask(under, "support", text=text)
        first, second, third = (amount.tokens for _, amount in under.budgets.reserved)
        assert (first > 500, second, third) == (True, 5, 5)  # 3 of the prompt were reported, and 2 of the answer


async def test_requests_alone_are_not_read_for_their_tokens(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path, at_most(9, model="good")) as under:
        await ask(under)
        assert under.budgets.reserved == [("good", Amount(requests=1))]
        assert await under.spent("requests") == 1


async def test_what_is_counted_at_the_door_is_not_asked_again_before_the_model(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path, at_most(9)) as under:
        await ask(under)
        assert (len(under.budgets.admitted), under.budgets.reserved) == (1, [])
        assert await under.spent("requests") == 1


async def test_a_stored_answer_is_a_request_and_nothing_else(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path, PLENTY, at_most(9)) as under:
        for _ in range(3):
            await ask(under)
        assert len(under.budgets.reserved) == 1
        assert under.budgets.settled == [{"good": taken()}, {}, {}]
        assert (await under.spent("requests"), dollars(await under.spent("money"))) == (3, COST)


async def test_equal_requests_at_once_pay_once(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole(), gate=asyncio.Event())
    assert upstream.gate is not None
    async with budgeted(over(good=upstream), tmp_path, PLENTY) as under:
        asking = [asyncio.create_task(ask(under)) for _ in range(5)]
        await upstream.called.wait()
        upstream.gate.set()
        await asyncio.gather(*asking)
        assert len(under.budgets.reserved) == 1
        assert dollars(await under.spent("money")) == COST


async def test_a_model_that_is_tried_again_sets_nothing_more_aside(tmp_path: Path) -> None:
    async with budgeted(over(good=good(ServerFault("down"), whole())), tmp_path, PLENTY) as under:
        await ask(under)
        assert len(under.budgets.reserved) == 1
        assert under.budgets.settled == [{"good": taken()}]


async def test_each_model_that_is_called_sets_aside_its_own(tmp_path: Path) -> None:
    setup = over(bad=PlainUpstream("bad", ServerFault("down")), good=good())
    async with budgeted(setup, tmp_path, PLENTY, at_most(9, each=("model",))) as under:
        await ask(under, "support")
        assert [model for model, _ in under.budgets.reserved] == ["bad", "good"]
        assert under.budgets.settled == [{"bad": Amount(requests=1), "good": taken()}]
        assert await under.spent("requests") == 2


@streamed
async def test_failures_cost_nothing(tmp_path: Path, stream: bool) -> None:
    async with budgeted(over(good=good(UpstreamRejected("no", status=400))), tmp_path, PLENTY) as under:
        with pytest.raises(UpstreamRejected):
            await ask(under, stream=stream)
        assert under.budgets.settled == [{"good": Amount(requests=1)}]
        assert await under.spent("money") == 0


async def test_embeddings_set_their_prompt_aside(tmp_path: Path) -> None:
    vectors = whole(data=[{"embedding": [0.5]}], usage={"prompt_tokens": 3, "total_tokens": 3})
    async with budgeted(over(good=good(vectors)), tmp_path, PLENTY) as under:
        body = {"model": "good", "input": "Hello there, all of you"}
        await under.works.ask(body, "embeddings")
        assert under.budgets.reserved[0][1].tokens == expected_prompt(under, body)
        assert under.budgets.settled == [{"good": taken(Decimal("0.000003"), 3)}]


async def test_a_broken_stream_counts_as_far_as_it_came(tmp_path: Path) -> None:
    upstream = good(Script(chunk("He"), StreamCut("cut")))
    async with budgeted(over(good=upstream), tmp_path, PLENTY) as under:
        with pytest.raises(StreamCut):
            await ask(under, stream=True)
        assert dollars(await under.spent("money")) == under.works.events[0].cost > ZERO


async def test_a_client_that_hangs_up_pays_for_what_came(tmp_path: Path) -> None:
    async with budgeted(over(good=good(Script(*HELLO_STREAM))), tmp_path, PLENTY) as under:
        reply = await under.works.ask(chat(stream=True))
        assert reply.stream is not None
        await reply.stream.next()
        await reply.stream.close()
        assert under.works.events[0].outcome == "cut"
        assert dollars(await under.spent("money")) == under.works.events[0].cost > ZERO


async def test_who_leaves_while_the_model_thinks_gives_back_what_was_set_aside(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole(), gate=asyncio.Event())
    async with budgeted(over(good=upstream), tmp_path, PLENTY) as under:
        asking = asyncio.create_task(ask(under))
        await upstream.called.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert await under.spent("money") == 0


async def test_what_cannot_be_written_down_was_spent_all_the_same(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole(), gate=asyncio.Event())
    assert upstream.gate is not None
    async with budgeted(over(good=upstream), tmp_path, PLENTY) as under:
        asking = asyncio.create_task(ask(under))
        await upstream.called.wait()
        under.works.spool.close()
        upstream.gate.set()
        with pytest.raises(LedgerUnavailable):
            await asking
        assert dollars(await under.spent("money")) == COST


# --- what is refused


async def test_a_request_over_its_limit_is_refused_at_the_door_and_writes_nothing(tmp_path: Path) -> None:
    upstream = good()
    async with budgeted(over(good=upstream), tmp_path, at_most(2, window="minute")) as under:
        await ask(under, text="one")
        await ask(under, text="two")
        with pytest.raises(LimitReached) as reached:
            await ask(under, text="three")
        assert (reached.value.budget, reached.value.measure) == ("requests", "requests")
        assert (under.counted.refused, len(under.works.events), len(upstream.calls)) == (["requests"], 2, 2)
        assert len(under.budgets.settled) == 2


@streamed
async def test_money_that_would_not_suffice_keeps_the_model_from_being_called(tmp_path: Path, stream: bool) -> None:
    upstream = good()
    async with budgeted(over(good=upstream), tmp_path, usd("0.00005")) as under:
        with pytest.raises(BudgetSpent):
            await ask(under, max_tokens=100, stream=stream)
        (event,) = under.works.events
        assert (event.outcome, event.status, event.error) == ("failed", 402, "insufficient_quota")
        assert [(tried.model, tried.error) for tried in event.attempts] == [("good", "insufficient_quota")]
        assert (event.cost, upstream.calls, under.counted.refused) == (ZERO, [], ["money"])
        assert under.budgets.settled == [{}]
        assert under.works.breakers.resting(0) == frozenset()


async def test_a_soft_budget_refuses_nothing(tmp_path: Path) -> None:
    async with budgeted(over(good=good()), tmp_path, usd("0.000001", hard=False), at_most(1, hard=False)) as under:
        for text in ("one", "two", "three"):
            await ask(under, text=text)
        assert dollars(await under.spent("money")) == 3 * COST


async def test_a_budget_of_one_model_leaves_the_others_to_answer(tmp_path: Path) -> None:
    dear, cheap = PlainUpstream("dear", whole()), PlainUpstream("cheap", whole())
    async with budgeted(over(dear=dear, cheap=cheap), tmp_path, usd("0.00001", model="dear"), PLENTY) as under:
        reply = await under.works.ask(chat("support", max_tokens=50))
        assert reply.headers["x-weir-model"] == "cheap"
        (event,) = under.works.events
        assert [(tried.model, tried.error) for tried in event.attempts] == [
            ("dear", "insufficient_quota"),
            ("cheap", ""),
        ]
        assert (dear.calls, under.budgets.settled) == ([], [{"cheap": taken()}])


async def test_so_does_a_limit_on_each_model(tmp_path: Path) -> None:
    dear, cheap = PlainUpstream("dear", whole()), PlainUpstream("cheap", whole())
    limit = at_most(1, each=("model",))
    async with budgeted(over(dear=dear, cheap=cheap), tmp_path, limit) as under:
        models = [(await under.works.ask(chat("support", text))).headers["x-weir-model"] for text in ("one", "two")]
        assert models == ["dear", "cheap"]
        with pytest.raises(LimitReached):
            await ask(under, "support", text="three")


async def test_any_other_budget_ends_the_request(tmp_path: Path) -> None:
    dear, cheap = PlainUpstream("dear", whole()), PlainUpstream("cheap", whole())
    async with budgeted(over(dear=dear, cheap=cheap), tmp_path, at_most(10, "tokens")) as under:
        with pytest.raises(LimitReached) as reached:
            await ask(under, "support", max_tokens=50)
        assert reached.value.measure == "tokens"
        (event,) = under.works.events
        assert (event.status, [tried.model for tried in event.attempts]) == (429, ["dear"])
        assert (dear.calls, cheap.calls) == ([], [])


async def test_who_goes_the_dear_way_by_lot_goes_the_usual_one_where_money_does_not_suffice(tmp_path: Path) -> None:
    """To measure must refuse nobody who would else be answered."""
    dear, cheap = PlainUpstream("dear", whole()), PlainUpstream("cheap", whole())
    models = {"dear": dear, "cheap": cheap}
    route = dataclasses.replace(
        plan("support", *models, policy=FixedChoice("cheap")), reference="dear", dear_share=1.0
    )
    setup = dataclasses.replace(setup_over(models, route), prices=DearAndCheap())
    async with budgeted(setup, tmp_path, usd("0.5")) as under:
        assert (await under.works.ask(chat("support", max_tokens=50))).headers["x-weir-model"] == "cheap"
        assert (under.works.events[0].arm, dear.calls) == ("dear", [])
    async with budgeted(setup, tmp_path / "none", usd("0.01")) as under:
        with pytest.raises(BudgetSpent):
            await ask(under, "support", max_tokens=50)


class DearAndCheap:
    """Dollars per request, whatever its tokens."""

    def cost(self, model: str, usage: object) -> Decimal:
        return Decimal(1) if model == "dear" else Decimal("0.1")

    def priced_by(self, model: str) -> str:
        return "config"


async def test_a_refused_model_keeps_no_probe_from_others(tmp_path: Path) -> None:
    """The breaker lets one request at a time try a model that had failed; a budget's refusal is no such try."""
    dear = PlainUpstream("dear", ServerFault("down"), ServerFault("down"), whole())
    hasty = schema.Attempts(retries=0)
    setup = setup_over({"dear": dear}, plan("support", "dear", attempts=hasty))
    async with budgeted(setup, tmp_path, usd("0.0001")) as under:
        breaker = under.works.breakers.of("dear")
        for number in range(5):
            breaker.record_failure(ServerFault("down"), -1000.0 + number)
        with pytest.raises(BudgetSpent):
            await ask(under, "support", max_tokens=500)
        assert breaker.allows(1.0)


async def test_counters_out_of_reach_refuse_at_the_door_and_before_the_model(tmp_path: Path) -> None:
    upstream = good()
    for limits, events in (((at_most(9),), 0), ((PLENTY,), 1)):
        async with budgeted(over(good=upstream), tmp_path / str(events), *limits) as under:
            under.budgets.down = True
            with pytest.raises(BudgetUnavailable):
                await ask(under)
            assert (under.counted.unavailable, len(under.works.events)) == (1, events)
            assert [event.status for event in under.works.events] == [503] * events
    assert upstream.calls == []


async def test_who_waits_for_an_equal_request_is_not_refused_with_it(tmp_path: Path) -> None:
    """The budget is that of one key; the passengers have another one."""
    upstream, other = good(), dataclasses.replace(ACME, id="acme/other")
    async with budgeted(over(good=upstream), tmp_path, usd("0.00000001", key=ACME.id)) as under:
        gate = under.budgets.gate = asyncio.Event()
        pilot = asyncio.create_task(under.works.ask(chat()))
        await under.budgets.asked.wait()
        asking = [under.works.pipeline.answer(replace(incoming(chat()), key=other)) for _ in range(3)]
        passengers = [asyncio.create_task(one) for one in asking]
        await asyncio.sleep(0)
        gate.set()
        with pytest.raises(BudgetSpent):
            await pilot
        assert {(await passenger).headers["x-weir-cache"] for passenger in passengers} == {"miss", "exact"}
        assert len(upstream.calls) == 1


# --- escalation


def doubted(cheap: PlainUpstream, strong: PlainUpstream) -> Setup:
    route = plan("support", "cheap", "strong", policy=Doubting(), attempts=QUICK)
    return setup_over({"cheap": cheap, "strong": strong}, route)


@streamed
async def test_a_doubted_answer_and_the_better_one_are_both_set_aside_and_paid(
    tmp_path: Path, stream: bool
) -> None:
    cheap, strong = PlainUpstream("cheap", answer(BAD, stream)), PlainUpstream("strong", answer(BETTER, stream))
    async with budgeted(doubted(cheap, strong), tmp_path, PLENTY) as under:
        assert await said(await under.works.ask(chat("support", stream=stream))) == BETTER
        assert [model for model, _ in under.budgets.reserved] == ["cheap", "strong"]
        assert under.budgets.settled == [{"cheap": taken(), "strong": taken()}]
        assert dollars(await under.spent("money")) == under.works.events[0].cost == 2 * COST


@streamed
@pytest.mark.parametrize("model", ["", "strong"])
async def test_a_doubted_answer_is_delivered_where_the_better_one_cannot_be_paid(
    tmp_path: Path, stream: bool, model: str
) -> None:
    cheap, strong = PlainUpstream("cheap", answer(BAD, stream)), PlainUpstream("strong", answer(BETTER, stream))
    limit = usd("0.00005" if model else "0.00015", model=model)
    async with budgeted(doubted(cheap, strong), tmp_path, limit) as under:
        assert await said(await under.works.ask(chat("support", stream=stream, max_tokens=40))) == BAD
        (event,) = under.works.events
        assert (event.model, event.outcome, event.cost) == ("cheap", "answered", COST)
        assert [(tried.model, tried.error) for tried in event.attempts] == [
            ("cheap", ""),
            ("strong", "insufficient_quota"),
        ]
        assert (strong.calls, under.budgets.settled) == ([], [{"cheap": taken()}])


async def test_a_stream_that_breaks_while_it_is_held_back_is_paid_by_its_model(tmp_path: Path) -> None:
    cheap = PlainUpstream("cheap", *(Script(chunk("ba"), StreamCut("cut")) for _ in range(2)))
    strong = PlainUpstream("strong", answer(GOOD, True))
    async with budgeted(doubted(cheap, strong), tmp_path, PLENTY) as under:
        await ask(under, "support", stream=True)
        (spent,) = under.budgets.settled
        assert spent["cheap"].usd > 0
        assert spent["strong"] == taken()
        (event,) = under.works.events
        assert sum(dollars(amount.usd) for amount in spent.values()) == event.cost
        by_model = {"cheap": ZERO, "strong": ZERO}
        for place, sums in parts_of(event):
            by_model[place.model] += sums.cost
        assert by_model == {model: dollars(amount.usd) for model, amount in spent.items()}, "reports say the same"


async def test_a_model_that_answers_after_it_was_lost_is_paid_twice(tmp_path: Path) -> None:
    cheap = PlainUpstream("cheap", Script(chunk("go"), StreamCut("cut")), answer(GOOD, True))
    async with budgeted(doubted(cheap, PlainUpstream("strong", whole())), tmp_path, PLENTY) as under:
        assert await said(await under.works.ask(chat("support", stream=True))) == GOOD
        ((model, amount),) = under.budgets.settled[0].items()
        assert (model, amount.tokens > 5, dollars(amount.usd)) == ("cheap", True, under.works.events[0].cost)


# --- what Weir asks on its own account


@pytest.mark.parametrize(
    ("purpose", "counted"), [("serve", 1), ("eval", 1), ("check", 0), ("audit", 0), ("rewrite", 0)]
)
async def test_what_weir_asks_itself_takes_money_and_is_no_request(
    tmp_path: Path, purpose: Purpose, counted: int
) -> None:
    async with budgeted(over(good=good()), tmp_path, PLENTY, at_most(1)) as under:
        await under.works.pipeline.answer(replace(incoming(chat()), purpose=purpose))
        assert await under.spent("requests") == counted
        assert dollars(await under.spent("money")) == COST


# --- many at once


@pytest.mark.parametrize("measure", ["usd", "tokens"])
async def test_two_hundred_at_once_never_exceed_a_hard_budget(tmp_path: Path, measure: str) -> None:
    """Each may take 40 tokens of output and takes all of them: what fits is answered, and nothing else is."""
    full = whole(usage={"prompt_tokens": 10, "completion_tokens": 40})
    each = Decimal("0.00009")
    limit: Budget = usd(25 * each) if measure == "usd" else at_most(25 * 50, "tokens")
    upstream = PlainUpstream("good", full, gate=asyncio.Event())
    assert upstream.gate is not None
    async with budgeted(over(good=upstream), tmp_path, limit, most=1000) as under:
        upstream.gate.set()
        for round_ in range(3):
            asking = (ask(under, text=f"{round_:02}{number:04}", max_tokens=40) for number in range(200))
            results = await asyncio.gather(*asking, return_exceptions=True)
            refused = [result for result in results if isinstance(result, LimitReached)]
            assert len(refused) + sum(isinstance(result, bytes) for result in results) == 200
        spent = sum(event.cost for event in under.works.events)
        assert ZERO < spent <= 25 * each
        assert await under.spent(limit.name) == (nanodollars(spent) if measure == "usd" else spent / each * 50)
        assert len(upstream.calls) == spent / each >= 20
