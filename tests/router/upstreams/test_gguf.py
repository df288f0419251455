"""Real llama.cpp processes around a random model: answers, deaths, restarts."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.errors import ConnectionRefused, SlowUpstream, StreamCut, UpstreamFailure, UpstreamRejected
from contracts.ports import UpstreamCall
from contracts.records import Endpoint
from contracts.sse import DONE, payloads
from router.upstreams.gguf import GGUFUpstream
from tests.tiny_gguf import CONTEXT, write_tiny_gguf

pytestmark = pytest.mark.gguf
HELLO = [{"role": "user", "content": "hello"}]


def call(endpoint: Endpoint = "chat/completions", **fields: Any) -> UpstreamCall:
    body = {"model": "tiny", "temperature": 0, "max_tokens": 8, **fields}
    return UpstreamCall(endpoint=endpoint, body=body, request_id="req_1", first_byte_s=20, stall_s=20)


def command_line(pid: str | int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def child_pid(upstream: GGUFUpstream) -> int:
    """The one child of this process that runs the upstream's server."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    found = [int(pid) for pid in children if b"gguf_child" in command_line(pid)]
    assert len(found) == 1, f"{upstream.name}: {found}"
    return found[0]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


async def eventually(question: Any) -> None:
    async with asyncio.timeout(30):
        while not await question():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def damaged(model: Path, tmp_path: Path) -> Path:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(model.read_bytes()[:-1000])
    return path


@pytest.fixture
async def upstream(model: Path) -> AsyncIterator[GGUFUpstream]:
    upstream = GGUFUpstream("local", model, threads=1, context=CONTEXT, start_s=30)
    await upstream.start()
    yield upstream
    await upstream.close()


async def test_a_chat_is_answered_with_usage_and_logprobs(upstream: GGUFUpstream) -> None:
    answer = await upstream.send(call(messages=HELLO, logprobs=True, top_logprobs=2))
    again = await upstream.send(call(messages=HELLO))
    choice = answer.data["choices"][0]
    said = choice["message"]["content"]
    assert said
    assert said == again.data["choices"][0]["message"]["content"]
    assert orjson.loads(answer.body) == answer.data
    assert answer.data["usage"]["completion_tokens"] == len(choice["logprobs"]["content"])
    assert len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2
    assert answer.data["model"] == "tiny"
    await upstream.probe()


async def test_a_stream_says_the_same_and_ends_with_usage(upstream: GGUFUpstream) -> None:
    whole = await upstream.send(call(messages=HELLO))
    stream = await upstream.open(call(messages=HELLO, stream=True, stream_options={"include_usage": True}))
    events = b""
    while piece := await stream.read():
        events += piece
    await stream.close()
    *chunks, done = list(payloads(events))
    parsed = [orjson.loads(chunk) for chunk in chunks]
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in parsed if chunk["choices"])
    assert done == DONE
    assert said == whole.data["choices"][0]["message"]["content"]
    assert parsed[-1]["usage"]["completion_tokens"] == whole.data["usage"]["completion_tokens"]


async def test_a_schema_binds_the_answer(upstream: GGUFUpstream) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    form = {"type": "json_schema", "json_schema": {"name": "verdict", "schema": schema}}
    answer = await upstream.send(call(messages=HELLO, response_format=form, max_tokens=200))
    assert orjson.loads(answer.data["choices"][0]["message"]["content"])["ok"] in (True, False)


async def test_several_choices_carry_no_false_usage(upstream: GGUFUpstream) -> None:
    several = await upstream.send(call(messages=HELLO, n=3))
    assert [choice["index"] for choice in several.data["choices"]] == [0, 1, 2]
    assert "usage" not in several.data
    assert "usage" not in orjson.loads(several.body)
    prompts = await upstream.send(call("completions", prompt=["one", "two"]))
    assert len(prompts.data["choices"]) == 2
    assert "usage" not in prompts.data
    tokens = await upstream.send(call("completions", prompt=[97, 98, 99]))
    assert tokens.data["usage"]["prompt_tokens"] == 3


async def test_embeddings_come_from_a_model_with_pooling(tmp_path: Path) -> None:
    pooled = write_tiny_gguf(tmp_path / "pooled.gguf", pooling=True)
    upstream = GGUFUpstream("local", pooled, threads=1, context=CONTEXT, start_s=30)
    await upstream.start()
    try:
        answer = await upstream.send(call("embeddings", input=["one", "three"]))
    finally:
        await upstream.close()
    assert len(answer.data["data"]) == 2
    assert answer.data["usage"]["prompt_tokens"] == len("one") + len("three") - 1  # "th" is one token


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        pytest.param(call("embeddings", input="one"), None, id="embeddings without pooling"),
        pytest.param(call(messages=HELLO, n=5), None, id="more choices than slots"),
        pytest.param(call(messages=[{"role": "user", "content": "x" * 2 * CONTEXT}]), None, id="too long"),
        pytest.param(
            call(messages=[*HELLO, {"role": "user", "content": [{"type": "text"}, {"type": "image_url"}]}]),
            "messages[1].content[1]",
            id="a picture",
        ),
    ],
)
async def test_what_llama_cpp_cannot_do_is_rejected(
    upstream: GGUFUpstream, asked: UpstreamCall, param: str | None
) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await upstream.send(asked)
    assert caught.value.param == param


