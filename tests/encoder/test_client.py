"""Vectors over the socket, and what comes instead when there can be none: one error, soon."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from contracts.errors import EncoderUnavailable
from contracts.ports import Encoder
from encoder.build import build
from encoder.session import Session
from tests.encoder.running import both, client, eventually, process
from tests.encoder.texts import TEXTS


async def test_vectors_are_those_of_the_session(built: Path, session: Session, state: Path) -> None:
    async with both(built, state) as (_, encoder):
        vectors = await asyncio.gather(*(encoder.encode(text) for text in TEXTS))
        assert np.abs(np.stack(vectors) - session.encode(TEXTS)).max() < 1e-5
        assert (encoder.encoded, encoder.cached, encoder.failed, encoder.waiting) == (len(TEXTS), 0, 0, 0)
        port: Encoder = encoder
        assert (port.version, port.dimensions) == (session.card.version, 384)


async def test_a_vector_cannot_be_written_to(built: Path, state: Path) -> None:
    async with both(built, state) as (_, encoder):
        vector = await encoder.encode("hello")
        assert (vector.shape, vector.dtype) == ((384,), np.float32)
        with pytest.raises(ValueError, match="read-only"):
            vector[0] = 1


async def test_a_text_that_comes_again_is_not_encoded_again(built: Path, state: Path) -> None:
    async with both(built, state) as (started, encoder):
        first = await encoder.encode("hello")
        await started.stop()
        await eventually(lambda: not encoder.up)
        assert await encoder.encode("hello") is first
        assert (encoder.encoded, encoder.cached, encoder.failed) == (1, 1, 0)


async def test_none_is_kept_where_there_is_no_room(built: Path, state: Path) -> None:
    async with both(built, state, recent_bytes=0) as (_, encoder):
        await encoder.encode("hello")
        await encoder.encode("hello")
        assert (encoder.encoded, encoder.cached) == (2, 0)


@pytest.mark.parametrize("text", ["漢" * 1_000_000, "half \ud83d an emoji", "\x00" * 1_000_000])
async def test_no_text_is_too_much(built: Path, session: Session, state: Path, text: str) -> None:
    async with both(built, state) as (_, encoder):
        assert np.abs(await encoder.encode(text) - session.encode([text])[0]).max() < 1e-5


async def test_without_a_process_there_is_an_error_at_once(built: Path, state: Path) -> None:
    async with client(built, state) as encoder:
        with pytest.raises(EncoderUnavailable, match="no connection"):
            await encoder.encode("hello")
        assert (encoder.up, encoder.failed) == (False, 1)


async def test_a_process_that_is_killed_is_told_and_replaced(built: Path, state: Path) -> None:
    async with both(built, state) as (started, encoder):
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
        waiting = asyncio.gather(
            *(encoder.encode(f"text {number}") for number in range(20)), return_exceptions=True
        )
        await eventually(lambda: encoder.waiting == 20)
        os.kill(started.pid, signal.SIGKILL)
        assert {str(error) for error in await waiting} == {"The connection to the encoder was lost."}
        assert encoder.failed == 20
        await eventually(lambda: encoder.up)
        await encoder.encode("text 0")


async def test_one_that_does_not_answer_costs_the_deadline_thrice_and_then_nothing(
    built: Path, state: Path
) -> None:
    async with both(built, state, deadline_s=0.05) as (started, encoder):
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
        told = []
        for number in range(5):
            with pytest.raises(EncoderUnavailable) as error:
                await encoder.encode(f"text {number}")
            told.append(error.value.message)
        assert told[:3] == ["The encoder did not answer within 50 ms."] * 3
        assert told[3:] == ["The encoder failed 3 times in a row and is not asked for a moment."] * 2
        assert not encoder.up
        os.kill(started.pid, signal.SIGCONT)
        await eventually(lambda: encoder.up)
        await eventually_encodes(encoder)


async def eventually_encodes(encoder: Encoder) -> None:
    """On a busy machine a trial may still be too slow."""
    async with asyncio.timeout(20):
        while True:
            try:
                await encoder.encode("again")
            except EncoderUnavailable:
                await asyncio.sleep(0.1)
            else:
                return


async def test_more_than_may_wait_are_refused_at_once(built: Path, state: Path) -> None:
    async with both(built, state, waiting=4) as (started, encoder):
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
        asked = [asyncio.create_task(encoder.encode(f"text {number}")) for number in range(4)]
        await eventually(lambda: encoder.waiting == 4)
        with pytest.raises(EncoderUnavailable, match="Too many texts"):
            await encoder.encode("one more")
        os.kill(started.pid, signal.SIGCONT)
        await asyncio.gather(*asked)
        assert (encoder.encoded, encoder.failed) == (4, 1)


async def test_so_are_more_than_the_process_lets_wait(built: Path, state: Path) -> None:
    async with process(built, state, waiting=2) as started, client(built, state) as encoder:
        await eventually(lambda: encoder.up)
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
        asked = [asyncio.create_task(encoder.encode(f"text {number}")) for number in range(6)]
        await eventually(lambda: encoder.waiting == 6)
        os.kill(started.pid, signal.SIGCONT)
        told = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in told if isinstance(each, EncoderUnavailable)]
        assert {str(error) for error in refused} == {"Too many texts are waiting for the encoder."}
        assert len(refused) == 4


async def test_who_gives_up_leaves_nothing_behind(built: Path, state: Path) -> None:
    async with both(built, state) as (started, encoder):
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
        asked = asyncio.create_task(encoder.encode("hello"))
        await eventually(lambda: encoder.waiting == 1)
        asked.cancel()
        await asyncio.wait([asked])
        assert (asked.cancelled(), encoder.waiting, encoder.failed) == (True, 0, 0)
        os.kill(started.pid, signal.SIGCONT)
        await encoder.encode("hello again")


async def test_whoever_waits_when_it_is_closed_is_told(built: Path, state: Path) -> None:
    async with both(built, state) as (started, encoder):
        assert started.pid is not None
        os.kill(started.pid, signal.SIGSTOP)
        asked = asyncio.create_task(encoder.encode("hello"))
        await eventually(lambda: encoder.waiting == 1)
        await encoder.close()
        with pytest.raises(EncoderUnavailable):
            await asked
        os.kill(started.pid, signal.SIGCONT)


async def test_vectors_of_another_version_are_not_taken(
    built: Path, tiny: Path, state: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(tiny, tmp_path / "tiny encoder")
    async with process(tmp_path / "tiny encoder", state), client(built, state) as encoder:
        await eventually(lambda: "another version of the encoder answers there" in caplog.text)
        with pytest.raises(EncoderUnavailable):
            await encoder.encode("hello")
        assert not encoder.up
