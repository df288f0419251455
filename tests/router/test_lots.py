"""Lots: who goes down the dear path, how conversations keep together, and what their events say."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from msgspec import structs

from contracts.request import ModelRequest
from router.choice.fixed import FixedChoice
from router.lots import HELD_OUT, conversation_of, drawn
from router.setup import Plan
from tests.router.plain import PlainUpstream, chat, incoming, plan, setup_over, whole, works_over

ROUTE = replace(plan("support", "large", "small", policy=FixedChoice("small")), reference="large")


def measured(share: float) -> Plan:
    return replace(ROUTE, dear_share=share)


def asked(text: str = "How do I descale it?", *more: str) -> ModelRequest:
    return ModelRequest(
        "chat/completions",
        {"model": "support", "messages": [{"role": "user", "content": each} for each in (text, *more)]},
    )


def test_no_lots_are_drawn_where_nothing_is_measured() -> None:
    assert drawn(ROUTE, "acme", {}) == ""
    assert conversation_of(ROUTE, "acme", asked(), {}) == ""


def test_the_share_that_is_wanted_goes_down_the_dear_path() -> None:
    requests = [drawn(measured(0.1), "acme", {}) for _ in range(5000)]
    sessions = [drawn(measured(0.1), "acme", {"x-weir-session": f"s{number}"}) for number in range(5000)]
    for arms in (requests, sessions):
        assert set(arms) == {"dear", "usual"}
        assert 0.07 < arms.count("dear") / len(arms) < 0.13


def test_all_turns_of_a_named_conversation_share_a_lot_in_every_process() -> None:
    first = [drawn(measured(0.5), "acme", {"x-weir-session": f"s{number}"}) for number in range(64)]
    again = [drawn(measured(0.5), "acme", {"x-weir-session": f"s{number}"}) for number in range(64)]
    others = [drawn(measured(0.5), "globex", {"x-weir-session": f"s{number}"}) for number in range(64)]
    assert first == again != others


def test_a_conversation_is_known_by_its_name_or_by_how_it_begins() -> None:
    route, named = measured(0.1), {"x-weir-session": "chat 7"}
    assert conversation_of(ROUTE, "acme", asked(), named) == conversation_of(route, "acme", asked("Hi"), named)
    begun = conversation_of(route, "acme", asked(), {})
    assert len(begun) == 16
    assert begun == conversation_of(route, "acme", asked("How do I descale it?", "And how often?"), {})
    assert begun != conversation_of(route, "globex", asked(), {})
    assert begun != conversation_of(route, "acme", asked("How do I clean it?"), {})
    assert conversation_of(route, "acme", asked("\ud800"), {})  # half a pair of surrogates is text too


async def test_the_dear_path_leads_past_cache_and_policy_to_the_reference(tmp_path: Path) -> None:
    large, small = PlainUpstream("large", whole("dear")), PlainUpstream("small", whole("cheap"))
    setup = setup_over({"large": large, "small": small}, measured(0.5))
    names = [f"s{number}" for number in range(16)]
    async with works_over(setup, tmp_path) as works:
        for name in names:
            await works.ask(chat("support"), x_weir_session=name)
        events = works.events
    arms = {drawn(measured(0.5), "acme", {"x-weir-session": name}) for name in names}
    assert arms == {"dear", "usual"}
    for event, name in zip(events, names, strict=True):
        assert event.arm == drawn(measured(0.5), "acme", {"x-weir-session": name})
        assert event.conversation
        if event.arm == "dear":
            assert (event.model, event.verdict.kind, event.verdict.reason) == ("large", "bypass", HELD_OUT)
            assert event.decision is not None
            assert event.decision.policy == "counterfactual"
        else:
            assert event.model == "small"
    dear = sum(event.arm == "dear" for event in events)
    assert (len(large.calls), len(small.calls)) == (dear, 1)  # the usual ones share one stored answer


async def test_weirs_own_requests_draw_no_lots(tmp_path: Path) -> None:
    small = PlainUpstream("small", whole())
    setup = setup_over({"large": small, "small": small}, replace(measured(0.5), dear_share=1.0))
    async with works_over(setup, tmp_path) as works:
        own = incoming(chat("support"))
        own = type(own)(**{field: getattr(own, field) for field in own.__struct_fields__} | {"purpose": "audit"})
        await works.pipeline.answer(own)
        (event,) = works.events
    assert (event.arm, event.model) == ("", "small")


async def test_what_the_reference_would_have_cost_is_told_of_every_answer(tmp_path: Path) -> None:
    upstream = PlainUpstream("any", whole())
    setup = setup_over({"large": upstream, "small": upstream}, ROUTE)
    prices = PricedApart()
    async with works_over(replace(setup, prices=prices), tmp_path) as works:
        await works.ask(chat("support"))
        await works.ask(chat("large"))
        cheap, direct = works.events
    assert (cheap.cost, cheap.avoided) == (Decimal("0.1"), Decimal("0.9"))
    assert (direct.cost, direct.avoided) == (Decimal(1), 0)


async def test_only_clients_requests_avoid_costs(tmp_path: Path) -> None:
    """An audit is a cost of Weir's own; that it went to a cheap model saves nobody anything."""
    upstream = PlainUpstream("any", whole())
    setup = replace(setup_over({"large": upstream, "small": upstream}, ROUTE), prices=PricedApart())
    async with works_over(setup, tmp_path) as works:
        for purpose in ("audit", "eval"):
            asked = incoming(chat("support", purpose))
            await works.pipeline.answer(structs.replace(asked, purpose=purpose))
        assert [(event.purpose, event.cost, event.avoided) for event in works.events] == [
            ("audit", Decimal("0.1"), 0),
            ("eval", Decimal("0.1"), 0),
        ]


class PricedApart:
    """Dollars per request, whatever its tokens."""

    def cost(self, model: str, usage: object) -> Decimal:
        return Decimal(1) if model == "large" else Decimal("0.1")

    def priced_by(self, model: str) -> str:
        return "test"