async def test_a_stream_of_several_choices_is_rejected(upstream: GGUFUpstream) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        await upstream.open(call(messages=HELLO, n=2, stream=True))
    assert caught.value.param == "n"


async def test_a_killed_child_fails_calls_at_once_and_comes_back(
    upstream: GGUFUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    before = child_pid(upstream)
    stream = await upstream.open(call(messages=HELLO, stream=True, max_tokens=400, ignore_eos=True))
    assert await stream.read()
    os.kill(before, signal.SIGKILL)
    with pytest.raises(StreamCut):
        while await stream.read():
            pass
    await stream.close()
    with pytest.raises(UpstreamFailure) as caught:
        await upstream.send(call(messages=HELLO))
    assert caught.value.retryable
    assert caught.value.blames_upstream
    with pytest.raises(UpstreamFailure):
        await upstream.probe()

    async def answers() -> bool:
        try:
            await upstream.probe()
        except UpstreamFailure:
            return False
        return True

    await eventually(answers)
    assert child_pid(upstream) != before
    assert (await upstream.send(call(messages=HELLO))).data["choices"]
    assert any("starting it again" in record.message for record in caplog.records)


async def test_closing_ends_the_child_and_every_later_call(upstream: GGUFUpstream) -> None:
    pid = child_pid(upstream)
    await upstream.close()
    assert not is_running(pid)
    with pytest.raises(ConnectionRefused):
        await upstream.send(call(messages=HELLO))
    with pytest.raises(ConnectionRefused):
        await upstream.probe()
    await upstream.close()


async def test_closing_while_it_loads_leaves_no_child(model: Path) -> None:
    upstream = GGUFUpstream("local", model, threads=1, context=CONTEXT, start_s=30)
    starting = asyncio.create_task(upstream.start())
    await asyncio.sleep(0)
    await upstream.close()
    with pytest.raises(ConnectionRefused, match="no longer in use"):
        await starting
    with pytest.raises(AssertionError, match=r"local: \[\]"):
        child_pid(upstream)


async def test_the_child_dies_with_its_parent(model: Path) -> None:
    program = (
        "import asyncio, os, pathlib, sys\n"
        "from router.upstreams.gguf import GGUFUpstream\n"
        "async def main():\n"
        "    upstream = GGUFUpstream('local', pathlib.Path(sys.argv[1]), 1, 256, 30)\n"
        "    await upstream.start()\n"
        "    print(pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text(), flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(model), stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_running(child)
    parent.kill()
    await parent.wait()

    async def gone() -> bool:
        return not is_running(child)

    await eventually(gone)


async def test_the_child_serves_only_its_parent(
    upstream: GGUFUpstream, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its key is on neither command line nor log, and its log is nobody's standard output."""
    assert command_line(child_pid(upstream)).endswith(b"gguf_child.py\0")
    with caplog.at_level(logging.DEBUG, "router.upstreams.kept_server"), pytest.raises(UpstreamRejected):
        await upstream.send(call(messages=[{"role": "user", "content": "secret " * CONTEXT}]))
    with caplog.at_level(logging.DEBUG, "router.upstreams.kept_server"):
        async with asyncio.timeout(10):  # the child's log has a pipe of its own, and comes when it comes
            while not any("context size" in record.message for record in caplog.records):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    await upstream.close()
    assert not any("secret" in record.message for record in caplog.records)
    assert capfd.readouterr() == ("", "")


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionRefused, match=r"nowhere\.gguf cannot be read: No such file"):
        await GGUFUpstream("local", tmp_path / "nowhere.gguf", 1, 256, 10).start()


async def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(ConnectionRefused, match="not a GGUF file"):
        await GGUFUpstream("local", path, 1, 256, 10).start()


async def test_a_damaged_file_is_explained_in_llama_cpps_words(damaged: Path) -> None:
    with pytest.raises(ConnectionRefused, match=r"cannot run .*damaged\.gguf: .*not within the file bounds"):
        await GGUFUpstream("local", damaged, 1, 256, 10).start()


async def test_loading_has_a_deadline_and_leaves_no_child(model: Path) -> None:
    upstream = GGUFUpstream("local", model, 1, 256, start_s=0.001)
    with pytest.raises(SlowUpstream, match="start_seconds"):
        await upstream.start()
    with pytest.raises(AssertionError, match=r"local: \[\]"):
        child_pid(upstream)


async def test_without_xllamacpp_it_says_what_to_install(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ConnectionRefused, match=r"pip install 'weir\[gguf\]'"):
        await GGUFUpstream("local", model, 1, 256, 10).start()
