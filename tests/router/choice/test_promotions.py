"""Another artefact was promoted: it is read once, and whatever goes wrong the watch goes on."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from router.choice.promotions import Promotions


class Registry:
    """A revision that moves, a count of who asked for it, and of what was read."""

    def __init__(self) -> None:
        self.current = 1
        self.fault: Exception | None = None
        self.unreadable: Exception | None = None
        self.asked = 0
        self.refreshed: list[int] = []
        self.threads: set[str] = set()

    def revision(self) -> int:
        self.asked += 1
        if self.unreadable is not None:
            raise self.unreadable
        return self.current

    def refresh(self) -> None:
        self.threads.add(threading.current_thread().name)
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.refreshed.append(self.current)

    async def looked(self, times: int = 2) -> None:
        """Until it has been asked so often more, so that whatever came of the first has happened."""
        seen = self.asked + times
        await until(lambda: self.asked >= seen)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - what is waited for is in the watch
            await asyncio.sleep(0.001)


@asynccontextmanager
async def watched(registry: Registry) -> AsyncIterator[Promotions]:
    promotions = Promotions(registry.revision, registry.refresh, every_s=0.001)
    promotions.start()
    try:
        await registry.looked()
        yield promotions
    finally:
        await promotions.stop()


async def test_what_was_promoted_is_read_once_and_beside_the_requests() -> None:
    registry = Registry()
    async with watched(registry):
        await registry.looked(5)
        assert registry.refreshed == [1]  # what was promoted while the heads were being read
        registry.current = 2
        await until(lambda: len(registry.refreshed) == 2)
        await registry.looked(5)
        assert registry.refreshed == [1, 2]
        registry.current = 1  # an alias was moved back
        await until(lambda: len(registry.refreshed) == 3)
        assert registry.refreshed == [1, 2, 1]
    assert threading.current_thread().name not in registry.threads


async def test_a_registry_that_cannot_be_read_for_a_while_is_asked_again() -> None:
    registry = Registry()
    registry.unreadable = OSError("gone")
    async with watched(registry):
        registry.unreadable = None
        await until(lambda: bool(registry.refreshed))
        registry.unreadable = OSError("gone again")
        await registry.looked()
        registry.unreadable = None
        await registry.looked(5)
        assert registry.refreshed == [1]


async def test_what_could_not_be_read_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    registry = Registry()
    async with watched(registry):
        registry.fault = ValueError("half a file")
        registry.current = 2
        with caplog.at_level(logging.ERROR, "weir.router"):
            await until(lambda: 2 in registry.refreshed)
        assert registry.refreshed[-1] == 2
        assert "tried again" in caplog.text


async def test_once_stopped_it_asks_no_more() -> None:
    registry = Registry()
    async with watched(registry) as promotions:
        await promotions.stop()
        asked = registry.asked
        await asyncio.sleep(0.02)
        assert registry.asked == asked
    await Promotions(registry.revision, registry.refresh, every_s=1).stop()
