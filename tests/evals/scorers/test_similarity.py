"""Nearness to a reference, by an encoder that only counts letters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.evals.scorers.scoring import lacks, right, scored, scorer


def test_the_cosine_is_the_score() -> None:
    assert scored("similarity", {"reference": "abc"}, "cab").value == pytest.approx(1)
    assert scored("similarity", {"reference": "aab"}, "abb").value == pytest.approx(4 / 5)
    assert scored("similarity", {"reference": "abc"}, "xyz").value == 0


def test_at_least_makes_it_yes_or_no() -> None:
    assert not scorer("similarity").binary
    assert scorer("similarity", at_least=0.8).binary
    assert right("similarity", {"reference": "aab"}, "abb", at_least=0.79)
    score = scored("similarity", {"reference": "aab"}, "abb", at_least=0.9)
    assert (score.value, score.why) == (0, "similarity 0.80, below 0.9")


def test_the_opposite_is_no_nearer_than_nothing() -> None:
    def opposed(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.array([[1, 0]] + [[-1, 0]] * (len(texts) - 1), np.float32)

    assert scored("similarity", {"reference": "abc"}, "abc", encode=opposed).value == 0


def test_an_empty_answer_is_near_to_nothing() -> None:
    assert scored("similarity", {"reference": "abc"}, " \n").value == 0


def test_another_encoder_is_another_version() -> None:
    versions = {scorer("similarity", encoder=name).version for name in ("", "one", "two")}
    assert len(versions) == 3


def test_what_it_needs() -> None:
    assert lacks("similarity", {}) == lacks("similarity", {"answer": "x"}) == "`expected.reference`"
    assert lacks("similarity", {"reference": "x", "answer": "y"}) == ""
    for wrong in ("", None, ["x"]):
        with pytest.raises(ValueError, match=r"^expected\.reference: "):
            lacks("similarity", {"reference": wrong})
