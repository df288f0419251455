"""The reranker's weights are found again in passages that were ranked by known ones."""

from __future__ import annotations

import numpy as np
import pytest

from rag.retrieval.reranking import score
from rag.retrieval.training import Found, learned
from rag.retrieval.tuned import Fit


def made(weights: Fit, questions: int = 120, seed: int = 1) -> list[Found]:
    """Ten passages for each question, of which the one with the best score, and some luck, is right."""
    draw = np.random.default_rng(seed)
    found: list[Found] = []
    for _ in range(questions):
        fits = tuple(Fit(*row) for row in draw.uniform(size=(10, 4)).tolist())
        scores = [score(fit, weights) + float(draw.gumbel()) for fit in fits]
        found.append(Found(fits, tuple(each == max(scores) for each in scores)))
    return found


def test_what_matters_is_learned() -> None:
    weights = learned(made(Fit(words=6, meaning=3, pairs=0, spoken=0)))

    assert weights.words > weights.meaning > 1.5
    assert abs(weights.pairs) < 1
    assert abs(weights.spoken) < 1


def test_what_says_nothing_weighs_nothing() -> None:
    found = [Found((Fit(0.9, 0.1 * n, 0.0, 0.0), Fit(0.2, 0.1 * n, 0.0, 0.0)), (True, False)) for n in range(8)]

    weights = learned(found)

    assert weights.words > 0
    assert weights.meaning == pytest.approx(0, abs=0.05)
    assert weights.pairs == weights.spoken == 0


def test_questions_without_right_or_wrong_passages_teach_nothing() -> None:
    only_wrong = Found((Fit(0, 0, 0, 0),), (False,))
    only_right = Found((Fit(1, 0, 0, 0),), (True,))

    with pytest.raises(ValueError, match="both right and wrong"):
        learned([only_wrong, only_right])
