"""What is noted of a request, and the one event that comes of it."""

from __future__ import annotations

import asyncio
import re
import time
from decimal import Decimal
from typing import Any

import pytest

from contracts.errors import LimitReached, RateLimited, ServerFault, StreamCut
from contracts.records import Candidate, Decision, Verdict
from contracts.request import ModelRequest
from contracts.usage import TokenUsage
from router.trail import Trail, new_request_id
from tests.router.plain import ACME, HELLO

MILLISECOND_NS = 1_000_000


def trail(**body: Any) -> Trail:
    request = ModelRequest("chat/completions", {"model": "support", "messages": list(HELLO), **body})
    return Trail("req_1", time.perf_counter(), ACME, "support", request)


def test_request_ids_are_short_unlike_and_carry_their_time() -> None:
    before = time.time_ns() // MILLISECOND_NS
    made = [new_request_id() for _ in range(1000)]
    after = time.time_ns() // MILLISECOND_NS
    assert len(set(made)) == 1000
    for request_id in made:
        assert re.fullmatch(r"req_[0-9a-f]{32}", request_id)
        assert before <= int(request_id[4:16], 16) <= after


def test_request_ids_sort_by_time() -> None:
    stamps = [new_request_id()[:16] for _ in range(1000)]
    assert stamps == sorted(stamps)
    late = f"req_{(1 << 48) - 1:012x}"
    assert all(stamp < late for stamp in stamps)


def test_a_request_that_nobody_answered_yet_costs_nothing() -> None:
    event = trail().event()
    assert (event.request_id, event.tenant, event.key_id) == ("req_1", "acme", "acme/main")
    assert (event.route, event.requested_model, event.endpoint) == ("support", "support", "chat/completions")
    assert (event.model, event.upstream, event.stream, event.purpose) == ("", "", False, "serve")
    assert (event.outcome, event.status, event.error) == ("answered", 200, "")
    assert event.usage == TokenUsage(source="none")
    assert (event.cost, event.saved, event.priced_by) == (Decimal(0), Decimal(0), "")
    assert (event.verdict.kind, event.decision, event.attempts) == ("bypass", None, ())
    assert (event.first_token_ms, event.hung_up, event.tags) == (None, False, {})
    assert event.at.utcoffset() is not None
    assert event.latency_ms >= 0


def test_everything_noted_is_in_the_event() -> None:
    noted = trail(stream=True)
    noted.verdict = Verdict(kind="exact", entry_id="e", age_s=3.5, saved=Decimal("0.25"))
    noted.decision = Decision(model="m", policy="fixed:m", reason="r", candidates=(Candidate(model="m"),))
    noted.model, noted.upstream = "m", "u"
    noted.prompt_version, noted.policy_version = "p1", "fixed:m"
    noted.first_token_ms, noted.hung_up = 12.5, True
    usage = TokenUsage(prompt=3, completion=2)
    noted.spent(usage, Decimal("0.5"), "config")
    event = noted.event()
    assert (event.verdict, event.saved, event.decision) == (noted.verdict, Decimal("0.25"), noted.decision)
    assert (event.model, event.upstream, event.stream) == ("m", "u", True)
    assert (event.usage, event.cost, event.priced_by) == (usage, Decimal("0.5"), "config")
    assert (event.prompt_version, event.policy_version) == ("p1", "fixed:m")
    assert (event.first_token_ms, event.hung_up) == (12.5, True)


def test_attempts_are_kept_in_order_with_how_they_went() -> None:
    noted = trail()
    noted.attempt("a", "hosted", 1.23456, RateLimited("later", status=429, detail="quota"))
    noted.attempt("b", "local", 2.0, None)
    first, second = noted.event().attempts
    assert (first.model, first.upstream, first.started_ms) == ("a", "hosted", 1.235)
    assert (first.error, first.status, first.detail) == ("upstream_rate_limited", 429, "quota")
    assert (second.model, second.error, second.status, second.detail) == ("b", "", None, "")


