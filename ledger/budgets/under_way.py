"""Requests by their ids: what those under way have set aside, and which have ended lately.

Both are bounded. A request that has not ended in a day never will: it is let go of, and what it holds given back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_MOST_ENDED = 20_000
_ENDLESS_S = 86_400.0

ADMITTED = "@"
"""What a request holds that was admitted, where other names are those of models."""

Hold = TypeVar("Hold")


class UnderWay(Generic[Hold]):
    """`clock` is in seconds and never goes back: a system clock that is set forward lets go of nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: dict[str, tuple[float, dict[str, Hold]]] = {}
        self._ended: dict[str, None] = {}

    def __iter__(self) -> Iterator[tuple[str, dict[str, Hold]]]:
        """Each request under way, with its holds by model."""
        return ((request_id, holds) for request_id, (_, holds) in self._open.items())

    def hold_of(self, request_id: str, name: str) -> Hold | None:
        found = self._open.get(request_id)
        return None if found is None else found[1].get(name)

    def keep(self, request_id: str, name: str, hold: Hold) -> None:
        found = self._open.get(request_id)
        if found is None:
            found = self._open[request_id] = (self._clock(), {})
        found[1][name] = hold

    def has_ended(self, request_id: str) -> bool:
        return request_id in self._ended

    def end(self, request_id: str) -> dict[str, Hold] | None:
        """What the request held; None where it has ended before."""
        _, holds = self._open.pop(request_id, (0.0, {}))
        if request_id in self._ended:
            return None
        if len(self._ended) >= _MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        self._ended[request_id] = None
        return holds

    def endless(self) -> tuple[str, dict[str, Hold]] | None:
        """The oldest request, taken out, if it is under way for too long."""
        for request_id, (since, holds) in self._open.items():
            if self._clock() - since <= _ENDLESS_S:
                return None
            del self._open[request_id]
            return request_id, holds
        return None
