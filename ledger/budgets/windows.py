"""Spans of the calendar, in UTC, and a clock that does not go back into a past one.

The non-obvious decision: where the system's clock is set back, by up to `BACKWARDS_S`, time stands still here
until it has caught up, so that no past window opens again. A larger step means that the clock was wrong before:
then the new time holds, and what was spent in its window is asked of the ledger again. More would be no safer, and
a budget by the minute would refuse all the while.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache

from contracts.budgets import Window

BACKWARDS_S = 60.0
_SECONDS = {"minute": 60, "day": 86_400}


@dataclass(frozen=True)
class Span:
    """From `begin` on and before `end`, in seconds since the epoch. All of time is from 0 to inf."""

    begin: int
    end: float

    def holds(self, now: float) -> bool:
        return self.begin <= now < self.end

    @property
    def begins_at(self) -> datetime | None:
        return datetime.fromtimestamp(self.begin, UTC) if self.end < math.inf else None

    @cached_property
    def resets_at(self) -> datetime | None:
        return datetime.fromtimestamp(self.end, UTC) if self.end < math.inf else None


ALWAYS = Span(0, math.inf)


def span_at(window: Window, now: float) -> Span:
    """The span of `window` that `now` lies in, in seconds since the epoch."""
    if window == "total":
        return ALWAYS
    return _span(window, math.floor(now / 60) * 60)


@lru_cache(maxsize=64)
def _span(window: Window, minute: int) -> Span:
    if window == "month":
        today = datetime.fromtimestamp(minute, UTC)
        begin = datetime(today.year, today.month, 1, tzinfo=UTC)
        years, month = divmod(today.month, 12)
        return Span(int(begin.timestamp()), begin.replace(year=today.year + years, month=month + 1).timestamp())
    seconds = _SECONDS[window]
    begin_s = minute // seconds * seconds
    return Span(begin_s, begin_s + seconds)


class SteadyClock:
    """Seconds since the epoch by `clock`, which stand still while that is set back a little."""

    def __init__(self, clock: Callable[[], float], backwards_s: float = BACKWARDS_S) -> None:
        self._clock = clock
        self._backwards_s = backwards_s
        self._newest = -math.inf

    def __call__(self) -> float:
        now = self._clock()
        if now < self._newest <= now + self._backwards_s:
            return self._newest
        self._newest = now
        return now
