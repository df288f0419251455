"""A small model on this machine's CPU: llama.cpp in a child process that is kept alive, spoken to over loopback."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import orjson

from contracts.errors import ConnectionRefused, UpstreamRejected
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from router.upstreams import gguf_child
from router.upstreams.kept_server import KeptServer, Program

_MAX_CONNECTIONS = 120
"""Fewer than the child's HTTP threads, so that it always has one to answer a probe."""
_ERRORS = re.compile(r"^[\d.]+ E (?P<text>.*)$")


class GGUFUpstream:
    """Serves the GGUF file at `path` on `threads` CPU threads, with `context` tokens for each answer.

    A model that writes text is given text only; where llama.cpp cannot do what is asked (pictures, embeddings of
    a model without pooling, more than four choices, a stream of several), the call is an UpstreamRejected.
    `alias` is what answers call it, by default the file's name.
    """

    def __init__(
        self, name: str, path: Path, threads: int, context: int, start_s: float, *, alias: str = ""
    ) -> None:
        self.name = name
        self._path = path
        settings = {"path": str(path), "alias": alias or path.stem, "threads": threads, "context": context}
        program = Program(
            engine="llama.cpp",
            script=gguf_child.__file__,
            settings=settings,
            start_s=start_s,
            cannot=f"llama.cpp cannot run {path}",
            slow="raise start_seconds, or take a smaller model",
            errors=_ERRORS,
            max_connections=_MAX_CONNECTIONS,
        )
        self._kept = KeptServer(name, program, self._check)

    @property
    def up(self) -> bool:
        """Whether it runs right now."""
        return self._kept.up

    async def start(self) -> None:
        """Raises ConnectionRefused with advice where the model cannot be run, SlowUpstream after `start_s`."""
        await self._kept.start()

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        _refuse_pictures(call)
        answer = await self._kept.server.send(call)
        return _without_false_usage(answer) if _choices(call) > 1 and call.endpoint != "embeddings" else answer

    async def open(self, call: UpstreamCall) -> AnswerStream:
        _refuse_pictures(call)
        if _choices(call) > 1:
            raise UpstreamRejected(
                "A local model streams one choice at a time; ask for one, or for a whole answer.", param="n"
            )
        return await self._kept.server.open(call)

    async def probe(self) -> None:
        await self._kept.server.probe()

    async def close(self) -> None:
        await self._kept.close()

    def _check(self) -> None:
        if importlib.util.find_spec("xllamacpp") is None:
            raise ConnectionRefused("Local models need xllamacpp: pip install 'weir[gguf]'.")
        _check_file(self._path)


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConnectionRefused(f"The model file {path} cannot be read: {error.strerror}.") from error
    if magic != b"GGUF":
        raise ConnectionRefused(f"{path} is not a GGUF file; convert the model, or fetch its GGUF version.")


def _refuse_pictures(call: UpstreamCall) -> None:
    """llama.cpp would call them a fault of its own (500), which they are not."""
    for index, message in enumerate(call.body.get("messages") or ()):
        content = message.get("content")
        for place, part in enumerate(content if isinstance(content, list) else ()):
            if part.get("type") != "text":
                raise UpstreamRejected(
                    "This local model reads text only.", param=f"messages[{index}].content[{place}]"
                )


def _choices(call: UpstreamCall) -> int:
    prompt = call.body.get("prompt")
    prompts = len(prompt) if isinstance(prompt, list) and not isinstance(prompt[0], int) else 1
    return prompts * (call.body.get("n") or 1)


def _without_false_usage(answer: WholeAnswer) -> WholeAnswer:
    """llama.cpp counts only the first of several choices: left out, Weir estimates instead, and says so."""
    data = {name: value for name, value in answer.data.items() if name != "usage"}
    return WholeAnswer(body=orjson.dumps(data), data=data)
