"""Why a run ends before it is through. Whoever waits for something during a run waits here, so that it can end."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

GRACE_S = 10.0
"""How long what is under way may take once a run ends: most answers come within it, and people wait that long."""


class Ended(Exception):
    """The run ends: what was about to be done is left undone."""


class Ending:
    """The first `reason` counts. `grace_s` is how long calls that were sent may still take."""

    def __init__(self) -> None:
        self.reason = ""
        self.grace_s = GRACE_S
        self._called = asyncio.Event()

    @property
    def called(self) -> bool:
        return self._called.is_set()

    def call(self, reason: str, *, grace_s: float = GRACE_S) -> None:
        """End the run. `math.inf` as grace waits for all that was sent, which has to be paid anyway."""
        if not self.called:
            self.reason, self.grace_s = reason, grace_s
            self._called.set()

    async def wait(self) -> None:
        await self._called.wait()

    async def rest(self, seconds: float) -> None:
        """Sleep. Raises Ended where the run ends meanwhile."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._called.wait(), seconds if math.isfinite(seconds) else None)
        self.check()

    def check(self) -> None:
        """Raises Ended where the run ends."""
        if self.called:
            raise Ended(self.reason)
