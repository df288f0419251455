"""What one usage event adds to the counters, and that gauges are asked when somebody looks."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from contracts.records import AttemptRecord, Check, Decision, Outlook, Retrieval, UsageEvent, Verdict
from contracts.usage import TokenUsage
from router.metrics import Metrics
from router.verdicts import OUTDATED


def event(**changes: Any) -> UsageEvent:
    made: dict[str, Any] = {
        "request_id": "req_1",
        "at": datetime(2026, 11, 23, tzinfo=UTC),
        "tenant": "acme",
        "key_id": "acme/main",
        "route": "support",
        "endpoint": "chat/completions",
        "requested_model": "whatever the client wrote",
        "model": "large",
        "usage": TokenUsage(prompt=30, completion=20, cached=10),
        "cost": Decimal("0.5"),
        "verdict": Verdict(kind="miss"),
        "attempts": (AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1),),
        "latency_ms": 1500.0,
    }
    return UsageEvent(**{**made, **changes})


def observed(*events: UsageEvent) -> dict[str, float]:
    """All samples above zero, as Prometheus writes them."""
    metrics = Metrics()
    for one in events:
        metrics.observe(one)
    lines = [line.rsplit(" ", 1) for line in metrics.page().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if float(value) and "_created" not in name}


def without_buckets(samples: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in samples.items() if "_bucket" not in name}


def test_an_answer_is_counted_with_its_tokens_and_money() -> None:
    assert without_buckets(observed(event(first_token_ms=250.0))) == {
        'weir_requests_total{cache="miss",model="large",route="support",status="200"}': 1,
        'weir_request_seconds_count{cache="miss",route="support"}': 1,
        'weir_request_seconds_sum{cache="miss",route="support"}': 1.5,
        'weir_first_token_seconds_count{route="support"}': 1,
        'weir_first_token_seconds_sum{route="support"}': 0.25,
        'weir_tokens_total{kind="prompt",model="large",route="support"}': 30,
        'weir_tokens_total{kind="completion",model="large",route="support"}': 20,
        'weir_tokens_total{kind="cached",model="large",route="support"}': 10,
        'weir_cost_usd_total{model="large",route="support",tenant="acme"}': 0.5,
        'weir_attempts_total{model="large",result="answered"}': 1,
    }


def test_a_hit_saves_and_spends_nothing() -> None:
    hit = event(
        verdict=Verdict(kind="exact"),
        usage=TokenUsage(prompt=30, completion=20, source="cache"),
        cost=Decimal(0),
        saved=Decimal("0.25"),
        attempts=(),
    )
    assert without_buckets(observed(hit)) == {
        'weir_requests_total{cache="exact",model="large",route="support",status="200"}': 1,
        'weir_request_seconds_count{cache="exact",route="support"}': 1,
        'weir_request_seconds_sum{cache="exact",route="support"}': 1.5,
        'weir_saved_usd_total{route="support",tenant="acme"}': 0.25,
    }


def test_a_failure_is_counted_by_its_status_and_its_attempts_by_their_errors() -> None:
    attempts = (
        AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1, error="upstream_slow"),
        AttemptRecord(model="small", upstream="u", started_ms=1, took_ms=1, error="upstream_reset"),
    )
    failed = event(
        model="", outcome="failed", status=504, usage=TokenUsage(source="none"), cost=Decimal(0), attempts=attempts
    )
    samples = without_buckets(observed(failed))
    assert samples['weir_requests_total{cache="miss",model="",route="support",status="504"}'] == 1
    assert samples['weir_attempts_total{model="large",result="upstream_slow"}'] == 1
    assert samples['weir_attempts_total{model="small",result="upstream_reset"}'] == 1
    assert not any("tokens" in name or "usd" in name for name in samples)


def test_estimated_tokens_count_like_reported_ones() -> None:
    samples = observed(event(usage=TokenUsage(prompt=7, completion=5, source="estimated")))
    assert samples['weir_tokens_total{kind="prompt",model="large",route="support"}'] == 7
    assert 'weir_tokens_total{kind="cached",model="large",route="support"}' not in samples


def test_hang_ups_and_degraded_choices_are_counted() -> None:
    decision = Decision(model="large", policy="default", reason="r", degraded="policy")
    samples = observed(event(hung_up=True, decision=decision), event())
    assert samples["weir_hung_up_total"] == 1
    assert samples['weir_degraded_total{part="policy"}'] == 1


def decided(outlook: Outlook, *, escalated: bool | None = None, degraded: str = "") -> Decision:
    check = None
    if escalated is not None:
        check = Check(model="small", good=0.5, needed=0.7, escalated=escalated, degraded=degraded)
    return Decision(model="small", policy="learned:x/v1", reason="r", outlook=outlook, check=check)


@pytest.mark.parametrize(
    ("decision", "answered_by", "escalated"),
    [
        (decided("local"), "small", "no"),
        (decided("hosted"), "large", "no"),
        (decided("unsure", escalated=False), "small", "no"),
        (decided("unsure", escalated=True), "large", "yes"),
    ],
)
def test_a_learned_decision_is_counted_by_who_answered_and_whether_a_check_changed_it(
    decision: Decision, answered_by: str, escalated: str
) -> None:
    samples = observed(event(decision=decision, model=answered_by))
    labels = f'escalated="{escalated}",model="{answered_by}",outlook="{decision.outlook}",route="support"'
    assert samples[f"weir_decisions_total{{{labels}}}"] == 1
    assert sum("weir_decisions_total" in name for name in samples) == 1


def test_a_choice_without_a_forecast_is_no_learned_decision() -> None:
    assert not any("weir_decisions" in name for name in observed(event(decision=decided(""))))


def test_an_answer_that_was_doubted_is_a_cost_of_the_model_that_gave_it() -> None:
    attempts = (
        AttemptRecord(model="small", upstream="u", started_ms=0, took_ms=1, cost=Decimal("0.125")),
        AttemptRecord(model="large", upstream="u", started_ms=1, took_ms=1),
    )
    samples = observed(event(cost=Decimal("0.5"), attempts=attempts, decision=decided("unsure", escalated=True)))
    costs = {name: value for name, value in samples.items() if "cost_usd" in name}
    assert costs == {
        'weir_cost_usd_total{model="small",route="support",tenant="acme"}': 0.125,
        'weir_cost_usd_total{model="large",route="support",tenant="acme"}': 0.375,
    }


def test_what_was_paid_for_a_request_that_failed_is_counted_once() -> None:
    attempts = (AttemptRecord(model="small", upstream="u", started_ms=0, took_ms=1, cost=Decimal("0.125")),)
    failed = event(model="", outcome="failed", status=502, cost=Decimal("0.125"), attempts=attempts)
    costs = {name: value for name, value in observed(failed).items() if "cost_usd" in name}
    assert costs == {'weir_cost_usd_total{model="small",route="support",tenant="acme"}': 0.125}


def test_a_check_that_failed_is_a_degraded_part() -> None:
    samples = observed(event(decision=decided("unsure", escalated=True, degraded="check")))
    assert samples['weir_degraded_total{part="check"}'] == 1


def test_shadow_calls_are_weirs_own_requests() -> None:
    samples = observed(event(purpose="shadow"))
    assert samples['weir_own_requests_total{purpose="shadow",route="support",status="200"}'] == 1
    assert not any(name.startswith("weir_requests") for name in samples)


def test_what_a_client_says_it_evaluates_is_no_service() -> None:
    samples = observed(event(purpose="eval"))
    assert samples['weir_own_requests_total{purpose="eval",route="support",status="200"}'] == 1
    assert not any(name.startswith(("weir_requests_total", "weir_request_seconds")) for name in samples)


def test_refusals_and_alerts_are_counted_by_those_who_make_them() -> None:
    metrics = Metrics()
    assert "weir_budget_unavailable_total 0.0" in metrics.page().decode()
    metrics.budget_refused.add("acme-month")
    metrics.budget_unavailable.add()
    metrics.alerts.add("sent")
    page = metrics.page().decode()
    assert 'weir_budget_refused_total{budget="acme-month"} 1.0' in page
    assert "weir_budget_unavailable_total 1.0" in page
    assert 'weir_alerts_total{result="sent"} 1.0' in page


def test_feedback_is_counted_by_route() -> None:
    metrics = Metrics()
    for route in ("support", "support", "auto"):
        metrics.feedback.add(route)
    page = metrics.page().decode()
    assert 'weir_feedback_total{route="support"} 2.0' in page
    assert 'weir_feedback_total{route="auto"} 1.0' in page


def test_nothing_a_client_wrote_becomes_a_label() -> None:
    names = " ".join(observed(event(tags={"feature": "search"}, error="upstream_slow", request_id="req_77")))
    for text in ("whatever", "search", "req_77", "acme/main"):
        assert text not in names


def test_gauges_and_counters_of_others_are_read_at_each_look() -> None:
    metrics, readings, states = Metrics(), {"gauge": 1.0, "counter": 5.0}, {"large": 1.0}
    metrics.gauge("weir_things", "Things.", lambda: readings["gauge"])
    metrics.counter("weir_others", "Others.", lambda: readings["counter"])
    metrics.labelled_gauge("weir_states", "States.", "model", lambda: states)
    page = metrics.page().decode()
    assert "weir_things 1.0" in page
    assert "weir_others_total 5.0" in page
    assert 'weir_states{model="large"} 1.0' in page
    readings |= {"gauge": 2.0, "counter": 6.0}
    states["small"] = 0.0
    page = metrics.page().decode()
    assert "weir_things 2.0" in page
    assert "weir_others_total 6.0" in page
    assert 'weir_states{model="small"} 0.0' in page


def test_two_of_them_do_not_meet() -> None:
    first, second = Metrics(), Metrics()
    first.observe(event())
    assert b"weir_requests_total{" not in second.page()


def test_a_search_is_counted_with_what_it_spared_and_what_failed() -> None:
    looked = Retrieval(
        stores=("vs_1",),
        tokens=40,
        whole_tokens=400,
        saved=Decimal("0.25"),
        stray=2,
        took_ms=20.0,
        degraded="encoder",
    )
    nothing = Retrieval(stores=("vs_1",), nothing=True, took_ms=20.0)
    down = Retrieval(stores=("vs_1",), degraded="retrieval", took_ms=20.0)
    outdated = Verdict(kind="miss", reason=OUTDATED)
    found = observed(
        event(retrieval=looked, verdict=outdated), event(retrieval=nothing), event(retrieval=down, status=503)
    )
    told = {name: value for name, value in without_buckets(found).items() if "route=" in name or "degraded" in name}
    for name, value in {
        'weir_searches_total{outcome="found",route="support"}': 1,
        'weir_searches_total{outcome="nothing",route="support"}': 1,
        'weir_searches_total{outcome="unavailable",route="support"}': 1,
        'weir_search_seconds_sum{route="support"}': 0.06,
        'weir_passage_tokens_total{kind="passages",route="support"}': 40,
        'weir_passage_tokens_total{kind="spared",route="support"}': 360,
        'weir_passage_saved_usd_total{route="support",tenant="acme"}': 0.25,
        'weir_stray_citations_total{route="support"}': 2,
        'weir_cache_outdated_total{route="support"}': 1,
        'weir_degraded_total{part="encoder"}': 1,
        'weir_degraded_total{part="retrieval"}': 1,
    }.items():
        assert told[name] == pytest.approx(value), name
