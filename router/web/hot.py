"""The model endpoints as plain ASGI: bytes to the pipeline, and its reply back as bytes.

They stand outside FastAPI, whose routing and validation would cost more than the whole way through Weir.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import orjson

from contracts.budgets import Left
from contracts.errors import InvalidRequest, LimitReached, MethodNotAllowed, WeirError
from contracts.records import Endpoint, Purpose
from contracts.sse import event
from router.exchange import Incoming, Reply, ReplyStream
from router.metrics import Metrics
from router.pipeline import Pipeline
from router.trail import new_request_id
from router.web import errors, ratelimits
from router.web.asgi import (
    ClientLeft,
    Receive,
    Scope,
    Send,
    body_in,
    headers_in,
    headers_out,
    send_error,
    send_json,
)

log = logging.getLogger("weir.web")

PURPOSE = "x-weir-purpose"
"""The header in which evaluations, prompt optimisers and training runs say that they are no client's requests."""
_PURPOSES: Mapping[str, Purpose] = {"eval": "eval", "optimise": "optimise", "train": "train"}

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class ModelEndpoint:
    """`POST /v1/<endpoint>`."""

    def __init__(self, endpoint: Endpoint, pipeline: Pipeline, metrics: Metrics, *, max_body_bytes: int) -> None:
        self._endpoint = endpoint
        self._pipeline = pipeline
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        arrived = time.perf_counter()
        left: dict[str, Left] = {}
        try:
            reply = await self._reply(scope, receive, request_id, arrived, left)
        except ClientLeft:
            return
        except Exception as error:  # noqa: BLE001 - the border: no error goes past it as a traceback
            await self._refuse(send, error, request_id, left)
            return
        headers = reply.headers
        if left:
            headers = {**headers, **ratelimits.headers_of(left.values(), datetime.now(UTC))}
        if reply.stream is None:
            await send_json(send, 200, reply.body, headers)
        else:
            await _stream(headers, reply.stream, receive, send)

    async def _reply(
        self, scope: Scope, receive: Receive, request_id: str, arrived: float, left: dict[str, Left]
    ) -> Reply:
        if scope["method"] != "POST":
            raise MethodNotAllowed(f"Send a POST to /v1/{self._endpoint}.")
        headers = headers_in(scope)
        key = self._pipeline.recognise(headers)  # before the body is read: a stranger's is not worth memory
        purpose = purpose_in(headers)
        body = await body_in(receive, headers, self._max_body_bytes)
        return await self._pipeline.answer(
            Incoming(
                endpoint=self._endpoint,
                key=key,
                body=body,
                headers=headers,
                request_id=request_id,
                arrived=arrived,
                purpose=purpose,
                left=left,
            )
        )

    async def _refuse(self, send: Send, error: Exception, request_id: str, left: Mapping[str, Left]) -> None:
        _log_own(error, request_id)
        self._metrics.refused.add(error.code if isinstance(error, WeirError) else WeirError.code)
        extra = {"x-weir-request-id": request_id}
        if isinstance(error, MethodNotAllowed):
            extra["allow"] = "POST"
        now = datetime.now(UTC)
        extra |= ratelimits.headers_of(left.values(), now)
        if isinstance(error, LimitReached):
            extra |= ratelimits.headers_of_refusal(error, now)
        await send_error(send, error, extra)


def purpose_in(headers: Mapping[str, str]) -> Purpose:
    """What a request is for, as its client says. Raises InvalidRequest, naming the header."""
    said = headers.get(PURPOSE)
    if said is None:
        return "serve"
    purpose = _PURPOSES.get(said.strip().lower())
    if purpose is None:
        raise InvalidRequest(f"The header '{PURPOSE}' must be one of {', '.join(_PURPOSES)}.", param=PURPOSE)
    return purpose


async def _stream(headers: Mapping[str, str], stream: ReplyStream, receive: Receive, send: Send) -> None:
    watch = asyncio.create_task(_watch(receive, stream))
    try:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [*_STREAM_HEADERS, *headers_out(headers)],
            }
        )
        try:
            while chunk := await stream.next():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except Exception as error:  # noqa: BLE001 - the border: the client gets one error event, whatever it was
            _log_own(error, headers["x-weir-request-id"])
            closing = event(orjson.dumps(errors.body_of(error)))
            await send({"type": "http.response.body", "body": closing, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        watch.cancel()
        await stream.close()


async def _watch(receive: Receive, stream: ReplyStream) -> None:
    """Tells the stream when its client has left. The server goes on taking what is sent, and drops it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.hang_up()


def _log_own(error: Exception, request_id: str) -> None:
    """A fault of Weir's own goes into the log with its traceback; the others are in the ledger."""
    if not isinstance(error, WeirError):
        log.error("request %s failed inside Weir", request_id, exc_info=error)
