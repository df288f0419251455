"""Answers to equal requests, in memory, within a bound on bytes: the least recently used go first.

The non-obvious decision: an entry is bytes and numbers in columns, put together as an answer again at each hit. So
the garbage collector has nothing to walk through, a cache of a million answers does not make a request wait for it,
and what it takes is little and easily counted: `max_bytes` means memory. Belongs to one event loop; nothing here is
safe for several threads.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from sys import getsizeof
from typing import Any

import msgspec
import orjson
from msgspec import Struct

from cache.admission import refuse_answer, terms_for
from cache.freshness import Freshness
from cache.scope import exact_key
from cache.slots import Slots
from contracts.ports import CacheRules, CacheScope, CacheTerms, Filing, Found
from contracts.records import Endpoint, StoredAnswer
from contracts.request import ModelRequest

ENTRY_OVERHEAD = 132
"""Bytes beside key, body and facts: the columns, a dictionary's table at its usual load, and the number in it."""

_Labels = tuple[str, str, tuple[str, ...]]
"""Owner, writer and tags."""
_Filed = tuple[str, str, tuple[str, ...], int, float]
"""Labels, revision and seconds to live: the same few for a million entries, so each set of them is kept once."""

_NOTHING: _Filed = ("", "", (), 0, 0.0)


class Entry(Struct, frozen=True):
    """What is kept of one answer. `facts` is all of the answer but its body; times are on the cache's clock."""

    body: bytes
    facts: bytes
    stored_at: float
    expires_at: float
    revision: int
    labels: _Labels
    quarantined: bool
    """Reported as wrong: it is kept, so that no equal answer takes its place, and not served."""


