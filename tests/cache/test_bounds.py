"""Binomial bounds, against tables and against their definition."""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cache.bounds import lower, tail, upper


def by_definition(labels: int, wrong: int, share: float) -> float:
    return sum(comb(labels, k) * share**k * (1 - share) ** (labels - k) for k in range(wrong + 1))


@given(st.integers(1, 300), st.data(), st.floats(0.001, 0.999))
def test_the_tail_is_the_sum_of_its_terms(labels: int, data: st.DataObject, share: float) -> None:
    wrong = data.draw(st.integers(0, labels))
    assert tail(labels, wrong, share) == pytest.approx(by_definition(labels, wrong, share), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("labels", "wrong", "delta", "bound"),
    [
        (10, 0, 0.05, 0.258866),  # 1 - 0.05 ** (1 / 10)
        (100, 5, 0.05, 0.102253),  # Clopper and Pearson's one-sided table
        (20, 1, 0.025, 0.248733),
        (1000, 0, 0.05, 0.002991),
        (5, 5, 0.05, 1.0),
        (0, 0, 0.05, 1.0),
    ],
)
def test_upper_bounds(labels: float, wrong: float, delta: float, bound: float) -> None:
    assert upper(labels, wrong, delta) == pytest.approx(bound, abs=2e-6)


@given(st.floats(5, 2000), st.floats(0, 0.9), st.floats(0.001, 0.3))
def test_a_bound_is_where_the_tail_is_delta(labels: float, part: float, delta: float) -> None:
    wrong = labels * part
    bound = upper(labels, wrong, delta)
    if bound < 1:
        assert tail(labels, wrong, bound) == pytest.approx(delta, rel=1e-3)
        assert lower(labels, wrong, delta) <= part <= bound


def test_more_wrong_labels_mean_a_higher_bound_and_more_labels_a_lower_one() -> None:
    assert upper(50, 1, 0.05) < upper(50, 2, 0.05) < upper(50, 2.5, 0.05)
    assert upper(500, 10, 0.05) < upper(50, 1, 0.05)
    assert lower(50, 5, 0.05) < 0.1 < upper(50, 5, 0.05)
