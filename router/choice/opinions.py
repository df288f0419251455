"""Second opinions on a cheap answer: another cheap model, the same one again, or its view of its own answer.

The non-obvious decision: they are asked through the whole pipeline, as the tenant whose question it is. So they
obey limits and breakers, their cost is in that tenant's ledger under its own purpose, and equal ones may come from
the cache.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from contracts.errors import WeirError
from contracts.ports import Query
from contracts.records import Purpose
from router.exchange import Incoming, Reply, own_request
from router.replay import objects_in, text_of

log = logging.getLogger("weir.opinions")

_DROPPED = frozenset({"stream", "stream_options", "n", "logprobs", "top_logprobs", "metadata"})
_LONGEST = 8_000
"""Characters of a question and an answer that a model is shown when it checks itself."""
_WORD = re.compile(r"\w+")
_TASK = """\
Below are a question and an answer to it. Is the answer correct and complete?
Reply with one word: YES or NO."""


class Opinions:
    """Asks models on behalf of a tenant; `answer` is the pipeline's. None where there is no answer to be had."""

    def __init__(self, answer: Callable[[Incoming], Awaitable[Reply]], *, purpose: Purpose = "check") -> None:
        self._answer = answer
        self._purpose = purpose

    async def another(self, query: Query, model: str) -> str | None:
        """What `model` answers to the same request."""
        body = {name: value for name, value in query.body.items() if name not in _DROPPED}
        data = await self._ask(query, {**body, "model": model}, fresh=False)
        return text_of(data) if data is not None else None

    async def votes(self, query: Query, model: str, times: int) -> list[str]:
        """What `model` answers when it is asked again, each time anew."""
        body = {name: value for name, value in query.body.items() if name not in _DROPPED and name != "seed"}
        warm = {**body, "model": model, "temperature": max(0.7, query.request.temperature or 0.0)}
        said = await asyncio.gather(*(self._ask(query, warm, fresh=True) for _ in range(times)))
        return [text_of(data) for data in said if data is not None]

    async def of_itself(self, query: Query, model: str, question: str, answer: str) -> float | None:
        """The probability that `model` gives to its own answer being right."""
        shown = orjson.dumps({"question": question[:_LONGEST], "answer": answer[:_LONGEST]}).decode()
        body = {
            "model": model,
            "messages": [{"role": "system", "content": _TASK}, {"role": "user", "content": shown}],
            "temperature": 0,
            "max_tokens": 4,
            "logprobs": True,
            "top_logprobs": 5,
        }
        data = await self._ask(query, body, fresh=False)
        return yes_in(data) if data is not None else None

    async def _ask(self, query: Query, body: Mapping[str, Any], *, fresh: bool) -> Mapping[str, Any] | None:
        endpoint = query.request.endpoint
        incoming = own_request(self._purpose, query.tenant, body, endpoint=endpoint, fresh=fresh)
        try:
            reply = await self._answer(incoming)
        except WeirError as error:
            log.info("an opinion could not be had: %s", error.message)
            return None
        data: Mapping[str, Any] = orjson.loads(reply.body)
        return data


def yes_in(data: Mapping[str, Any]) -> float | None:
    """The probability of YES against NO at the first word of a reply; None where it is neither."""
    choice = next(objects_in(data.get("choices")), {})
    logprobs = choice.get("logprobs")
    tokens = objects_in(logprobs.get("content") if isinstance(logprobs, dict) else None)
    first = next(tokens, None)
    weights = {"yes": 0.0, "no": 0.0}
    for listed in objects_in(first.get("top_logprobs") if first is not None else None):
        word, logprob = str(listed.get("token")).strip().casefold(), listed.get("logprob")
        if word in weights and isinstance(logprob, int | float) and logprob <= 0:
            weights[word] += math.exp(logprob)
    if weights["yes"] or weights["no"]:
        return weights["yes"] / (weights["yes"] + weights["no"])
    words = set(_WORD.findall(text_of(data)[:_LONGEST].casefold()))
    yes, no = "yes" in words, "no" in words
    return None if yes == no else float(yes)
