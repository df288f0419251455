"""The cache's figures are on the page whatever of it is there, and say what a scope has learned."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import orjson
import pytest
from msgspec import Struct

from cache.exact import ExactCache
from cache.room import CacheRoom, CacheSettings
from cache.semantic import SemanticCache
from contracts.ports import Filing, SemanticRules
from contracts.records import StoredAnswer
from router.cache_metrics import wire_cache, wire_encoder
from router.metrics import Metrics
from tests.cache.semantics import semantic_over

RULES = SemanticRules(max_wrong_hits=0.05)


class Parts(Struct, frozen=True):
    """A room of what is given."""

    answers: ExactCache
    semantic: SemanticCache | None = None
    snapshot: None = None
    spread: None = None


class PlainEncoder(Struct):
    up: bool = True
    encoded: int = 3
    failed: int = 1


def samples(metrics: Metrics) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in metrics.page().decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines if "_created" not in name}


def families(metrics: Metrics) -> set[str]:
    return {line.split()[2] for line in metrics.page().decode().splitlines() if line.startswith("# TYPE weir_")}


def exact() -> ExactCache:
    return ExactCache(max_bytes=10_000, max_answer_bytes=1_000)


def answer(text: str) -> StoredAnswer:
    body = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
    return StoredAnswer(body=orjson.dumps(body), pieces=(), model="m", usage=None, cost=Decimal(0))


def test_a_cache_of_equal_requests_alone_shows_the_same_metrics() -> None:
    with_all, without = Metrics(), Metrics()
    answers = exact()
    wire_cache(with_all, Parts(answers, semantic_over(answers)), lambda *_: RULES, lambda: 0)
    wire_cache(without, Parts(exact()), lambda *_: None, lambda: 0)
    wire_encoder(with_all, PlainEncoder)
    wire_encoder(without, lambda: None)
    assert families(with_all) == families(without)
    shown = samples(without)
    assert "weir_encoder_up" not in shown  # none is needed: that is not a part that is down
    assert "weir_cache_spread_up" not in shown
    assert not any(name.startswith("weir_cache_threshold") for name in shown)
    assert shown['weir_cache_labels_total{verdict="same"}'] == 0


def test_what_became_of_answers_is_counted() -> None:
    metrics, answers = Metrics(), exact()
    wire_cache(metrics, Parts(answers), lambda *_: None, lambda: 4)
    answers.store(b"old", answer("old"), Filing(ttl_s=0))
    answers.store(b"stale", answer("stale"), Filing(ttl_s=60, owner="acme", tags=("t",)))
    answers.store(b"good", answer("good"), Filing(ttl_s=60))
    answers.freshness.invalidate("acme", "t")
    assert [answers.find(key) is not None for key in (b"old", b"stale", b"good")] == [False, False, True]
    shown = samples(metrics)
    assert (shown["weir_cache_entries"], shown["weir_cache_bytes"]) == (1, answers.bytes)
    assert (shown["weir_cache_expired_total"], shown["weir_cache_stale_total"]) == (1, 1)
    assert shown["weir_cache_audits_skipped_total"] == 4


def test_a_scope_tells_its_threshold_and_what_audits_saw() -> None:
    metrics, answers = Metrics(), exact()
    semantic = semantic_over(answers)
    rules = {"support": RULES}
    wire_cache(metrics, Parts(answers, semantic), lambda _, route: rules.get(route), lambda: 0)
    acceptance = semantic.evidence("acme", "support")
    of = '{owner="acme",route="support"}'
    semantic.evidence("acme", "a route that is gone").look(0.9)
    acceptance.look(0.9)
    shown = samples(metrics)
    assert (shown[f"weir_cache_threshold{of}"], shown[f"weir_cache_would_serve{of}"]) == (1, 0)
    assert shown[f"weir_cache_wrong_hits_allowed{of}"] == 0.05
    assert f"weir_cache_wrong_hits{of}" not in shown
    assert not [name for name in shown if "gone" in name]
    for _ in range(1000):
        acceptance.look(0.9)
        acceptance.label(0.9, wrong=False)
        acceptance.serve()
    for wrong in (True, False, False, False):
        acceptance.audit(wrong)
    shown = samples(metrics)
    assert shown[f"weir_cache_threshold{of}"] < 0.9
    assert shown[f"weir_cache_would_serve{of}"] == pytest.approx(1, abs=0.01)
    low, wrong_hits, high = (shown[f"weir_cache_wrong_hits{end}{of}"] for end in ("_low", "", "_high"))
    assert low < wrong_hits < high
    assert wrong_hits == pytest.approx(0.25, abs=0.01)


def test_the_encoder_is_up_or_down() -> None:
    metrics, encoder = Metrics(), PlainEncoder()
    wire_encoder(metrics, lambda: encoder)
    shown = samples(metrics)
    assert [shown[f"weir_encoder_{name}"] for name in ("up", "vectors_total", "failed_total")] == [1, 3, 1]
    encoder.up = False
    assert samples(metrics)["weir_encoder_up"] == 0


async def test_a_whole_room_tells_of_its_snapshot_and_of_the_other_workers(tmp_path: Path) -> None:
    settings = CacheSettings(max_bytes=10_000, max_answer_bytes=1_000, folder=tmp_path, workers=2)
    room = CacheRoom(settings, None)
    metrics = Metrics()
    wire_cache(metrics, room, lambda *_: None, lambda: 0)
    await room.open()
    room.answers.store(b"a", answer("kept"), Filing(ttl_s=60))
    assert room.snapshot is not None
    await room.snapshot.flush()
    shown = samples(metrics)
    assert shown["weir_cache_snapshot_bytes"] > 100
    assert (shown["weir_cache_snapshot_failed_total"], shown["weir_cache_spread_lost_total"]) == (0, 0)
    assert shown["weir_cache_spread_up"] in (0, 1)
    await room.close()
