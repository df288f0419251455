"""Answers to equal requests, in memory, within a bound on bytes: the least recently used go first.

The non-obvious decision: an entry is charged for every object that it keeps alive, not for its text alone, so
`max_bytes` means memory. For the same reason bodies are copied: what orjson returns sits in a buffer up to ten
times its size. Belongs to one event loop; nothing here is safe for several threads.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from sys import getsizeof
from typing import Any

from cache.admission import refuse_answer, terms_for
from cache.scope import exact_key
from contracts.ports import CacheScope, CacheTerms
from contracts.records import Endpoint, StoredAnswer
from contracts.request import ModelRequest

ENTRY_OVERHEAD = 272
"""Bytes of the ordered dictionary for each entry: its two tables and its list node, at their usual load."""


@dataclass(slots=True)
class _Entry:
    answer: StoredAnswer
    stored_at: float
    expires_at: float
    size: int


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
        now = self._clock()
        if now >= entry.expires_at:
            self._drop(key)
            self.expired += 1
            return None
        self._entries.move_to_end(key)
        return entry.answer, key.hex(), now - entry.stored_at

    def store(self, key: bytes, answer: StoredAnswer, *, ttl_s: float) -> None:
        """Keep `answer` for `ttl_s` seconds in place of what was there. Too large an answer is only counted."""
        if key in self._entries:
            self._drop(key)
        size = footprint(key, answer)
        if len(answer.body) > self.max_answer_bytes or size > self.max_bytes:
            self.refused += 1
            return
        now = self._clock()
        snug = replace(answer, body=bytes(memoryview(answer.body)))
        self._entries[key] = _Entry(snug, now, now + ttl_s, size)
        self.bytes += size
        self.stored += 1
        while self.bytes > self.max_bytes:
            self._drop(next(iter(self._entries)))
            self.evicted += 1

    def _drop(self, key: bytes) -> None:
        self.bytes -= self._entries.pop(key).size


def footprint(key: bytes, answer: StoredAnswer) -> int:
    """Bytes of memory that keeping `answer` under `key` takes."""
    own = (key, answer, answer.body, answer.pieces, answer.model, answer.cost)
    return ENTRY_OVERHEAD + sum(map(_rounded, own)) + _deep(answer.usage)


def _deep(value: object) -> int:
    """Bytes of parsed JSON, without the names in it: orjson keeps one copy of each for all."""
    if isinstance(value, Mapping):
        return _rounded(value) + sum(map(_deep, value.values()))
    if isinstance(value, list):
        return _rounded(value) + sum(map(_deep, value))
    return 0 if value is None else _rounded(value)


def _rounded(value: object) -> int:
    """The object's size as the allocator rounds it, with the garbage collector's header where it has one."""
    return (getsizeof(value) + 15) & ~15