def test_a_model_that_a_budget_kept_from_being_called_is_an_attempt_too() -> None:
    noted = trail()
    noted.attempt("a", "hosted", 1.0, LimitReached("no", budget="b", measure="requests", limit="1", left="0"))
    (tried,) = noted.event().attempts
    assert (tried.error, tried.status, tried.detail) == ("rate_limit_exceeded", None, "")


CHEAP = TokenUsage(prompt=3, completion=2)


def doubted() -> Trail:
    """Of a request whose cheap model was tried twice, and whose answer a better one has to replace."""
    noted = trail()
    noted.attempt("cheap", "local", 0.0, ServerFault("down"))
    noted.attempt("cheap", "local", 1.0, None)
    noted.attempt("strong", "hosted", 2.0, None)
    noted.undelivered("cheap", CHEAP, Decimal("0.25"))
    return noted


def test_an_answer_that_was_not_delivered_is_paid_for_where_it_came_from() -> None:
    event = doubted().event()
    assert [(attempt.usage, attempt.cost) for attempt in event.attempts] == [
        (None, None),
        (CHEAP, Decimal("0.25")),
        (None, None),
    ]
    assert [(attempt.model, attempt.started_ms) for attempt in event.attempts] == [
        ("cheap", 0.0),
        ("cheap", 1.0),
        ("strong", 2.0),
    ]


def test_the_delivered_answer_costs_what_both_cost() -> None:
    noted = doubted()
    usage = TokenUsage(prompt=30, completion=20)
    noted.spent(usage, Decimal("0.5"), "config")
    event = noted.event()
    assert (event.cost, event.usage, event.priced_by) == (Decimal("0.75"), usage, "config")


def test_the_bills_say_which_model_got_what_and_add_up_to_the_cost() -> None:
    noted, usage = doubted(), TokenUsage(prompt=30, completion=20)
    noted.lost("cheap", CHEAP, Decimal("0.125"))
    noted.model = "strong"
    noted.spent(usage, Decimal("0.5"), "config")
    assert noted.bills == [
        ("cheap", CHEAP, Decimal("0.25")),
        ("cheap", CHEAP, Decimal("0.125")),
        ("strong", usage, Decimal("0.5")),
    ]
    assert noted.event().cost == sum(cost for _, _, cost in noted.bills)


def test_a_request_that_fails_after_all_has_cost_what_was_not_delivered() -> None:
    noted = doubted()
    noted.failed(asyncio.CancelledError(), 499)
    event = noted.event()
    assert (event.outcome, event.cost, event.usage.source) == ("failed", Decimal("0.25"), "none")


def test_and_no_more_than_once_where_both_were_priced() -> None:
    noted = doubted()
    noted.spent(TokenUsage(), Decimal("0.5"), "config")
    noted.failed(ServerFault("down"), 502)
    assert noted.event().cost == Decimal("0.75")


def test_several_that_were_not_delivered_add_up() -> None:
    noted = doubted()
    noted.undelivered("strong", CHEAP, Decimal("0.5"))
    noted.failed(asyncio.CancelledError(), 499)
    assert noted.event().cost == Decimal("0.75")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServerFault("down"), "upstream_server_error"),
        (KeyError("a bug"), "internal_error"),
        (asyncio.CancelledError(), "abandoned"),
    ],
)
def test_a_failed_request_names_the_error_that_ended_it(error: BaseException, code: str) -> None:
    noted = trail()
    noted.failed(error, 502)
    event = noted.event()
    assert (event.outcome, event.error, event.status) == ("failed", code, 502)


def test_a_cut_answer_had_the_status_200() -> None:
    noted = trail()
    noted.cut(StreamCut("lost"))
    event = noted.event()
    assert (event.outcome, event.error, event.status) == ("cut", "upstream_cut", 200)


def test_metadata_is_read_as_tags_within_bounds() -> None:
    metadata = {"feature": "search", "count": 3, "none": None, "n" * 100: "v" * 1000}
    assert trail(metadata=metadata).event().tags == {"feature": "search", "n" * 64: "v" * 512}
    assert trail(metadata={}).event().tags == trail(metadata=None).event().tags == {}
    many = trail(metadata={f"tag{number}": "x" for number in range(40)}).event().tags
    assert list(many) == [f"tag{number}" for number in range(16)]
