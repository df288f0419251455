"""Students of a running Weir: promoted, asked, and asked by several clients while something happens to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from contracts.artefacts import PRODUCTION
from contracts.students import INTENTS, STUDENT
from encoder.card import BUILT
from registry.routers import artefact_name
from registry.store import Registry
from tests.e2e.running import ROOT, RunningWeir, write_config
from tests.students import TINY, files_in, write_intents, write_student
from weir.encoding import encode_with, session_of

HOURS = "What are your opening hours?"
numbers = count()
"""Makes a question that was never asked."""


def configured(folder: Path, engine: dict[str, Any]) -> Path:
    """A configuration whose route `auto` has everyone's student, run by `engine`, and a large model."""
    return write_config(
        folder,
        server={"admin_key": "${WEIR_ADMIN_KEY}", "reload_seconds": 0.1},
        encoder={"deadline_seconds": 20},  # a busy machine is no reason to ask the large model
        upstreams={
            "scripted": {"kind": "scripted", "knowledge": str(ROOT / "examples/support/knowledge.jsonl")},
            "pupil": {"kind": "student", "route": "auto", "engine": engine},
        },
        models={
            "large": {"upstream": "scripted", "name": "expert", "price": {"input": "5", "output": "20"}},
            "small": {"upstream": "pupil", "price": {"input": "0.1", "output": "0.4"}},
        },
        routes={"auto": {"candidates": ["small", "large"], "policy": {"kind": "student"}}},
    )


class Promoting:
    """A Weir that runs, and the students that can be promoted in it."""

    def __init__(self, weir: RunningWeir, folder: Path) -> None:
        self.weir = weir
        self._folder = folder
        self._registry = Registry(weir.state / "registry")
        session = session_of(BUILT)
        self._encoder = session.card.version
        self._intents = write_intents(folder / INTENTS, ["hours"], encode_with(session)([HOURS]))

    def promote(self, name: str, **changed: Any) -> None:
        """Put the student `name` into production; it is in force a moment later."""
        settings = {"intents": ("hours",), "encoder": self._encoder, **changed}
        folder = write_student(self._folder / name, self._intents, **settings)
        if name == "broken":
            (folder / TINY.files[0]).write_bytes(b"GGUF and nothing more")
        about = (STUDENT, artefact_name("auto", ""))
        version = self._registry.put(*about, files_in(folder), {"route": "auto", "owner": ""})
        self._registry.point(*about, PRODUCTION, version, by="a test", reason="a test")

    def withdraw(self) -> None:
        """Let none of the students be in production."""
        self._registry.drop(STUDENT, artefact_name("auto", ""), PRODUCTION, by="a test", reason="a test")

    def ask(self, text: str = "", *, stream: bool = False, model: str = "auto") -> tuple[str, Any]:
        """What was answered to a question about opening hours, or to `text`, and the headers."""
        answer = self.weir.client().chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": text or f"{HOURS} {next(numbers)}"}],
            stream=stream,
            max_tokens=8,
            temperature=0,
        )
        if not stream:
            return answer.parse().choices[0].message.content, answer.headers
        chunks = [chunk for chunk in answer.parse() if chunk.choices]
        return "".join(chunk.choices[0].delta.content or "" for chunk in chunks), answer.headers

    def answers(self, model: str) -> bool:
        return bool(self.ask()[1]["x-weir-model"] == model)

    def engine(self) -> list[int]:
        """The processes of llama.cpp that this Weir has."""
        pids = Path(f"/proc/{self.weir.process.pid}/task/{self.weir.process.pid}/children").read_text().split()
        return [int(pid) for pid in pids if b"gguf_child" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    async def under_load(self, meanwhile: Callable[[], None]) -> set[str]:
        """Do something while others ask, whole and streamed; which models answered. Any failed request raises."""
        begun, done, models = asyncio.Event(), asyncio.Event(), set[str]()

        async def load(*, stream: bool) -> None:
            async with self.weir.async_client() as client:
                while not done.is_set():
                    reply = await client.chat.completions.with_raw_response.create(
                        model="auto",
                        messages=[{"role": "user", "content": f"{HOURS} {next(numbers)}"}],
                        stream=stream,
                        max_tokens=8,
                    )
                    models.add(reply.headers["x-weir-model"])
                    begun.set()
                    if stream:
                        assert [chunk async for chunk in reply.parse()][-1].choices[0].finish_reason

        loads = [asyncio.create_task(load(stream=stream)) for stream in (False, True, True)]
        try:
            await asyncio.wait([asyncio.create_task(begun.wait()), *loads], return_when=asyncio.FIRST_COMPLETED)
            await asyncio.to_thread(meanwhile)
        finally:
            done.set()
            await asyncio.gather(*loads)
        return models
