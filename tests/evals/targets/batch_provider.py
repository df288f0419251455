"""A provider of batches that a test can steer: OpenAI's four endpoints, answers in another order than asked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tests.evals.targets.servers import serving

USAGE = {"prompt_tokens": 1000, "completion_tokens": 100}


class BatchProvider:
    """Batches end after `polls` looks, as `status`.

    A request whose text is in `refused` gets HTTP 400 for it, one in `expired` the code batch_expired, one in
    `dropped` nothing.
    """

    def __init__(self) -> None:
        self.status = "completed"
        self.errors: list[dict[str, Any]] = []
        self.polls = 2
        self.faults = 0
        """How many of the next polls are answered with 503."""
        self.refused: set[str] = set()
        self.expired: set[str] = set()
        self.dropped: set[str] = set()
        self.uploads: list[list[dict[str, Any]]] = []
        self.created: list[dict[str, Any]] = []
        self._looks: dict[str, int] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        routes = (
            ("POST", "/files", self._upload),
            ("POST", "/batches", self._create),
            ("GET", "/batches/{id}", self._look),
            ("GET", "/files/{id}/content", self._content),
        )
        async with serving(*routes) as base_url:
            yield base_url

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        self.uploads.append([json.loads(line) for line in file.file.read().splitlines()])
        return web.json_response({"id": f"file-{len(self.uploads) - 1}"})

    async def _create(self, request: web.Request) -> web.Response:
        self.created.append(await request.json())
        return web.json_response({"id": f"batch-{len(self.created) - 1}", "status": "validating"})

    async def _look(self, request: web.Request) -> web.Response:
        batch = request.match_info["id"]
        if self.faults:
            self.faults -= 1
            return web.json_response({"error": {"message": "Later."}}, status=503)
        self._looks[batch] = looks = self._looks.get(batch, 0) + 1
        number = int(batch.removeprefix("batch-"))
        total = len(self.uploads[number])
        if looks <= self.polls:
            counts = {"total": total, "completed": min(looks, total), "failed": 0}
            return web.json_response({"id": batch, "status": "in_progress", "request_counts": counts})
        told = {"id": batch, "status": self.status, "errors": {"data": self.errors}}
        if self.status != "failed":
            told |= {"output_file_id": f"out-{number}", "error_file_id": f"err-{number}"}
        return web.json_response(told)

    async def _content(self, request: web.Request) -> web.Response:
        kind, number = request.match_info["id"].split("-")
        lines = [self._line(asked) for asked in reversed(self.uploads[int(number)])]
        wrong = kind == "err"
        found = [line for line in lines if line and (line["error"] is not None or _status(line) != 200) == wrong]
        return web.Response(text="\n".join(map(json.dumps, found)))

    def _line(self, asked: dict[str, Any]) -> dict[str, Any] | None:
        text = asked["body"]["messages"][-1]["content"]
        line: dict[str, Any] = {"id": "x", "custom_id": asked["custom_id"], "response": None, "error": None}
        if text in self.dropped:
            return None
        if text in self.expired:
            return line | {"error": {"code": "batch_expired", "message": "Not done in time."}}
        if text in self.refused:
            return line | {"response": {"status_code": 400, "body": {"error": {"message": "Too long."}}}}
        message = {"content": f"re: {text}"}
        body = {"model": "gpt-5.1-x", "choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}
        return line | {"response": {"status_code": 200, "body": body}}


def _status(line: dict[str, Any]) -> int:
    return 0 if line["response"] is None else int(line["response"]["status_code"])
