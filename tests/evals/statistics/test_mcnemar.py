from __future__ import annotations

import pytest

from evals.statistics.mcnemar import exact_mcnemar


@pytest.mark.parametrize(("gained", "lost", "p"), [(0, 0, 1.0), (5, 0, 0.0625), (0, 6, 0.03125), (3, 3, 1.0)])
def test_it_is_twice_the_binomials_tail(gained: int, lost: int, p: float) -> None:
    assert exact_mcnemar(gained, lost) == pytest.approx(p)
