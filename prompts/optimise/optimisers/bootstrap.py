"""Bootstrap: good answers of the prompt itself become its demonstrations.

The non-obvious decision: dspy's random search over sets of them, not its plain bootstrapping. The plain one takes
the first answers that are good enough; which of them teach most is only seen on cases that they are not from, and
that is what the validation part is for.
"""

from __future__ import annotations

import random

from dspy.teleprompt import BootstrapFewShotWithRandomSearch

from prompts.optimise.compiling import compiled
from prompts.optimise.feedback import Trials, score
from prompts.optimise.optimisers.tuning import candidates, places
from prompts.optimise.ports import Expected, Search
from prompts.optimise.program import examples_of, program_of, prompt_of
from prompts.prompt import BookedPrompt


class Bootstrap:
    name = "bootstrap"
    tunes = "demonstrations"

    def split(self, cases: int) -> float:
        return 0.2

    def expected(self, search: Search) -> Expected:
        """The train part once; validation for the prompt as it is, for the first set, and for each drawn one."""
        if not places(search):
            return Expected(0, 0)
        task = len(search.parts.train) + len(search.parts.validation) * (candidates(search) + 2)
        return Expected(task, 0, places(search) // 2)

    def best(self, search: Search) -> BookedPrompt:
        if not places(search):
            return search.prompt
        return compiled(search, _compiled)


def _compiled(search: Search, trials: Trials) -> BookedPrompt:
    train = list(search.parts.train)
    random.Random(search.seed).shuffle(train)  # noqa: S311 - no secret; dspy's own seeds are fixed numbers
    found = BootstrapFewShotWithRandomSearch(
        metric=score,
        metric_threshold=trials.bar(),
        max_bootstrapped_demos=places(search),
        max_labeled_demos=0,
        num_candidate_programs=candidates(search),
        num_threads=search.concurrency,
    ).compile(
        program_of(search.prompt),
        trainset=examples_of(train),
        valset=examples_of(search.parts.validation),
    )
    return prompt_of(found, search.prompt)
