"""Admission by permit: a full house says so at once instead of letting a queue grow.

Several workers of one Weir count together, without a lock: each writes a slot of its own in shared memory and adds
up all of them. A slot is raised before the sum is taken, so two workers that race for the last permit may both be
refused, but never both be let in.
"""

from __future__ import annotations

from mmap import mmap
from threading import Lock

from contracts.errors import Overloaded, ShuttingDown


class Permits:
    """At most `most` requests at a time in this process."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self.closed = False

    def take(self) -> None:
        """Raises Overloaded where all are taken, ShuttingDown once closed."""
        if self.closed:
            raise self._shutting_down()
        if self.taken >= self.most:
            raise self._overloaded()
        self.taken += 1

    def close(self) -> None:
        self.closed = True

    def give_back(self) -> None:
        self.taken -= 1

    def _shutting_down(self) -> ShuttingDown:
        return ShuttingDown("This Weir is shutting down; send the request again.", retry_after_s=1)

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"{self.most} requests are being answered; come back in a second.", retry_after_s=1)


class SharedPermits(Permits):
    """At most `most` requests at a time in all workers that share `slots`; `taken` counts those of this one."""

    def __init__(self, most: int, slots: memoryview, worker: int) -> None:
        super().__init__(most)
        self._slots = slots
        self._worker = worker
        self._fence = Lock()

    def take(self) -> None:
        if self.closed:
            raise self._shutting_down()
        self._slots[self._worker] = self.taken + 1
        with self._fence:  # a processor may read the others' slots before its own is seen, unless a lock is between
            taken_by_all = sum(self._slots)
        if taken_by_all > self.most:
            self._slots[self._worker] = self.taken
            raise self._overloaded()
        self.taken += 1

    def give_back(self) -> None:
        self.taken -= 1
        self._slots[self._worker] = self.taken


def shared_slots(workers: int) -> memoryview:
    """A count for each worker, all zero, in memory that processes forked from this one share."""
    return memoryview(mmap(-1, 8 * workers)).cast("Q")
