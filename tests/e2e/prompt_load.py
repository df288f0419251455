"""Clients that use a route while its prompt is promoted and taken back, and what they saw.

The model answers with the request that it got, so each answer shows the prompt that it was given under, whatever a
header says; and a version is a hash of that. What begins after a command returned is told by the clients' clock.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai
import orjson
from prometheus_client.parser import text_string_to_metric_families

from prompts.prompt import BookedPrompt
from registry.prompts import put
from registry.store import Registry
from tests.e2e.running import RunningWeir, write_config

FIRST, BAD = "You are the first.", "You invent refunds."
"""What the file says, and what is promoted over it."""
MODEL = "mirror/slow-10/slow-tokens-1"
"""Requests are under way for some milliseconds, so that several are at any time."""
PRICE = {"input": "1", "output": "4"}
AT_A_TIME, QUESTIONS, ENOUGH = 16, 6, 160
"""Clients, questions that all of them ask again and again, and answers that are waited for."""


def version_of(text: str) -> str:
    return BookedPrompt.plain(text, "prepend").version


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer: the version that its header names, and the prompt that its text shows. Times of one clock."""

    began: float
    ended: float
    version: str
    said: str
    cache: str

    @property
    def whole(self) -> bool:
        """Header and prompt are of one version."""
        return version_of(self.said) == self.version


@dataclass(slots=True)
class Load:
    """`broken` are the requests that failed."""

    seen: list[Seen] = field(default_factory=list)
    broken: list[Exception] = field(default_factory=list)

    def since(self, moment: float) -> list[Seen]:
        """What began after it."""
        return [one for one in self.seen if one.began > moment]

    def under_way(self, moment: float) -> list[Seen]:
        return [one for one in self.seen if one.began <= moment < one.ended]

    async def more(self, moment: float, number: int = ENOUGH) -> None:
        """Wait for so many that began after `moment`."""
        while len(self.since(moment)) < number:  # noqa: ASYNC110 - what is waited for is counted by the clients
            await asyncio.sleep(0.01)

    def told(self, moment: float) -> str:
        """In figures: what was under way at `moment`, and what began after it."""
        counts = [
            Counter((one.said, one.cache) for one in seen) for seen in (self.under_way(moment), self.since(moment))
        ]
        now, then = (", ".join(f"{n} {said!r} ({cache})" for (said, cache), n in sorted(c.items())) for c in counts)
        return f"under way: {now or 'none'}; begun after it: {then or 'none'}; failed in all: {len(self.broken)}"


@asynccontextmanager
async def load_on(weir: RunningWeir, clients: int = AT_A_TIME) -> AsyncIterator[Load]:
    """Clients that ask, streamed and whole in turn, mostly what was asked before."""
    load, stop = Load(), asyncio.Event()

    async def ask_on(number: int) -> None:
        async with weir.async_client() as client:
            turn = number
            while not stop.is_set():
                turn += 1
                text = f"Question {turn % QUESTIONS}" if turn % 4 else f"Never asked: {number} {turn}"
                try:
                    load.seen.append(await ask(client, "support", text, stream=bool(turn % 2)))
                except (openai.APIError, httpx.HTTPError) as error:
                    load.broken.append(error)

    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            group.create_task(ask_on(number))
        try:
            yield load
        finally:
            stop.set()


async def ask(client: openai.AsyncOpenAI, model: str, text: str, *, stream: bool = False) -> Seen:
    """A whole answer. Raises what the client does where there is none."""
    began = time.monotonic()
    reply: Any = await client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": text}], stream=stream
    )
    if stream:
        choices = [chunk.choices[0] async for chunk in reply.parse()]
        said, finish = "".join(choice.delta.content or "" for choice in choices), choices[-1].finish_reason
    else:
        choice = reply.parse().choices[0]
        said, finish = choice.message.content, choice.finish_reason
    assert finish == "stop", "an answer ends well or not at all"
    prompt = str(orjson.loads(said)["messages"][0]["content"])
    version, cache = reply.headers["x-weir-prompt"], reply.headers["x-weir-cache"]
    return Seen(began, time.monotonic(), version, prompt, cache)


def config_in(folder: Path, *, reload_seconds: float = 0.05, **more: Any) -> Path:
    """The route `support`, with a cache, whose prompt is in the file `support.md`."""
    (folder / "support.md").write_text(FIRST)
    changes: dict[str, Any] = {
        "models": {"good": {"upstream": "scripted", "name": MODEL, "price": PRICE}},
        "prompts": {"support": {"file": "support.md"}},
        "routes": {"support": {"candidates": ["good"], "prompt": "support"}},
        "server": {"admin_key": "${WEIR_ADMIN_KEY}", "reload_seconds": reload_seconds},
        **more,
    }
    return write_config(folder, **changes)


def stored(weir: RunningWeir, text: str) -> str:
    """The version of `text`, which nobody gets yet."""
    return put(Registry(weir.state / "registry"), "support", BookedPrompt.plain(text, "prepend").content, "test")


def promote(weir: RunningWeir, version: str) -> Mapping[str, Any]:
    return command(weir, "promote", version, "--force", "--reason", "nobody measured it")


def roll_back(weir: RunningWeir) -> Mapping[str, Any]:
    return command(weir, "rollback", "--reason", "it invents refunds")


def command(weir: RunningWeir, verb: str, *arguments: str) -> Mapping[str, Any]:
    """What `weir prompts VERB support` tells."""
    told = weir.weir("prompts", verb, "support", *arguments, "--config", str(weir.config), "--json")
    return dict(json.loads(told))


def listed(weir: RunningWeir) -> Mapping[str, Any]:
    told = json.loads(weir.weir("prompts", "list", "--config", str(weir.config), "--json"))
    return next(row for row in told["prompts"] if row["prompt"] == "support")


def in_force(weir: RunningWeir) -> set[tuple[str, str]]:
    """Version and source, as the page of metrics has them of all workers."""
    return {
        (labels["version"], labels["source"])
        for labels, value in samples(weir, "weir_prompt_in_force")
        if value == 1 and labels["prompt"] == "support"
    }


def answered_by(weir: RunningWeir) -> Counter[str]:
    """Requests so far, by worker."""
    found: Counter[str] = Counter()
    for labels, value in samples(weir, "weir_requests_total"):
        found[labels["worker"]] += int(value)
    return found


def samples(weir: RunningWeir, name: str) -> list[tuple[Mapping[str, str], float]]:
    status, page = weir.get("/metrics", weir.admin_key)
    assert status == 200
    families = text_string_to_metric_families(page)
    return [(one.labels, one.value) for family in families for one in family.samples if one.name == name]
