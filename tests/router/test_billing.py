"""What an answer cost: by what its provider reported, or by an estimate that says so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from contracts.money import ZERO
from router.billing import Billing
from router.estimates import TokenEstimator
from router.exchange import Exchange
from router.setup import Deployment
from tests.router.plain import PlainUpstream, chat, exchange_for, setup_over

BILLING = Billing(TokenEstimator([]))
REPORTED = {"prompt_tokens": 30, "completion_tokens": 20}


def asked() -> tuple[Exchange, Deployment]:
    setup = setup_over({"good": PlainUpstream("good")})
    return exchange_for(setup, chat()), setup.deployments["good"]


def unread() -> str:
    raise AssertionError("the text is not needed")


def test_reported_usage_is_believed_and_the_text_is_not_read() -> None:
    usage, cost = BILLING.bill(*asked(), REPORTED, unread)
    assert (usage.prompt, usage.completion, usage.source, usage.raw) == (30, 20, "reported", REPORTED)
    assert cost == Decimal("0.00007")


@pytest.mark.parametrize(
    "raw", [None, "x", {}, {"prompt_tokens": -1}, {"prompt_tokens": 1, "completion_tokens": "x"}]
)
def test_what_cannot_be_believed_is_estimated_and_kept(raw: Any) -> None:
    usage, cost = BILLING.bill(*asked(), raw, lambda: "Hello there, how are you?")
    assert (usage.source, usage.raw) == ("estimated", raw if isinstance(raw, dict) else None)
    assert usage.completion > 0
    assert cost > ZERO


@pytest.mark.parametrize(
    ("named", "tier"),
    [
        ("batch", "batch"), ("flex", "flex"), ("priority", "priority"),
        ("default", ""), ("auto", ""), ("scale", ""), (None, ""), (["batch"], ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("raw", [REPORTED, None])
def test_a_service_tier_with_its_own_price_is_noted(named: object, tier: str, raw: object) -> None:
    usage, _ = BILLING.bill(*asked(), raw, lambda: "Hello", named)
    assert usage.tier == tier


def test_a_bill_alone_is_noted_nowhere_and_a_price_is() -> None:
    exchange, deployment = asked()
    BILLING.bill(exchange, deployment, REPORTED, unread)
    assert exchange.trail.event().cost == ZERO
    BILLING.price(exchange, deployment, REPORTED, unread)
    event = exchange.trail.event()
    assert (event.cost, event.priced_by, event.usage.total) == (Decimal("0.00007"), "config", 50)
