"""MIPROv2: a model proposes instructions, good answers become demonstrations, and their pairs are searched.

The non-obvious decision: the numbers of an effort are dspy's, but given one by one. Its own `auto` also leaves out
a part of the validation cases where there are many, and what did not answer all of them is never ranked.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import dspy
import optuna  # noqa: F401 - dspy searches with it, and misses it too late to say what to install

from prompts.optimise.compiling import compiled
from prompts.optimise.feedback import Trials, score
from prompts.optimise.optimisers.tuning import candidates, needs_tunable, places
from prompts.optimise.ports import Expected, Search
from prompts.optimise.program import examples_of, program_of, prompt_of
from prompts.prompt import BookedPrompt

_BATCH = 35
_SMALL = 50
"""Validation cases up to which every trial takes all of them. These two are dspy's own numbers."""
_FULL_EVERY = 5
_VIEWED = 10
"""Questions that the model which describes the data sees at a time."""
_SUMMARY_CALLS = 10


class _Rounds(NamedTuple):
    trials: int
    instructions: int


class MiproV2:
    name = "miprov2"
    tunes = "instructions and demonstrations"

    def split(self, cases: int) -> float:
        return 0.2

    def expected(self, search: Search) -> Expected:
        train, validation = len(search.parts.train), len(search.parts.validation)
        rounds = _rounds(search)
        scored = validation * (rounds.trials + 1)
        if validation > _SMALL:
            scored = _BATCH * rounds.trials + validation * (rounds.trials // _FULL_EVERY + 2)
        described = 2 + min(_SUMMARY_CALLS - 1, (train - 1) // _VIEWED)
        return Expected(train + scored, described + rounds.instructions, places(search) // 2)

    def best(self, search: Search) -> BookedPrompt:
        needs_tunable(search)
        return compiled(search, _compiled)


def _compiled(search: Search, trials: Trials) -> BookedPrompt:
    rounds = _rounds(search)
    mipro = dspy.MIPROv2(
        metric=score,
        metric_threshold=trials.bar() if places(search) else None,
        auto=None,
        num_candidates=candidates(search),
        max_bootstrapped_demos=places(search),
        max_labeled_demos=0,
        num_threads=search.concurrency,
        seed=search.seed,
        track_stats=False,
    )
    mipro.num_instruct_candidates = rounds.instructions
    found = mipro.compile(
        program_of(search.prompt),
        trainset=examples_of(search.parts.train),
        valset=examples_of(search.parts.validation),
        seed=search.seed,
        num_trials=rounds.trials,
        minibatch=len(search.parts.validation) > _SMALL,
        program_aware_proposer=False,  # the program is the same for every prompt, and says nothing
        view_data_batch_size=_VIEWED,
        minibatch_size=_BATCH,
        minibatch_full_eval_steps=_FULL_EVERY,
    )
    return prompt_of(found, search.prompt)


def _rounds(search: Search) -> _Rounds:
    """As dspy counts them: more where there are two things to choose, and then fewer instructions."""
    number, things = candidates(search), 2 if places(search) else 1
    count = int(max(2 * things * math.log2(number), 1.5 * number))
    return _Rounds(count, number // 2 if places(search) else number)
