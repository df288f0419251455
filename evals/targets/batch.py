"""Providers' batch endpoints in OpenAI's form: slow, and at about half the price.

https://platform.openai.com/docs/guides/batch. Requests go up as a file of JSON lines, and within a day the answers
come back as another one, in any order. The non-obvious decision: this keeps nothing. What was sent is told part by
part, as it is sent, so that whoever writes it down may be killed and go on waiting later; only a part whose sending
was cut off is lost sight of.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import IO, Any, NamedTuple

import orjson
from msgspec import Struct
from msgspec.structs import replace

from contracts.money import usd
from contracts.usage import TokenUsage
from evals.records import Answer
from evals.targets.answers import answer_in, request_of
from evals.targets.port import TargetFailure
from evals.targets.prices import TariffPrice, listed_price
from evals.targets.refusals import failure_of
from evals.targets.wire import Reply, Wire

MOST_REQUESTS, MOST_BYTES = 50_000, 200_000_000
"""Of one batch, by OpenAI's documentation; larger work goes up in several."""
USUAL_SHARE = Decimal("0.5")
"""Of the usual price, where the price list has none for batches: what OpenAI, Anthropic and Google take."""
POLL_S = 30.0
_IN_MEMORY = 8 << 20
_FAILED_POLLS = 10
"""In a row; a batch takes hours, so a server that is away for minutes ends nothing."""
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_LATER = frozenset({"token_limit_exceeded", "rate_limit_exceeded"})
"""Why a batch was refused, where it may be accepted once others have ended."""
_NONE = "This server has no batch endpoint. Leave out --batch: the same requests then go one by one."

Outcome = tuple[str, Answer | TargetFailure]
"""A request's id, and what came of it."""


class SentBatch(Struct, frozen=True):
    """A batch that the provider has taken: its id there, and the ids of the requests in it."""

    id: str
    requests: tuple[str, ...]


class _State(NamedTuple):
    status: str
    files: tuple[str, ...]
    why: tuple[str, str]
    """The first error of a batch that was refused: code and message."""


