"""The words of a verdict."""

from __future__ import annotations

from typing import Any

import pytest

from evals.gating.verdict import Check, Unit, shown, summed_up


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.8123, "share", "81.2%"),
        (-0.05, "points", "-5.0 points"),
        (0.000123, "usd", "$0.00012"),
        (1.5, "usd", "$1.5000"),
        (0, "usd", "$0.0000"),
        (1234.6, "ms", "1,235 ms"),
        (1.2, "ratio", "1.20 times"),
        (294.0, "cases", "294"),
        (0.61, "kappa", "0.61"),
    ],
)
def test_figures_are_told_in_their_unit(value: float, unit: Unit, told: str) -> None:
    assert shown(value, unit) == told


def check(**fields: Any) -> Check:
    told: dict[str, Any] = {
        "rule": "r",
        "passed": True,
        "unit": "share",
        "bound": 0.3,
        "side": "at least",
        **fields,
    }
    return Check(**told)


def test_a_check_tells_its_interval_where_there_is_one() -> None:
    whole = check(value=0.5, low=0.4, high=0.6)
    assert (whole.figure, whole.limit, whole.name) == ("50.0% (40.0 to 60.0%)", "at least 30.0%", "r: all cases")
    assert whole.told == "50.0% (40.0 to 60.0%), and it must be at least 30.0%."
    bare = check(why="Ask more.")
    assert (bare.figure, bare.told) == ("not known", "Ask more.")


def test_the_summary_names_what_failed() -> None:
    checks = [check(passed=passed) for passed in (True, False)]
    assert summed_up(checks[:1], [], []) == "Passed: the one check."
    assert summed_up([checks[0]] * 2, [], []) == "Passed: all 2 checks."
    assert summed_up(checks, ["a", "b"], ["lang=es"]) == (
        "Refused: 1 of 2 checks failed; segments: a, b; group: lang=es."
    )
