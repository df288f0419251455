"""Whether requests would be answered: asked of the parts themselves, not remembered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from contracts.errors import UpstreamFailure
from contracts.ports import EventLog, Keyring, Upstream
from router.permits import Permits

_PROBE_S = 1.0
_FRESH_S = 2.0
"""A probe's result is reused for this long, so that health checks cannot become load."""


class Health:
    """Ready means: keys are known, usage can be recorded, and at least one upstream answers.

    Without its database or the counters of its budgets a Weir goes on answering what it may.
    """

    def __init__(
        self,
        *,
        keys: Keyring,
        events: EventLog,
        permits: Permits,
        upstreams: Callable[[], Mapping[str, Upstream]],
        database_up: Callable[[], bool],
        budgets_up: Callable[[], bool] = lambda: True,
    ) -> None:
        self._keys = keys
        self._events = events
        self._permits = permits
        self._upstreams = upstreams
        self._database_up = database_up
        self._budgets_up = budgets_up
        self._probed: dict[str, str] = {}
        self._probed_at = float("-inf")
        self._probing = asyncio.Lock()

    async def report(self) -> dict[str, Any]:
        """Every part with `ok` or what is wrong with it, and `ready`."""
        upstreams = await self._probe_all()
        parts = {
            "keys": "ok" if self._keys.known else "never read from the database",
            "spool": "ok" if self._events.ready() else "cannot be written",
            "upstreams": "ok" if "ok" in upstreams.values() else "none answers",
            "server": "shutting down" if self._permits.closed else "ok",
        }
        informative = {
            "database": "ok" if self._database_up() else "down: events wait on disk",
            "budgets": "ok" if self._budgets_up() else "their counters are out of reach",
        }
        return {
            "ready": all(state == "ok" for state in parts.values()),
            "parts": {**parts, **informative},
            "upstreams": upstreams,
        }

    async def _probe_all(self) -> dict[str, str]:
        async with self._probing:
            if time.monotonic() - self._probed_at > _FRESH_S:
                upstreams = self._upstreams()
                states = await asyncio.gather(*map(_probe, upstreams.values()))
                self._probed = dict(zip(upstreams, states, strict=True))
                self._probed_at = time.monotonic()
            return self._probed


async def _probe(upstream: Upstream) -> str:
    try:
        async with asyncio.timeout(_PROBE_S):
            await upstream.probe()
    except UpstreamFailure as failure:
        return failure.code
    except TimeoutError:
        return "no answer"
    return "ok"
