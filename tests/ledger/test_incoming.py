"""A record on its way into the database: quickly or forgivingly, the row is the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import usd
from contracts.records import UsageEvent
from contracts.usage import TokenUsage
from ledger import incoming as module
from ledger.events import from_json, to_json
from ledger.incoming import COLUMNS, incoming
from ledger.rollups import parts_of
from tests.ledger.test_rollups import some_events

MakeEvent = Callable[..., UsageEvent]


def columns(values: tuple[Any, ...]) -> dict[str, Any]:
    row = dict(zip(COLUMNS, values, strict=True))
    for name in ("usage_raw", "verdict_detail", "decision", "attempts", "tags"):
        row[name] = None if row[name] is None else orjson.loads(row[name])
    return row


@given(some_events, st.sampled_from([(), ("team",)]))
def test_the_quick_way_and_the_forgiving_one_are_the_same(events: list[UsageEvent], tags: tuple[str, ...]) -> None:
    for event in events:
        record = to_json(event)
        quick, forgiving = incoming(record, tags), module._forgiven(record, tags)
        assert columns(quick.values) == columns(forgiving.values)
        assert quick.parts == forgiving.parts == parts_of(from_json(record), tags)
        assert (quick.request_id, quick.at, quick.latency_ms) == (event.request_id, event.at, event.latency_ms)


def test_what_this_weir_writes_goes_the_quick_way(make_event: MakeEvent) -> None:
    record = to_json(make_event())
    assert module._DECODER.decode(record).request_id == "r0"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cost": "-0.01"}, "its cost is not to be believed: -0.01"),
        ({"saved": "-1"}, "its cost"),
        ({"cost": "1000000000000"}, "its cost"),
        ({"at": "0001-01-01T00:00:00Z"}, "its time is not to be believed: 0001"),
        ({"at": "9999-12-31T23:59:59Z"}, "its time"),
        ({"at": "1999-12-31T23:59:59Z"}, "its time"),
        ({"usage": {"prompt": -1}}, "its tokens are not to be believed: -1"),
        ({"usage": {"prompt": 2**63}}, "its tokens"),
        ({"cost": "NaN"}, "not"),
        ({"attempts": [{"model": "m", "cost": "much"}]}, "not a usage event"),
        ({"attempts": 3}, "not a usage event"),
        ({"tags": 3}, "not a usage event"),
        ({"status": 10**6}, "its status"),
    ],
)
def test_what_makes_no_sense_is_told_by_reason(
    make_event: MakeEvent, changes: dict[str, object], reason: str
) -> None:
    record = orjson.dumps(orjson.loads(to_json(make_event())) | changes)
    with pytest.raises(ValueError, match=reason):
        incoming(record, ("team",))


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "of a later Weir"},
        {"avoided": "-5"},
        {"latency_ms": None},
        {"verdict": None, "attempts": None, "tags": None},
        {"usage": {"prompt": None, "later": 1}},
        {"later": [1, {"x": None}]},
        {"at": "2026-11-05T13:00:00+01:00"},
        {"at": "2026-11-05T12:00:00"},
    ],
)
def test_what_is_only_unusual_is_taken(make_event: MakeEvent, changes: dict[str, object]) -> None:
    raw = orjson.loads(to_json(make_event())) | changes
    found = incoming(orjson.dumps(raw), ())
    assert found.at == datetime(2026, 11, 5, 12, tzinfo=UTC)
    assert found.at.utcoffset() == timedelta(0)
    assert columns(found.values)["purpose"] == raw["purpose"]
    assert sum(sums.requests for _, sums in found.parts) == 1


@pytest.mark.parametrize("depth", [300, 900])
@pytest.mark.parametrize("tenant", ["acme", "ac\0me"])
def test_what_is_nested_deep_is_taken_too(make_event: MakeEvent, depth: int, tenant: str) -> None:
    raw: dict[str, Any] = {}
    for _ in range(depth):
        raw = {"a": raw}
    event = make_event(tenant=tenant, usage=TokenUsage(prompt=1, raw=raw))
    assert columns(incoming(to_json(event), ()).values)["usage_raw"] == raw


def test_a_time_of_another_zone_counts_in_its_hour_of_utc(make_event: MakeEvent) -> None:
    event = make_event(at=datetime(2026, 11, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))))
    assert incoming(to_json(event), ()).at == datetime(2026, 10, 31, 22, 30, tzinfo=UTC)


def test_money_is_rounded_once(make_event: MakeEvent) -> None:
    cost = Decimal("0.0000000000015")
    found = incoming(to_json(make_event(cost=cost)), ())
    assert columns(found.values)["cost"] == usd(cost) == found.parts[0][1].cost
