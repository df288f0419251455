"""Costs spread over others add up to what they were, to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reports.allocation import Overhead, overheads, shifts, spread
from ledger.reports.reading import Cell
from ledger.rollups import Sums

money = st.decimals(min_value=0, max_value=10**6, places=12)
names = st.sampled_from(["a", "b"])
BEGIN = datetime(2026, 11, 1, tzinfo=UTC)


def cell(tenant: str, route: str = "r", model: str = "m", purpose: str = "serve") -> Cell:
    return Cell(None, tenant, "", route, model, purpose, "{}")


@given(money, st.lists(money, min_size=1, max_size=20).filter(any))
def test_parts_add_up_and_follow_the_weights(amount: Decimal, weights: list[Decimal]) -> None:
    parts = spread(amount, weights)
    assert sum(parts) == amount
    whole = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - amount * weight / whole) <= Decimal("1.01e-12")


def test_the_last_digit_goes_where_it_is_missed_most() -> None:
    third = Decimal("0.333333333333")
    assert spread(Decimal(1), [Decimal(1)] * 3) == [Decimal("0.333333333334"), third, third]


def test_other_purposes_are_borne_by_what_the_route_served() -> None:
    rows = {
        cell("a", model="small"): Sums(requests=9, cost=Decimal(3)),
        cell("a", model="large"): Sums(requests=1, cost=Decimal(1)),
        cell("a", model="judge", purpose="judge"): Sums(requests=5, cost=Decimal(2)),
        cell("a", route="other"): Sums(requests=1, cost=Decimal(100)),
        cell("b"): Sums(requests=1, cost=Decimal(100)),
    }
    assert shifts(rows) == {
        cell("a", model="small"): Decimal("1.5"),
        cell("a", model="large"): Decimal("0.5"),
        cell("a", model="judge", purpose="judge"): Decimal(-2),
    }


def test_where_serving_cost_nothing_requests_bear_alike_and_where_none_was_served_nobody_does() -> None:
    free = {
        cell("a", model="x"): Sums(requests=3),
        cell("a", model="y"): Sums(requests=1),
        cell("a", purpose="audit"): Sums(cost=Decimal(4)),
    }
    assert shifts(free) == {
        cell("a", model="x"): Decimal(3),
        cell("a", model="y"): Decimal(1),
        cell("a", purpose="audit"): Decimal(-4),
    }
    assert shifts({cell("a", purpose="train"): Sums(cost=Decimal(4))}) == {}


def test_idle_hours_are_borne_by_who_used_the_model() -> None:
    rows = {
        cell("a"): Sums(requests=1, cost=Decimal(3)),
        cell("b"): Sums(requests=1, cost=Decimal(1)),
        cell("b", model="hosted"): Sums(requests=1, cost=Decimal(50)),
    }
    assert shifts(rows, [Overhead("m", Decimal(24))]) == {cell("a"): Decimal(15), cell("b"): Decimal(5)}
    assert shifts(rows, [Overhead("m", Decimal(4))]) == {}, "the requests paid for all of it"
    assert shifts(rows, [Overhead("m", Decimal(2))]) == {}, "nobody gets anything back"
    nobodys = Cell(None, "", "", "", "unused", "serve", "{}")
    assert shifts(rows, [Overhead("unused", Decimal(7))]) == {nobodys: Decimal(7)}


def test_overheads_are_hours_times_dollars() -> None:
    rates = {"m": Decimal("2.50")}
    assert overheads(rates, BEGIN, BEGIN + timedelta(hours=3)) == [Overhead("m", Decimal("7.5"))]
    assert overheads(rates, BEGIN, BEGIN + timedelta(minutes=20)) == [Overhead("m", Decimal("0.833333333333"))]
    assert overheads(rates, None, BEGIN) == []
    assert overheads(rates, BEGIN, BEGIN) == []


@pytest.mark.parametrize("idle", [Decimal(0), Decimal("1234.567890123456")])
@given(
    rows=st.dictionaries(
        st.builds(cell, names, names, names, st.sampled_from(["serve", "judge"])),
        st.builds(Sums, requests=st.integers(0, 5), cost=money),
        max_size=12,
    )
)
def test_whatever_is_allocated_the_total_grows_by_idle_hours_only(rows: dict[Cell, Sums], idle: Decimal) -> None:
    found = shifts(rows, [Overhead("a", idle)])
    charged = sum((sums.cost for at, sums in rows.items() if at.model == "a"), start=Decimal(0))
    assert sum(found.values()) == max(Decimal(0), idle - charged)


def test_an_event_whose_attempts_cost_more_than_all_of_it_spoils_no_report() -> None:
    rows = {
        cell("a"): Sums(requests=1, cost=Decimal(-5)),
        cell("a", model="small"): Sums(requests=1, cost=Decimal(5)),
        cell("b"): Sums(requests=1, cost=Decimal(5)),
        cell("a", purpose="judge"): Sums(cost=Decimal(3)),
    }
    found = shifts(rows, [Overhead("m", Decimal(9))])
    assert found[cell("a", model="small")] == 3
    assert sum(found.values()) == 6
    assert cell("a") not in found
