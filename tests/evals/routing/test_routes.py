"""What a route expects of its candidates, as the gain by which a policy is ranked."""

from __future__ import annotations

from decimal import Decimal

import pytest

from contracts.records import Candidate
from evals.routing.routes import expected_gain

CANDIDATES = [
    Candidate(model="large", quality=0.9, cost=Decimal("0.01")),
    Candidate(model="middle", quality=0.8),
    Candidate(model="small", quality=0.6, cost=Decimal("0.001")),
]


def test_the_gain_is_over_the_cheapest_model_whatever_else_is_a_candidate() -> None:
    assert expected_gain(CANDIDATES, "large", "small") == pytest.approx(0.3)


@pytest.mark.parametrize("left", [CANDIDATES[:2], CANDIDATES[1:], [*CANDIDATES[:2], Candidate(model="small")]])
def test_without_a_prediction_of_both_there_is_no_gain(left: list[Candidate]) -> None:
    assert expected_gain(left, "large", "small") is None
