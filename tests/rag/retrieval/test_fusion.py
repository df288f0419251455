"""Reciprocal rank fusion, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.retrieval.fusion import fused
from rag.retrieval.tuned import tuned

SHARES = tuned().shares
CONSTANT = SHARES.constant


def test_places_add_up_by_weight() -> None:
    scores = fused([(2.0, ["a", "b"]), (1.0, ["b", "c"])])

    assert scores == pytest.approx(
        {
            "b": 2 / (CONSTANT + 2) + 1 / (CONSTANT + 1),
            "a": 2 / (CONSTANT + 1),
            "c": 1 / (CONSTANT + 2),
        }
    )
    assert list(scores) == ["b", "a", "c"]


def test_a_ranking_without_weight_adds_nothing() -> None:
    assert list(fused([(1.0, ["a"]), (0.0, ["b"])])) == ["a"]


@given(st.lists(st.integers(), unique=True), st.lists(st.integers(), unique=True))
def test_what_is_better_in_both_is_better(first: list[int], second: list[int]) -> None:
    order = list(fused([(SHARES.words, first), (SHARES.meaning, second)]))

    assert sorted(order) == sorted({*first, *second})
    both = set(first) & set(second)
    for one in both:
        for other in both:
            if first.index(one) < first.index(other) and second.index(one) < second.index(other):
                assert order.index(one) < order.index(other)
