"""The questions of stored answers: where each stands in its scope's index, and what became of it.

The non-obvious decision: a question is a row number into columns, not an object. The vector is kept in the index
alone, and the key where the answer is: a row has the number of that slot, and the slot the number of the row. They
are not the same number, since an answer without a question would then take up room for a vector.
"""

from __future__ import annotations

from array import array
from math import log
from sys import getsizeof
from typing import TYPE_CHECKING

from cache.exact import rounded
from cache.index.scopes import VectorIndexes
from cache.slots import Key, Slots

if TYPE_CHECKING:
    from contracts.ports import Vector

_DEMOTION = 1.0
"""Log odds that a report costs each neighbour of the reported answer."""


class Questions:
    """Texts and vectors by the key of their answer, which is in `slots`. Belongs to one thread.

    Who takes a key out of `slots` has to `remove` it here first. A question with `enough_labels` of its own is
    trusted by them: `most_trust` bounds how far, in log odds.
    """

    def __init__(
        self, vectors: VectorIndexes, slots: Slots, *, enough_labels: int = 10, most_trust: float = 2.0
    ) -> None:
        self._vectors = vectors
        self._slots = slots
        self._enough_labels = enough_labels
        self._most_trust = most_trust
        self._shared: dict[Key, Key] = {}
        self._free = array("I")
        self._slot_of = array("I")
        self._hard_keys: list[Key] = []
        self._texts: list[bytes] = []
        self._right = array("H")
        self._wrong = array("H")
        self._demoted = array("B")
        self.text_bytes = 0

    def __len__(self) -> int:
        return len(self._texts) - len(self._free)

    @property
    def bytes(self) -> int:
        """Memory of texts, vectors and indexes; keys count with their answers, hard keys with their indexes."""
        columns = (self._slot_of, self._hard_keys, self._texts, self._right, self._wrong, self._demoted, self._free)
        return sum(map(getsizeof, columns)) + getsizeof(self._shared) + self.text_bytes + self._vectors.bytes

    @property
    def vector_bytes(self) -> int:
        """Memory of vectors and indexes alone."""
        return self._vectors.bytes

    def knows(self, hard_key: Key) -> bool:
        """Whether anything was asked in this scope."""
        return self._vectors.size(hard_key) > 0

    def near(self, hard_key: Key, vector: Vector, most: int, floor: float) -> list[tuple[int, float]]:
        """Rows and cosines of the nearest questions in the scope, best first."""
        return self._vectors.search(hard_key, vector, most, floor)

    def row(self, key: Key) -> int | None:
        slot = self._slots.slot(key)
        note = 0 if slot is None else self._slots.notes[slot]
        return note - 1 if note else None

    def key(self, row: int) -> Key:
        return self._slots.key(self._slot_of[row])

    def hard_key(self, row: int) -> Key:
        return self._hard_keys[row]

    def text(self, row: int) -> str:
        return self._texts[row].decode()

    def vector(self, row: int) -> Vector:
        return self._vectors.vector(row)

    def labels(self, row: int) -> tuple[int, int]:
        """How often the answer did for another question, and how often not."""
        return self._right[row], self._wrong[row]

    def trust(self, row: int) -> float:
        """How much more than another of the same score this question is to be trusted, in log odds."""
        right, wrong = self._right[row], self._wrong[row]
        own = 0.0
        if right + wrong >= self._enough_labels:
            own = log((right + 1) / (wrong + 1)) - log(self._enough_labels + 1)
            own = min(self._most_trust, max(-self._most_trust, own))
        return own - _DEMOTION * self._demoted[row]

    def add(self, hard_key: Key, key: Key, text: str, vector: Vector) -> None:
        """Keep a question; one that is there already stays as it is, and one whose answer is gone is not kept."""
        slot = self._slots.slot(key)
        if slot is None or self._slots.notes[slot]:
            return
        if self.knows(hard_key):
            hard_key = self._shared.setdefault(hard_key, hard_key)
        kept = text.encode()
        row = self._free[-1] if self._free else len(self._texts)
        self._vectors.add(hard_key, row, vector)
        if self._free:
            self._free.pop()
            self._slot_of[row], self._hard_keys[row], self._texts[row] = slot, hard_key, kept
            self._right[row] = self._wrong[row] = self._demoted[row] = 0
        else:
            self._slot_of.append(slot)
            self._hard_keys.append(hard_key)
            self._texts.append(kept)
            for column in (self._right, self._wrong, self._demoted):
                column.append(0)
        self._slots.notes[slot] = row + 1
        self.text_bytes += rounded(kept)

    def remove(self, key: Key) -> None:
        """Forget the question whose answer goes, if there is one."""
        row = self.row(key)
        if row is None:
            return
        hard_key = self._hard_keys[row]
        self._vectors.remove(hard_key, row)
        if not self.knows(hard_key):
            self._shared.pop(hard_key, None)
        self.text_bytes -= rounded(self._texts[row])
        self._hard_keys[row] = self._texts[row] = b""
        self._slots.notes[self._slot_of[row]] = 0
        self._free.append(row)

    def label(self, key: Key, wrong: bool) -> None:
        """The answer did or did not do for another question."""
        row = self.row(key)
        if row is not None:
            column = self._wrong if wrong else self._right
            column[row] = min(65_535, column[row] + 1)

    def demote_around(self, key: Key, floor: float, most: int = 16) -> None:
        """Trust the nearest questions less, this one among them."""
        row = self.row(key)
        if row is None:
            return
        for near, _ in self.near(self._hard_keys[row], self.vector(row), most, floor):
            self._demoted[near] = min(255, self._demoted[near] + 1)

    def restore(self, key: Key, right: int, wrong: int, demoted: int) -> None:
        """Set what became of a question, as a snapshot tells it. KeyError where it is not there."""
        row = self.row(key)
        if row is None:
            raise KeyError(key)
        self._right[row], self._wrong[row], self._demoted[row] = right, wrong, demoted

    def history(self, row: int) -> tuple[int, int, int]:
        """What `restore` takes."""
        return self._right[row], self._wrong[row], self._demoted[row]
