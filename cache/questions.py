"""The questions of stored answers: where each stands in its scope's index, and what became of it.

The non-obvious decision: a question is a row number into columns, not an object. The vector is kept in the index
alone, and the keys are the same bytes objects that the answer stands under.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from math import log
from sys import getsizeof
from typing import TYPE_CHECKING

from cache.index import VectorIndexes

if TYPE_CHECKING:
    from contracts.ports import Vector

Key = bytes

_DEMOTION = 1.0
"""Log odds that a report costs each neighbour of the reported answer."""


class Questions:
    """Texts and vectors by the key of their answer. Belongs to one thread.

    A question with `enough_labels` of its own is trusted by them: `most_trust` bounds how far, in log odds.
    """

    def __init__(self, vectors: VectorIndexes, *, enough_labels: int = 10, most_trust: float = 2.0) -> None:
        self._vectors = vectors
        self._enough_labels = enough_labels
        self._most_trust = most_trust
        self._rows: dict[Key, int] = {}
        self._free: list[int] = []
        self._keys: list[Key] = []
        self._hard_keys: list[Key] = []
        self._texts: list[Key] = []
        self._right = array("H")
        self._wrong = array("H")
        self._demoted = array("B")
        self.text_bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def bytes(self) -> int:
        """Memory of texts, vectors and indexes; keys count with their answers."""
        columns = sum(map(getsizeof, (self._rows, self._keys, self._hard_keys, self._texts, self._free)))
        columns += sum(map(getsizeof, (self._right, self._wrong, self._demoted)))
        return columns + self.text_bytes + self._vectors.bytes

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
        return self._rows.get(key)

    def key(self, row: int) -> Key:
        return self._keys[row]

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
        """Keep a question; one that is there already stays as it is."""
        if key in self._rows:
            return
        kept = text.encode()
        if self._free:
            row = self._free.pop()
            self._keys[row], self._hard_keys[row], self._texts[row] = key, hard_key, kept
            self._right[row] = self._wrong[row] = self._demoted[row] = 0
        else:
            row = len(self._keys)
            self._keys.append(key)
            self._hard_keys.append(hard_key)
            self._texts.append(kept)
            for column in (self._right, self._wrong, self._demoted):
                column.append(0)
        self._rows[key] = row
        self.text_bytes += getsizeof(kept)
        self._vectors.add(hard_key, row, vector)

    def remove(self, key: Key) -> None:
        """Forget the question whose answer is gone, if there is one."""
        row = self._rows.pop(key, None)
        if row is None:
            return
        self._vectors.remove(self._hard_keys[row], row)
        self.text_bytes -= getsizeof(self._texts[row])
        self._keys[row] = self._hard_keys[row] = self._texts[row] = b""
        self._free.append(row)

    def label(self, key: Key, wrong: bool) -> None:
        """The answer did or did not do for another question."""
        row = self._rows.get(key)
        if row is not None:
            column = self._wrong if wrong else self._right
            column[row] = min(65_535, column[row] + 1)

    def demote_around(self, key: Key, floor: float, most: int = 16) -> None:
        """Trust the nearest questions less, this one among them."""
        row = self._rows.get(key)
        if row is None:
            return
        for near, _ in self.near(self._hard_keys[row], self.vector(row), most, floor):
            self._demoted[near] = min(255, self._demoted[near] + 1)

    def rows(self) -> Iterator[int]:
        """Every row that is in use."""
        return iter(list(self._rows.values()))

    def restore(self, key: Key, right: int, wrong: int, demoted: int) -> None:
        """Set what became of a question, as a snapshot tells it."""
        row = self._rows[key]
        self._right[row], self._wrong[row], self._demoted[row] = right, wrong, demoted

    def history(self, row: int) -> tuple[int, int, int]:
        """What `restore` takes."""
        return self._right[row], self._wrong[row], self._demoted[row]
