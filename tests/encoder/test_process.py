"""The encoder's process: how it begins, that there is one at a time, and when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from encoder.address import socket_path
from encoder.card import MODEL
from tests.encoder.running import both, client, eventually, process


async def test_only_its_owner_may_speak_to_it(built: Path, state: Path) -> None:
    async with both(built, state):
        assert socket_path(state).stat().st_mode & 0o777 == 0o600
    assert not socket_path(state).exists()


async def test_a_signal_that_is_meant_for_the_server_does_not_end_it(built: Path, state: Path) -> None:
    async with both(built, state) as (started, encoder):
        pid = started.pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        await encoder.encode("hello")
        assert started.pid == pid


async def test_it_ends_with_its_server_however_that_ended(built: Path, state: Path) -> None:
    """Its input ends without a word."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "encoder.child", stdin=subprocess.PIPE)
    assert child.stdin is not None
    settings = {
        "folder": str(built),
        "socket": str(socket_path(state)),
        "backend": "onnxruntime",
        "batch": 4,
        "waiting": 4,
        "log_level": 20,
    }
    child.stdin.write(json.dumps(settings).encode() + b"\n")
    async with client(built, state) as encoder:
        await eventually(lambda: encoder.up)
        child.stdin.close()
        async with asyncio.timeout(20):
            assert await child.wait() == 0


async def test_a_second_one_stands_by_and_takes_over(built: Path, state: Path) -> None:
    async with both(built, state) as (first, encoder), process(built, state) as second:
        await eventually(lambda: second.pid)
        await encoder.encode("one")
        await first.stop()
        await eventually(lambda: encoder.up)
        await encoder.encode("two")
        assert second.pid is not None


async def test_a_socket_that_was_left_behind_is_in_nobodys_way(built: Path, state: Path) -> None:
    async with both(built, state) as (started, encoder):
        killed = started.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: not encoder.up)
        assert socket_path(state).exists()
        await eventually(lambda: encoder.up)
        assert started.pid != killed


async def test_a_damaged_network_is_told_and_tried_again_later(
    built: Path, state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(built, tmp_path / "copy"))
    (folder / MODEL).write_bytes(b"cut short")
    async with process(folder, state), client(built, state) as encoder:
        await eventually(lambda: "the encoder ended (status 1)" in caplog.text)
        shutil.copy(built / MODEL, folder / MODEL)
        await eventually(lambda: encoder.up)
    assert "damaged: not version" in capfd.readouterr().err


async def test_who_sends_what_is_no_question_is_let_go(built: Path, state: Path) -> None:
    async with both(built, state) as (_, encoder):
        reader, writer = await asyncio.open_unix_connection(socket_path(state))
        writer.write(b"\xff" * 100)
        async with asyncio.timeout(20):
            await reader.read()  # the greeting, and then the end
        writer.close()
        await encoder.encode("hello")
