"""A model as judge of two answers, where their words do not tell whether they say the same.

The non-obvious decision: it is asked through the whole pipeline, as the tenant whose question it is about. What it
costs is in that tenant's ledger, under its own purpose.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import orjson

from contracts.errors import WeirError
from router.exchange import Incoming, Reply, own_request
from router.replay import text_of

log = logging.getLogger("weir.judge")

_LONGEST = 8_000
"""Characters of each answer that the judge is shown."""
_TASK = """\
Two answers were given to the same question. Would a user who reads the first one learn the same as from the second,
with no fact, number, name or instruction that differs? Wording, order and politeness do not matter.
Reply with one word: SAME or DIFFERENT."""


class ModelJudge:
    """A `Judge`: `model` is one of the configuration's, `answer` the pipeline's."""

    def __init__(self, model: str, answer: Callable[[Incoming], Awaitable[Reply]]) -> None:
        self._model = model
        self._answer = answer

    async def same(self, tenant: str, question: str, one: str, other: str) -> bool | None:
        shown = orjson.dumps({"question": question, "first": one[:_LONGEST], "second": other[:_LONGEST]}).decode()
        body = {
            "model": self._model,
            "messages": [{"role": "system", "content": _TASK}, {"role": "user", "content": shown}],
            "temperature": 0,
            "max_tokens": 8,
        }
        incoming = own_request("judge", tenant, body, fresh=True)
        try:
            reply = await self._answer(incoming)
        except WeirError as error:
            log.info("the judge could not be asked: %s", error.message)
            return None
        return verdict_in(text_of(orjson.loads(reply.body)))


def verdict_in(said: str) -> bool | None:
    """What a judge's reply means; None where it is neither word, or both."""
    words = said.upper()
    same, different = "SAME" in words, "DIFFERENT" in words
    return None if same == different else same
