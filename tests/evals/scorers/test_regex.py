"""Patterns of the suite and of the case."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scorers.regex import SEARCHED
from evals.targets.port import TargetFailure
from tests.evals.scorers.scoring import lacks, right, scored, scorer, unhurried


def test_somewhere_or_the_whole() -> None:
    assert right("regex", {"pattern": r"\d+ days"}, "within 30 days.")
    assert not right("regex", {"pattern": r"\d+ days"}, "within 30 days.", full=True)
    assert right("regex", {"pattern": r"\d+ days"}, " 30 days\n", full=True)
    assert not right("regex", {"pattern": "DAYS"}, "30 days")
    assert right("regex", {"pattern": "(?i)DAYS"}, "30 days")


def test_the_cases_own_pattern_goes_first() -> None:
    assert right("regex", {}, "a", pattern="a")
    assert not right("regex", {"pattern": "b"}, "a", pattern="a")
    assert scored("regex", {"pattern": "b+"}, "a").why == "does not match b+"


def test_only_the_beginning_of_a_very_long_answer_is_searched() -> None:
    long = "a" * SEARCHED
    assert right("regex", {"pattern": "a"}, long + "b")
    assert scored("regex", {"pattern": "b"}, long + "b").why == "does not match b in its first 20,000 characters"
    assert not right("regex", {"pattern": "a*"}, long + "a", full=True)


def test_a_wrong_pattern_is_refused_where_it_stands() -> None:
    with pytest.raises(ValueError, match="not a regular expression"):
        scorer("regex", pattern="(")
    with pytest.raises(ValueError, match=r"^expected\.pattern: not a regular expression"):
        lacks("regex", {"pattern": "("})
    with pytest.raises(ValueError, match=r"^expected\.pattern: must be a text"):
        lacks("regex", {"pattern": 5})
    assert lacks("regex", {}) == "`expected.pattern`"


def test_a_pattern_without_end_gives_no_score_and_lets_the_run_go_on() -> None:
    words = "the quick brown fox jumps over the lazy dog and then over a pig"
    with pytest.raises(TargetFailure, match="takes more than 1 s") as failure:
        scored("regex", {"pattern": r"^(\w|\w\w|\s|\w\s)*$"}, f"{words}!")
    assert (failure.value.code, failure.value.fatal) == ("pattern_too_slow", False)


@unhurried
@given(st.text().filter(str.strip))
def test_every_text_matches_itself(text: str) -> None:
    assert right("regex", {"pattern": re.escape(text.strip())}, text, full=True)
