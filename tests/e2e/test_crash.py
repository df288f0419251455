"""SIGKILL in the middle of everything: no finished answer lacks its usage event, and none counts twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import openai
import pytest

from tests.e2e.running import RunningWeir, running_weir, stream_once, write_config

STREAMS = 32


async def _stream_until_cut(weir: RunningWeir, finished: list[str]) -> None:
    """Ask one streamed question after another until the server is gone; note the ids of whole answers."""
    async with weir.async_client() as client:
        while True:
            try:
                await stream_once(client, finished)
            except (openai.APIError, OSError):
                return
            except Exception as error:
                if type(error).__module__.startswith(("httpx", "httpcore")):
                    return
                raise


@pytest.mark.parametrize("round_", range(2))
def test_no_finished_answer_lacks_its_event(tmp_path: Path, round_: int) -> None:
    config = write_config(
        tmp_path,
        models={
            "talker": {"upstream": "scripted", "name": "slow-tokens-3", "price": {"input": "1", "output": "2"}}
        },
        routes={},
    )
    finished: list[str] = []

    async def kill_while_streaming(weir: RunningWeir) -> None:
        streams = [asyncio.create_task(_stream_until_cut(weir, finished)) for _ in range(STREAMS)]
        while len(finished) < STREAMS:  # noqa: ASYNC110 - any of the streams may be the one
            await asyncio.sleep(0.02)
        weir.process.kill()
        await asyncio.gather(*streams)

    state = tmp_path / "state"
    with running_weir(config, state) as weir:
        asyncio.run(kill_while_streaming(weir))
        weir.process.wait(10)
    killed = weir.costs()
    with running_weir(config, state) as weir:
        for request_id in finished:
            status, _ = weir.get(f"/v1/decisions/{request_id}", weir.admin_key)
            assert status == 200, f"{request_id} was finished but has no usage event"
        restarted = weir.costs()
    assert Counter(finished).most_common(1)[0][1] == 1
    assert restarted["total"] == killed["total"]
    assert restarted["total"]["requests"] >= len(finished)
    with running_weir(config, state) as weir:
        assert weir.costs()["total"] == restarted["total"]
