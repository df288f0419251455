from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from contracts.records import AttemptRecord, Candidate, Check, Decision, Near, UsageEvent, Verdict
from contracts.usage import TokenUsage
from router.evidence import RecentDecisions, explain, explain_decision


def event(request_id: str) -> UsageEvent:
    return UsageEvent(
        request_id=request_id,
        at=datetime(2026, 11, 23, tzinfo=UTC),
        tenant="acme",
        key_id="acme/demo",
        route="support",
        endpoint="chat/completions",
        requested_model="support",
        model="large",
        usage=TokenUsage(prompt=3, completion=2, raw={"prompt_tokens": 3}),
        cost=Decimal("0.0000000001"),
        verdict=Verdict(kind="miss"),
        decision=Decision(
            model="large",
            policy="fixed:first",
            reason="because",
            candidates=(Candidate(model="large", cost=Decimal("1e-7")),),
        ),
        attempts=(
            AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1, detail="a provider's words"),
        ),
    )


def test_only_the_last_ones_are_remembered() -> None:
    recent = RecentDecisions(2)
    for name in ("a", "b", "c"):
        recent.add(event(name))
    assert recent.find("a") is None
    assert [recent.find(name) is not None for name in ("b", "c")] == [True, True]


def test_an_explanation_is_json_with_exact_money_and_without_provider_words() -> None:
    page = orjson.loads(orjson.dumps(explain(event("a"))))
    assert page["cost_usd"] == "0.0000000001"
    assert page["decision"]["candidates"][0]["cost"] == "0.0000001"
    assert page["usage"]["raw"] == {"prompt_tokens": 3}
    assert "provider's words" not in str(page)


def candidate(**changes: Any) -> Candidate:
    return Candidate(**{"model": "small", "quality": 0.7, "deviation": 0.05, **changes})


def shown(*candidates: Candidate, **changes: Any) -> dict[str, Any]:
    decision = Decision(model="small", policy="learned:x/v1", reason="because", candidates=candidates, **changes)
    return dict(orjson.loads(orjson.dumps(explain_decision(decision))))


@pytest.mark.parametrize(
    ("quality", "deviation", "interval"),
    [
        (0.7, 0.05, [0.602, 0.798]),
        (0.99, 0.05, [0.892, 1.0]),
        (0.01, 0.05, [0.0, 0.108]),
        (0.5, 0.0, [0.5, 0.5]),
        (None, 0.05, None),
        (0.7, None, None),
    ],
)
def test_a_prediction_has_the_interval_that_holds_it_nineteen_times_in_twenty(
    quality: float | None, deviation: float | None, interval: list[float] | None
) -> None:
    (told,) = shown(candidate(quality=quality, deviation=deviation))["candidates"]
    assert told["interval"] == interval
    assert told["quality"] == quality


def test_each_candidate_has_its_own_figures() -> None:
    one, other = shown(
        candidate(model="small", cost=Decimal("1e-7"), latency_ms=120.0, propensity=0.9),
        candidate(model="large", quality=None, eligible=False, reason="it is left alone for the moment"),
    )["candidates"]
    assert (one["model"], one["cost"], one["latency_ms"], one["propensity"]) == ("small", "0.0000001", 120.0, 0.9)
    assert (other["model"], other["cost"], other["interval"], other["eligible"]) == ("large", None, None, False)
    assert "left alone" in other["reason"]


def test_a_check_and_what_was_near_are_explained() -> None:
    check = Check(
        model="small", good=0.3, needed=0.7, escalated=True, reasons=("unsure",), signals={"entropy": 2.0}
    )
    told = shown(
        intent="tides", intent_probability=0.8, nearest=(Near("q1", 0.93),), otherwise="a lower floor", check=check
    )
    assert told["check"] == {
        "model": "small",
        "good": 0.3,
        "needed": 0.7,
        "escalated": True,
        "reasons": ["unsure"],
        "signals": {"entropy": 2.0},
        "degraded": "",
    }
    assert told["nearest"] == [{"query_id": "q1", "similarity": 0.93}]
    assert (told["intent"], told["intent_probability"], told["otherwise"]) == ("tides", 0.8, "a lower floor")


def test_an_answer_that_was_paid_for_and_not_delivered_is_told_with_its_cost_and_no_detail() -> None:
    doubted = AttemptRecord(
        model="small",
        upstream="u",
        started_ms=0,
        took_ms=1,
        detail="a provider's words",
        usage=TokenUsage(prompt=7, completion=5, raw={"secret": 1}),
        cost=Decimal("1e-7"),
    )
    first, second = explain(replace(event("a"), attempts=(doubted, *event("a").attempts)))["attempts"]
    assert (first["cost"], first["prompt_tokens"], first["completion_tokens"]) == ("0.0000001", 7, 5)
    assert (second["cost"], "prompt_tokens" in second) == (None, False)
    for told in (first, second):
        assert not {"detail", "usage", "raw"} & set(told)
    assert "secret" not in str(first)


def test_without_a_decision_none_is_told() -> None:
    assert explain(replace(event("a"), decision=None))["decision"] is None
