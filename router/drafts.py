"""The answer of a cheap model before the client has it: held back, judged, then delivered or paid for and dropped.

The non-obvious decision: a stream is held back as bytes that are ready to be sent. When it is found good enough the
client gets them in one piece and the rest as it comes; when it is not, nothing of it was ever sent, so a better
model can still answer. The log probabilities that the judgement asks for are taken out on the way, unless the
client wanted them too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import orjson
from msgspec import Struct

from contracts.ports import AnswerStream, CheckTerms, Draft, WholeAnswer
from contracts.request import ModelRequest
from contracts.sse import DONE, event, payloads
from router.delivery import Tee
from router.replay import objects_in, text_of


class LoggedStream:
    """An AnswerStream that notes each token's log probability. `shown`: the client is to have them as well."""

    def __init__(self, stream: AnswerStream, *, shown: bool) -> None:
        self._stream = stream
        self._shown = shown
        self.noting = True
        """Once the answer has been judged, nothing more is kept of it."""
        self.logprobs: list[Any] = []
        self.finish = ""
        self.tool_calls = False

    async def read(self) -> bytes:
        events = await self._stream.read()
        read = [(payload, self._noted(payload)) for payload in payloads(events)]
        if all(changed is None for _, changed in read):
            return events
        # An event has its data on one line; a break inside JSON is as good as a space.
        return b"".join(event((changed or payload).replace(b"\n", b" ")) for payload, changed in read)

    async def close(self) -> None:
        await self._stream.close()

    def _noted(self, payload: bytes) -> bytes | None:
        """What an event is without what is to be taken out; None where that is nothing."""
        try:
            chunk = None if payload == DONE else orjson.loads(payload)
            return orjson.dumps(chunk) if self._note(chunk) else None
        except (orjson.JSONDecodeError, orjson.JSONEncodeError):
            return None  # whoever reads the stream says what is wrong with it

    def _note(self, chunk: object) -> bool:
        """Whether anything was taken out."""
        changed = False
        for choice in objects_in(chunk.get("choices") if isinstance(chunk, dict) else None):
            if self.noting:
                self.logprobs += _content(choice)
                self.finish = str(choice.get("finish_reason") or self.finish)
                self.tool_calls |= calls_tools(choice.get("delta"))
            if choice.get("logprobs") is not None and not self._shown:
                choice["logprobs"] = None
                changed = True
        return changed


class Logprobs(Struct, frozen=True):
    """What is asked of an upstream on top of the client's own wishes. `shown`: the client asked too."""

    wanted: int
    shown: bool

    @classmethod
    def of(cls, terms: CheckTerms, request: ModelRequest) -> Logprobs:
        shown = bool(request.raw.get("logprobs"))
        return cls(0 if shown else terms.logprobs, shown)

    def added(self, body: dict[str, Any]) -> dict[str, Any]:
        return {**body, "logprobs": True, "top_logprobs": self.wanted} if self.wanted else body


def draft_of(model: str, answer: WholeAnswer) -> Draft:
    """A whole chat answer, to be judged."""
    choice = next(objects_in(answer.data.get("choices")), {})
    message = choice.get("message")
    return Draft(
        model=model,
        text=text_of(answer.data),
        whole=True,
        finish=str(choice.get("finish_reason") or ""),
        logprobs=_content(choice),
        tool_calls=calls_tools(message),
    )


def calls_tools(said: object) -> bool:
    """Whether a message, or a piece of one, calls a tool."""
    return isinstance(said, dict) and bool(said.get("tool_calls"))


def without_logprobs(answer: WholeAnswer) -> WholeAnswer:
    """The same answer as to a client that asked for no log probabilities."""
    choices = answer.data.get("choices")
    if all(choice.get("logprobs") is None for choice in objects_in(choices)):
        return answer
    unlogged = [{**choice, "logprobs": None} if isinstance(choice, dict) else choice for choice in choices or ()]
    data: Mapping[str, Any] = {**answer.data, "choices": unlogged}
    try:
        return WholeAnswer(body=orjson.dumps(data), data=data)
    except orjson.JSONEncodeError:  # nested deeper than can be written again
        return answer


async def held(
    model: str, tee: Tee, logged: LoggedStream, head: bytes, terms: CheckTerms, *, until: float, most_bytes: int
) -> tuple[Draft, bytes]:
    """As much of a stream as `terms` want judged, and its bytes for the client. Raises UpstreamFailure.

    Nothing is held longer than `until`, on `time.perf_counter()`'s clock, nor more than `most_bytes`. Whoever reads
    on from `tee` gets the rest.
    """
    parts, size, whole = [head], len(head), False
    until = min(until, time.perf_counter() + terms.hold_s)
    while size < most_bytes and (terms.first_tokens is None or len(tee.pieces) < terms.first_tokens):
        try:
            async with asyncio.timeout(max(0.0, until - time.perf_counter())):
                part = await tee.next()
        except TimeoutError:
            break
        if not part:
            whole = True
            break
        parts.append(part)
        size += len(part)
    logged.noting = False
    draft = Draft(
        model=model,
        text=tee.text,
        whole=whole,
        finish=logged.finish,
        logprobs=logged.logprobs,
        tool_calls=logged.tool_calls,
    )
    return draft, b"".join(parts)


def _content(choice: Mapping[str, Any]) -> list[Any]:
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    return content if isinstance(content, list) else []
