"""A student's upstream over real llama.cpp: what is promoted serves, and what cannot serve costs nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contracts.errors import ConnectionRefused, UpstreamFailure, UpstreamRejected
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from contracts.students import INTENTS, Student, Variant
from router.choice.student_shelf import read_student_heads
from router.config.load import Loaded, load
from router.upstreams.engines import engines_of
from router.upstreams.student import FolderShelf, StudentUpstream
from router.upstreams.vllm import VLLMUpstream, served_as
from router.upstreams.vllm_adapters import VLLMAdapter
from tests.router.upstreams.test_gguf import command_line
from tests.students import TINY, student, write_intents, write_student

pytestmark = pytest.mark.gguf
CONFIG = """\
upstreams:
  pupil: {kind: student, route: auto, tenant: acme, artefact: ., engine: {kind: gguf, context: 512}}
  gpu: {kind: student, route: auto, artefact: ., engine: {kind: vllm, python: weir.yaml}}
  far: {kind: student, route: auto, artefact: ., engine: {kind: vllm, base_url: "http://127.0.0.1:9/v1"}}
  scripted: {kind: scripted}
models:
  small: {upstream: pupil, price: {input: 0, output: 0}}
  large: {upstream: scripted, price: {input: 0, output: 0}}
routes:
  auto: {candidates: [small, large], policy: {kind: student}}
tenants: {acme: {}}
"""


class Versions:
    """Students by version, and which one is promoted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.now: str | None = None
        """Empty: none. None: nobody knows."""

    def promoted(self) -> str:
        if self.now is None:
            raise ValueError("the registry cannot be read")
        return self.now

    def folder(self, version: str) -> Path:
        return self._folder / version


def call(**fields: Any) -> UpstreamCall:
    body = {"model": "small", "temperature": 0, "max_tokens": 8, "messages": [{"role": "user", "content": "hello"}]}
    return UpstreamCall(
        endpoint="chat/completions", body={**body, **fields}, request_id="req_1", first_byte_s=20, stall_s=20
    )


def children() -> set[int]:
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {int(pid) for pid in found if b"gguf_child" in command_line(pid)}


async def eventually(question: Any) -> None:
    async with asyncio.timeout(30):
        while not question():  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)


