"""SIMBA: where answers to one question differ, the better becomes a demonstration or a rule is drawn from the pair.

The non-obvious decision: it chooses by the train part, which its rules are drawn from, so what it kept is scored
once more on the validation part, and that decides.
"""

from __future__ import annotations

import dspy
import numpy  # noqa: F401 - dspy draws with it, and misses it too late to say what to install

from prompts.optimise.compiling import compiled
from prompts.optimise.feedback import Trials, score
from prompts.optimise.optimisers.tuning import needs_tunable, places
from prompts.optimise.ports import Expected, Search
from prompts.optimise.program import examples_of, program_of, prompt_of
from prompts.prompt import BookedPrompt

_BATCH = 32
_SAMPLES = 6
"""Of each answer, and candidates of each step. Both are dspy's own numbers."""
_STEPS = {"light": 4, "medium": 8, "heavy": 12}
"""dspy's own number is 8."""


class Simba:
    name = "simba"
    tunes = "instructions and demonstrations"

    def split(self, cases: int) -> float:
        return 0.2

    def expected(self, search: Search) -> Expected:
        """Samples, then candidates, and at the end the winners on both parts.

        When cases come round again, about half of their samples are known. Beside demonstrations half of the
        candidates are rules, and for half of these there is nothing to compare.
        """
        steps = _STEPS[search.effort]
        train, validation = len(search.parts.train), len(search.parts.validation)
        sampled = steps * _batch(search)
        fresh = min(sampled, train)
        tried = _SAMPLES * (fresh + (sampled - fresh) // 2) + (_SAMPLES + 1) * sampled
        winners = min(steps, _SAMPLES) + 1
        rules = steps * (_SAMPLES + 1) // (4 if places(search) else 2)
        return Expected(tried + winners * (train + validation), rules, places(search) // 2)

    def best(self, search: Search) -> BookedPrompt:
        needs_tunable(search)
        return compiled(search, _compiled)


def _compiled(search: Search, trials: Trials) -> BookedPrompt:
    found = dspy.SIMBA(
        metric=score,
        bsize=_batch(search),
        num_candidates=_SAMPLES,
        max_steps=_STEPS[search.effort],
        max_demos=places(search),
        # Samples of one answer stand a batch apart in the queue: with fewer threads than that, they are
        # asked for in their order, so that a search that goes on hears each again in its place.
        num_threads=min(search.concurrency, max(1, _batch(search) // 2)),
    ).compile(program_of(search.prompt), trainset=examples_of(search.parts.train), seed=search.seed)
    won = [prompt_of(candidate["program"], search.prompt) for candidate in found.candidate_programs]
    return max(won, key=lambda prompt: trials.mean(prompt, search.parts.validation))


def _batch(search: Search) -> int:
    return min(_BATCH, len(search.parts.train))
