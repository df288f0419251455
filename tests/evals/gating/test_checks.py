"""Each rule against figures made by hand: what passes, what fails, and what cannot be told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.gating.checks import difference
from evals.gating.verdict import Verdict
from evals.records import ScorerFacts
from evals.refusing import Refusing
from evals.statistics.interval import Interval
from evals.verdicts import BETTER, NOT_ENOUGH, NOT_WORSE, WORSE
from tests.evals.gating.made import (
    calibration,
    comparison,
    figures,
    finding,
    held,
    manifest,
    only,
    part,
    rate,
    summary,
)

ALL = figures("all", 0.8)


def outcome(verdict: Verdict) -> list[tuple[str, str, bool]]:
    return [(check.rule, check.about, check.passed) for check in verdict.checks]


@pytest.mark.parametrize(
    ("least", "sure", "passed"), [(0.8, False, True), (0.81, False, False), (0.7, True, True), (0.71, True, False)]
)
def test_a_floor_is_held_against_the_estimate_or_the_sure_end(least: float, sure: bool, passed: bool) -> None:
    overall = figures("all", None, scores={"facts": rate(0.8, 0.7, 0.9)})
    check = only(held({"sure": sure, "quality": {"least": least}}, summary(overall)))
    assert (check.passed, check.value, check.low, check.bound) == (passed, 0.8, 0.7, least)


def test_a_corrected_rate_counts_and_not_the_raw_one() -> None:
    overall = figures("all", 0.9, corrected={"facts": rate(0.6)})
    assert only(held({"quality": {"least": 0.7}}, summary(overall))).value == 0.6


def test_any_scorer_has_a_floor_and_refusals_two_more() -> None:
    overall = figures("all", None, scores={"facts": rate(0.8), "refusal": rate(0.9)})
    refused = {"refusal": Refusing(precision=rate(0.7, 0.5, 0.9), recall=None)}
    rules = {
        "refusal": {"least": 0.9, "least_precision": 0.7, "least_recall": 0.1},
        "facts": {"least": 0.81, "least_precision": 0},
        "gone": {"least": 0},
    }
    verdict = held({"scorers": rules}, summary(overall, refusing=refused))
    assert set(outcome(verdict)) == {
        ("scorers.least", "refusal", True),
        ("scorers.least_precision", "refusal", True),
        ("scorers.least_recall", "refusal", False),
        ("scorers.least", "facts", False),
        ("scorers.least_precision", "facts", False),
        ("scorers.least", "gone", False),
    }
    rule = {"scorers": {"refusal": {"least_precision": 0.6}}}
    assert only(held(rule, summary(overall, refusing=refused))).passed
    assert not only(held({**rule, "sure": True}, summary(overall, refusing=refused))).passed


@pytest.mark.parametrize(
    ("need", "found", "passed"),
    [
        ("not_worse", BETTER, True),
        ("not_worse", NOT_WORSE, True),
        ("not_worse", WORSE, False),
        ("not_worse", f"{NOT_ENOUGH} (120 more needed)", False),
        ("better", BETTER, True),
        ("better", NOT_WORSE, False),
    ],
)
@pytest.mark.parametrize("sure", [False, True])
def test_quality_beside_the_baseline_is_what_the_comparison_says(
    need: str, found: str, passed: bool, sure: bool
) -> None:
    change = finding(Interval(-0.01, -0.05, 0.03), found, more_needed=120)
    beside = comparison(part("all", quality=change))
    check = only(held({"sure": sure, "quality": {"need": need}}, summary(ALL), beside))
    assert check.passed == passed
    assert found in check.why
    assert "120 more cases" in check.why


def test_rules_that_need_a_baseline_fail_with_the_reason() -> None:
    rules = {
        "quality": {"need": "better"},
        "segments": {"most_fall": 0.1},
        "cost": {"most_ratio": 1},
        "latency": {"most_p95_ratio": 1},
    }
    verdict = held(rules, summary(ALL), "give one")
    assert [(check.passed, check.why) for check in verdict.checks] == [(False, "give one")] * 4


def test_floors_of_segments_and_those_that_are_named() -> None:
    segments = [figures("good", 0.9), figures("bad", 0.5), figures("small", 0.1, cases=4), figures("mute", None)]
    rule = {"floor": 0.6, "floors": {"small": 0.3, "mute": 0.1, "gone": 0.1, "good": 0.95}, "at_least_cases": 5}
    verdict = held({"segments": rule}, summary(ALL, segments))
    assert sorted(outcome(verdict)) == [
        ("segments.floor", "bad", False),
        ("segments.floors", "gone", False),
        ("segments.floors", "good", False),
        ("segments.floors", "mute", False),
        ("segments.floors", "small", False),
    ]
    assert set(verdict.segments) == {"small", "mute", "gone", "good", "bad"}
    assert "bad" in verdict.summary


def test_a_segment_may_fall_so_far() -> None:
    beside = comparison(
        part("all"),
        part("fell", quality=finding(Interval(-0.3, -0.5, -0.1))),
        part("held", quality=finding(Interval(-0.2, -0.5, 0.1))),
        part("few", cases=2, quality=finding(Interval(-0.9, -1, -0.8))),
        part("unscored"),
    )
    rule = {"most_fall": 0.2, "at_least_cases": 3}
    assert outcome(held({"segments": rule}, summary(ALL), beside)) == [
        ("segments.most_fall", "fell", False),
        ("segments.most_fall", "held", True),
    ]
    sure = held({"segments": rule, "sure": True}, summary(ALL), beside)
    assert sure.segments == ["fell", "held"]


def test_the_widest_gap_between_groups_names_the_one_behind() -> None:
    groups = {"lang": [figures("en", 0.8), figures("es", 0.6), figures("fr", 0.75), figures("la", 0.1, cases=2)]}
    rule = {"lang": {"most_gap": 0.15, "at_least_cases": 5}}
    verdict = held({"groups": rule}, summary(ALL, groups=groups))
    check = only(verdict)
    assert (check.about, check.passed, verdict.groups) == ("lang: en ahead of es", False, ["lang=es"])
    assert check.value == pytest.approx(0.2)
    wide = held({"groups": {"lang": {"most_gap": 0.2001}}}, summary(ALL, groups={"lang": groups["lang"][:3]}))
    assert (wide.passed, wide.groups) == (True, [])
    assert not held(
        {"groups": {"lang": {"most_gap": 0.25}}, "sure": True}, summary(ALL, groups={"lang": groups["lang"][:3]})
    ).passed


def test_a_small_group_that_may_be_far_behind_counts_where_it_must_be_sure() -> None:
    sizes = {"en": rate(0.8, 0.79, 0.81), "es": rate(0.7, 0.69, 0.71), "fr": rate(0.75, 0.3, 0.9)}
    groups = {"lang": [figures(name, None, scores={"facts": found}) for name, found in sizes.items()]}
    rules = {"groups": {"lang": {"most_gap": 0.2}}}
    assert held(rules, summary(ALL, groups=groups)).passed
    assert held({**rules, "sure": True}, summary(ALL, groups=groups)).groups == ["lang=fr"]


@pytest.mark.parametrize(
    ("groups", "told"),
    [({}, "suite's `groups`"), ({"lang": [figures("en", 0.8)]}, "no two groups"), ({"lang": []}, "no two groups")],
)
def test_a_gap_that_cannot_be_told_fails(groups: Any, told: str) -> None:
    check = only(held({"groups": {"lang": {"most_gap": 0.5}}}, summary(ALL, groups=groups)))
    assert not check.passed
    assert told in check.why


@given(*[st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)).map(sorted)] * 2)
def test_a_difference_lies_in_its_interval_and_turns_with_its_sides(one: list[float], other: list[float]) -> None:
    a, b = (rate(middle, low, high) for low, middle, high in (one, other))
    gap, turned = difference(a, b), difference(b, a)
    assert gap.low <= gap.value <= gap.high
    assert (turned.low, turned.high) == pytest.approx((-gap.high, -gap.low))


def test_a_difference_is_newcombes() -> None:
    """His example of 56/70 against 48/80: 0.2, from 0.0524 to 0.3339, of Wilson's intervals."""
    gap = difference(rate(0.8, 0.69183, 0.87695), rate(0.6, 0.49045, 0.70038))
    assert (gap.value, gap.low, gap.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(("sure", "passed"), [(False, True), (True, False)])
def test_ceilings_of_cost_and_latency(sure: bool, passed: bool) -> None:
    overall = figures("all", 0.8, cost=Interval(0.01, 0.009, 0.011), latency_p95_ms=Interval(900, 800, 1100))
    beside = comparison(
        part(
            "all",
            cost=finding(Interval(1.1, 1.0, 1.2)),
            latency=finding(Interval(1.4, 1.2, 1.6)),
        )
    )
    rules = {
        "sure": sure,
        "cost": {"most_usd_per_answer": 0.01, "most_ratio": 1.1},
        "latency": {"most_p95_ms": 1000, "most_p95_ratio": 1.5},
    }
    verdict = held(rules, summary(overall), beside)
    assert {check.rule: check.passed for check in verdict.checks} == dict.fromkeys(
        ("cost.most_usd_per_answer", "cost.most_ratio", "latency.most_p95_ms", "latency.most_p95_ratio"), passed
    )


def test_what_nobody_knows_fails_with_advice() -> None:
    rules = {
        "quality": {"least": 0.1, "need": "not_worse"},
        "cost": {"most_usd_per_answer": 1, "most_ratio": 9},
        "latency": {"most_p95_ms": 1, "most_p95_ratio": 9},
    }
    verdict = held(rules, summary(figures("all", None)), comparison(part("all")))
    assert [check.passed for check in verdict.checks] == [False] * 6
    assert sum("price" in check.why for check in verdict.checks) == 2


@pytest.mark.parametrize(("errors", "passed"), [(1, True), (2, False)])
def test_answers_that_never_came_are_counted(errors: int, passed: bool) -> None:
    assert held({"errors": {"most_share": 0.1}}, summary(figures("all", 0.8, errors=errors))).passed == passed


def test_cases_are_counted() -> None:
    assert held({"cases": {"at_least": 10}}, summary(ALL)).passed
    assert not held({"cases": {"at_least": 11}}, summary(ALL)).passed


@pytest.mark.parametrize(
    ("calibrations", "sure", "passed"),
    [
        ({"judge": calibration(0.6)}, False, True),
        ({"judge": calibration(0.6)}, True, False),
        ({"judge": calibration(0.5)}, False, False),
        ({"judge": calibration(0.9, "another version")}, False, False),
        ({}, False, False),
    ],
)
def test_judges_must_agree_with_people(calibrations: Any, sure: bool, passed: bool) -> None:
    scorers = {
        "facts": ScorerFacts(kind="contains_facts", version="1", binary=True),
        "judge": ScorerFacts(kind="judge", version="7", binary=True, model="wise"),
    }
    about = manifest(scorers=scorers, calibrations=calibrations)
    verdict = held({"judges": {"least_kappa": 0.6}, "sure": sure}, summary(ALL, manifest=about))
    assert outcome(verdict) == [("judges.least_kappa", "judge judge", passed)]


@pytest.mark.parametrize(
    ("rules", "rule"),
    [
        ({"judges": {"least_kappa": 0.6}}, "judges.least_kappa"),
        ({"segments": {"floor": 0.5, "at_least_cases": 50}}, "segments.floor"),
        ({"segments": {"most_fall": 0.5, "at_least_cases": 50}}, "segments.most_fall"),
    ],
)
def test_a_rule_that_is_about_nothing_in_a_run_fails_beside_others_that_hold(
    rules: Mapping[str, Any], rule: str
) -> None:
    beside = comparison(part("all", quality=finding(Interval(0, 0, 0))))
    verdict = held({**rules, "cases": {"at_least": 1}}, summary(ALL, [figures("returns", 0.9)]), beside)
    assert outcome(verdict) == [(rule, "all cases", False), ("cases.at_least", "all cases", True)]


@pytest.mark.parametrize(("fell", "passed"), [(-0.1, True), (-0.3, False)])
def test_where_there_is_one_segment_its_fall_is_that_of_all_cases(fell: float, passed: bool) -> None:
    beside = comparison(part("all", quality=finding(Interval(fell, fell - 0.1, fell + 0.1))))
    verdict = held({"segments": {"most_fall": 0.2}}, summary(ALL), beside)
    assert outcome(verdict) == [("segments.most_fall", "all cases", passed)]