@pytest.fixture
def loaded(tmp_path: Path) -> Loaded:
    path = tmp_path / "weir.yaml"
    path.write_text(CONFIG)
    return load(path, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Students: v1, v2 and one of acme, and such as cannot serve."""
    folder = tmp_path_factory.mktemp("students")
    intents = write_intents(folder / INTENTS, ["cooking"], np.eye(4, dtype=np.float32)[:1])
    for seed, version in enumerate(("v1", "v2", "broken", "headless", "deep")):
        write_student(folder / version, intents, seed=seed)
    write_student(folder / "acmes", intents, owner="acme")
    write_student(folder / "globex", intents, owner="globex")
    (folder / "broken" / TINY.files[0]).write_bytes(b"GGUF and nothing more")
    (folder / "headless" / INTENTS).unlink()
    write_student(folder / "deep", intents, variants=(Variant(name="bf16", engine="vllm", files=(), bytes=0),))
    return folder


@pytest.fixture
def versions(folder: Path) -> Versions:
    return Versions(folder)


@pytest.fixture
async def upstream(versions: Versions, loaded: Loaded) -> AsyncIterator[StudentUpstream]:
    settings: Any = loaded.config.upstreams["pupil"]
    made = StudentUpstream(
        "pupil", versions, engines_of("pupil", settings, loaded), read_student_heads, owner="acme", look_s=0.02
    )
    yield made
    await made.close()
    assert not children(), "nothing outlives it"


async def test_it_is_shown_no_instructions_whatever_its_template_would_do(
    upstream: StudentUpstream, versions: Versions
) -> None:
    versions.now = "v1"
    await upstream.start()
    told = [{"role": role, "content": "answer in verse " * 9} for role in ("system", "developer")]
    asked = [{"role": "user", "content": "hello"}]
    usages = [(await upstream.send(call(messages=messages))).data["usage"] for messages in (asked, told + asked)]
    assert usages[0]["prompt_tokens"] == usages[1]["prompt_tokens"]


async def test_it_says_what_its_gate_heard_whatever_the_client_draws(
    upstream: StudentUpstream, versions: Versions
) -> None:
    versions.now = "v1"
    await upstream.start()
    drawn = [call(temperature=2, seed=seed) for seed in range(2)]
    drawn += [call(frequency_penalty=2, logit_bias={"5": 90}), call(grammar='root ::= "a"', repeat_penalty=2)]
    texts = {(await upstream.send(each)).data["choices"][0]["message"]["content"] for each in drawn}
    assert len(texts) == 1


async def test_without_a_promotion_it_starts_and_refuses_until_there_is_one(
    upstream: StudentUpstream, versions: Versions
) -> None:
    await upstream.start()
    assert upstream.version == ""
    for refused in (upstream.send(call()), upstream.open(call(stream=True)), upstream.probe()):
        with pytest.raises(ConnectionRefused, match="not there yet"):
            await refused
    versions.now = "v1"
    await eventually(lambda: upstream.serving is not None)
    assert upstream.serving is not None and upstream.serving.student == student()
    assert (await upstream.send(call())).data["choices"][0]["message"]["content"]
    await upstream.probe()


async def test_a_promotion_under_load_fails_no_call_and_ends_the_old_engine(
    upstream: StudentUpstream, versions: Versions
) -> None:
    versions.now = "v1"
    await upstream.start()
    (old,) = children()
    long = await upstream.open(call(stream=True, max_tokens=120))
    failed, said, going = list[UpstreamFailure](), set[str](), True

    async def load() -> None:
        while going:
            try:
                said.add((await upstream.send(call())).data["choices"][0]["message"]["content"])
            except UpstreamFailure as failure:
                failed.append(failure)

    loads = [asyncio.create_task(load()) for _ in range(3)]
    versions.now = "v2"
    await eventually(lambda: upstream.version == "v2" and len(said) == 2)
    going = False
    await asyncio.gather(*loads)
    assert not failed
    assert old in children(), "its stream has not ended"
    events = b""
    while part := await long.read():
        events += part
    await long.close()
    assert events.endswith(b"[DONE]\n\n")
    await eventually(lambda: old not in children())
    assert (await upstream.send(call())).data["choices"]


async def test_withdrawn_under_load_it_fails_no_call_in_hand_and_lets_its_engine_go(
    upstream: StudentUpstream, versions: Versions
) -> None:
    versions.now = "v1"
    await upstream.start()
    long = await upstream.open(call(stream=True, max_tokens=120))
    loads = [asyncio.create_task(upstream.send(call(max_tokens=100))) for _ in range(3)]
    await asyncio.sleep(0)  # they have begun
    versions.now = ""
    await eventually(lambda: upstream.withdrawn and upstream.version == "")
    assert upstream.serving is None
    assert children(), "its calls have not ended"
    for refused in (upstream.send(call()), upstream.open(call(stream=True)), upstream.probe()):
        with pytest.raises(ConnectionRefused, match="is withdrawn"):
            await refused
    assert all(answer.data["choices"] for answer in await asyncio.gather(*loads))
    events = b""
    while part := await long.read():
        events += part
    await long.close()
    assert events.endswith(b"[DONE]\n\n")
    await eventually(lambda: not children())
    versions.now = "v1"
    await eventually(lambda: upstream.serving is not None)
    assert not upstream.withdrawn
    assert (await upstream.send(call())).data["choices"]


async def test_a_shelf_that_cannot_be_read_keeps_what_is_in_force(
    upstream: StudentUpstream, versions: Versions, caplog: pytest.LogCaptureFixture
) -> None:
    versions.now = "v1"
    await upstream.start()
    versions.now = None
    await eventually(lambda: "the registry cannot be read" in caplog.text)
    assert (upstream.version, upstream.withdrawn) == ("v1", False)
    assert (await upstream.send(call())).data["choices"]


class Slow:
    """An engine that never comes up, as vLLM does not for minutes."""

    up = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.closed = False

    async def start(self) -> None:
        await asyncio.Event().wait()

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        raise ConnectionRefused("It has not started.")

    async def open(self, call: UpstreamCall) -> AnswerStream:
        raise ConnectionRefused("It has not started.")

    async def probe(self) -> None:
        raise ConnectionRefused("It has not started.")

    async def close(self) -> None:
        self.closed = True


async def test_what_still_starts_does_not_keep_the_one_before_from_being_withdrawn(versions: Versions) -> None:
    made: list[Slow] = []

    def engine(version: str, *_: object) -> Slow:
        made.append(Slow(version))
        return made[-1]

    upstream = StudentUpstream("pupil", versions, engine, lambda *_: None, owner="", look_s=0.01)
    versions.now = "v1"
    starting = asyncio.create_task(upstream.start())
    await eventually(lambda: made)
    versions.now = "v2"
    await eventually(lambda: len(made) == 2)
    assert made[0].closed
    versions.now = ""
    await eventually(lambda: made[1].closed and upstream.withdrawn)
    await starting
    await upstream.close()


@pytest.mark.parametrize("bad", ["broken", "headless", "globex", "gone", "deep"])
async def test_one_that_cannot_serve_leaves_the_old_one_in_force_and_says_why(
    upstream: StudentUpstream, versions: Versions, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    versions.now = "v1"
    await upstream.start()
    versions.now = bad
    with caplog.at_level(logging.ERROR, "router.upstreams.student"):
        await eventually(lambda: any(f"version {bad} cannot serve" in line for line in caplog.messages))
    assert "v1 stays in force" in caplog.text
    assert upstream.version == "v1"
    assert (await upstream.send(call())).data["choices"]
    versions.now = "acmes"
    await eventually(lambda: upstream.version == "acmes")


async def test_killed_it_is_not_there_until_it_has_started_again(
    upstream: StudentUpstream, versions: Versions
) -> None:
    versions.now = "v1"
    await upstream.start()
    (pid,) = children()
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: upstream.serving is None)
    assert upstream.version == "v1", "what was cached of it is still its own"
    with pytest.raises(ConnectionRefused):
        await upstream.send(call())
    await eventually(lambda: upstream.serving is not None)
    assert (await upstream.send(call())).data["choices"]


def test_a_changed_folder_is_another_version(tmp_path: Path) -> None:
    shelf = FolderShelf(tmp_path)
    (tmp_path / "student.json").write_bytes(b"{}")
    before = shelf.promoted()
    assert (shelf.promoted(), shelf.folder(before)) == (before, tmp_path)
    (tmp_path / "student.json").write_bytes(b"{ }")
    assert shelf.promoted() != before


def test_each_engine_takes_the_weights_that_it_can_run(loaded: Loaded, tmp_path: Path) -> None:
    def made(name: str, pupil: Student) -> object:
        settings: Any = loaded.config.upstreams[name]
        return engines_of(name, settings, loaded)("v1", tmp_path, pupil)

    whole = Variant(name="bf16", engine="vllm", files=("config.json",), bytes=1)
    adapter = Variant(
        name="lora", engine="vllm", files=("adapter_config.json",), bytes=1, adapter=True, base="tiny"
    )
    assert isinstance(made("gpu", student(variants=(whole,))), VLLMUpstream)
    assert isinstance(made("gpu", student(variants=(adapter,))), VLLMUpstream)
    assert isinstance(made("far", student(variants=(adapter,))), VLLMAdapter)
    with pytest.raises(ValueError, match="takes adapters only"):
        made("far", student(variants=(whole,)))
    with pytest.raises(ValueError, match="there are: f16"):
        made("gpu", student(variants=(TINY,)))


@pytest.mark.parametrize("field", ["guided_json", "guided_choice", "guided_regex", "guided_grammar"])
def test_what_vllm_would_not_read_is_refused_with_what_it_reads(field: str) -> None:
    with pytest.raises(UpstreamRejected, match=r"structured_outputs|response_format") as refusal:
        served_as("tiny", call(**{field: "x"}))
    assert refusal.value.param == field
    assert served_as("tiny", call()).body["model"] == "tiny"


async def test_a_vllm_whose_python_or_model_is_not_there_says_so(tmp_path: Path) -> None:
    python = tmp_path / "python"
    for what in ("no Python at", "no config.json"):
        upstream = VLLMUpstream("gpu", python, tmp_path, served="tiny", start_s=1)
        with pytest.raises(ConnectionRefused, match=what):
            await upstream.start()
        assert not upstream.up
        python.touch()
