"""How far an optimisation is, for whoever watches it, and how it is stopped in good order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Literal, Protocol

from msgspec import Struct

Stage = Literal["search", "before", "after"]
"""`before` and `after` are the two runs of the test."""


class Progress(Struct, frozen=True, kw_only=True):
    """`calls` of this stage, of about so many; dollars of all stages; `quality` is a mean score from 0 to 1.

    While searching, `quality` is the best prompt's on the validation part, `base` that of the one to begin with.
    """

    stage: Stage
    calls: int
    of: int
    spent: Decimal
    quality: float | None = None
    base: float | None = None


Watch = Callable[[Progress], None]
"""Is called by any thread."""


class End(Protocol):
    def __call__(self, reason: str, *, at_once: bool) -> None:
        """No more calls. Those under way may end, within a grace; `at_once`: they are broken off."""


class Stop:
    """From any thread or signal handler: what goes on now ends in good order, and nothing is begun after it."""

    def __init__(self) -> None:
        self.reason = ""
        self._end: End | None = None

    def call(self, reason: str) -> None:
        """The first `reason` counts. From the second call on, calls under way are broken off."""
        again, self.reason = bool(self.reason), self.reason or reason
        if self._end is not None:
            self._end(self.reason, at_once=again)

    @contextmanager
    def ends(self, end: End) -> Iterator[None]:
        """Within, a call of this is one of `end`; also one that came before."""
        self._end = end
        if self.reason:
            end(self.reason, at_once=False)
        try:
            yield
        finally:
            self._end = None
