"""Answers to equal requests, in memory, within a bound on bytes: the least recently used go first.

The non-obvious decision: an entry holds bytes and numbers only, put together as an answer again at each hit, and is
not tracked by the garbage collector. So a cache of a million answers does not make a request wait for a collection,
and what it takes is easily counted: `max_bytes` means memory. Belongs to one event loop; nothing here is safe for
several threads.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from sys import getsizeof
from typing import Any

import orjson
from msgspec import Struct

from cache.admission import refuse_answer, terms_for
from cache.freshness import Freshness
from cache.scope import exact_key
from contracts.ports import CacheRules, CacheScope, CacheTerms, Filing, Found
from contracts.records import Endpoint, StoredAnswer
from contracts.request import ModelRequest

ENTRY_OVERHEAD = 304
"""Bytes beside key, body and facts: the ordered dictionary's two tables and list node at their usual load, the
entry itself and its numbers."""

_Labels = tuple[str, str, tuple[str, ...]]
"""Owner, writer and tags: the same few for a million entries, so that each set of them is kept once."""


class Entry(Struct, gc=False):
    """One answer as it is kept. `facts` is all of the answer but its body; times are on the cache's clock."""

    body: bytes
    facts: bytes
    stored_at: float
    expires_at: float
    size: int
    revision: int
    labels: _Labels
    quarantined: bool = False
    """Reported as wrong: it is kept, so that no equal answer takes its place, and not served."""


class ExactCache:
    """An `AnswerCache`. `clock` counts seconds and never goes back.

    `kept` is told of the key of each new answer (but of one whose question is to follow), `dropped` of each that is
    gone.

    For metrics: `bytes`, `len()`, and the counts of entries that were `stored`, `refused` as too large,
    `evicted` for want of room, `expired`, and found `stale`.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        max_answer_bytes: int,
        freshness: Freshness | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_bytes = max_bytes
        self.max_answer_bytes = max_answer_bytes
        self.freshness = freshness or Freshness()
        self.dropped: Callable[[bytes], None] = lambda _: None
        self.kept: Callable[[bytes], None] = lambda _: None
        self.bytes = 0
        self.stored = 0
        self.refused = 0
        self.evicted = 0
        self.expired = 0
        self.stale = 0
        self._clock = clock
        self._entries: OrderedDict[bytes, Entry] = OrderedDict()
        self._labels: dict[_Labels, _Labels] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def now(self) -> float:
        """On the cache's clock."""
        return self._clock()

    @property
    def revision(self) -> int:
        return self.freshness.revision

    def terms(self, request: ModelRequest, headers: Mapping[str, str], rules: CacheRules) -> CacheTerms:
        return terms_for(request, headers, rules)

    def refuse_answer(self, data: Mapping[str, Any]) -> str:
        return refuse_answer(data)

    def key(self, scope: CacheScope, endpoint: Endpoint, body: Mapping[str, Any]) -> bytes:
        return exact_key(scope, endpoint, body)

    def find(self, key: bytes) -> Found | None:
        entry = self._alive(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return Found(
            answer=_unpacked(entry.body, entry.facts),
            entry_id=key.hex(),
            age_s=self._clock() - entry.stored_at,
            writer=entry.labels[1],
        )

    def body(self, key: bytes) -> bytes | None:
        """The whole answer as it was stored, where it is alive; does not count as a use."""
        entry = self._alive(key)
        return entry.body if entry is not None else None

    def peek(self, key: bytes) -> Entry | None:
        """The entry, alive or not; does not count as a use."""
        return self._entries.get(key)

    def store(self, key: bytes, answer: StoredAnswer, filing: Filing) -> None:
        """Keep `answer` in place of what was there. Too large an answer is only counted.

        Nothing takes the place of an entry in quarantine, and nothing is kept that was invalidated on its way.
        """
        known = self._entries.get(key)
        if known is not None and known.quarantined and self._clock() < known.expires_at:
            return
        if self.freshness.is_stale(filing.owner, filing.tags, filing.revision):
            self.stale += 1
            return
        now = self._clock()
        taken = self.take(
            key,
            bytes(memoryview(answer.body)),  # what orjson returns sits in a buffer up to ten times its size
            _facts(answer),
            stored_at=now,
            expires_at=now + filing.ttl_s,
            revision=filing.revision,
            labels=(filing.owner, filing.writer, filing.tags),
        )
        if taken:
            self.stored += 1
            if not filing.asked:
                self.kept(key)

    def take(
        self,
        key: bytes,
        body: bytes,
        facts: bytes,
        *,
        stored_at: float,
        expires_at: float,
        revision: int,
        labels: _Labels,
        quarantined: bool = False,
    ) -> bool:
        """Keep an entry as it is, in place of what was there; False where it is too large."""
        size = _size(key, body, facts)
        entry = Entry(body, facts, stored_at, expires_at, size, revision, self._shared(labels), quarantined)
        if key in self._entries:
            self.drop(key)
        if len(entry.body) > self.max_answer_bytes or entry.size > self.max_bytes:
            self.refused += 1
            return False
        self._entries[key] = entry
        self.bytes += entry.size
        while self.bytes > self.max_bytes:
            self.drop(next(iter(self._entries)))
            self.evicted += 1
        return True

    def drop(self, key: bytes) -> bool:
        """Forget the entry; False where there is none."""
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self.bytes -= entry.size
        self.dropped(key)
        return True

    def quarantine(self, key: bytes) -> bool:
        """Serve this entry no more, for as long as it would have lived; False where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        entry.quarantined = True
        return True

    def entries(self) -> Iterator[tuple[bytes, Entry]]:
        """Everything that is kept, the least recently used first."""
        return iter(list(self._entries.items()))

    def _alive(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is None or entry.quarantined:
            return None
        if self._clock() >= entry.expires_at:
            self.drop(key)
            self.expired += 1
            return None
        owner, _, tags = entry.labels
        if self.freshness.is_stale(owner, tags, entry.revision):
            self.drop(key)
            self.stale += 1
            return None
        return entry

    def _shared(self, labels: _Labels) -> _Labels:
        if len(self._labels) > 100_000:  # clients name tags, and may name many
            self._labels.clear()
        return self._labels.setdefault(labels, labels)


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
