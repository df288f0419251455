"""How nodes hear of each other's changes, and what waits to be told.

The non-obvious decision: what must not be missed is never dropped for want of room or of a connection. Where too
much of it waits, all of it becomes one invalidation of everything, which takes the place of them all.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

from msgspec import Struct

from cache.freshness import EVERYONE, EVERYTHING
from cache.sharing.changes import Change, Invalidated, Kept, encode, may_be_lost

log = logging.getLogger("weir.cache")

FROM_THE_BEGINNING = "0"
"""The position of a node that has answers of its own and never heard of others' changes."""


class Position(NamedTuple):
    """How far a stream of changes was read: the changes of an epoch are numbered from 1, without a gap.

    A new epoch begins where a stream is lost. So a change that was missed shows in the number of the next one.
    """

    epoch: int
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """What is not a position is one of another kind of stream: all of this one was missed."""
        epoch, _, number = text.partition("-")
        try:
            return cls(int(epoch), int(number or "0"))
        except ValueError:
            return cls(-1, 0)


class Spread(Protocol):
    """Changes to and from all other nodes. A node does not hear its own.

    Belongs to one event loop. `apply` is called on it, in the order in which the changes were told. What arrives as
    Kept may be stale already, which its revision says. Where changes were missed for good, `apply` gets
    `Invalidated(EVERYONE, EVERYTHING)` with a revision above all others: all that this node has is stale then.
    Now and then it gets a `Seen`: its position is where the node goes on after a restart, and its revision is in
    force from there on.

    `sent` and `received` count changes, `lost` those that were dropped. `up`: whether others are heard.
    """

    @property
    def up(self) -> bool: ...
    @property
    def sent(self) -> int: ...
    @property
    def received(self) -> int: ...
    @property
    def lost(self) -> int: ...

    def start(self, apply: Callable[[Change], None], *, position: str = "", revision: int = 0) -> None:
        """Begin to listen. `revision` is the newest that this node knows.

        `position` is that of the last `Seen` that was applied. Empty, for a node that has nothing yet; one that
        has, but no position, gives FROM_THE_BEGINNING.
        """
        ...

    def publish(self, change: Change) -> None:
        """Tell the others, in order. Never raises and does not wait for them."""
        ...

    async def next_revision(self) -> int:
        """For an invalidation: a number above all that any node was given before. Never raises.

        Where the others cannot be reached, it is counted here alone; once they can, this node's answers are stale.
        """
        ...

    async def stop(self) -> None:
        """Tell what waits, if that can be done at once, and end."""
        ...


class Parcel(Struct, gc=False):
    """A change on its way. `numbered`: its revision was given by all nodes' counter, and nobody else has it."""

    change: Change
    data: bytes
    numbered: bool = False


class Outbox:
    """What waits to be told, in order. `most` bounds what must not be lost, `max_bytes` the rest."""

    def __init__(self, *, most: int = 10_000, max_bytes: int = 8 * 1024**2) -> None:
        self.lost = 0
        self._most = most
        self._max_bytes = max_bytes
        self._bytes = 0
        self._needed = 0
        self._parcels: deque[Parcel] = deque()

    def __len__(self) -> int:
        return len(self._parcels)

    def put(self, change: Change, *, numbered: bool = False) -> bool:
        """False where there was no room, or it cannot be written down, and it was dropped."""
        optional = may_be_lost(change)
        parcel: Parcel | None
        try:
            parcel = Parcel(change, encode(change), numbered)
        except (ValueError, OverflowError):
            parcel = None if optional else _everything()
        if parcel is None or (optional and self._bytes + len(parcel.data) > self._max_bytes):
            self.lost += 1
            return False
        if not optional and self._needed >= self._most:
            self.lost += len(self._parcels)
            self._parcels.clear()
            self._bytes = self._needed = 0
            parcel = _everything()
        self._add(parcel)
        return True

    def take(self, most: int, max_bytes: int) -> list[Parcel]:
        """The first ones, at least one where there is any."""
        taken: list[Parcel] = []
        size = 0
        while self._parcels and len(taken) < most and (not taken or size + len(self._parcels[0].data) <= max_bytes):
            parcel = self._parcels.popleft()
            size += len(parcel.data)
            self._bytes -= len(parcel.data)
            self._needed -= not may_be_lost(parcel.change)
            taken.append(parcel)
        return taken

    def put_back(self, parcels: list[Parcel]) -> None:
        """They could not be told: those that must be are first again, and answers are not kept for later."""
        waiting = [*parcels, *self._parcels]
        self._parcels.clear()
        self._bytes = self._needed = 0
        for parcel in waiting:
            if isinstance(parcel.change, Kept):
                self.lost += 1
            else:
                parcel.numbered = False  # the counter may be another by then
                self._add(parcel)

    def _add(self, parcel: Parcel) -> None:
        self._parcels.append(parcel)
        self._bytes += len(parcel.data)
        self._needed += not may_be_lost(parcel.change)


def apply_safely(apply: Callable[[Change], None], change: Change) -> None:
    """One change that cannot be applied must not be the end of listening."""
    try:
        apply(change)
    except Exception:
        log.exception("a change of another node could not be applied")


def _everything() -> Parcel:
    change = Invalidated(owner=EVERYONE, tag=EVERYTHING, revision=0)
    return Parcel(change, encode(change))
