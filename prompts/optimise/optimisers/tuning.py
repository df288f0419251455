"""What the optimisers of dspy have in common: how many candidates an effort is worth, and what there is to tune."""

from __future__ import annotations

from prompts.optimise.ports import Search

_CANDIDATES = {"light": 6, "medium": 12, "heavy": 18}
"""dspy's own numbers, for GEPA and MIPROv2."""


def candidates(search: Search) -> int:
    return _CANDIDATES[search.effort]


def places(search: Search) -> int:
    """How many demonstrations may be added to the prompt's own."""
    return max(0, search.most_demonstrations - len(search.prompt.demonstrations))


def needs_tunable(search: Search) -> None:
    """Raises ValueError where there are no instructions to write."""
    if not search.prompt.tunable:
        raise ValueError("every section of this prompt is locked: unlock one, or use the optimiser 'bootstrap'")