class ExactCache:
    """An `AnswerCache`. `clock` counts seconds and never goes back.

    `kept` is told of the key of each new answer (but of one whose question is to follow), `dropped` of each that
    goes, while it still has its slot. `slots` are for whoever keeps more about the same keys.

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
        self.slots = Slots()
        self._clock = clock
        self._shared: dict[_Filed, _Filed] = {}
        # The columns, by slot; nothing has slot 0.
        self._bodies: list[bytes] = [b""]
        self._facts: list[bytes] = [b""]
        self._filed: list[_Filed] = [_NOTHING]
        self._stored_at = array("d", [0])
        self._quarantined = bytearray(1)

    def __len__(self) -> int:
        return len(self.slots)

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
        now = self._clock()
        slot = self._alive(key, now)
        if slot is None:
            return None
        self.slots.touch(slot)
        return Found(
            answer=_unpacked(self._bodies[slot], self._facts[slot]),
            entry_id=key.hex(),
            age_s=now - self._stored_at[slot],
            writer=self._filed[slot][1],
        )

    def body(self, key: bytes) -> bytes | None:
        """The whole answer as it was stored, where it is alive; does not count as a use."""
        slot = self._alive(key, self._clock())
        return self._bodies[slot] if slot is not None else None

    def peek(self, key: bytes) -> Entry | None:
        """The entry, alive or not; does not count as a use."""
        slot = self.slots.slot(key)
        if slot is None:
            return None
        owner, writer, tags, revision, _ = self._filed[slot]
        return Entry(
            body=self._bodies[slot],
            facts=self._facts[slot],
            stored_at=self._stored_at[slot],
            expires_at=self._expires_at(slot),
            revision=revision,
            labels=(owner, writer, tags),
            quarantined=bool(self._quarantined[slot]),
        )

    def store(self, key: bytes, answer: StoredAnswer, filing: Filing) -> None:
        """Keep `answer` in place of what was there. Too large an answer is only counted.

        Nothing takes the place of an entry in quarantine, and nothing is kept that was invalidated on its way.
        """
        now = self._clock()
        known = self.slots.slot(key)
        if known is not None and self._quarantined[known] and now < self._expires_at(known):
            return
        if self.freshness.is_stale(filing.owner, filing.tags, filing.revision):
            self.stale += 1
            return
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
        """Keep an entry as it is, in place of what was there; False where it is too large.

        It lives to the next millisecond: clocks of other nodes would leave hardly two alike.
        """
        self.drop(key)
        size = size_of(key, body, facts)
        if len(body) > self.max_answer_bytes or size > self.max_bytes:
            self.refused += 1
            return False
        slot = self.slots.add(key)
        if slot == len(self._bodies):
            self._lengthen()
        self._bodies[slot] = body
        self._facts[slot] = facts
        self._filed[slot] = self._once((*labels, revision, round(expires_at - stored_at, 3)))
        self._stored_at[slot] = stored_at
        self._quarantined[slot] = quarantined
        self.bytes += size
        while self.bytes > self.max_bytes:
            self.drop(self.slots.oldest)
            self.evicted += 1
        return True

    def drop(self, key: bytes) -> bool:
        """Forget the entry; False where there is none."""
        slot = self.slots.slot(key)
        if slot is None:
            return False
        self.bytes -= size_of(key, self._bodies[slot], self._facts[slot])
        self.dropped(key)
        self.slots.remove(key)
        self._bodies[slot] = self._facts[slot] = b""
        return True

    def quarantine(self, key: bytes) -> bool:
        """Serve this entry no more, for as long as it would have lived; False where there is none."""
        slot = self.slots.slot(key)
        if slot is None:
            return False
        self._quarantined[slot] = True
        return True

    def entries(self, *, newest_first: bool = False) -> Iterator[tuple[bytes, Entry]]:
        """All that is kept now and still is when its turn comes, the least recently used first, or last."""
        keys = list(self.slots.keys())
        for key in reversed(keys) if newest_first else keys:
            entry = self.peek(key)
            if entry is not None:
                yield key, entry

    def _alive(self, key: bytes, now: float) -> int | None:
        """The slot of an entry that may be served."""
        slot = self.slots.slot(key)
        if slot is None or self._quarantined[slot]:
            return None
        owner, _, tags, revision, ttl_s = self._filed[slot]
        if now >= self._stored_at[slot] + ttl_s:
            self.drop(key)
            self.expired += 1
            return None
        if revision < self.freshness.revision and self.freshness.is_stale(owner, tags, revision):
            self.drop(key)
            self.stale += 1
            return None
        return slot

    def _expires_at(self, slot: int) -> float:
        return self._stored_at[slot] + self._filed[slot][4]

    def _lengthen(self) -> None:
        """By one slot."""
        self._bodies.append(b"")
        self._facts.append(b"")
        self._filed.append(_NOTHING)
        self._stored_at.append(0)
        self._quarantined.append(0)

    def _once(self, filed: _Filed) -> _Filed:
        if len(self._shared) > 100_000:  # clients name tags, and may name many
            self._shared.clear()
        return self._shared.setdefault(filed, filed)


def footprint(key: bytes, answer: StoredAnswer) -> int:
    """Bytes of memory that keeping `answer` under `key` takes."""
    return size_of(key, answer.body, _facts(answer))


def size_of(key: bytes, body: bytes, facts: bytes) -> int:
    """Bytes of memory that an entry takes."""
    return ENTRY_OVERHEAD + rounded(key) + rounded(body) + rounded(facts)


def rounded(value: bytes) -> int:
    """The object's size as the allocator rounds it."""
    return (getsizeof(value) + 15) & ~15


class _Facts(Struct, frozen=True, array_like=True):
    """All of an answer but its body. What was written before there were documents ends with its cost."""

    pieces: tuple[int, ...]
    model: str
    usage: Any
    cost: Decimal
    basis: tuple[str, ...] = ()


_facts_decoder = msgspec.json.Decoder(_Facts)


def _facts(answer: StoredAnswer) -> bytes:
    """All of `answer` but its body."""
    facts: tuple[Any, ...] = (answer.pieces, answer.model, answer.usage, str(answer.cost))
    if answer.basis:
        facts = (*facts, answer.basis)
    return bytes(memoryview(orjson.dumps(facts)))


def _unpacked(body: bytes, facts: bytes) -> StoredAnswer:
    read = _facts_decoder.decode(facts)
    return StoredAnswer(
        body=body, pieces=read.pieces, model=read.model, usage=read.usage, cost=read.cost, basis=read.basis
    )
