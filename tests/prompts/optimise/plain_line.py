"""A line to the models and the scorer of `examples/support`, in memory: counts its calls, and can end.

The models are the scripted upstream's own, the scorer the suite's. Nothing is sent, priced or kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from evals.cases import Case, canonical
from evals.records import Answer
from evals.runner.plan import body_of
from evals.scorers.contains_facts import ContainsFacts, ContainsFactsSettings
from evals.scorers.port import Instruments
from evals.suite import Suite, read_suite
from prompts.optimise.parts import part
from prompts.optimise.ports import CallFailed, Marked, Optimiser, Search, SearchEnded
from prompts.prompt import BookedPrompt
from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_knowledge import Knowledge

SUPPORT = Path("examples/support")
BARE = BookedPrompt.plain((SUPPORT / "prompts/bare.md").read_text("utf-8"), "prepend")
MOST = 10**9


@lru_cache
def suite() -> Suite:
    return read_suite(SUPPORT / "suite")


@lru_cache
def knowledge() -> Knowledge:
    return Knowledge.load(SUPPORT / "knowledge.jsonl")


class PlainLine:
    """Implements `Line`. `most` calls are answered, then it has ended; of task calls, those whose number `fails`
    divides have no answer.
    """

    def __init__(self, *, most: int = MOST, fails: int = 0, editor: str = "editor") -> None:
        self.tasks: list[bytes] = []
        self.reflections: list[bytes] = []
        self._most = most
        self._fails = fails
        self._editor = editor
        self._lock = threading.Lock()
        self._answered: Counter[bytes] = Counter()
        self._scorer = ContainsFacts(ContainsFactsSettings(), Instruments(ask=_nobody, encode=_nothing))

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        body = {**body_of(case, {}), "messages": list(messages)}
        content = canonical([body, temperature])
        self._count(self.tasks, content)
        if self._fails and len(self.tasks) % self._fails == 0:
            raise CallFailed("the upstream is down")
        return Answer(text=reply(script("attentive"), body, knowledge()).text)

    def model(self, messages: Sequence[Mapping[str, Any]], temperature: float | None = None) -> str:
        content = canonical([messages, temperature])
        self._count(self.reflections, content)
        if self._editor != "editor":
            return self._editor
        with self._lock:
            self._answered[content] += 1
            seed = self._answered[content]  # asked again, a real model says something else
        body = {"messages": list(messages), "temperature": temperature, "seed": seed}
        return reply(script("editor"), body, knowledge()).text

    def mark(self, case: Case, answer: Answer) -> Marked:
        scored = asyncio.run(self._scorer.score(case, answer))
        return Marked(scored.value, scored.why)

    @property
    def spent(self) -> Decimal:
        return Decimal(len(self.tasks) + len(self.reflections))

    @property
    def ended(self) -> str:
        return "the budget is spent" if self._most <= 0 else ""

    def end(self) -> None:
        with self._lock:
            self._most = 0

    def _count(self, calls: list[bytes], content: bytes) -> None:
        with self._lock:
            if self._most <= 0:
                raise SearchEnded(self.ended)
            self._most -= 1
            calls.append(content)


class Tale:
    """Implements `Told`: the scores of each prompt, by case."""

    def __init__(self) -> None:
        self.scores: dict[str, dict[str, float]] = {}
        self._lock = threading.Lock()

    def __call__(self, prompt: BookedPrompt, case: Case, value: float) -> None:
        with self._lock:
            scores = self.scores.setdefault(prompt.version, {})
            assert case.id not in scores, "told twice"
            scores[case.id] = value

    def mean(self, prompt: BookedPrompt, cases: Sequence[Case]) -> float:
        return sum(self.scores[prompt.version][case.id] for case in cases) / len(cases)


def fits(prompt: BookedPrompt) -> str:
    return ""


def search_for(
    optimiser: Optimiser,
    line: PlainLine,
    told: Tale,
    *,
    prompt: BookedPrompt = BARE,
    test_share: float = 0.7,
    **other: Any,
) -> Search:
    """Over the suite's cases but `test_share` of them: few, so that it is soon over."""
    parts = part(suite().cases, learn_share=optimiser.split, test_share=test_share, seed=1)
    usual: dict[str, Any] = {
        "slots": {},
        "unfit": fits,
        "effort": "light",
        "seed": 0,
        "concurrency": 4,
        "most_demonstrations": 4,
    }
    return Search(prompt=prompt, parts=parts, line=line, told=told, **{**usual, **other})


async def _nobody(_: Mapping[str, Any]) -> Answer:
    raise AssertionError("no scorer of this suite asks")


def _nothing(_: Sequence[str]) -> Any:
    raise AssertionError("no scorer of this suite compares texts")
