"""Each rule of the gate lets through what keeps it, refuses what does not, and says with which figure."""

from __future__ import annotations

import orjson
import pytest

from distill.gate import NO_GAP, Measured, Rules, as_rows, judge, of_rows, rules_of

APGR = Measured(metric="apgr small", value=0.7, low=0.6, high=0.8, n=200)
CALIBRATION = Measured(metric="calibration error small", value=0.05, n=200)
INTENTS = Measured(metric="intent accuracy", value=0.9, n=50)


def apgr(value: float = 0.7, low: float | None = 0.6, n: int = 200, model: str = "small") -> Measured:
    return Measured(metric=f"apgr {model}", value=value, low=low, high=0.9, n=n)


def test_good_evidence_passes_and_each_figure_is_told() -> None:
    verdict = judge([APGR, CALIBRATION, INTENTS])
    assert verdict.passed
    assert len(verdict.reasons) == 4
    assert all(reason.startswith("held: ") for reason in verdict.reasons)
    told = " ".join(verdict.reasons)
    for figure in (
        "200 queries of 100",
        "0.600 for sure, more than 0.5",
        "0.050 for sure, at most 0.1",
        "0.900, at least 0.6",
    ):
        assert figure in told


@pytest.mark.parametrize(
    ("evidence", "passed", "about"),
    [
        (apgr(n=100), True, "queries"),
        (apgr(n=99), False, "99 queries of 100"),
        (apgr(value=0.9, low=0.501), True, "for sure"),
        (apgr(value=0.9, low=0.5), False, "0.500 for sure, more than 0.5"),
        (apgr(value=0.9, low=0.1), False, "for sure"),
        (apgr(value=0.6, low=None), True, "for sure"),
        (apgr(value=0.4, low=None), False, "for sure"),
        (apgr(value=0.9, low=float("nan")), False, "for sure"),
        (Measured(metric="calibration error small", value=0.1, n=200), True, "at most"),
        (Measured(metric="calibration error small", value=0.11, n=200), False, "0.110 for sure, at most 0.1"),
        (Measured(metric="calibration error small", value=0.2, low=0.1, n=200), True, "0.100 for sure"),
        (Measured(metric="calibration error small", value=0.2, low=0.11, n=200), False, "0.110 for sure"),
        (Measured(metric="calibration error of checks", value=0.2, n=200), False, "checks"),
        (Measured(metric="intent accuracy", value=0.6, n=50), True, "at least"),
        (Measured(metric="intent accuracy", value=0.59, n=50), False, "0.590, at least 0.6"),
        (Measured(metric=f"{NO_GAP}small (it is as good)", value=0.0, n=100), True, "100 queries of 100"),
        (Measured(metric=f"{NO_GAP}small (it is as good)", value=0.0, n=20), False, "20 queries of 100"),
    ],
)
def test_each_rule_both_ways(evidence: Measured, passed: bool, about: str) -> None:
    verdict = judge([evidence])
    assert verdict.passed is passed
    sort = "held: " if passed else "failed: "
    assert any(reason.startswith(sort) and about in reason for reason in verdict.reasons)


def test_one_failure_is_enough_and_stands_first() -> None:
    verdict = judge([APGR, INTENTS, Measured(metric="calibration error small", value=0.5, n=200)])
    assert not verdict.passed
    assert verdict.reasons[0].startswith("failed: calibration error small")
    assert all(reason.startswith("held: ") for reason in verdict.reasons[1:])


def test_every_model_is_held_to_the_rules() -> None:
    assert judge([apgr(), apgr(model="tiny")]).passed
    assert not judge([apgr(), apgr(model="tiny", low=0.3)]).passed


@pytest.mark.parametrize(
    ("before", "passed"),
    [
        ([], True),
        ([apgr(value=0.7)], True),
        ([apgr(value=0.5)], True),
        ([apgr(value=0.72)], True),
        ([apgr(value=0.73)], False),
        ([apgr(value=0.99, model="another")], True),
    ],
)
def test_no_more_may_be_lost_against_what_is_in_production(before: list[Measured], passed: bool) -> None:
    verdict = judge([apgr(value=0.7)], against=before)
    assert verdict.passed is passed
    assert any("lost" in reason for reason in verdict.reasons) == (bool(before) and before[0].metric == APGR.metric)


@pytest.mark.parametrize(
    "evidence", [[], [Measured(metric="intents: known questions turned away", value=0.1, n=9)]]
)
def test_without_evidence_nothing_passes(evidence: list[Measured]) -> None:
    verdict = judge(evidence)
    assert (verdict.passed, verdict.reasons) == (False, ("failed: there is no evidence",))


def test_rules_may_be_changed_one_by_one() -> None:
    rules = rules_of(["least_queries=50", "least_apgr=0.4", "may_lose=0"])
    assert rules == Rules(least_queries=50, least_apgr=0.4, may_lose=0.0)
    assert rules_of([]) == Rules()
    evidence = [apgr(low=0.45, n=60)]
    assert judge(evidence, rules).passed
    assert not judge(evidence).passed
    assert not judge([apgr(value=0.69)], rules, [apgr(value=0.7)]).passed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("least_quiries=50", "there are least_queries, least_apgr"),
        ("least_queries", "needs a number, not ''"),
        ("least_queries=many", "needs a number, not 'many'"),
        ("=5", "there is no rule"),
        ("least_queries=50.5", "least_queries"),
    ],
)
def test_what_is_no_rule_is_refused_with_what_there_is(change: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        rules_of([change])


def test_evidence_comes_back_from_a_card_as_it_was() -> None:
    evidence = [APGR, CALIBRATION, INTENTS]
    rows = as_rows(evidence)
    assert rows[1] == {"metric": "calibration error small", "value": 0.05, "n": 200}
    assert of_rows(orjson.loads(orjson.dumps(rows))) == evidence
    assert of_rows([{**rows[0], "of a later Weir": 1}]) == [APGR]