class BatchClient:
    """Sends chat requests in batches and fetches the answers. To be opened in the event loop that it is used in.

    `price` None is the list's for `model`; a batch costs what it has for batches, else `share` of the usual.
    Raises ValueError for a wrong `base_url` or `key`.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        key: str = "",
        *,
        price: TariffPrice | None = None,
        timeout_s: float,
        poll_s: float = POLL_S,
        share: Decimal = USUAL_SHARE,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._wire = Wire(base_url, key, timeout_s=timeout_s)
        self._model = model
        self._price = price or listed_price(model)
        self._poll_s = poll_s
        self._share = share
        self._most_requests = most_requests
        self._most_bytes = most_bytes

    async def __aenter__(self) -> BatchClient:
        self._wire.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._wire.close()

    async def submit(self, requests: Iterable[tuple[str, Mapping[str, Any]]]) -> AsyncIterator[SentBatch]:
        """Send `requests`, ids with bodies that name no model, in as many batches as it takes; tells each at once.

        Ids must differ. Raises TargetFailure, fatal where the server has no batches.
        """
        for ids, file in self._parts(requests):
            with file:
                uploaded = await self._upload(file)
            wanted = {
                "input_file_id": uploaded,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            }
            said = await self._json("POST", "/batches", data=orjson.dumps(wanted))
            yield SentBatch(_id_in(said), ids)

    async def results(
        self, batch: SentBatch, *, told: Callable[[int, int], None] = lambda _, __: None
    ) -> AsyncIterator[Outcome]:
        """What came of each request of `batch`, once, in any order; waits for the batch to end.

        `told` hears how many of how many are done. A request of which nothing came has failed: it may be sent
        again, except where somebody cancelled the batch. Answers have no latency: nobody waited for each of them.
        Raises TargetFailure where the batch was refused as a whole, or the server is gone.
        """
        state = await self._end_of(batch.id, told)
        if state.status == "failed":
            code, why = state.why
            again = code in _LATER
            raise TargetFailure(
                code or "batch_failed", f"The batch was refused: {why}", retryable=again, fatal=not again
            )
        left = dict.fromkeys(batch.requests)
        for file in state.files:
            async for line in self._lines(file):
                outcome = self._outcome(line)
                if outcome is not None and outcome[0] in left:
                    del left[outcome[0]]
                    yield outcome
        for request in left:
            yield (
                request,
                TargetFailure(
                    f"batch_{state.status}",
                    f"The batch ended ({state.status}) without an answer to this request.",
                    retryable=state.status != "cancelled",
                ),
            )

    def _parts(
        self, requests: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[tuple[tuple[str, ...], IO[bytes]]]:
        """Files within the limits, with the ids in each."""
        ids: list[str] = []
        file = _file()
        for request, body in requests:
            line = {
                "custom_id": request,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": request_of(body, self._model),
            }
            data = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
            if ids and (len(ids) == self._most_requests or file.tell() + len(data) > self._most_bytes):
                yield tuple(ids), file
                ids, file = [], _file()
            ids.append(request)
            file.write(data)
        if ids:
            yield tuple(ids), file
        else:
            file.close()

    async def _upload(self, file: IO[bytes]) -> str:
        import aiohttp

        file.seek(0)
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", file, filename="requests.jsonl", content_type="application/jsonl")
        reply = await self._wire.send("POST", "/files", data=form, file=True)
        if reply.status in (404, 405, 501):
            raise TargetFailure("no_batches", _NONE, fatal=True)
        return _id_in(self._read(reply))

    async def _end_of(self, batch: str, told: Callable[[int, int], None]) -> _State:
        failed = 0
        while True:
            wait_s = self._poll_s
            try:
                said = await self._json("GET", f"/batches/{batch}")
            except TargetFailure as failure:
                failed += 1
                if not failure.retryable or failed == _FAILED_POLLS:
                    raise
                wait_s = max(wait_s, failure.retry_after_s or 0)
            else:
                failed = 0
                told(*_counts(said))
                state = _state(said)
                if state.status in _ENDED:
                    return state
            await asyncio.sleep(wait_s)

    async def _lines(self, file: str) -> AsyncIterator[bytes]:
        """Of a file that may be larger than memory should be."""
        rest = b""
        async with self._wire.answering("GET", f"/files/{file}/content", file=True) as response:
            if response.status != 200:
                body = await response.read()
                raise failure_of(response.status, response.headers, body, secrets=self._wire.secrets)
            async for chunk in response.content.iter_chunked(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
        yield rest

    def _outcome(self, line: bytes) -> Outcome | None:
        """None for what is no result at all."""
        try:
            said = orjson.loads(line)
        except orjson.JSONDecodeError:
            return None
        request = said.get("custom_id") if isinstance(said, dict) else None
        if not isinstance(request, str):
            return None
        try:
            return request, self._answer(said)
        except TargetFailure as failure:
            return request, failure

    def _answer(self, said: Mapping[str, Any]) -> Answer:
        error, response = said.get("error"), said.get("response")
        if isinstance(error, dict):
            code = str(error.get("code") or "batch_error")
            cancelled = code == "batch_cancelled"
            raise TargetFailure(code, str(error.get("message") or code), retryable=not cancelled)
        if not isinstance(response, dict):
            raise TargetFailure("malformed", "The batch holds a line without a response.", retryable=True)
        status, body = response.get("status_code"), orjson.dumps(response.get("body"))
        if status != 200:
            raise failure_of(status if type(status) is int else 502, {}, body, secrets=self._wire.secrets)
        return answer_in(body, {}, model=self._model, bill=self._bill, latency_ms=None)

    def _bill(self, _: str, usage: TokenUsage) -> Decimal | None:
        if self._price is None:
            return None
        if self._price.has_tier("batch"):
            return self._price.of(replace(usage, tier="batch"))
        return usd(self._price.of(replace(usage, tier="")) * self._share)

    async def _json(self, method: str, path: str, *, data: bytes | None = None) -> Mapping[str, Any]:
        headers = {"content-type": "application/json"} if data is not None else None
        return self._read(await self._wire.send(method, path, data=data, headers=headers))

    def _read(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status not in (200, 201):
            raise failure_of(reply.status, reply.headers, reply.body, secrets=self._wire.secrets)
        try:
            said = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            raise TargetFailure("malformed", "The batch endpoint sent something else than JSON.", retryable=True)
        return said


def _file() -> IO[bytes]:
    return tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)


def _id_in(said: Mapping[str, Any]) -> str:
    found = said.get("id")
    if not isinstance(found, str) or not found:
        raise TargetFailure("malformed", "The batch endpoint named no id.", retryable=True)
    return found


def _counts(said: Mapping[str, Any]) -> tuple[int, int]:
    counts = said.get("request_counts")
    if not isinstance(counts, dict):
        return 0, 0
    done, failed, total = (counts.get(name) or 0 for name in ("completed", "failed", "total"))
    return done + failed, total


def _state(said: Mapping[str, Any]) -> _State:
    files = [said.get(name) for name in ("output_file_id", "error_file_id")]
    errors = said.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    return _State(
        status=str(said.get("status", "")),
        files=tuple(file for file in files if isinstance(file, str) and file),
        why=(str(first.get("code") or ""), str(first.get("message") or "no reason was given.")),
    )
