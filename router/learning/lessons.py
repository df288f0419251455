"""What one answered request teaches: what was asked and who answered, and what other models would have said.

A sampled share of requests is asked of the other candidates too, after the client has its answer; what the
reference says is the measure. Where a cheap answer was doubted and the reference asked, both answers are there
anyway, and cost nothing more to compare.

The non-obvious decision: shadow calls are requests like any other, through the whole pipeline with the tenant's
key. They obey limits and breakers, and their cost is in the ledger as what it is, so that it counts against what
routing saves.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from contracts.ports import Judge, Query
from contracts.records import UsageEvent
from heads.answers import agreement
from router.choice.opinions import Opinions
from router.choice.reading import read
from router.errands import Errands
from router.learning.notebook import Notebook
from router.setup import Learning

log = logging.getLogger("weir.learning")

_LONGEST = 8_000
"""Characters of an answer that are written down; heads look at no more. Of one that students learn from: all, or
nothing."""


class Lessons:
    """Writes into `notebook`. `judge` makes a judge of a model; at most `most` shadow calls run at a time."""

    def __init__(
        self, notebook: Notebook, opinions: Opinions, judge: Callable[[str], Judge], *, most: int = 8
    ) -> None:
        self.notebook = notebook
        self.shadowed = 0
        self._opinions = opinions
        self._judge = judge
        self.errands = Errands(most, "nothing was learned from shadow calls")
        self._random = random.Random()  # noqa: S311 - who is sampled is no secret

    @property
    def skipped(self) -> int:
        """Requests to learn from that there was no room for."""
        return self.errands.skipped

    def answered(
        self,
        query: Query,
        event: UsageEvent,
        learning: Learning,
        candidates: Sequence[str],
        said: str,
        doubted: str,
    ) -> None:
        """A request has its answer, `said`; `doubted` is the cheap one that was not delivered. Returns at once."""
        if event.purpose != "serve" or event.outcome != "answered" or event.endpoint != "chat/completions":
            return
        reading = read(query)
        if not reading.text or reading.tools:
            return
        told = {"answer": said} if event.tenant in learning.answers and _is_whole(query, event, said) else {}
        self._note(event, learning, _asked(query, event, reading.text, candidates) | told)
        alone = query.request.n == 1  # several answers at once are not to be compared with one
        drawn = alone and self._random.random() < learning.shadow_share
        known = {event.model: said}
        if doubted and event.decision is not None and event.decision.check is not None:
            known[event.decision.check.model] = doubted
        others = [model for model in candidates if model not in known] if drawn else []
        if not others and len(known) == 1:
            return
        self.errands.send(self._learn(query, event, learning, reading.text, known, others), "shadow")

    def told(self, event: UsageEvent, learning: Learning, score: float) -> None:
        """Whoever got an answer says how good it was, 0..1."""
        self._note(event, learning, {"model": event.model, "score": score, "source": "feedback"})

    async def idle(self) -> None:
        """Wait until the shadow calls under way have ended."""
        await self.errands.idle()

    async def close(self) -> None:
        """Give up those under way."""
        await self.errands.close()

    async def _learn(
        self,
        query: Query,
        event: UsageEvent,
        learning: Learning,
        text: str,
        known: dict[str, str],
        others: Sequence[str],
    ) -> None:
        said = await asyncio.gather(*(self._opinions.another(query, model) for model in others))
        self.shadowed += len(others)
        known |= {model: answer for model, answer in zip(others, said, strict=True) if answer}
        measure = known.get(learning.reference)
        if measure is None:
            return
        source = "shadow" if others else "escalation"
        for model, answer in known.items():
            same = model == learning.reference or await self._same(event, learning, text, measure, answer)
            if same is not None:
                signals = _signals(event, model)
                told = {"query": text, "model": model, "score": float(same), "source": source, **signals}
                self._note(event, learning, told | ({"answer": answer[:_LONGEST]} if signals else {}))

    async def _same(
        self, event: UsageEvent, learning: Learning, text: str, measure: str, answer: str
    ) -> bool | None:
        if learning.judge:
            return await self._judge(learning.judge).same(event.tenant, text, measure, answer)
        return agreement(measure, answer) >= learning.same_words

    def _note(self, event: UsageEvent, learning: Learning, line: Mapping[str, Any]) -> None:
        about = {
            "request_id": event.request_id,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "route": event.route,
            "tenant": event.tenant,
        }
        self.notebook.note(event.tenant, {**about, **line}, max_bytes=learning.max_bytes)


def _asked(query: Query, event: UsageEvent, text: str, candidates: Sequence[str]) -> dict[str, Any]:
    decision = event.decision
    return {
        "query": text,
        "turn": sum(each.get("role") == "user" for each in query.body["messages"]),
        "model": event.model,
        "intent": decision.intent if decision is not None else "unknown",
        "chosen": decision.model if decision is not None else event.model,
        "propensities": _propensities(event, candidates),
        "cost_usd": str(event.cost),
        "latency_ms": event.latency_ms,
    }


def _is_whole(query: Query, event: UsageEvent, said: str) -> bool:
    """Whether `said` is one answer from its beginning to its end: who learns from half of one ends there too."""
    most = query.body.get("max_completion_tokens") or query.body.get("max_tokens")
    cut = event.hung_up or (isinstance(most, int) and event.usage.completion >= most)
    return not cut and query.request.n == 1 and 0 < len(said) <= _LONGEST


def _propensities(event: UsageEvent, candidates: Sequence[str]) -> Mapping[str, float]:
    """With which probability each candidate could have been chosen; without lots there was only one choice."""
    decision = event.decision
    told = {each.model: each.propensity for each in decision.candidates} if decision is not None else {}
    chosen = decision.model if decision is not None else event.model
    return {
        model: found if (found := told.get(model)) is not None else float(model == chosen) for model in candidates
    }


def _signals(event: UsageEvent, model: str) -> Mapping[str, Any]:
    """What the check saw of this model's answer, where it was checked."""
    decision = event.decision
    check = decision.check if decision is not None else None
    if decision is None or check is None or check.model != model:
        return {}
    return {"signals": dict(check.signals), "intent": decision.intent}
