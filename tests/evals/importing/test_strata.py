"""How cases are dealt to strata."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evals.importing.strata import allot


def test_cases_go_by_what_was_asked_above_a_floor() -> None:
    there = {"often": 100, "seldom": 100, "never": 100}
    assert allot({"often": 80, "seldom": 20, "never": 0}, there, 10, 0) == {"often": 8, "seldom": 2, "never": 0}
    assert allot({"often": 80, "seldom": 20, "never": 0}, there, 20, 2) == {"often": 15, "seldom": 3, "never": 2}


def test_a_stratum_that_is_used_up_leaves_its_share_to_the_others() -> None:
    assert allot({"a": 90, "b": 10}, {"a": 3, "b": 50}, 20, 1) == {"a": 3, "b": 17}


def test_a_floor_that_is_too_high_goes_to_the_most_asked_first() -> None:
    assert allot({"a": 1, "b": 5, "c": 3}, {"a": 9, "b": 9, "c": 9}, 2, 5) == {"b": 1, "c": 1, "a": 0}


strata = st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(0, 50), st.integers(0, 20)))


@given(strata=strata, cases=st.integers(1, 60), least=st.integers(0, 5))
def test_no_more_is_dealt_than_there_is_and_no_less_than_can_be(
    strata: dict[str, tuple[int, int]], cases: int, least: int
) -> None:
    asked = {name: often for name, (often, _) in strata.items()}
    there = {name: kept for name, (_, kept) in strata.items()}
    given_ = allot(asked, there, cases, least)
    assert all(0 <= given_[name] <= kept for name, kept in there.items())
    assert sum(given_.values()) == min(cases, sum(there.values()))
    if sum(min(least, kept) for kept in there.values()) <= cases:
        assert all(given_[name] >= min(least, kept) for name, kept in there.items())
