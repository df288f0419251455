"""GEPA: a model reads what went wrong in a few answers, and rewrites the instructions.

It keeps every prompt that is the best for some case of the validation part, and goes on from any of them.
"""

from __future__ import annotations

import dspy

from prompts.optimise.compiling import compiled
from prompts.optimise.feedback import Trials, score_and_feedback
from prompts.optimise.optimisers.tuning import candidates, needs_tunable
from prompts.optimise.ports import Expected, Search
from prompts.optimise.program import examples_of, program_of, prompt_of
from prompts.optimise.proposing import Proposer
from prompts.prompt import BookedPrompt

_MANY_CASES = 200
"""From which a few of them are enough for validation, as GEPA's authors advise; below, half is."""
_BATCH = 3
"""Answers that it reflects on at a time, as dspy has it."""


class Gepa:
    name = "gepa"
    tunes = "instructions"

    def split(self, cases: int) -> float:
        return 0.8 if cases > _MANY_CASES else 0.5

    def expected(self, search: Search) -> Expected:
        """dspy's budget counts every look at a score, though some are looks at an answer that is known. It reflects
        once in each round, on a batch before and after; what is better there then takes all of validation, which
        is a third of the looks here.
        """
        looks = _gepa(search, None).auto_budget(1, candidates(search), len(search.parts.validation))
        validation = len(search.parts.validation)
        return Expected(looks, (looks - validation) // (3 * _BATCH))

    def best(self, search: Search) -> BookedPrompt:
        needs_tunable(search)
        return compiled(search, _compiled)


def _compiled(search: Search, _trials: Trials) -> BookedPrompt:
    gepa = _gepa(search, Proposer(search.line, search.prompt))
    found = gepa.compile(
        program_of(search.prompt),
        trainset=examples_of(search.parts.train),
        valset=examples_of(search.parts.validation),
    )
    return prompt_of(found, search.prompt)


def _gepa(search: Search, proposer: Proposer | None) -> dspy.GEPA:
    return dspy.GEPA(
        metric=score_and_feedback,
        auto=search.effort,
        reflection_minibatch_size=_BATCH,
        instruction_proposer=proposer or Proposer(search.line, search.prompt),
        num_threads=search.concurrency,
        warn_on_score_mismatch=False,
        seed=search.seed,
    )
