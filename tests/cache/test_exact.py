"""The exact cache keeps what it is given, for as long as it was told, in as much memory as it may have."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cache.exact import ExactCache, footprint, size_of
from contracts.ports import AnswerCache, CacheScope, Filing, Found
from contracts.records import StoredAnswer


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def answer(size: int = 10, pieces: int = 0, usage: Any = None) -> StoredAnswer:
    return StoredAnswer(body=b"x" * size, pieces=(4,) * pieces, model="small", usage=usage, cost=Decimal("0.001"))


def number(n: int) -> bytes:
    return n.to_bytes(16, "big")


def roomy(clock: Clock | None = None) -> ExactCache:
    return ExactCache(max_bytes=10**6, max_answer_bytes=10**5, clock=clock or Clock())


def test_it_is_an_answer_cache() -> None:
    cache: AnswerCache = roomy()
    scope = CacheScope("acme", "support", "p1", "", "", ("small",))
    key = cache.key(scope, "chat/completions", {"model": "support", "messages": []})
    assert cache.find(key) is None
    cache.store(key, answer(), Filing(ttl_s=1))
    assert cache.find(key) is not None


def test_an_answer_comes_back_with_its_age() -> None:
    clock = Clock(100.0)
    cache = roomy(clock)
    kept = answer(pieces=3, usage={"total_tokens": 3})
    cache.store(number(1), kept, Filing(ttl_s=60))
    clock.now = 130.5
    assert cache.find(number(1)) == Found(answer=kept, entry_id=number(1).hex(), age_s=30.5)
    assert cache.find(number(2)) is None


def test_it_is_served_until_its_time_is_up() -> None:
    clock = Clock()
    cache = roomy(clock)
    cache.store(number(1), answer(), Filing(ttl_s=10))
    cache.store(number(2), answer(), Filing(ttl_s=20))
    clock.now = 9.999
    assert cache.find(number(1)) is not None
    clock.now = 10
    assert cache.find(number(1)) is None
    assert cache.find(number(2)) is not None
    assert (len(cache), cache.expired) == (1, 1)
    assert cache.bytes == footprint(number(2), answer())


def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    clock = Clock()
    cache = roomy(clock)
    cache.store(number(1), answer(500), Filing(ttl_s=10))
    clock.now = 5
    cache.store(number(1), answer(20), Filing(ttl_s=10))
    clock.now = 14
    found = cache.find(number(1))
    assert found is not None
    assert found.answer == answer(20)
    assert cache.bytes == footprint(number(1), answer(20))
    assert (len(cache), cache.stored, cache.evicted) == (1, 2, 0)


def test_the_least_recently_used_goes_first() -> None:
    size = footprint(number(0), answer())
    cache = ExactCache(max_bytes=3 * size, max_answer_bytes=1000, clock=Clock())
    for n in (1, 2, 3):
        cache.store(number(n), answer(), Filing(ttl_s=10))
    cache.find(number(1))
    cache.store(number(4), answer(), Filing(ttl_s=10))
    assert [n for n in (1, 2, 3, 4) if cache.find(number(n))] == [1, 3, 4]
    assert (len(cache), cache.evicted, cache.bytes) == (3, 1, 3 * size)


@pytest.mark.parametrize("size", [1001, 3000])
def test_too_large_an_answer_is_refused_and_takes_the_old_one_with_it(size: int) -> None:
    cache = ExactCache(max_bytes=2500, max_answer_bytes=1000, clock=Clock())
    cache.store(number(1), answer(1000), Filing(ttl_s=10))
    cache.store(number(1), answer(size), Filing(ttl_s=10))
    assert cache.find(number(1)) is None
    assert (len(cache), cache.bytes, cache.refused, cache.evicted) == (0, 0, 1, 0)


def test_an_answer_that_would_not_fit_alone_drives_out_no_other() -> None:
    cache = ExactCache(max_bytes=1500, max_answer_bytes=10**6, clock=Clock())
    cache.store(number(1), answer(10), Filing(ttl_s=10))
    cache.store(number(2), answer(1500), Filing(ttl_s=10))
    assert cache.find(number(1)) is not None
    assert cache.refused == 1


@pytest.mark.parametrize(("size", "pieces"), [(50, 0), (800, 150), (20_000, 0), (20_000, 4_000)])
def test_the_bytes_it_counts_are_the_memory_it_takes(size: int, pieces: int) -> None:
    """Bodies come from orjson as they do when serving, in buffers larger than themselves."""
    usage = b'{"prompt_tokens":1000,"completion_tokens":999,"prompt_tokens_details":{"cached_tokens":500}}'
    cache = ExactCache(max_bytes=10**9, max_answer_bytes=10**6, clock=Clock(7.5))
    entries = 1000
    gc.collect()
    tracemalloc.start()
    try:
        for n in range(entries):
            body = orjson.dumps({"id": str(n), "content": "x" * size})
            made = StoredAnswer(
                body=body,
                pieces=tuple([4] * pieces),
                model="small",
                usage=orjson.loads(usage),
                cost=Decimal(n) / 1000,
            )
            cache.store(number(n), made, Filing(ttl_s=60.0 + n))
        del body, made
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken == pytest.approx(cache.bytes, rel=0.2)


def test_what_is_invalidated_is_not_served_and_not_stored_late() -> None:
    cache = roomy()
    cache.store(number(1), answer(), Filing(ttl_s=10, owner="acme", tags=("faq",)))
    cache.store(number(2), answer(), Filing(ttl_s=10, owner="acme", tags=("other",)))
    began = cache.revision
    cache.freshness.invalidate("acme", "faq")
    assert cache.find(number(1)) is None
    assert cache.find(number(2)) is not None
    cache.store(number(3), answer(), Filing(ttl_s=10, owner="acme", tags=("faq",), revision=began))
    assert cache.find(number(3)) is None
    cache.store(number(3), answer(), Filing(ttl_s=10, owner="acme", tags=("faq",), revision=cache.revision))
    assert cache.find(number(3)) is not None
    assert cache.stale == 2
    assert cache.bytes == sum(size_of(key, entry.body, entry.facts) for key, entry in cache.entries())


def test_a_quarantined_entry_is_not_served_and_not_replaced() -> None:
    clock = Clock()
    cache = roomy(clock)
    cache.store(number(1), answer(5), Filing(ttl_s=10))
    assert cache.quarantine(number(1))
    assert not cache.quarantine(number(2))
    assert cache.find(number(1)) is None
    cache.store(number(1), answer(6), Filing(ttl_s=10))
    assert cache.find(number(1)) is None
    clock.now = 10
    cache.store(number(1), answer(6), Filing(ttl_s=10))
    assert cache.find(number(1)) is not None


def test_it_tells_what_is_kept_and_what_is_gone() -> None:
    clock = Clock()
    cache = ExactCache(max_bytes=3 * footprint(number(0), answer()), max_answer_bytes=1000, clock=clock)
    kept: list[bytes] = []
    gone: list[bytes] = []
    cache.kept, cache.dropped = kept.append, gone.append
    for n in (1, 2, 3, 4):
        cache.store(number(n), answer(), Filing(ttl_s=10, asked=n == 2))
    assert (kept, gone) == ([number(1), number(3), number(4)], [number(1)])
    clock.now = 10
    cache.find(number(2))
    assert gone == [number(1), number(2)]


def test_entries_come_in_the_order_of_their_use_and_not_once_they_are_gone() -> None:
    cache = roomy(Clock(5))
    for n in (1, 2, 3):
        cache.store(number(n), answer(n), Filing(ttl_s=10.0004, owner="acme", writer="me", tags=("a",), revision=n))
    cache.find(number(1))
    assert [key for key, _ in cache.entries()] == [number(2), number(3), number(1)]
    shown = cache.entries(newest_first=True)
    key, entry = next(shown)
    assert (key, entry.body, entry.stored_at, entry.expires_at) == (number(1), b"x", 5, 15)
    assert (entry.revision, entry.labels, entry.quarantined) == (1, ("acme", "me", ("a",)), False)
    cache.drop(number(3))
    assert [key for key, _ in shown] == [number(2)]


def test_a_slot_that_is_used_again_keeps_nothing_of_before() -> None:
    cache = roomy()
    cache.store(number(1), answer(5), Filing(ttl_s=1, owner="acme", tags=("old",)))
    cache.quarantine(number(1))
    cache.slots.notes[cache.slots.slot(number(1)) or 0] = 7
    cache.drop(number(1))
    cache.freshness.invalidate("acme", "old")
    cache.store(number(2), answer(6), Filing(ttl_s=10, owner="acme", tags=("new",), revision=1))
    found = cache.find(number(2))
    assert found is not None
    assert found.answer == answer(6)
    assert cache.slots.slot(number(2)) == 1
    assert cache.slots.notes[1] == 0


def test_the_writer_of_a_pools_answer_is_known() -> None:
    cache = roomy()
    cache.store(number(1), answer(), Filing(ttl_s=10, owner="pool:faq", writer="acme"))
    found = cache.find(number(1))
    assert found is not None
    assert found.writer == "acme"


class CacheStory(RuleBasedStateMachine):
    """Whatever is stored and found in whatever order, the books are right."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.cache = ExactCache(max_bytes=5_000, max_answer_bytes=2_000, clock=self.clock)
        self.put: dict[bytes, tuple[StoredAnswer, float]] = {}

    @rule(n=st.integers(0, 8), size=st.integers(0, 3_000), ttl_s=st.integers(1, 20))
    def store(self, n: int, size: int, ttl_s: int) -> None:
        self.cache.store(number(n), answer(size), Filing(ttl_s=ttl_s))
        self.put[number(n)] = answer(size), self.clock.now + ttl_s

    @rule(n=st.integers(0, 8))
    def find(self, n: int) -> None:
        found = self.cache.find(number(n))
        if found is not None:
            kept, expires = self.put[number(n)]
            assert found.answer == kept
            assert self.clock.now < expires

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.clock.now += seconds

    @invariant()
    def books_are_right(self) -> None:
        cache = self.cache
        assert 0 <= cache.bytes <= cache.max_bytes
        assert (cache.bytes == 0) == (len(cache) == 0)
        assert len(cache) <= cache.stored - cache.evicted - cache.expired


TestCacheStory = CacheStory.TestCase
