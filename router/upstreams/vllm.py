"""A model under a vLLM that Weir starts, in child processes with vLLM's own Python, and keeps alive.

The non-obvious decision: vLLM is never installed beside Weir. It pins what others need otherwise, so it has an
environment of its own, whose Python is named in the configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from contracts.errors import ConnectionRefused, UpstreamRejected
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from router.upstreams import vllm_child
from router.upstreams.kept_server import KeptServer, Program

_MAX_CONNECTIONS = 1024
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Of LoRA adapters, that vLLM makes room for; without a word, for 16."""
_ERRORS = re.compile(
    r"^(?!.*(?:\bWARNING\b|validation error)).*?\b(?P<text>(?:\w*(?:Error|Exception): |Value error, ).+)$"
)
"""Warnings name errors that might come, and a refused argument's own line stands below the count of them."""
_INSTEAD = {
    "guided_json": "`response_format` of type json_schema",
    "guided_choice": '`structured_outputs: {"choice": [...]}`',
    "guided_regex": '`structured_outputs: {"regex": ...}`',
    "guided_grammar": '`structured_outputs: {"grammar": ...}`',
    "guided_decoding_backend": "nothing: the server's settings choose it",
    "guided_whitespace_pattern": '`structured_outputs: {"whitespace_pattern": ...}`',
}
"""What today's vLLM leaves unread without a word, and what says the same to it."""


class VLLMUpstream:
    """Serves `model`, a folder or a name on a model hub, as `served`, whatever a call names.

    `python` is that of an environment with vLLM. With `adapter`, a LoRA folder, that is served on top of `model`.
    `arguments` are more of vLLM's own. A call with a `guided_...` field is an UpstreamRejected: vLLM would answer
    as if it had not been asked for any form.
    """

    def __init__(
        self,
        name: str,
        python: Path,
        model: Path | str,
        *,
        served: str,
        adapter: Path | None = None,
        arguments: Sequence[str] = (),
        start_s: float,
    ) -> None:
        self.name = name
        self._python = python
        self._model = model
        self._served = served
        names = ["--served-model-name", served]
        if adapter is not None:
            names = [
                "--served-model-name",
                f"{served}-base",
                "--enable-lora",
                "--lora-modules",
                f"{served}={adapter}",
                *_room_for(adapter),
            ]
        program = Program(
            engine="vLLM",
            script=vllm_child.__file__,
            settings={
                "python": str(python),
                "arguments": ["--model", str(model), *names, *arguments],
                "offline": isinstance(model, Path),
            },
            start_s=start_s,
            cannot=f"vLLM cannot run {model}",
            slow="raise start_seconds, or add --enforce-eager to its arguments, which spares it compiling",
            errors=_ERRORS,
            max_connections=_MAX_CONNECTIONS,
            health="/health",
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
        return await self._kept.server.send(served_as(self._served, call))

    async def open(self, call: UpstreamCall) -> AnswerStream:
        return await self._kept.server.open(served_as(self._served, call))

    async def probe(self) -> None:
        await self._kept.server.probe()

    async def close(self) -> None:
        await self._kept.close()

    def _check(self) -> None:
        if not self._python.is_file():
            raise ConnectionRefused(
                f"There is no Python at {self._python}: give vLLM an environment of its own and name that one's."
            )
        if isinstance(self._model, Path) and not (self._model / "config.json").is_file():
            raise ConnectionRefused(f"{self._model} holds no config.json, so it is no model that vLLM could run.")


def _room_for(adapter: Path) -> list[str]:
    try:
        rank = int(json.loads((adapter / "adapter_config.json").read_bytes())["r"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # vLLM says what is wrong with it
    return ["--max-lora-rank", f"{next((room for room in _RANKS if room >= rank), rank)}"]


def served_as(served: str, call: UpstreamCall) -> UpstreamCall:
    """`call` under the name that vLLM knows. Raises UpstreamRejected where vLLM would leave a field unread."""
    for field, instead in _INSTEAD.items():
        if field in call.body:
            raise UpstreamRejected(f"vLLM does not read '{field}' any more; use {instead}.", param=field)
    return replace(call, body={**call.body, "model": served})
