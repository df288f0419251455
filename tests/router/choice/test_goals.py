"""What each goal makes of predictions, in tables that were worked out by hand, and in what must hold of any."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import Outlook
from router.choice.goals import Bounds, Option, Pick, best_at, by_floor, by_price, rival, within


def option(
    model: str, quality: float, cost: float, deviation: float = 0.0, latency_ms: float | None = None
) -> Option:
    return Option(model=model, quality=quality, deviation=deviation, cost=cost, latency_ms=latency_ms)


LARGE = option("large", 0.9, 1.0)
MIDDLE = option("middle", 0.8, 0.5)
SMALL = option("small", 0.6, 0.1)
ALL = (SMALL, MIDDLE, LARGE)


def chosen(pick: Pick) -> tuple[str, Outlook]:
    return pick.option.model, pick.outlook


# --- the floor


@pytest.mark.parametrize(
    ("options", "floor", "expected"),
    [
        (ALL, 0.5, ("small", "local")),
        (ALL, 0.6, ("small", "local")),
        (ALL, 0.61, ("middle", "local")),
        (ALL, 0.81, ("large", "hosted")),
        (ALL, 0.99, ("large", "hosted")),
        ((LARGE,), 0.5, ("large", "hosted")),
        ((LARGE, option("twin", 0.9, 1.0)), 0.5, ("large", "hosted")),
        ((LARGE, option("dear", 1.0, 9.0)), 0.95, ("large", "hosted")),
        ((LARGE, option("free", 0.6, 0.0)), 0.6, ("free", "local")),
        ((option("large", 0.9, 0.0), option("free", 0.95, 0.0)), 0.5, ("large", "hosted")),
    ],
)
def test_the_cheapest_that_reaches_the_floor(
    options: tuple[Option, ...], floor: float, expected: tuple[str, Outlook]
) -> None:
    reference = next(each for each in options if each.model == "large")
    for checks in (False, True):
        pick = by_floor(options, reference, floor, 1.0, checks)
        assert chosen(pick) == expected
        assert pick.reason


@pytest.mark.parametrize(
    ("floor", "sureness", "checks", "expected"),
    [
        # small is 0.6 ± 0.1, middle 0.8 ± 0.05
        (0.5, 1.0, True, ("small", "local")),
        (0.51, 1.0, True, ("middle", "local")),
        (0.75, 1.0, True, ("middle", "local")),
        (0.76, 1.0, True, ("middle", "unsure")),
        (0.76, 1.0, False, ("large", "hosted")),
        (0.76, 2.0, True, ("small", "unsure")),
        (0.85, 1.0, True, ("middle", "unsure")),
        (0.86, 1.0, True, ("large", "hosted")),
        (0.76, 0.0, True, ("middle", "local")),
        (0.86, 2.0, True, ("middle", "unsure")),
    ],
)
def test_what_may_reach_it_answers_where_answers_are_checked(
    floor: float, sureness: float, checks: bool, expected: tuple[str, Outlook]
) -> None:
    options = (option("middle", 0.8, 0.5, 0.05), option("small", 0.6, 0.1, 0.1), LARGE)
    assert chosen(by_floor(options, LARGE, floor, sureness, checks)) == expected


def test_the_floor_says_what_would_have_changed_the_choice() -> None:
    assert by_floor(ALL, LARGE, 0.85, 1.0, False).otherwise == "a floor of 0.800 or less, for middle"
    assert by_floor(ALL, LARGE, 0.5, 1.0, False).otherwise == "a floor above 0.600"
    assert by_floor((LARGE,), LARGE, 0.5, 1.0, False).otherwise == "a cheaper candidate"


# --- the price


@pytest.mark.parametrize(
    ("options", "price", "expected"),
    [
        # over middle, large gains 0.1 for 0.5 of its cost: a rate of 0.2; over small 0.3 for 0.9: 0.333
        (ALL, 0.0, ("large", "hosted")),
        (ALL, 0.19, ("large", "hosted")),
        (ALL, 0.21, ("middle", "local")),
        # middle gains 0.2 over small for 0.4: worth it up to a price of 0.5
        (ALL, 0.49, ("middle", "local")),
        (ALL, 0.51, ("small", "local")),
        (ALL, 1.0, ("small", "local")),
        ((LARGE,), 1.0, ("large", "hosted")),
        ((LARGE, option("twin", 0.9, 1.0)), 1.0, ("large", "hosted")),
        ((LARGE, option("twin", 0.9, 0.9)), 0.0, ("large", "hosted")),
        ((LARGE, option("twin", 0.9, 0.9)), 0.01, ("twin", "local")),
        ((LARGE, option("better", 0.95, 0.9)), 0.0, ("better", "local")),
        ((option("large", 0.9, 0.0), option("free", 0.95, 0.0)), 1.0, ("large", "hosted")),
        ((LARGE, option("free", 0.4, 0.0)), 0.49, ("large", "hosted")),
        ((LARGE, option("free", 0.4, 0.0)), 0.51, ("free", "local")),
    ],
)
def test_the_reference_where_its_gain_is_worth_the_price(
    options: tuple[Option, ...], price: float, expected: tuple[str, Outlook]
) -> None:
    reference = next(each for each in options if each.model == "large")
    for checks in (False, True):
        assert chosen(by_price(options, reference, price, 1.0, checks, "a knob")) == expected


def test_at_exactly_the_price_the_reference_answers() -> None:
    free = option("free", 0.4, 0.0)
    assert chosen(by_price((LARGE, free), LARGE, 0.5, 1.0, False, "a knob")) == ("large", "hosted")


@pytest.mark.parametrize("free", [0.0, 0.01])
def test_a_share_of_all_or_nought_is_a_price_without_bounds(free: float) -> None:
    options = (*ALL, option("free", 0.1, free), option("worse", 0.0, free))
    for checks in (False, True):
        assert chosen(by_price(options, LARGE, math.inf, 1.0, checks, "")) == ("free", "local")
        assert chosen(by_price(options, LARGE, -math.inf, 1.0, checks, "")) == ("large", "hosted")


@pytest.mark.parametrize(
    ("price", "sureness", "checks", "expected"),
    [
        # large gains 0.3 ± 0.09 over small for 0.9: a rate of 0.333 ± 0.1
        (0.23, 1.0, True, ("large", "hosted")),
        (0.24, 1.0, True, ("small", "unsure")),
        (0.42, 1.0, True, ("small", "unsure")),
        (0.44, 1.0, True, ("small", "local")),
        (0.24, 1.0, False, ("large", "hosted")),
        (0.42, 1.0, False, ("small", "local")),
        (0.24, 0.5, True, ("large", "hosted")),
        (0.44, 2.0, True, ("small", "unsure")),
    ],
)
def test_what_is_too_close_to_call_is_checked(
    price: float, sureness: float, checks: bool, expected: tuple[str, Outlook]
) -> None:
    options = (option("small", 0.6, 0.1, 0.09), LARGE)
    pick = by_price(options, LARGE, price, sureness, checks, "a knob of 0.7")
    assert chosen(pick) == expected
    assert "a knob of 0.7" in pick.reason
    assert pick.otherwise == f"a price of 0.333 in place of {price:.3f}"


def test_the_rival_is_the_cheaper_one_that_is_hardest_to_beat() -> None:
    found = rival((SMALL, option("middle", 0.8, 0.5, 0.05), LARGE), LARGE)
    assert found is not None
    assert found[0].model == "middle"
    assert found[1:] == pytest.approx((0.2, 0.1))
    assert rival((LARGE, option("dear", 0.1, 2.0)), LARGE) is None


def test_prices_of_any_size_compare() -> None:
    for unit in (1e-9, 1e-3, 1e6):
        options = tuple(option(each.model, each.quality, each.cost * unit) for each in ALL)
        assert best_at(options, options[2], 0.4).model == "middle"
        assert chosen(by_price(options, options[2], 0.19, 1.0, True, "")) == ("large", "hosted")


# --- bounds


@pytest.mark.parametrize(
    ("bounds", "kept", "passed_over"),
    [
        (Bounds(), ["slow", "dear", "new"], []),
        (Bounds(max_cost=0.5), ["slow", "new"], ["dear"]),
        (Bounds(max_cost=0.49), ["new"], ["slow", "dear"]),
        (Bounds(max_p95_ms=300), ["dear", "new"], ["slow"]),
        (Bounds(max_cost=0.5, max_p95_ms=300), ["new"], ["slow", "dear"]),
        (Bounds(max_cost=0.01), ["new"], ["slow", "dear"]),
        (Bounds(max_cost=0.0, max_p95_ms=1), ["new"], ["slow", "dear"]),
    ],
)
def test_who_keeps_the_bounds(bounds: Bounds, kept: list[str], passed_over: list[str]) -> None:
    options = [
        option("slow", 0.5, 0.5, latency_ms=301),
        option("dear", 0.9, 0.51, latency_ms=300),
        option("new", 0.5, 0.1),
    ]
    found, notes = within(options, bounds)
    assert [each.model for each in found] == kept
    assert list(notes) == passed_over
    assert all(notes.values())


# --- of any predictions

shares = st.floats(0, 1)
many = st.lists(
    st.builds(
        Option,
        model=st.uuids().map(str),
        quality=shares,
        deviation=st.floats(0, 0.5),
        cost=st.just(0.0) | st.floats(1e-9, 10),
        latency_ms=st.none() | st.floats(0, 1e5),
    ),
    min_size=1,
    max_size=5,
)


@given(many, st.data(), shares, shares, st.floats(0, 3), st.booleans())
def test_a_higher_price_never_turns_to_the_reference(
    options: list[Option], data: st.DataObject, one: float, other: float, sureness: float, checks: bool
) -> None:
    reference = data.draw(st.sampled_from(options))
    low, high = (
        by_price(options, reference, price, sureness, checks, "") for price in (min(one, other), max(one, other))
    )
    assert low.option is reference or high.option is not reference


@given(many, st.data(), shares, shares)
def test_nor_to_a_dearer_option(options: list[Option], data: st.DataObject, one: float, other: float) -> None:
    reference = data.draw(st.sampled_from(options))
    low, high = (
        by_price(options, reference, price, 1.0, False, "").option for price in (min(one, other), max(one, other))
    )
    assert high.cost <= low.cost + 1e-9 * reference.cost


@given(many, st.data(), shares, st.floats(0, 3), st.booleans())
def test_any_choice_is_the_reference_or_cheaper_and_unsure_only_where_it_is_checked(
    options: list[Option], data: st.DataObject, mark: float, sureness: float, checks: bool
) -> None:
    reference = data.draw(st.sampled_from(options))
    for pick in (
        by_floor(options, reference, mark, sureness, checks),
        by_price(options, reference, mark, sureness, checks, "a goal"),
    ):
        assert pick.option in options
        assert pick.option is reference or pick.option.cost < reference.cost
        assert (pick.outlook == "hosted") == (pick.option is reference)
        assert checks or pick.outlook != "unsure"


@given(many, st.data(), shares, st.floats(0, 3))
def test_what_the_floor_calls_sure_is_sure(
    options: list[Option], data: st.DataObject, floor: float, sureness: float
) -> None:
    reference = data.draw(st.sampled_from(options))
    pick = by_floor(options, reference, floor, sureness, True)
    sure = [o for o in options if o.cost < reference.cost and o.quality - sureness * o.deviation >= floor]
    assert (pick.outlook == "local") == bool(sure)
    assert not sure or pick.option.cost == min(each.cost for each in sure)


@given(many, st.none() | st.floats(0, 10), st.none() | st.floats(0, 1e5))
def test_someone_is_always_left(options: list[Option], cost: float | None, p95: float | None) -> None:
    kept, notes = within(options, Bounds(max_cost=cost, max_p95_ms=p95))
    assert kept
    assert {each.model for each in kept}.isdisjoint(notes)
    assert {each.model for each in kept} | set(notes) == {each.model for each in options}
