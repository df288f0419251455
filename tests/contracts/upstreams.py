"""Every implementation of the port `contracts.ports.Upstream`, ready to be put through the suite.

To add one: write an async context manager that yields a `Subject`, and name it in `SUBJECTS`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from contracts.ports import Upstream
from contracts.records import Endpoint
from contracts.students import INTENTS
from router.upstreams.gguf import GGUFUpstream
from router.upstreams.litellm_library import LiteLLMUpstream
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.scripted import ScriptedUpstream
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer
from router.upstreams.student import FolderShelf, StudentUpstream
from tests.students import TINY, write_intents, write_student
from tests.tiny_gguf import CONTEXT, write_tiny_gguf

ALL_ENDPOINTS: frozenset[Endpoint] = frozenset({"chat/completions", "completions", "embeddings"})


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A started upstream. `model` answers, the same each time; `embedder` does so on the embeddings endpoint.

    `fault` turns the name of a scripted behaviour into this upstream's name for a model that shows it; None
    where the upstream cannot be made to fail on demand.
    """

    upstream: Upstream
    model: str
    endpoints: frozenset[Endpoint] = ALL_ENDPOINTS
    embedder: str = ""
    fault: Callable[[str], str] | None = None


Factory = Callable[[Path], AbstractAsyncContextManager[Subject]]


@asynccontextmanager
async def openai(_: Path) -> AsyncIterator[Subject]:
    server = ScriptedServer(Knowledge(()), token="sk-scripted-token")
    await server.start()
    upstream = OpenAIUpstream("openai", server.base_url, "sk-scripted-token", connect_s=5)
    await upstream.start()
    try:
        yield Subject(upstream=upstream, model="slow-tokens-1", embedder="any", fault=str)
    finally:
        await upstream.close()
        await server.close()


@asynccontextmanager
async def scripted(_: Path) -> AsyncIterator[Subject]:
    upstream = ScriptedUpstream("scripted")
    await upstream.start()
    try:
        yield Subject(upstream=upstream, model="slow-tokens-1", embedder="any", fault=str)
    finally:
        await upstream.close()


@asynccontextmanager
async def gguf(folder: Path) -> AsyncIterator[Subject]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    model = write_tiny_gguf(folder / "tiny.gguf", pooling=True)
    upstream = GGUFUpstream("gguf", model, threads=1, context=CONTEXT, start_s=30)
    await upstream.start()
    try:
        yield Subject(upstream=upstream, model="tiny", embedder="tiny")
    finally:
        await upstream.close()


@asynccontextmanager
async def student(folder: Path) -> AsyncIterator[Subject]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    intents = write_intents(folder / INTENTS, ["any"], np.eye(4, dtype=np.float32)[:1])
    write_student(folder, intents)
    write_tiny_gguf(folder / TINY.files[0], pooling=True)
    upstream = StudentUpstream(
        "student",
        FolderShelf(folder),
        lambda version, folder, _: GGUFUpstream(version, folder / TINY.files[0], 1, CONTEXT, 30),
        lambda *_: None,
        owner="",
        look_s=60,
    )
    await upstream.start()
    try:
        yield Subject(upstream=upstream, model="any", embedder="any")
    finally:
        await upstream.close()


@asynccontextmanager
async def litellm(_: Path) -> AsyncIterator[Subject]:
    if importlib.util.find_spec("litellm") is None:
        pytest.skip("litellm is not installed")
    server = ScriptedServer(Knowledge(()), token="sk-scripted-token")
    await server.start()
    upstream = LiteLLMUpstream("litellm", "openai", "sk-scripted-token", server.base_url)
    await upstream.start()
    try:
        yield Subject(upstream=upstream, model="slow-tokens-1", embedder="any", fault=str)
    finally:
        await upstream.close()
        await server.close()


SUBJECTS: Mapping[str, Factory] = {
    "openai": openai,
    "scripted": scripted,
    "gguf": gguf,
    "student": student,
    "litellm": litellm,
}
