"""What has been invalidated: a tag and everything filed under it, up to a moment.

The non-obvious decision: invalidating touches no entry. Each invalidation has a revision, each entry the revision
that was in force when its request began; an entry with a tag that was invalidated later is stale, wherever it comes
from and however late it arrives. So it costs the same for one entry and for a million, and an answer that was under
way while its document changed is not kept either.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

EVERYONE = ""
"""The owner of an invalidation that is for all tenants and pools."""
EVERYTHING = "*"
"""The tag that every entry has."""

_MOST = 10_000


class Freshness:
    """Revisions only grow. `most` bounds what is remembered of each owner: what is forgotten counts against all of
    that owner's older entries, and against no other's.
    """

    def __init__(self, most: int = _MOST) -> None:
        self.revision = 0
        self._most = most
        self._invalidated: dict[str, OrderedDict[str, int]] = {}
        """By owner and tag, the oldest first. EVERYTHING comes last: it is forgotten never."""

    def __len__(self) -> int:
        return sum(map(len, self._invalidated.values()))

    def invalidate(self, owner: str, tag: str, revision: int | None = None) -> int:
        """Make stale what is filed under `tag`; returns the revision. `owner` may be EVERYONE, `tag` EVERYTHING.

        `revision` is given where others count too. One that was known already changes nothing.
        """
        revision = self.revision + 1 if revision is None else revision
        self.revision = max(self.revision, revision)
        tags = self._invalidated.setdefault(owner, OrderedDict())
        tags[tag] = max(tags.pop(tag, 0), revision)
        while len(tags) > self._most:
            oldest = next(known for known in tags if known != EVERYTHING)
            tags[EVERYTHING] = max(tags.pop(EVERYTHING, 0), tags.pop(oldest))
        return revision

    def reach(self, revision: int) -> None:
        """What begins from now on begins at this revision or later."""
        self.revision = max(self.revision, revision)

    def is_stale(self, owner: str, tags: Sequence[str], revision: int) -> bool:
        """Whether an entry of `owner`, under `tags`, made when `revision` was in force, may be served no more."""
        if revision >= self.revision:
            return False
        for invalidated in (self._invalidated.get(owner), self._invalidated.get(EVERYONE)):
            if invalidated and any(invalidated.get(tag, 0) > revision for tag in (EVERYTHING, *tags)):
                return True
        return False

    def records(self) -> list[tuple[str, str, int]]:
        """Owner, tag and revision of every invalidation that is remembered."""
        return [
            (owner, tag, revision) for owner, tags in self._invalidated.items() for tag, revision in tags.items()
        ]
