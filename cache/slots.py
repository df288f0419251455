"""Keys by number, in the order of their use: what the columns of a cache stand on.

The non-obvious decision: the order is two columns of numbers, where an ordered dictionary takes a node and a place
in a second table for each key. Whoever keeps something for a key keeps it in a column of its own at the key's slot,
so that an entry is no object, and its numbers are eight bytes each or less.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

Key = bytes

_ENDS = 0
"""No key's slot: the newest key stands before it, the oldest one behind it."""


class Slots:
    """Slots count from 1; one that is free is taken again before there is a new one.

    `slot` says where a key is, or None. `notes` has a number by slot for whoever keeps more about a key in rows of
    their own: 0 for a new key.
    """

    def __init__(self) -> None:
        self.notes = array("I", [0])
        self._slots: dict[Key, int] = {}
        self.slot: Callable[[Key], int | None] = self._slots.get
        self._keys: list[Key] = [b""]
        self._older = array("I", [_ENDS])
        self._newer = array("I", [_ENDS])
        self._free = _ENDS
        """The first of the free slots; each has the next one as `_newer`."""

    def __len__(self) -> int:
        return len(self._slots)

    def key(self, slot: int) -> Key:
        return self._keys[slot]

    @property
    def oldest(self) -> Key:
        """The key that was used least recently, empty where there is none."""
        return self._keys[self._newer[_ENDS]]

    def add(self, key: Key) -> int:
        """The slot of a key that is not there, as the one used last: at most one more than ever were in use."""
        slot = self._free
        if slot:
            self._free = self._newer[slot]
            self._keys[slot] = key
            self.notes[slot] = 0
        else:
            slot = len(self._keys)
            self._keys.append(key)
            for column in (self.notes, self._older, self._newer):
                column.append(0)
        self._slots[key] = slot
        self._link(self._older[_ENDS], slot)
        self._link(slot, _ENDS)
        return slot

    def touch(self, slot: int) -> None:
        """Its key is the one used last."""
        older, newer = self._older, self._newer
        after = newer[slot]
        if after:  # written out, as each hit comes by here
            before, last = older[slot], older[_ENDS]
            newer[before], older[after] = after, before
            newer[last], older[slot] = slot, last
            newer[slot], older[_ENDS] = _ENDS, slot

    def remove(self, key: Key) -> None:
        """KeyError where it is not there."""
        slot = self._slots.pop(key)
        self._link(self._older[slot], self._newer[slot])
        self._keys[slot] = b""
        self._newer[slot] = self._free
        self._free = slot

    def keys(self) -> Iterator[Key]:
        """The least recently used first; nothing may change meanwhile."""
        slot = self._newer[_ENDS]
        while slot:
            yield self._keys[slot]
            slot = self._newer[slot]

    def _link(self, older: int, newer: int) -> None:
        self._newer[older] = newer
        self._older[newer] = older
