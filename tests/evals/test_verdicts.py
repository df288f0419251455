"""The rule, apart from where its figures come from."""

from __future__ import annotations

import pytest

from evals.verdicts import BETTER, NOT_ENOUGH, NOT_WORSE, WORSE, PValues, not_enough, together, verdict


@pytest.mark.parametrize(
    ("better", "worse", "not_worse", "said"),
    [
        (0.025, 0.97, 0.001, BETTER),
        (0.026, 0.97, 0.025, NOT_WORSE),
        (0.99, 0.01, 0.02, NOT_WORSE),
        (0.99, 0.01, 0.03, WORSE),
        (0.03, 0.97, 0.03, NOT_ENOUGH),
    ],
)
def test_an_outcome(better: float, worse: float, not_worse: float, said: str) -> None:
    assert verdict(PValues(better, worse, not_worse), 0.025) == said


@pytest.mark.parametrize(
    ("verdicts", "better", "more", "said"),
    [
        ([BETTER, WORSE, "not enough cases"], [0.001, 1.0, 1.0], [None, None, None], WORSE),
        ([BETTER, "not enough cases (9 more needed)"], [0.001, 1.0], [None, 9], "not enough cases (9 more needed)"),
        ([NOT_ENOUGH, NOT_ENOUGH], [1.0, 1.0], [9, 1200], "not enough cases (1,200 more needed)"),
        ([NOT_ENOUGH], [1.0], [None], NOT_ENOUGH),
        ([BETTER, NOT_WORSE], [0.02, 1.0], [None, None], BETTER),
        ([BETTER, NOT_WORSE], [0.03, 1.0], [None, None], NOT_WORSE),
        ([NOT_WORSE, NOT_WORSE], [0.5, 1.0], [None, None], NOT_WORSE),
    ],
)
def test_all_outcomes_together(verdicts: list[str], better: list[float], more: list[int | None], said: str) -> None:
    assert together(verdicts, better, more, 0.025) == said


def test_how_many_more() -> None:
    assert [not_enough(more) for more in (None, 1, 1200)] == [
        "not enough cases",
        "not enough cases (1 more needed)",
        "not enough cases (1,200 more needed)",
    ]
