"""A policy that doubts answers, upstreams' answers with log probabilities, and a pipeline over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from contracts.ports import CheckTerms, Draft, Query, WholeAnswer
from contracts.records import Candidate, Check, Decision, Outlook, UsageEvent
from contracts.sse import event, payloads
from router.config import schema
from router.exchange import Reply
from tests.router.plain import (
    DONE,
    QUICK,
    USAGE,
    PlainUpstream,
    Script,
    Works,
    chat,
    plan,
    read_out,
    setup_over,
    whole,
    works_over,
)

GOOD, BAD, BETTER = "good enough", "rather bad", "much better"
streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


class Doubting:
    """A policy whose first candidate is cheap: what it answers is checked, and doubted where it says it is bad."""

    version = "doubting"

    def __init__(self, check: CheckTerms | None = None, outlook: Outlook = "unsure") -> None:
        self.check: CheckTerms | None = check or CheckTerms(logprobs=5)
        self.outlook: Outlook = outlook
        self.drafts: list[Draft] = []
        self.ended: list[UsageEvent] = []
        self.judging = asyncio.Event()
        self.judged = asyncio.Event()
        self.judged.set()
        self.fault: Exception | None = None

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        candidates = tuple(Candidate(model=model) for model in models)
        return Decision(
            model=models[0], policy="doubting", reason="try it", outlook=self.outlook, candidates=candidates
        )

    async def review(self, query: Query, decision: Decision, draft: Draft) -> Decision:
        self.drafts.append(draft)
        self.judging.set()
        await self.judged.wait()
        if self.fault is not None:
            raise self.fault
        doubted = "bad" in draft.text
        check = Check(model=draft.model, good=0.1 if doubted else 0.9, needed=0.5, escalated=doubted)
        return replace(decision, check=check)

    def settled(self, query: Query, event: UsageEvent) -> None:
        self.ended.append(event)


@asynccontextmanager
async def reviewed(
    folder: Path,
    policy: Doubting,
    cheap: PlainUpstream,
    strong: PlainUpstream,
    attempts: schema.Attempts = QUICK,
) -> AsyncIterator[Works]:
    """A pipeline whose route `support` has both, the cheap one first."""
    route = plan("support", "cheap", "strong", policy=policy, attempts=attempts)
    async with works_over(setup_over({"cheap": cheap, "strong": strong}, route), folder) as works:
        yield works


def logged(word: str) -> dict[str, Any]:
    return {"content": [{"token": word, "logprob": -0.25, "top_logprobs": []}]}


def piece(word: str, *, index: int = 0, finish: str | None = None) -> bytes:
    """One event of a stream, with its log probability."""
    choice = {"index": index, "delta": {"content": word}, "logprobs": logged(word), "finish_reason": finish}
    return event(orjson.dumps({"choices": [choice]}))


def stream_of(text: str, *stops: asyncio.Event, choices: int = 1) -> Script:
    """An answer word by word; before the last word `stops` are waited for."""
    *words, last = text.split(" ")
    steps: list[bytes | asyncio.Event] = [piece(word + " ", index=at) for word in words for at in range(choices)]
    ends = [piece(last, index=at, finish="stop") for at in range(choices)]
    return Script(*steps, *stops, *ends, USAGE, DONE)


def answer(text: str, stream: bool) -> WholeAnswer | Script:
    if stream:
        return stream_of(text)
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return whole(choices=[{**choice, "logprobs": logged(text)}])


def choices_in(body: bytes, stream: bool) -> list[dict[str, Any]]:
    if not stream:
        return list(orjson.loads(body)["choices"])
    chunks = [orjson.loads(payload) for payload in payloads(body) if payload != b"[DONE]"]
    return [choice for chunk in chunks for choice in chunk["choices"]]


async def said(reply: Reply, index: int = 0) -> str:
    """All of the text that the client got, read to the end."""
    stream = reply.stream is not None
    choices = choices_in(await read_out(reply), stream)
    return "".join(
        choice["delta" if stream else "message"].get("content") or ""
        for choice in choices
        if choice["index"] == index
    )


async def ask_and_read(works: Works, **more: Any) -> str:
    return await said(await works.ask(chat("support", **more)))


def check_of(event: UsageEvent) -> Check:
    assert event.decision is not None
    assert event.decision.check is not None
    return event.decision.check
