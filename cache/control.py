"""What an operator sees of the cache and does with it, and how its changes reach the snapshot and other nodes.

The non-obvious decision: a change is applied here first and told to others then, never the other way round. A node
that cannot reach the others is right about itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from cache.comparison import words_of
from cache.exact import Entry, ExactCache, size_of
from cache.freshness import EVERYONE
from cache.sharing.changes import Change, Dropped, Invalidated, Kept, Learned, Quarantined
from cache.sharing.spread import Spread
from contracts.ports import SemanticRules

if TYPE_CHECKING:  # needs numpy, which a Weir without a semantic cache need not have
    from cache.semantic import SemanticCache

_ANSWER_SHOWN = 500
"""Characters of an answer that an inspection shows."""


class CacheControl:
    """`semantic` None: exact hits only; `spread` None: there are no others. `keep` is told of every change."""

    def __init__(
        self,
        answers: ExactCache,
        semantic: SemanticCache | None,
        spread: Spread | None,
        keep: Callable[[Change], None],
    ) -> None:
        self._answers = answers
        self._semantic = semantic
        self._spread = spread
        self._keep = keep
        answers.kept = self._tell_kept_soon
        if semantic is not None:
            semantic.remembered = self.tell_kept

    # --- what an operator does. `owner` is a tenant or a pool; EVERYONE means all of them.

    async def invalidate(self, owner: str, tag: str) -> int:
        """Make stale what is filed under `tag`; returns the revision from which on answers count as fresh."""
        revision = await self._spread.next_revision() if self._spread is not None else None
        revision = self._answers.freshness.invalidate(owner, tag, revision)
        self._tell(Invalidated(owner=owner, tag=tag, revision=revision))
        return revision

    def drop(self, owner: str, key: bytes) -> bool:
        """Forget one entry; False where this owner has none. What is not here may be elsewhere: others are told."""
        entry = self._answers.peek(key)
        if entry is not None and not _owns(owner, entry):
            return False
        self._answers.drop(key)
        self._tell(Dropped(key=key, owner=owner))
        return entry is not None or self._spread is not None

    def report(self, owner: str, route: str, key: bytes, score: float | None) -> bool:
        """An answer was bad, says who got it; False where its entry is gone. `score`: it was a semantic hit.

        What is not here may be elsewhere: others are told. What was reported before changes nothing.
        """
        entry = self._answers.peek(key)
        if entry is not None and not _owns(owner, entry):
            return False
        if entry is not None and entry.quarantined:
            return True
        if self._semantic is not None:
            self._semantic.report(owner, route, key, score)
        self._answers.quarantine(key)
        self._tell(Quarantined(key=key, owner=owner))
        return entry is not None or self._spread is not None

    def inspect(self, owner: str, *, tag: str = "", key: bytes = b"", most: int = 20) -> list[dict[str, Any]]:
        """Entries, the most recently used first: one by its key, or those filed under `tag`, or any."""
        shown: list[dict[str, Any]] = []
        only = self._answers.peek(key) if key else None
        entries = [(key, only)] if only else [] if key else self._answers.entries(newest_first=True)
        for entry_key, entry in entries:
            if len(shown) >= most:
                break
            if _owns(owner, entry) and (not tag or tag in entry.labels[2]):
                shown.append(self._shown(entry_key, entry))
        return shown

    def stats(self, rules: Callable[[str, str], SemanticRules | None]) -> dict[str, Any]:
        """Counts, and what the evidence of each tenant or pool on each route allows, by that route's `rules`."""
        answers, semantic = self._answers, self._semantic
        return {
            "entries": len(answers),
            "bytes": answers.bytes,
            "max_bytes": answers.max_bytes,
            "questions": 0 if semantic is None else len(semantic.questions),
            "question_bytes": 0 if semantic is None else semantic.questions.bytes,
            "evicted": answers.evicted,
            "expired": answers.expired,
            "stale": answers.stale,
            "revision": answers.revision,
            "scopes": [] if semantic is None else semantic.stats(rules),
        }

    # --- changes

    def apply(self, change: Change) -> None:
        """Do here what another node did, or what a snapshot holds."""
        match change:
            case Kept():
                self._take(change)
            case Invalidated():
                self._answers.freshness.invalidate(change.owner, change.tag, change.revision)
            case Dropped() if self._owned(change.owner, change.key):
                self._answers.drop(change.key)
            case Quarantined() if self._owned(change.owner, change.key):
                self._answers.quarantine(change.key)
            case Learned() if self._semantic is not None:
                self._semantic.restore(change.owner, change.route, change.version, change.state)

    def changes(self) -> Iterator[Change]:
        """Everything that a warm start needs, the least recently used answer first."""
        for owner, tag, revision in self._answers.freshness.records():
            yield Invalidated(owner=owner, tag=tag, revision=revision)
        yield from self.evidence()
        for key, entry in self._answers.entries():
            yield self._kept(key, entry)

    def evidence(self) -> Iterator[Learned]:
        """What is known of each scope."""
        if self._semantic is not None:
            for (owner, route), evidence in self._semantic.all_evidence().items():
                state = evidence.state()
                yield Learned(owner=owner, route=route, version=self._semantic.version, state=state)

    def tell_kept(self, key: bytes) -> None:
        """An answer is kept, and its question where it has one."""
        entry = self._answers.peek(key)
        if entry is not None:
            self._tell(self._kept(key, entry))

    def _tell_kept_soon(self, key: bytes) -> None:
        """After the answer's own client has it: writing it down takes longer than all else about the cache."""
        asyncio.get_running_loop().call_soon(self.tell_kept, key)

    def _tell(self, change: Change) -> None:
        self._keep(change)
        if self._spread is not None:
            self._spread.publish(change)

    def _kept(self, key: bytes, entry: Entry) -> Kept:
        owner, writer, tags = entry.labels
        ahead = time.time() - self._answers.now()
        kept = Kept(
            key=key,
            body=entry.body,
            facts=entry.facts,
            stored_at=entry.stored_at + ahead,
            expires_at=entry.expires_at + ahead,
            revision=entry.revision,
            owner=owner,
            writer=writer,
            tags=tags,
            quarantined=entry.quarantined,
        )
        if self._semantic is not None:
            self._semantic.add_question(kept)
        return kept

    def _take(self, kept: Kept) -> None:
        answers, semantic = self._answers, self._semantic
        answers.freshness.reach(kept.revision)  # a snapshot may have lost the invalidation that it came after
        ahead = time.time() - answers.now()
        expires_at = kept.expires_at - ahead
        if expires_at <= answers.now() or answers.freshness.is_stale(kept.owner, kept.tags, kept.revision):
            return
        known = answers.peek(kept.key)
        if known is not None and known.quarantined and not kept.quarantined:
            return
        taken = answers.take(
            kept.key,
            kept.body,
            kept.facts,
            stored_at=kept.stored_at - ahead,
            expires_at=expires_at,
            revision=kept.revision,
            labels=(kept.owner, kept.writer, kept.tags),
            quarantined=kept.quarantined,
        )
        if taken and semantic is not None:
            semantic.take_question(kept)

    def _owned(self, owner: str, key: bytes) -> Entry | None:
        entry = self._answers.peek(key)
        return entry if entry is not None and _owns(owner, entry) else None

    def _shown(self, key: bytes, entry: Entry) -> dict[str, Any]:
        owner, writer, tags = entry.labels
        now = self._answers.now()
        shown: dict[str, Any] = {
            "id": key.hex(),
            "owner": owner,
            "writer": writer,
            "tags": list(tags),
            "age_s": round(now - entry.stored_at, 3),
            "expires_in_s": round(entry.expires_at - now, 3),
            "quarantined": entry.quarantined,
            "stale": self._answers.freshness.is_stale(owner, tags, entry.revision),
            "bytes": size_of(key, entry.body, entry.facts),
            "answer": words_of(entry.body)[:_ANSWER_SHOWN],
            "question": None,
        }
        row = None if self._semantic is None else self._semantic.questions.row(key)
        if self._semantic is not None and row is not None:
            right, wrong, demoted = self._semantic.questions.history(row)
            shown |= {"question": self._semantic.questions.text(row), "right": right, "wrong": wrong}
            shown["demoted"] = demoted
        return shown


def _owns(owner: str, entry: Entry) -> bool:
    return owner in (EVERYONE, entry.labels[0])
