"""Two rankings become one: reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009) with a weight for each.

The non-obvious decision: the constant that ships is 10, not the 60 of the paper. That was tuned on lists of a
thousand; of a hundred candidates the first few are what matters, and with 10 the best by words stays in front of
the many by meaning.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from rag.retrieval.tuned import tuned

Item = TypeVar("Item", bound=Hashable)


def fused(rankings: Iterable[tuple[float, Sequence[Item]]]) -> dict[Item, float]:
    """Items with their scores, the best first; equals in the order they came. `rankings` have weights, and items
    from the best on."""
    constant = tuned().shares.constant
    scores: dict[Item, float] = {}
    for weight, ranking in rankings:
        if weight > 0:
            for place, item in enumerate(ranking, start=1):
                scores[item] = scores.get(item, 0.0) + weight / (constant + place)
    return dict(sorted(scores.items(), key=lambda pair: -pair[1]))
