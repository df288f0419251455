"""What a test part cannot show is known before it is paid for."""

from __future__ import annotations

import pytest

from evals.suite import DEFAULT_MARGIN
from prompts.optimise.enough import lacking
from tests.prompts.optimise.plain_line import suite


def test_few_cases_cannot_show_that_a_tie_is_not_worse_and_so_many_more_can() -> None:
    cases = suite().cases
    few = cases[:110]
    more = lacking(few, DEFAULT_MARGIN)
    assert 50 < more < 150
    assert lacking(cases[: 110 + more], DEFAULT_MARGIN) == 0


@pytest.mark.parametrize("margin", [0.05, 0.1])
def test_a_wider_margin_takes_fewer(margin: float) -> None:
    assert lacking(suite().cases[:110], margin) == 0
