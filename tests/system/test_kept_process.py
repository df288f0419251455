"""A child that dies is started again, and one that is told to end does."""

from __future__ import annotations

import asyncio
import logging

import pytest

from system.kept_process import KeptProcess

log = logging.getLogger("weir.test")


def kept(module: str) -> KeptProcess:
    return KeptProcess(module, {"a": 1}, name="the child", log=log, stop_s=5)


async def test_a_child_that_dies_is_started_again(caplog: pytest.LogCaptureFixture) -> None:
    process = kept("system.there_is_no_such_module")
    with caplog.at_level(logging.ERROR, "weir.test"):
        process.start()
        async with asyncio.timeout(20):
            while caplog.text.count("the child ended (status 1)") < 2:  # noqa: ASYNC110 - a log tells nobody
                await asyncio.sleep(0.05)
    await process.stop()
    assert process.pid is None


async def test_a_child_ends_when_its_input_does() -> None:
    process = kept("json.tool")  # reads until its input ends
    process.start()
    async with asyncio.timeout(20):
        while process.pid is None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        await process.stop()
    assert process.pid is None


async def test_one_that_was_never_started_is_stopped_at_once() -> None:
    await kept("json.tool").stop()
