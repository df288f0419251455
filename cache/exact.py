"""Answers to equal requests, in memory, within a bound on bytes: the least recently used go first.

The non-obvious decision: an entry is a plain tuple of bytes and numbers, put together as an answer again at each
hit. Nothing of it is an object that the garbage collector would have to walk through, so a cache of a million
answers does not make a request wait for a collection; and what it takes is easily counted, so `max_bytes` means
memory. Belongs to one event loop; nothing here is safe for several threads.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from sys import getsizeof
from typing import Any

import orjson

from cache.admission import refuse_answer, terms_for
from cache.scope import exact_key
from contracts.ports import CacheScope, CacheTerms
from contracts.records import Endpoint, StoredAnswer
from contracts.request import ModelRequest

ENTRY_OVERHEAD = 272
"""Bytes beside key, body and facts: the ordered dictionary's two tables and list node at their usual load, the
entry's tuple and its numbers."""

_Entry = tuple[bytes, bytes, float, float, int]
"""Body, facts, when it was stored, when it expires, its size."""


class ExactCache:
    """An `AnswerCache`. `clock` counts seconds and never goes back.

    For metrics: `bytes`, `len()`, and the counts of entries that were `stored`, `refused` as too large,
    `evicted` for want of room, and `expired`.
    """

    def __init__(
        self, *, max_bytes: int, max_answer_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_bytes = max_bytes
        self.max_answer_bytes = max_answer_bytes
        self.bytes = 0
        self.stored = 0
        self.refused = 0
        self.evicted = 0
        self.expired = 0
        self._clock = clock
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def terms(self, request: ModelRequest, headers: Mapping[str, str], max_temperature: float) -> CacheTerms:
        return terms_for(request, headers, max_temperature)

    def refuse_answer(self, data: Mapping[str, Any]) -> str:
        return refuse_answer(data)

    def key(self, scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
        return exact_key(scope, endpoint, body)

    def find(self, key: bytes) -> tuple[StoredAnswer, str, float] | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        body, facts, stored_at, expires_at, _ = entry
        now = self._clock()
        if now >= expires_at:
            self._drop(key)
            self.expired += 1
            return None
        self._entries.move_to_end(key)
        return _unpacked(body, facts), key.hex(), now - stored_at

    def store(self, key: bytes, answer: StoredAnswer, *, ttl_s: float) -> None:
        """Keep `answer` for `ttl_s` seconds in place of what was there. Too large an answer is only counted."""
        if key in self._entries:
            self._drop(key)
        facts = _facts(answer)
        size = _size(key, answer.body, facts)
        if len(answer.body) > self.max_answer_bytes or size > self.max_bytes:
            self.refused += 1
            return
        now = self._clock()
        # What orjson returns sits in a buffer up to ten times its size.
        body = bytes(memoryview(answer.body))
        self._entries[key] = (body, facts, now, now + ttl_s, size)
        self.bytes += size
        self.stored += 1
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._entries.pop(key)[-1]


def footprint(key: bytes, answer: StoredAnswer) -> int:
    """Bytes of memory that keeping `answer` under `key` takes."""
    return _size(key, answer.body, _facts(answer))


def _size(key: bytes, body: bytes, facts: bytes) -> int:
    return ENTRY_OVERHEAD + _rounded(key) + _rounded(body) + _rounded(facts)


def _rounded(value: bytes) -> int:
    """The object's size as the allocator rounds it."""
    return (getsizeof(value) + 15) & ~15


def _facts(answer: StoredAnswer) -> bytes:
    """All of `answer` but its body."""
    facts = orjson.dumps((answer.pieces, answer.model, answer.usage, str(answer.cost)))
    return bytes(memoryview(facts))


def _unpacked(body: bytes, facts: bytes) -> StoredAnswer:
    pieces, model, usage, cost = orjson.loads(facts)
    return StoredAnswer(body=body, pieces=tuple(pieces), model=model, usage=usage, cost=Decimal(cost))
