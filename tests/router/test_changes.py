"""Budgets as they are set, stored and counted; names as they are told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from contracts import budgets
from contracts.access import StoredBudget
from contracts.errors import InvalidRequest
from router.changes import Names, budget_in, budget_of, budgets_in_force, check_budget, settings_of
from router.config.money import Budget

NAMES = Names(tenants=["acme"], routes=["support"], models=["large"])


@pytest.mark.parametrize(
    ("settings", "counted"),
    [
        (
            {"usd": "0.000000002", "per": "month", "tenant": "acme"},
            budgets.Budget(
                name="x", measure="usd", limit=2, window="month", warn_at=(0.8, 1.0), tenant="acme"
            ),
        ),
        (
            {"requests": 5, "per": "minute", "each": ["key"], "hard": False, "warn_at": []},
            budgets.Budget(name="x", measure="requests", limit=5, window="minute", hard=False, each=("key",)),
        ),
        (
            {"tokens": 7, "per": "total", "tag": "team=a=b", "route": "support", "model": "large", "key": "key_1"},
            budgets.Budget(
                name="x", measure="tokens", limit=7, window="total", warn_at=(0.8, 1.0), tag=("team", "a=b"),
                route="support", model="large", key="key_1",
            ),
        ),
    ],
)  # fmt: skip
def test_settings_become_what_is_counted(settings: dict[str, Any], counted: budgets.Budget) -> None:
    assert budget_of("x", budget_in(settings)) == counted


def test_what_is_stored_is_read_as_it_was() -> None:
    budget = Budget(usd=Decimal("12.340000001"), per="day", each=("tenant", "model"), warn_at=(0.1, 2))
    stored = check_budget(NAMES, "x", budget)
    assert stored["usd"] == "12.340000001", "no float on the way"
    assert budget_in(stored) == budget
    assert settings_of(budget_in(stored)) == stored


def test_dollars_are_stored_as_plain_digits() -> None:
    for written, stored in (("1e3", "1000"), (1000, "1000"), ("2.50", "2.50"), ("1E-9", "0.000000001")):
        assert settings_of(budget_in({"usd": written, "per": "day"}))["usd"] == stored


def test_the_configuration_wins_by_name_and_what_is_strange_is_named() -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    declared = {"one": Budget(requests=1, per="day")}
    stored = [
        StoredBudget(name="one", settings={"requests": 9, "per": "day"}, changed_at=at),
        StoredBudget(name="two", settings={"requests": 2, "per": "day"}, changed_at=at),
        StoredBudget(name="later", settings={"requests": 2, "per": "century"}, changed_at=at),
    ]
    made, strange = budgets_in_force(declared, stored)
    assert [(budget.name, budget.limit) for budget in made] == [("one", 1), ("two", 2)]
    assert strange == ["later"]


def test_an_unknown_name_is_told_shortly() -> None:
    many = Names(tenants=[f"tenant-{number}" for number in range(1000)], routes=[], models=[])
    for name in ("x" * 10_000, "a\x1b[31mb", "\udcff"):
        with pytest.raises(InvalidRequest) as caught:
            many.require("tenant", name)
        assert len(caught.value.message) < 500
        assert caught.value.message.isprintable()
    with pytest.raises(InvalidRequest, match="There are: none"):
        many.require("route", "support")
