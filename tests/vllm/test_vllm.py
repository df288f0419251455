"""A real vLLM under Weir's care, in the environment that WEIR_TEST_VLLM_PYTHON names the Python of."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from contracts.errors import ConnectionRefused, UpstreamFailure, UpstreamRefusedKey, UpstreamRejected
from contracts.ports import UpstreamCall
from contracts.records import Endpoint
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.vllm import VLLMUpstream
from router.upstreams.vllm_adapters import VLLMAdapter
from tests.tiny_llama import CONTEXT, write_tiny_adapter, write_tiny_llama
from tests.vllm.processes import START_S, address_of, descendants, of_vllm

PYTHON = os.environ.get("WEIR_TEST_VLLM_PYTHON", "")
pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="WEIR_TEST_VLLM_PYTHON names no Python of an environment with vLLM"),
    pytest.mark.asyncio(loop_scope="module"),
]
ARGUMENTS = ("--dtype", "float32", "--max-model-len", str(CONTEXT), "--max-num-seqs", "8", "--enforce-eager")
HELLO = [{"role": "user", "content": "hello"}]


def call(endpoint: Endpoint = "chat/completions", **fields: Any) -> UpstreamCall:
    body = {"model": "what the client calls it", "temperature": 0, "max_tokens": 8, "messages": HELLO, **fields}
    return UpstreamCall(endpoint=endpoint, body=body, request_id="req_1", first_byte_s=START_S, stall_s=START_S)


def processes() -> dict[int, bytes]:
    return descendants(os.getpid())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("vllm") / "tiny")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream(model: Path) -> AsyncIterator[VLLMUpstream]:
    os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "True"
    arguments = (*ARGUMENTS, "--enable-lora", "--max-lora-rank", "8")
    upstream = VLLMUpstream("gpu", Path(PYTHON), model, served="tiny", arguments=arguments, start_s=START_S)
    await upstream.start()
    yield upstream
    del os.environ["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]
    family = set(processes())
    await upstream.close()
    assert not family & set(processes()), "nothing outlives it"


async def test_it_answers_whole_and_streamed_with_log_probabilities(upstream: VLLMUpstream) -> None:
    await upstream.probe()
    answer = await upstream.send(call(logprobs=True, top_logprobs=2))
    choice = answer.data["choices"][0]
    assert choice["message"]["content"]
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2
    assert answer.data["model"] == "tiny"
    stream = await upstream.open(call(stream=True))
    events = b""
    while part := await stream.read():
        events += part
    await stream.close()
    assert events.endswith(b"data: [DONE]\n\n")


async def test_a_form_is_kept_and_one_that_vllm_would_not_read_is_refused(upstream: VLLMUpstream) -> None:
    answer = await upstream.send(call(structured_outputs={"choice": ["yes", "no"]}, max_tokens=20))
    assert answer.data["choices"][0]["message"]["content"] in ("yes", "no")
    with pytest.raises(UpstreamRejected, match="structured_outputs"):
        await upstream.send(call(guided_choice=["yes", "no"]))


async def test_its_key_is_in_no_command_line_and_nobody_else_may_ask(upstream: VLLMUpstream) -> None:
    lines = processes()
    (pid,) = of_vllm(lines)
    base_url, key = address_of(pid)
    assert not any(key.encode() in line for line in lines.values())
    stranger = OpenAIUpstream("stranger", base_url, api_key="guessed")
    with pytest.raises(UpstreamRefusedKey):
        await stranger.send(call(model="tiny"))
    await stranger.close()


async def test_an_adapter_is_loaded_into_a_running_one_and_again_when_it_was_forgotten(
    upstream: VLLMUpstream, tmp_path: Path
) -> None:
    (pid,) = of_vllm(processes())
    adapter = VLLMAdapter("far", *address_of(pid), write_tiny_adapter(tmp_path / "lora"), "pupil-v1")
    await adapter.start()
    assert adapter.up
    one, other = await adapter.send(call()), await upstream.send(call())
    assert one.data["model"] == "pupil-v1"
    assert one.data["choices"][0]["message"]["content"] != other.data["choices"][0]["message"]["content"]
    again = VLLMAdapter("far", *address_of(pid), tmp_path / "lora", "pupil-v1")
    await again.start()  # another worker's
    await again.close()
    with pytest.raises(ConnectionRefused, match="forgotten"):
        await adapter.send(call())
    async with asyncio.timeout(30):
        while not adapter.up:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)
    assert (await adapter.send(call())).data["model"] == "pupil-v1"
    await adapter.close()
    missing = VLLMAdapter("far", *address_of(pid), tmp_path / "gone", "pupil-v2")
    with pytest.raises(ConnectionRefused, match="did not take the adapter"):
        await missing.start()
    await missing.close()


async def test_killed_under_load_its_calls_fail_at_once_and_it_comes_back(upstream: VLLMUpstream) -> None:
    async def until_it_fails() -> UpstreamFailure:
        while True:
            try:
                await upstream.send(call(max_tokens=400, ignore_eos=True))
            except UpstreamFailure as failure:
                return failure

    before = processes()
    calls = [asyncio.create_task(until_it_fails()) for _ in range(4)]
    await asyncio.sleep(0.2)
    os.kill(of_vllm(before)[0], signal.SIGKILL)
    assert len(await asyncio.gather(*calls)) == 4
    async with asyncio.timeout(START_S):
        for up in (False, True):
            while upstream.up != up:  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.05)
    assert (await upstream.send(call())).data["choices"]
    assert not before.keys() & processes().keys(), "of the first life nothing is left"


async def test_a_python_without_vllm_is_named_as_the_reason(model: Path) -> None:
    import sys

    upstream = VLLMUpstream("gpu", Path(sys.executable), model, served="tiny", start_s=60)
    with pytest.raises(ConnectionRefused, match="No module named 'vllm'"):
        await upstream.start()
    await upstream.close()
