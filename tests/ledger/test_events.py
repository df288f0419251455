"""Usage events survive the way to JSON and to a row and back, also between versions of Weir."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.records import (
    AttemptRecord,
    Candidate,
    Check,
    Decision,
    Near,
    PassageRecord,
    Retrieval,
    UsageEvent,
    Verdict,
)
from contracts.usage import TokenUsage
from ledger.database import Database
from ledger.events import find_event, from_json, from_row, to_json, to_row
from ledger.tables import usage_events
from tests.ledger.storing import store

MakeEvent = Callable[..., UsageEvent]

money = st.decimals(min_value=0, max_value=1_000_000, places=12)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(min_value=0, max_value=2**62)
floats = st.floats(min_value=0, max_value=1e9)
usages = st.builds(
    TokenUsage,
    prompt=counts,
    completion=counts,
    cached=counts,
    cache_write=counts,
    reasoning=counts,
    audio_prompt=counts,
    audio_completion=counts,
    source=st.sampled_from(["reported", "estimated", "cache", "none"]),
    method=texts,
    raw=st.none() | st.dictionaries(texts, counts | texts | st.none(), max_size=3),
)
candidates = st.builds(
    Candidate,
    model=texts,
    eligible=st.booleans(),
    reason=texts,
    quality=st.none() | floats,
    deviation=st.none() | floats,
    cost=st.none() | money,
    latency_ms=st.none() | floats,
    propensity=st.none() | floats,
)
checks = st.builds(
    Check,
    model=texts,
    good=floats,
    needed=floats,
    escalated=st.booleans(),
    reasons=st.lists(texts, max_size=3).map(tuple),
    signals=st.dictionaries(texts, floats, max_size=3),
    degraded=texts,
)
decisions = st.builds(
    Decision,
    model=texts,
    policy=texts,
    reason=texts,
    intent=texts,
    intent_probability=st.none() | floats,
    outlook=st.sampled_from(["", "local", "hosted", "unsure"]),
    candidates=st.lists(candidates, max_size=3).map(tuple),
    nearest=st.lists(st.builds(Near, texts, floats), max_size=3).map(tuple),
    otherwise=texts,
    check=st.none() | checks,
    degraded=texts,
)
attempts = st.lists(
    st.builds(
        AttemptRecord,
        model=texts,
        upstream=texts,
        started_ms=floats,
        took_ms=floats,
        error=texts,
        status=st.none() | st.integers(100, 599),
        detail=texts,
        usage=st.none() | usages,
        cost=st.none() | money,
    ),
    max_size=3,
).map(tuple)
retrievals = st.builds(
    Retrieval,
    stores=st.lists(texts, max_size=2).map(tuple),
    passages=st.lists(
        st.builds(
            PassageRecord,
            store_id=texts,
            file_id=texts,
            filename=texts,
            start=st.integers(0, 10**9),
            end=st.integers(0, 10**9),
            score=floats,
            cited=st.booleans(),
        ),
        max_size=2,
    ).map(tuple),
    answerable=floats,
    nothing=st.booleans(),
    tokens=st.integers(0, 10**9),
    saved=money,
    took_ms=floats,
    degraded=texts,
)
events = st.builds(
    UsageEvent,
    request_id=st.text(string.ascii_lowercase, min_size=1),
    at=st.datetimes(min_value=datetime(2020, 1, 1), timezones=st.just(UTC)),
    tenant=texts,
    key_id=texts,
    route=texts,
    endpoint=st.sampled_from(["chat/completions", "completions", "embeddings"]),
    requested_model=texts,
    model=texts,
    stream=st.booleans(),
    outcome=st.sampled_from(["answered", "failed", "cut"]),
    usage=usages,
    cost=money,
    saved=money,
    verdict=st.builds(
        Verdict,
        kind=st.sampled_from(["exact", "semantic", "miss", "bypass"]),
        reason=texts,
        entry_id=texts,
        age_s=floats,
        saved=money,
    ),
    decision=st.none() | decisions,
    retrieval=st.none() | retrievals,
    attempts=attempts,
    latency_ms=floats,
    first_token_ms=st.none() | floats,
    hung_up=st.booleans(),
    tags=st.dictionaries(texts, texts, max_size=3),
)


@given(events)
def test_json_and_back_is_the_same_event(event: UsageEvent) -> None:
    data = to_json(event)
    assert b"\n" not in data
    assert from_json(data) == event


CHECKED = Decision(
    model="large",
    policy="learned:1/2",
    reason="first",
    intent="billing",
    intent_probability=0.75,
    outlook="unsure",
    candidates=(
        Candidate(
            model="l", quality=0.5, deviation=0.125, cost=Decimal("0.30"), latency_ms=12.5, propensity=0.0625
        ),
        Candidate(model="m", eligible=False, reason="no images"),
    ),
    nearest=(Near("q1", 0.9375), Near("q2", -0.25)),
    otherwise="a floor of 0.5",
    check=Check(
        model="l",
        good=0.25,
        needed=0.5,
        escalated=True,
        reasons=("against it: the answer's form", "for it: a second opinion"),
        signals={"mean_logp": -0.5, "lowest": 1e-13},
        degraded="check",
    ),
)


def test_money_is_a_string_in_json(make_event: MakeEvent) -> None:
    assert orjson.loads(to_json(make_event(cost=Decimal("0.000000000001"))))["cost"] in ("1E-12", "0.000000000001")


def test_an_event_of_a_later_weir_is_read_without_what_is_unknown(make_event: MakeEvent) -> None:
    event = make_event(
        decision=Decision(
            model="large",
            policy="fixed",
            reason="",
            candidates=(Candidate(model="large"),),
            nearest=(Near("q1", 0.9),),
            check=Check(model="large", good=0.25, needed=0.5, escalated=True),
        ),
        attempts=(AttemptRecord(model="large", upstream="u", started_ms=0, took_ms=1, usage=TokenUsage(prompt=3)),),
    )
    raw = orjson.loads(to_json(event))
    places = (
        raw,
        raw["usage"],
        raw["verdict"],
        raw["decision"],
        raw["decision"]["candidates"][0],
        raw["decision"]["nearest"][0],
        raw["decision"]["check"],
        raw["attempts"][0],
        raw["attempts"][0]["usage"],
    )
    for place in places:
        place["from_the_future"] = {"any": "thing"}
    assert from_json(orjson.dumps(raw)) == event


def test_money_of_candidates_and_attempts_is_exact(make_event: MakeEvent) -> None:
    exact = Decimal("123456.789012345678")
    event = make_event(
        decision=Decision(model="m", policy="p", reason="", candidates=(Candidate(model="m", cost=exact),)),
        attempts=(AttemptRecord(model="m", upstream="u", started_ms=0, took_ms=1, cost=exact),),
    )
    raw = orjson.loads(to_json(event))
    assert (raw["decision"]["candidates"][0]["cost"], raw["attempts"][0]["cost"]) == (str(exact), str(exact))
    assert from_json(to_json(event)) == event


@pytest.mark.parametrize(
    "broken",
    [
        {"decision": {"model": "m", "policy": "p", "reason": "", "nearest": [{"query_id": "q"}]}},
        {"decision": {"model": "m", "policy": "p", "reason": "", "check": {"model": "m"}}},
        {"decision": {"model": "m", "policy": "p", "reason": "", "check": 3}},
        {"attempts": [{"model": "m", "upstream": "u", "started_ms": 0, "took_ms": 1, "usage": 3}]},
        {"attempts": [{"model": "m", "upstream": "u", "started_ms": 0, "took_ms": 1, "cost": "money"}]},
    ],
)
def test_a_broken_part_is_a_value_error_too(make_event: MakeEvent, broken: dict[str, object]) -> None:
    raw = orjson.loads(to_json(make_event())) | broken
    with pytest.raises(ValueError, match="not a usage event"):
        from_json(orjson.dumps(raw))


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_json_has_none_for_makes_no_event_unreadable(make_event: MakeEvent, number: float) -> None:
    check = Check(model="m", good=number, needed=number, escalated=True, signals={"mean_logp": number})
    candidate = Candidate(model="m", quality=number, deviation=number, latency_ms=number, propensity=number)
    decision = Decision(
        model="m", policy="p", reason="", intent_probability=number, candidates=(candidate,), check=check
    )
    event = from_json(to_json(make_event(decision=decision, cost=Decimal("0.25"))))
    assert event.cost == Decimal("0.25")
    assert event.decision is not None
    assert event.decision.candidates == (Candidate(model="m"),)
    assert event.decision.check is not None
    assert (event.decision.check.needed, event.decision.check.escalated) == (0.0, True)


def test_half_a_surrogate_in_a_check_can_be_written_down(make_event: MakeEvent) -> None:
    check = Check(model="m", good=0.25, needed=0.5, escalated=True, reasons=("\ud83d",), signals={"\ud83d": 0.5})
    decision = Decision(model="m", policy="p", reason="", nearest=(Near("\ud83d", 0.5),), check=check)
    read = from_json(to_json(make_event(decision=decision))).decision
    assert read is not None
    assert read.nearest == (Near("?", 0.5),)
    assert read.check == Check(model="m", good=0.25, needed=0.5, escalated=True, reasons=("?",), signals={"?": 0.5})


def test_an_event_of_an_earlier_weir_gets_defaults(make_event: MakeEvent) -> None:
    needed = {"request_id", "at", "tenant", "key_id", "route", "endpoint", "requested_model"}
    raw = {name: value for name, value in orjson.loads(to_json(make_event())).items() if name in needed}
    data = orjson.dumps(raw)
    event = from_json(data)
    short, long = to_row(data), to_row(to_json(event))
    assert (short.pop("verdict_detail"), long.pop("verdict_detail")["age_s"]) == ({}, 0.0)
    assert short == long, "and its row the same ones"
    assert (event.cost, event.usage, event.decision, event.attempts) == (Decimal(0), TokenUsage(), None, ())


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"1", b"{}", b'{"request_id":"x"}', b'{"at":1}', b'{"at":"x","cost":"money"}'],
)
def test_what_is_no_event_is_a_value_error(data: bytes) -> None:
    for read in (from_json, to_row):
        with pytest.raises(ValueError, match=r"not a usage event|JSON|isoformat|empty|end of data"):
            read(data)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant", 1),
        ("route", {}),
        ("status", "200"),
        ("stream", 1),
        ("latency_ms", "1"),
        ("usage", {"prompt": 1.5}),
    ],
)
def test_a_row_of_wrong_types_is_refused(make_event: MakeEvent, name: str, value: object) -> None:
    raw = orjson.loads(to_json(make_event())) | {name: value}
    with pytest.raises(ValueError, match="must be"):
        to_row(orjson.dumps(raw))


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ({"half": "\ud83d"}, {"half": "?"}),
        ({"large": 2**70}, {"large": float(2**70)}),
        ({1: "number"}, {"1": "number"}),
        ({"odd": {1}}, {"odd": [1]}),
        (MappingProxyType({"view": Decimal("1.5")}), {"view": "1.5"}),
    ],
)
def test_whatever_a_provider_reported_can_be_written_down(
    make_event: MakeEvent, raw: dict[str, object], kept: dict[str, object]
) -> None:
    event = make_event(usage=TokenUsage(prompt=3, raw=raw), cost=Decimal("1.25"))
    read = from_json(to_json(event))
    assert read.usage.raw == kept
    assert (read.cost, read.usage.prompt, read.at) == (event.cost, 3, event.at)


@pytest.mark.parametrize(("depth", "tenant"), [(2000, "acme"), (2000, "\ud800"), (300, "\ud800")])
def test_usage_that_is_nested_too_deep_is_left_out_of_what_is_written_down(
    make_event: MakeEvent, depth: int, tenant: str
) -> None:
    raw: dict[str, Any] = {}
    for _ in range(depth):
        raw = {"a": raw}
    usage = TokenUsage(prompt=3, raw=raw)
    dropped = AttemptRecord(model="small", upstream="u", started_ms=0, took_ms=1, usage=usage, cost=Decimal(1))
    read = from_json(to_json(make_event(tenant=tenant, usage=usage, attempts=(dropped,))))
    assert (read.usage, read.attempts[0].cost) == (TokenUsage(prompt=3), Decimal(1))


async def test_a_row_and_back_is_the_same_event(database: Database, make_event: MakeEvent) -> None:
    event = make_event(
        at=datetime(2026, 11, 5, 14, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
        usage=TokenUsage(prompt=9, cached=4, source="estimated", method="bytes/4", raw={"a": [1, {"b": None}]}),
        cost=Decimal("0.000000000001"),
        saved=Decimal("123456.789012345678"),
        verdict=Verdict(kind="semantic", reason="close", entry_id="e1", age_s=1.5, saved=Decimal("0.1")),
        decision=CHECKED,
        attempts=(
            AttemptRecord(model="large", upstream="u", started_ms=0.1, took_ms=2.25, error="x", status=500),
            AttemptRecord(
                model="small",
                upstream="u",
                started_ms=0.2,
                took_ms=3.5,
                usage=TokenUsage(prompt=9, completion=4, source="estimated", method="bytes/4", raw={"b": [None]}),
                cost=Decimal("0.000000000003"),
            ),
        ),
        first_token_ms=0.1,
        tags={"team": "ops", "nul": "\0"},
    )
    await store(database, [event])
    found = await find_event(database, event.request_id, "acme")
    assert found is not None
    assert found == event
    assert found.at.tzinfo is UTC or found.at.utcoffset() == timedelta(0)


async def test_an_event_is_found_by_its_tenant_only(database: Database, make_event: MakeEvent) -> None:
    event = make_event()
    await store(database, [event])
    assert await find_event(database, event.request_id, "globex") is None
    assert await find_event(database, "another", "acme") is None
    assert await find_event(database, event.request_id, None) == event


@pytest.mark.parametrize("years_off", [0, 1])
async def test_an_event_is_found_by_the_time_in_its_id_and_also_where_that_is_wrong(
    database: Database, make_event: MakeEvent, years_off: int
) -> None:
    at = datetime(2026, 10, 31, 23, 59, 59, 999000, tzinfo=UTC)
    request_id = f"req_{int(at.timestamp() * 1000):012x}{1:020x}"
    event = make_event(request_id=request_id, at=at.replace(year=2026 - years_off))
    await store(database, [event, make_event(request_id=request_id[:-1] + "2", at=at)])
    assert await find_event(database, request_id, "acme") == event


async def test_nul_in_text_does_not_make_an_event_unwritable(database: Database, make_event: MakeEvent) -> None:
    event = make_event(error="a\0b")
    await store(database, [event])
    async with database.reading() as connection:
        row = (await connection.execute(usage_events.select())).mappings().one()
    assert from_row(row).error == "a\ufffdb"
