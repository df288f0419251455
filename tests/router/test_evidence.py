from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import orjson

from contracts.records import AttemptRecord, Candidate, Decision, UsageEvent, Verdict
from contracts.usage import TokenUsage
from router.evidence import RecentDecisions, explain


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
