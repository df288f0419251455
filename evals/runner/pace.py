"""How fast requests go out: evenly, at most so many a minute, and not at all while the target asks for a pause.

The non-obvious decision: after a pause requests go out apart, at twice the distance each time the target complains
again, and closer with each answer. Everybody rushing back at once would only be sent away again.
"""

from __future__ import annotations

import asyncio
import random

from evals.runner.ending import Ending

PATIENCE_S = 600.0
"""A target that has sent everybody away for so long will not answer this run."""
_FIRST_APART_S = 0.01
"""Distance after the first complaint: 100 requests a second, which 64 at a time rarely exceed."""
_LEAST_APART_S, _MOST_APART_S = 0.001, 0.25
_CLOSER = 0.85
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Where the target does not say how long: twice as long each time nothing was answered between."""


class Pace:
    """`rate` is requests a minute; None for no limit of our own."""

    def __init__(self, ending: Ending, rate: float | None = None) -> None:
        self._ending = ending
        self._usual = 60 / rate if rate else 0.0
        self._apart = self._usual
        self._next = 0.0
        self._resume = 0.0
        self._pauses = 0
        self._waiting_since: float | None = None
        self._order = asyncio.Lock()

    async def turn(self) -> None:
        """Wait until a request may go out. Raises Ended."""
        self._ending.check()
        now = asyncio.get_running_loop().time
        if not self._apart and now() >= self._resume:
            return
        async with self._order:
            while (wait := max(self._next, self._resume) - now()) > 0:
                await self._ending.rest(wait)
            # One turn that came late may be made up for, so that the rate is met; more would be a burst.
            self._next = max(self._next, now() - self._apart) + self._apart

    def slow_down(self, seconds: float | None) -> bool:
        """Nobody asks for `seconds` (None: as long as seems right). False where patience is at an end."""
        now = asyncio.get_running_loop().time()
        if self._waiting_since is None:
            self._waiting_since = now
        if now >= self._resume:  # else it was under way when the pause began
            self._apart = max(self._usual, min(max(2 * self._apart, _FIRST_APART_S), _MOST_APART_S))
            self._pauses += 1
        if seconds is None:
            longest = min(_FIRST_PAUSE_S * 2 ** (self._pauses - 1), _LONGEST_PAUSE_S)
            seconds = longest * random.uniform(0.5, 1)  # noqa: S311 - jitter
        self._resume = max(self._resume, now + seconds)
        return self._resume - self._waiting_since <= PATIENCE_S

    def answered(self) -> None:
        """The target answers: it is trusted with a little more."""
        self._waiting_since, self._pauses = None, 0
        if self._apart > self._usual:
            closer = self._apart * _CLOSER
            self._apart = max(self._usual, closer if closer > _LEAST_APART_S else 0.0)
