"""A LoRA adapter in a vLLM that runs somewhere else: loaded into it, asked under its own name, unloaded again.

The non-obvious decision: that vLLM may be restarted without Weir's knowing, and has forgotten the adapter then. A
model that it does not know is therefore a failure of the upstream, after which the adapter is loaded again, and
never the client's mistake.
"""

from __future__ import annotations

import asyncio
import logging
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import orjson

from contracts.errors import ConnectionRefused, UpstreamRejected
from contracts.ports import AnswerStream, UpstreamCall, WholeAnswer
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.vllm import served_as

_LOAD_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
"""Between two tries to load it again."""
_UNKNOWN = 404
_ALREADY = "already been loaded"
_log = logging.getLogger(__name__)


class VLLMAdapter:
    """The adapter in `folder`, which that vLLM must find under the same path, as `served`.

    `base_url` goes up to and with /v1. It must run with `--enable-lora` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True.
    """

    def __init__(self, name: str, base_url: str, api_key: str | None, folder: Path, served: str) -> None:
        self.name = name
        self._base_url = base_url
        self._api_key = api_key
        self._folder = folder
        self._served = served
        self._server = OpenAIUpstream(name, base_url, api_key=api_key)
        self._loading: asyncio.Task[None] | None = None
        self.up = False
        """Whether it was loaded, as far as is known."""

    async def start(self) -> None:
        """Raises ConnectionRefused with advice where it cannot be loaded."""
        await self._server.start()
        await self._load()

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        try:
            return await self._server.send(served_as(self._served, call))
        except UpstreamRejected as rejected:
            raise self._judged(rejected) from rejected

    async def open(self, call: UpstreamCall) -> AnswerStream:
        try:
            return await self._server.open(served_as(self._served, call))
        except UpstreamRejected as rejected:
            raise self._judged(rejected) from rejected

    async def probe(self) -> None:
        await self._server.probe()

    async def close(self) -> None:
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)
        if self.up:
            self.up = False
            with suppress(ConnectionRefused):  # it has gone, and the adapter with it
                await asyncio.to_thread(self._tell, "unload_lora_adapter", {"lora_name": self._served})
        await self._server.close()

    async def _load(self) -> None:
        told = {"lora_name": self._served, "lora_path": str(self._folder)}
        await asyncio.to_thread(self._tell, "load_lora_adapter", told)
        self.up = True

    def _judged(self, rejected: UpstreamRejected) -> UpstreamRejected | ConnectionRefused:
        if rejected.status != _UNKNOWN:
            return rejected
        self.up = False
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_again(), name=f"load {self.name}")
        return ConnectionRefused("The model's server has forgotten the model.", detail=rejected.detail)

    async def _load_again(self) -> None:
        """Until it is there: while it is not, nobody asks for it, so nobody else would try."""
        pause = _FIRST_PAUSE_S
        while not self.up:
            try:
                await self._load()
            except ConnectionRefused as failure:
                _log.error("%s: %s", self.name, failure.message)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)

    def _tell(self, verb: str, told: dict[str, str]) -> None:
        """Blocks. Raises ConnectionRefused with advice."""
        request = urllib.request.Request(  # noqa: S310 - the configuration says http or https
            f"{self._base_url}/{verb}", data=orjson.dumps(told), headers={"content-type": "application/json"}
        )
        if self._api_key:
            request.add_header("authorization", f"Bearer {self._api_key}")
        try:
            with urllib.request.urlopen(request, timeout=_LOAD_S):  # noqa: S310 - as above
                return
        except urllib.error.HTTPError as error:
            with error:
                said = error.read(2000).decode("utf-8", "replace")
            if _ALREADY in said:
                return
            advice = (
                "start it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"
                if error.code == _UNKNOWN
                else "it says what is wrong"
            )
            raise ConnectionRefused(
                f"vLLM did not take the adapter in {self._folder} ({error.code}): {advice}.", detail=said
            ) from error
        except OSError as error:
            raise ConnectionRefused(
                "The vLLM that is to load the adapter cannot be reached.", detail=str(error)
            ) from error
