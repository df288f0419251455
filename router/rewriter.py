"""A model that puts the last turn of a conversation so that it can be searched for by itself.

The non-obvious decision: it is asked through the whole pipeline, as the tenant whose question it is, and its answer
is used only where it is what was asked for: one line, and not a long one. All else is no answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from contracts.errors import WeirError
from contracts.retrieval import Turn
from router.exchange import Incoming, Reply, own_request
from router.replay import objects_in

log = logging.getLogger("weir.retrieval")

LONGEST = 500
"""Characters of a rewritten turn."""
_LONGEST_TURN = 2_000
"""Characters of each turn that the model is shown."""
_TURNS = 6
_TASK = """\
Below is a conversation as JSON. Write what the user asks for last as one question that can be understood without
the rest of the conversation, in the user's language. Answer nothing, explain nothing: write this one line only."""


class Rewriter:
    """Asks models on behalf of a tenant; `answer` is the pipeline's. Waits for `deadline_s` seconds at most."""

    def __init__(self, answer: Callable[[Incoming], Awaitable[Reply]], *, deadline_s: float) -> None:
        self._answer = answer
        self._deadline_s = deadline_s

    async def rewrite(self, tenant: str, model: str, turns: Sequence[Turn]) -> str | None:
        """The last turn in `model`'s words; None where there are none that can be used."""
        shown = [{"role": turn.role, "text": turn.text[:_LONGEST_TURN]} for turn in turns[-_TURNS:]]
        body = {
            "model": model,
            "messages": [
                {"role": "system", "content": _TASK},
                {"role": "user", "content": orjson.dumps(shown).decode()},
            ],
            "temperature": 0,
            "max_tokens": 200,
        }
        incoming = own_request("rewrite", tenant, body)
        try:
            async with asyncio.timeout(self._deadline_s):
                reply = await self._answer(incoming)
        except WeirError as error:
            log.info("a turn could not be rewritten: %s", error.message)
            return None
        except TimeoutError:
            log.info("a turn was not rewritten in time")
            return None
        return line_in(_content(orjson.loads(reply.body)))


def _content(answer: Mapping[str, Any]) -> str:
    """What its first choice says: how a model thought about it is not searched for."""
    choice = next(objects_in(answer.get("choices")), {})
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""


def line_in(said: str) -> str | None:
    """What a model wrote, where it is one line of a length that a question may have."""
    line = said.strip()
    return line if line and len(line) <= LONGEST and len(line.splitlines()) == 1 else None
