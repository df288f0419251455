"""Single flight: of many equal requests at once, one asks a model and the others wait for its answer.

The non-obvious decision: a flight whose pilot gives up (its client left, its task was cancelled) does not crash.
The passenger who has waited longest takes over, and the others keep their seats.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections import deque
from collections.abc import Callable

from contracts.errors import Abandoned, BudgetUnavailable, DeadlineExceeded, LimitReached, WeirError
from contracts.records import StoredAnswer

_Seat = asyncio.Future["Flight | StoredAnswer | WeirError | None"]
"""Where a passenger waits: for the answer, the error, neither, or the controls."""
_PILOTS_OWN = (Abandoned, LimitReached, BudgetUnavailable)
"""Errors that say nothing of the request, but of who makes it: a passenger may be under other budgets."""


class Flight:
    """What the pilot holds. It must `land` it, whatever happens; only the first landing counts."""

    __slots__ = ("_air", "_clock", "_key", "_landed", "_release")

    def __init__(self, air: dict[bytes, deque[_Seat]], key: bytes, clock: Callable[[], float]) -> None:
        self._air = air
        self._key = key
        self._clock = clock
        self._landed = False
        self._release: asyncio.TimerHandle | None = None

    def share_until(self, when: float) -> None:
        """Have the passengers go alone at `when`, at once where that is past, if it has not landed by then.

        For an answer that is on its way in a stream: its end is bound by no deadline, or by a client that reads
        slowly, but its passengers' waiting is.
        """
        loop = asyncio.get_running_loop()
        self._release = loop.call_later(max(0.0, when - self._clock()), self.land, None)

    def land(self, answer: StoredAnswer | None, error: BaseException | None = None) -> None:
        """Give every passenger `answer` (None: it is not to be shared), or the WeirError that ended the flight.

        After Abandoned, a used-up budget, and any other `error`, such as a cancellation, a passenger takes over.
        """
        if self._landed:
            return
        self._landed = True
        if self._release is not None:
            self._release.cancel()
        seats = self._air[self._key]
        shared: StoredAnswer | WeirError | None = answer
        if isinstance(error, WeirError) and not isinstance(error, _PILOTS_OWN):
            shared = error
        if seats and error is not None and shared is not error:
            seats.popleft().set_result(Flight(self._air, self._key, self._clock))
            return
        del self._air[self._key]
        for seat in seats:
            seat.set_result(shared)


class Flights:
    """The flights in the air, by cache key. Belongs to one event loop."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._air: dict[bytes, deque[_Seat]] = {}

    def __len__(self) -> int:
        return len(self._air)

    @property
    def passengers(self) -> int:
        """How many are waiting."""
        return sum(map(len, self._air.values()))

    async def board(self, key: bytes, *, until: float) -> tuple[Flight | None, StoredAnswer | None]:
        """Fly, or wait until `until` for the one who does.

        Returns a Flight where the caller is the pilot, an answer where one has landed, and neither where there
        was none to share: the caller then goes alone. Raises the pilot's WeirError, or DeadlineExceeded.
        """
        seats = self._air.get(key)
        if seats is None:
            self._air[key] = deque()
            return Flight(self._air, key, self._clock), None
        seat: _Seat = asyncio.get_running_loop().create_future()
        seats.append(seat)
        try:
            await asyncio.wait([seat], timeout=max(0.0, until - self._clock()))
        except asyncio.CancelledError as cancelled:
            if seat.done() and isinstance(flight := seat.result(), Flight):
                flight.land(None, cancelled)
            raise
        finally:
            if not seat.done():
                seats.remove(seat)
        if not seat.done():
            raise DeadlineExceeded("An equal request was waited for, and this route's deadline came first.")
        landing = seat.result()
        if isinstance(landing, Flight):
            return landing, None
        if isinstance(landing, WeirError):
            raise copy.copy(landing) from landing  # each its own: a shared one would grow a traceback for each
        return None, landing
