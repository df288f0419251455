"""The encoder's process and clients of it, as a server has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from encoder.address import socket_path
from encoder.card import read_card
from encoder.client import EncoderClient
from encoder.process import encoder_process
from system.kept_process import KeptProcess

AMPLE_S = 20.0


@asynccontextmanager
async def process(folder: Path, state: Path, **settings: int) -> AsyncIterator[KeptProcess]:
    process = encoder_process(folder, socket_path(state), **settings)
    process.start()
    try:
        yield process
    finally:
        await process.stop()


@asynccontextmanager
async def client(folder: Path, state: Path, **settings: Any) -> AsyncIterator[EncoderClient]:
    client = EncoderClient(read_card(folder), socket_path(state), **{"deadline_s": AMPLE_S, **settings})
    client.start()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def both(folder: Path, state: Path, **settings: Any) -> AsyncIterator[tuple[KeptProcess, EncoderClient]]:
    """A process and a client that is connected to it."""
    async with process(folder, state) as started, client(folder, state, **settings) as connected:
        await eventually(lambda: connected.up)
        yield started, connected


async def eventually(check: Callable[[], Any]) -> Any:
    """The first true value of `check()`."""
    async with asyncio.timeout(AMPLE_S):
        while not (value := check()):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.02)
    return value
