"""An adapter in a vLLM that runs elsewhere, when that is in trouble; over real vLLM it is tried in tests/vllm."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.errors import ConnectionRefused
from contracts.ports import UpstreamCall
from router.upstreams.vllm_adapters import VLLMAdapter


class Restarted:
    """A server that was restarted and knows no adapter; it answers orders to load one with what `loads` says."""

    def __init__(self) -> None:
        self.loads = [200]
        self.tries = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        status = 404
        if b"/load_lora_adapter" in head:
            self.tries += 1
            status = self.loads.pop(0)
        writer.write(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}" % status)
        await writer.drain()
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Restarted, str]]:
    restarted = Restarted()
    listening = await asyncio.start_server(restarted.answer, "127.0.0.1", 0)
    async with listening:
        yield restarted, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"


async def test_an_adapter_that_was_forgotten_is_loaded_again_until_it_is_there(
    server: tuple[Restarted, str], tmp_path: Path
) -> None:
    restarted, base_url = server
    adapter = VLLMAdapter("far", base_url, None, tmp_path, "pupil-v1")
    await adapter.start()
    restarted.loads = [503, 200]
    body = {"model": "any", "messages": [{"role": "user", "content": "hello"}]}
    call = UpstreamCall(endpoint="chat/completions", body=body, request_id="req_1", first_byte_s=5, stall_s=5)
    with pytest.raises(ConnectionRefused, match="forgotten"):
        await adapter.send(call)
    async with asyncio.timeout(10):
        while restarted.loads or not adapter.up:  # noqa: ASYNC110 - a server is waited for
            await asyncio.sleep(0.02)
    assert restarted.tries == 3
    await adapter.close()
