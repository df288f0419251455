"""The two streamed replies: one relayed from an upstream as it comes, one replayed from a stored answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from contracts.errors import Abandoned, WeirError
from contracts.sse import DONE, event
from router.delivery import Tee
from router.exchange import Exchange

_DONE_EVENT = event(DONE)


class Relayed:
    """Passes on what the tee lets through, then settles, then sends the ending.

    When the client hangs up, the upstream is read on for `drain_s` at most, so that the bill is right.
    """

    def __init__(
        self,
        exchange: Exchange,
        tee: Tee,
        head: bytes,
        *,
        drain_s: float,
        settle: Callable[[WeirError | None], None],
    ) -> None:
        self._exchange = exchange
        self._tee = tee
        self._head = head
        self._drain_s = drain_s
        self._drain_until: float | None = None
        self._settle = settle
        self._over = False

    async def next(self) -> bytes:
        if self._head:
            head, self._head = self._head, b""
            return head
        if self._over:
            return b""
        try:
            passing = await self._tee.next()
            if passing and self._drain_until is not None and time.perf_counter() > self._drain_until:
                raise Abandoned("The client left, and the rest of the answer took too long to read.")
        except WeirError as failure:
            self._end(failure)
            raise
        if passing:
            return passing
        self._end(None)
        return b"".join(map(event, self._tee.ending)) + _DONE_EVENT

    def hang_up(self) -> None:
        if not self._over and self._drain_until is None:
            self._exchange.trail.hung_up = True
            self._drain_until = time.perf_counter() + self._drain_s

    async def close(self) -> None:
        try:
            if not self._over:
                self._end(Abandoned("The answer was given up before its end."))
        finally:
            await self._tee.close()

    def _end(self, failure: WeirError | None) -> None:
        self._over = True
        self._settle(failure)


class Replayed:
    """A stored answer as a stream, already settled, sent in one go."""

    def __init__(self, events: bytes) -> None:
        self._events = events

    async def next(self) -> bytes:
        events, self._events = self._events, b""
        return events

    def hang_up(self) -> None:
        """Nothing to drain."""

    async def close(self) -> None:
        """Nothing to let go."""
