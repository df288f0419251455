"""Calls that were made beside those that should have been."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.scorers.scoring import lacks, scored, unhurried

CANCEL = {"name": "cancel", "arguments": {"order": 7, "refund": {"full": True}}}
TRACK = {"name": "track", "arguments": {"order": 7}}
CANCELS = ("cancel", '{"refund": {"full": true}, "order": 7.0}')
TRACKS = ("track", '{"order": 7}')


def why(expected: Any, *calls: tuple[str, str], **settings: Any) -> str:
    kind = "tool_calls" if isinstance(expected, list) else "tool_call"
    return scored("tool_call", {kind: expected}, calls=calls, **settings).why


def test_the_expected_call_is_right_however_its_arguments_are_written() -> None:
    assert why(CANCEL, CANCELS) == ""
    assert why({"name": "ping", "arguments": {}}, ("ping", "")) == ""
    assert why({"name": "cancel", "arguments": "any"}, ("cancel", "not JSON")) == ""


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (TRACKS, "calls track, not cancel"),
        (("cancel", '{"order": 7}'), "cancel lacks refund"),
        (("cancel", '{"order": "7", "refund": {"full": true}}'), "cancel has a wrong order"),
        (("cancel", '{"order": 7, "refund": {"full": 1}}'), "cancel has a wrong refund"),
        (("cancel", '{"order": 7, "refund": {"full": true}, "why": ""}'), "cancel has an extra why"),
        (("cancel", '{"order": 7'), "the arguments of cancel are not a JSON object"),
        (("cancel", '{"order": NaN}'), "the arguments of cancel are not a JSON object"),
        (("cancel", "[7]"), "the arguments of cancel are not a JSON object"),
    ],
)
def test_what_is_wrong_with_a_call(call: tuple[str, str], told: str) -> None:
    assert why(CANCEL, call) == told


def test_no_call_and_too_many() -> None:
    assert why(CANCEL) == "calls nothing"
    assert why(CANCEL, CANCELS, TRACKS) == "calls cancel, track, not cancel"
    assert why(None) == why([]) == ""
    assert why(None, TRACKS) == "calls track, where nothing should be called"


def test_optional_arguments_may_be_left_out_or_added_but_not_wrong() -> None:
    loose = {**CANCEL, "optional": ["refund", "why"]}
    assert why(loose, ("cancel", '{"order": 7}')) == ""
    assert why(loose, ("cancel", '{"order": 7, "why": "late"}')) == ""
    assert why(loose, ("cancel", '{"order": 7, "refund": {}}')) == "cancel has a wrong refund"
    assert why(TRACK, ("track", '{"order": 7, "why": "late"}'), ignore_extra=True) == ""


def test_several_calls_in_any_order_or_in_theirs() -> None:
    assert why([CANCEL, TRACK], TRACKS, CANCELS) == ""
    assert why([CANCEL, TRACK], CANCELS, TRACKS, in_order=True) == ""
    assert why([CANCEL, TRACK], TRACKS, CANCELS, in_order=True) == "calls track, cancel, not cancel, track"
    assert why([TRACK, TRACK], TRACKS, ("track", '{"order": 8}')) == "calls track, track, but not as expected"
    anything = {"name": "track", "arguments": "any"}
    assert why([anything, TRACK], TRACKS, ("track", '{"order": 8}')) == ""


@pytest.mark.parametrize(
    ("expected", "where"),
    [
        ({"tool_call": "cancel"}, r"expected\.tool_call: "),
        ({"tool_call": {"name": "cancel"}}, r"expected\.tool_call: "),
        ({"tool_call": {"name": "", "arguments": {}}}, r"expected\.tool_call\.name: "),
        ({"tool_call": {"arguments": {}}}, r"expected\.tool_call\.name: "),
        ({"tool_call": {**TRACK, "optionals": []}}, r"expected\.tool_call\.optionals: "),
        ({"tool_calls": [TRACK, {"name": "x", "arguments": "{}"}]}, r"expected\.tool_calls\.1: "),
        ({"tool_calls": TRACK}, r"expected\.tool_calls: "),
        ({"tool_calls": None}, r"expected\.tool_calls: "),
        ({"tool_call": None, "tool_calls": []}, r"expected\.tool_call: there are `tool_calls` too"),
    ],
)
def test_an_expectation_that_is_none_is_refused(expected: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=f"^{where}"):
        lacks("tool_call", expected)


def test_a_case_without_one_cannot_be_judged() -> None:
    assert lacks("tool_call", {}) == "`expected.tool_call` or `expected.tool_calls`"


@unhurried
@given(st.permutations([("a", "{}"), ("b", "{}"), ("b", '{"x": 1}'), ("c", "{}")]))
def test_any_order_is_any(calls: list[tuple[str, str]]) -> None:
    wanted = [{"name": "b", "arguments": "any"}, {"name": "b", "arguments": {}}]
    wanted += [{"name": "c", "arguments": {}}, {"name": "a", "arguments": {}}]
    assert why(wanted, *calls) == ""
    assert why(wanted[1:], *calls) != ""
