"""Sees that another artefact was promoted, and has it read, beside the requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

log = logging.getLogger("weir.router")


class Promotions:
    """Asks for the registry's `revision` every `every_s` seconds; when it has moved, runs `refresh` in a thread."""

    def __init__(self, revision: Callable[[], int], refresh: Callable[[], None], *, every_s: float) -> None:
        self._revision = revision
        self._refresh = refresh
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch(), name="promotions")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _watch(self) -> None:
        known = None  # what was promoted since the heads were read is seen at the first look
        while True:
            await asyncio.sleep(self._every_s)
            now = self._seen()
            if now is None or now == known:
                continue
            try:
                await asyncio.to_thread(self._refresh)
            except Exception:
                log.exception("what was promoted could not be read; it is tried again")
                continue
            if known is not None:
                log.info("what was promoted is in force")
            known = now

    def _seen(self) -> int | None:
        try:
            return self._revision()
        except OSError as error:
            log.warning("the registry cannot be read: %s", error)
            return None
