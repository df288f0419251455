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
    """Revisions only grow. `most` bounds what is remembered: what is forgotten counts against all older entries."""

    def __init__(self, most: int = _MOST) -> None:
        self.revision = 0
        self._most = most
        self.floor = 0
        """Everything that is older is stale."""
        self._invalidated: OrderedDict[tuple[str, str], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._invalidated)

    def invalidate(self, owner: str, tag: str, revision: int | None = None) -> int:
        """Make stale what is filed under `tag`; returns the revision. `owner` may be EVERYONE, `tag` EVERYTHING.

        `revision` is given where others count too. One that was known already changes nothing.
        """
        revision = self.revision + 1 if revision is None else revision
        self.revision = max(self.revision, revision)
        known = self._invalidated.pop((owner, tag), 0)
        self._invalidated[owner, tag] = max(known, revision)
        while len(self._invalidated) > self._most:
            _, oldest = self._invalidated.popitem(last=False)
            self.floor = max(self.floor, oldest)
        return revision

    def reach(self, revision: int) -> None:
        """What begins from now on begins at this revision or later."""
        self.revision = max(self.revision, revision)

    def is_stale(self, owner: str, tags: Sequence[str], revision: int) -> bool:
        """Whether an entry of `owner`, under `tags`, made when `revision` was in force, may be served no more."""
        if revision >= self.revision:
            return False
        if revision < self.floor:
            return True
        known = self._invalidated
        for tag in (EVERYTHING, *tags):
            if known.get((owner, tag), 0) > revision or known.get((EVERYONE, tag), 0) > revision:
                return True
        return False

    def records(self) -> list[tuple[str, str, int]]:
        """Owner, tag and revision of every invalidation that is remembered, oldest first."""
        return [(owner, tag, revision) for (owner, tag), revision in self._invalidated.items()]
