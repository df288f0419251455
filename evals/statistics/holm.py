"""Many p values at once, so that the chance of even one false alarm stays what it was said to be.

The non-obvious decision is to do without statsmodels' `multipletests`: each call of it collects all garbage of the
process, a tenth of a second where many cases are in memory.
"""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p value corrected for its having been one of many, in the order given.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    corrected = [1.0] * len(p_values)
    greatest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        greatest = max(greatest, p_values[place] * (len(p_values) - rank))
        corrected[place] = min(greatest, 1.0)
    return corrected
