"""Which budgets a request falls under, and what is remembered of that."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.budgets import Amount, Budget, Claim
from ledger.budgets import accounts as module
from ledger.budgets.accounts import Accounts, account_of, share_of, thresholds, version_of
from ledger.budgets.under_way import UnderWay


def budget(**changes: Any) -> Budget:
    return Budget(**{"name": "b", "measure": "tokens", "limit": 10, "window": "day", **changes})


some = st.sampled_from(["", "a", "b"])
budgets = st.lists(
    st.builds(
        budget,
        name=st.uuids().map(str),
        measure=st.sampled_from(["requests", "tokens", "usd"]),
        tenant=some,
        key=some,
        route=some,
        model=some,
        tag=st.none() | st.tuples(st.sampled_from(["t", "u"]), st.sampled_from("ab")),
        each=st.sets(st.sampled_from(["tenant", "key", "route", "model"])).map(lambda each: tuple(sorted(each))),
    ),
    max_size=8,
)
claims = st.lists(
    st.tuples(
        st.builds(
            Claim,
            request_id=st.just("r"),
            tenant=st.sampled_from("ab"),
            key_id=st.sampled_from("ab"),
            route=st.sampled_from("ab"),
            tags=st.dictionaries(st.sampled_from(["t", "u"]), st.sampled_from("ab")),
        ),
        st.sampled_from("ab"),
    ),
    max_size=6,
)


@given(budgets=budgets, claims=claims)
def test_each_budget_that_fits_is_found_once(budgets: list[Budget], claims: list[tuple[Claim, str]]) -> None:
    found = Accounts(budgets)
    for claim, model in claims:
        fitting = {
            one.name
            for one in budgets
            if one.tenant in ("", claim.tenant)
            and one.key in ("", claim.key_id)
            and one.route in ("", claim.route)
            and one.model in ("", model)
            and (one.tag is None or claim.tags.get(one.tag[0]) == one.tag[1])
        }
        at_the_door = [one.budget.name for one in found.for_admission(claim)]
        by_model = [one.budget.name for one in found.for_model(claim, model)]
        assert sorted(at_the_door + by_model) == sorted(fitting)
        assert all(one.budget.measure == "requests" for one in found.for_admission(claim))
        for one in found.for_model(claim, model):
            own = {"tenant": claim.tenant, "key": claim.key_id, "route": claim.route, "model": model}
            assert one.values == tuple(own[dimension] for dimension in one.budget.each)


def test_what_is_remembered_is_bounded() -> None:
    found = Accounts([budget()])
    for number in range(module._MOST_REMEMBERED + 5):
        claim = Claim(request_id="r", tenant=f"t{number}", key_id="k", route="r")
        assert len(found.for_model(claim, "m")) == 1
    assert len(found._remembered) <= module._MOST_REMEMBERED


def test_a_budget_stays_the_same_with_another_limit_only() -> None:
    same = version_of(budget())
    assert version_of(budget(limit=99, hard=False, warn_at=(0.5,))) == same
    for change in (
        {"window": "month"},
        {"measure": "usd"},
        {"tenant": "a"},
        {"each": ("key",)},
        {"tag": ("a", "b")},
    ):
        assert version_of(budget(**change)) != same


def test_whose_it_is_can_be_told() -> None:
    account = account_of(budget(route="support", tag=("team", "search"), each=("model", "key")), ("large", "k1"))
    assert account.owner == {"route": "support", "tag": "team=search", "model": "large", "key": "k1"}


def test_shares_are_exact() -> None:
    """0.7 of 10 is 7, though 0.1 has no double."""
    assert thresholds(budget(limit=10, warn_at=(1.0, 0.7, 0.1))) == [(0.1, 1), (0.7, 7), (1.0, 10)]
    assert thresholds(budget(limit=9 * 10**15, warn_at=(0.9999,))) == [(0.9999, 8_999_100_000_000_000)]
    assert thresholds(budget(limit=3, warn_at=(0.5,))) == [(0.5, 2)]


def test_each_measure_takes_its_own() -> None:
    amount = Amount(requests=1, tokens=2, usd=3)
    assert [share_of(amount, budget(measure=measure)) for measure in ("requests", "tokens", "usd")] == [1, 2, 3]


def test_a_request_that_never_ends_is_let_go_of() -> None:
    now = 0.0
    under_way: UnderWay[int] = UnderWay(lambda: now)
    under_way.keep("old", "large", 5)
    now = 86_400.0
    under_way.keep("young", "large", 7)
    assert under_way.endless() is None
    now += 1
    assert under_way.endless() == ("old", {"large": 5})
    assert under_way.endless() is None
    assert under_way.end("young") == {"large": 7}
    assert under_way.end("young") is None


def test_ended_requests_are_remembered_for_a_while() -> None:
    under_way: UnderWay[int] = UnderWay()
    for number in range(20_001):
        under_way.end(f"r{number}")
    assert not under_way.has_ended("r0")
    assert under_way.has_ended("r1")
