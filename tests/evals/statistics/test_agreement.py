from __future__ import annotations

import pytest

from evals.statistics.agreement import kappa


def test_it_is_cohens_own_arithmetic() -> None:
    """They agree in 70 of 100, and chance alone would in 52."""
    found = kappa(45, 15, 25, 15)
    assert found.value == pytest.approx((0.70 - 0.52) / (1 - 0.52))
    assert found.low < found.value < found.high


def test_perfect_agreement_is_one() -> None:
    found = kappa(10, 0, 10, 0)
    assert (found.value, found.high) == (1.0, 1.0)


@pytest.mark.parametrize("counts", [(10, 0, 0, 0), (0, 0, 7, 0)])
def test_where_all_is_alike_chance_explains_it(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="needs answers"):
        kappa(*counts)
