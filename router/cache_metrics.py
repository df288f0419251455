"""The cache's own figures on /metrics.

The non-obvious decision: what a scope has learned is read once per scrape and told as several metrics, since
finding its threshold takes longer than all other gauges together. Owners and routes come from the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from typing import Any, Protocol

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from contracts.ports import SemanticRules
from router.metrics import Metrics, Reading

Rules = Callable[[str, str], SemanticRules | None]
"""What an owner and a route are held to; None where only equal requests share answers."""

_SCOPES: Mapping[str, tuple[str, Callable[[Mapping[str, Any]], float | None]]] = {
    "weir_cache_threshold": (
        "Score from which an answer to another question is served; 1 while none is.",
        lambda scope: 1.0 if scope["threshold"] is None else scope["threshold"],
    ),
    "weir_cache_would_serve": (
        "Share of lookups that score at least that.",
        lambda scope: scope["would_serve"],
    ),
    "weir_cache_wrong_hits": (
        "Share of lookups answered wrongly, as audits saw it.",
        lambda scope: scope["audited"] and scope["audited"]["wrong"],
    ),
    "weir_cache_wrong_hits_low": (
        "The lower end of its interval.",
        lambda scope: scope["audited"] and scope["audited"]["at_least"],
    ),
    "weir_cache_wrong_hits_high": (
        "The upper end of its interval.",
        lambda scope: scope["audited"] and scope["audited"]["at_most"],
    ),
    "weir_cache_wrong_hits_allowed": (
        "The share that the configuration allows.",
        lambda scope: scope["max_wrong_hits"],
    ),
}


class Answers(Sized, Protocol):
    @property
    def bytes(self) -> int: ...
    @property
    def evicted(self) -> int: ...
    @property
    def expired(self) -> int: ...
    @property
    def stale(self) -> int: ...


class Questions(Sized, Protocol):
    @property
    def bytes(self) -> int: ...


class Semantic(Protocol):
    @property
    def questions(self) -> Questions: ...
    @property
    def near(self) -> int: ...
    @property
    def skipped(self) -> int: ...
    @property
    def labels_same(self) -> int: ...
    @property
    def labels_other(self) -> int: ...
    @property
    def labels_unsure(self) -> int: ...

    def stats(self, rules: Rules) -> Sequence[Mapping[str, Any]]: ...


class Snapshot(Protocol):
    @property
    def bytes(self) -> int: ...
    @property
    def failed(self) -> int: ...


class Spread(Protocol):
    @property
    def up(self) -> bool: ...
    @property
    def lost(self) -> int: ...


class Room(Protocol):
    """`semantic` None: exact hits only; `snapshot` None: no warm start; `spread` None: there are no others."""

    @property
    def answers(self) -> Answers: ...
    @property
    def semantic(self) -> Semantic | None: ...
    @property
    def snapshot(self) -> Snapshot | None: ...
    @property
    def spread(self) -> Spread | None: ...


class Encoder(Protocol):
    @property
    def up(self) -> bool: ...
    @property
    def encoded(self) -> int: ...
    @property
    def failed(self) -> int: ...


def wire_cache(metrics: Metrics, room: Room, rules: Rules, audits_skipped: Callable[[], int]) -> None:
    """Put the figures of `room` on the page of `metrics`."""
    gauge, counter = metrics.gauge, metrics.counter
    answers, semantic, snapshot, spread = room.answers, room.semantic, room.snapshot, room.spread
    gauge("weir_cache_entries", "Answers in the cache.", lambda: len(answers))
    gauge("weir_cache_bytes", "Bytes of answers in the cache.", lambda: answers.bytes)
    counter("weir_cache_evictions", "Answers that made room for others.", lambda: answers.evicted)
    counter("weir_cache_expired", "Answers found too old.", lambda: answers.expired)
    counter("weir_cache_stale", "Answers found invalidated.", lambda: answers.stale)

    def of_semantic(read: Callable[[Semantic], float]) -> Callable[[], float]:
        return lambda: 0 if semantic is None else read(semantic)

    gauge(
        "weir_cache_questions", "Questions that can be found by meaning.", of_semantic(lambda s: len(s.questions))
    )
    gauge("weir_cache_question_bytes", "Bytes of them.", of_semantic(lambda s: s.questions.bytes))
    counter(
        "weir_cache_near", "Lookups that found a question near enough to verify.", of_semantic(lambda s: s.near)
    )
    counter("weir_cache_skipped", "Fresh answers that were not learned from.", of_semantic(lambda s: s.skipped))
    counter("weir_cache_audits_skipped", "Audits there was no room for, or no answer.", audits_skipped)
    metrics.labelled_counter(
        "weir_cache_labels", "Stored answers compared with fresh ones.", "verdict", lambda: _labels(semantic)
    )
    metrics.registry.register(_Scopes(semantic, rules))
    gauge("weir_cache_snapshot_bytes", "Bytes of the warm start file.", lambda: snapshot.bytes if snapshot else 0)
    counter("weir_cache_snapshot_failed", "Writes of it that failed.", lambda: snapshot.failed if snapshot else 0)
    gauge("weir_cache_spread_up", "1 while others' changes are heard.", lambda: spread.up if spread else None)
    counter("weir_cache_spread_lost", "Changes that others were not told.", lambda: spread.lost if spread else 0)


def wire_encoder(metrics: Metrics, encoder: Callable[[], Encoder | None]) -> None:
    """Put the figures of the encoder on the page of `metrics`; None: nothing needs one yet, or there is none."""

    def of(read: Callable[[Encoder], float], without: float | None) -> Reading:
        return lambda: without if (one := encoder()) is None else read(one)

    metrics.gauge("weir_encoder_up", "1 while texts get vectors.", of(lambda one: one.up, None))
    metrics.counter("weir_encoder_vectors", "Vectors it made.", of(lambda one: one.encoded, 0))
    metrics.counter("weir_encoder_failed", "Texts that got none.", of(lambda one: one.failed, 0))


def _labels(semantic: Semantic | None) -> dict[str, float]:
    if semantic is None:
        return {"same": 0, "other": 0, "unsure": 0}
    return {"same": semantic.labels_same, "other": semantic.labels_other, "unsure": semantic.labels_unsure}


class _Scopes(Collector):
    """What each tenant or pool has learned on each route that serves by meaning."""

    def __init__(self, semantic: Semantic | None, rules: Rules) -> None:
        self._semantic = semantic
        self._rules = rules

    def collect(self) -> Iterator[Metric]:
        scopes = self._semantic.stats(self._rules) if self._semantic is not None else ()
        for name, (help_text, read) in _SCOPES.items():
            family = GaugeMetricFamily(name, help_text, labels=("owner", "route"))
            for scope in scopes:
                value = read(scope) if "threshold" in scope else None
                if value is not None:
                    family.add_metric((scope["owner"], scope["route"]), value)
            yield family
