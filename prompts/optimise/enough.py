"""Whether the test part is large enough to show that a shorter prompt is as good, told before anything is asked.

The non-obvious decision: it is reckoned for two runs that agree in every case, the best that such a prompt can do.
Where that would not be enough, a search is paid for nothing, however good what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.cases import Case
from evals.changes import of_quality
from evals.statistics.clusters import units_of
from evals.summary import LEVEL
from evals.verdicts import NOT_WORSE, verdict


def lacking(test: Sequence[Case], margin: float) -> int:
    """How many cases beyond `test` it takes, about, to call no change not worse within `margin`; 0: these do."""
    alike = np.zeros(len(test))
    change = of_quality(alike, alike, units_of([case.cluster for case in test]), None, seed=0)
    alpha = (1 - LEVEL) / 2
    if change.decidable and verdict(change.p_values(margin), alpha) == NOT_WORSE:
        return 0
    return change.more_needed(margin, alpha) or 0
