"""What more labels would give: how wide the interval of a rate is whose judge's own errors are taken out.

The rate is corrected as Rogan and Gladen do (American Journal of Epidemiology 107, 1978); its variance has a part
of the cases and one of the labels, by the delta method (Lang and Reiczigel, Preventive Veterinary Medicine 113,
2014, section 2). Cases and labels are taken to be independent: where they are not, all widths are larger alike.
"""

from __future__ import annotations

import math
from statistics import NormalDist

from msgspec import Struct

_LITTLE = 1.05
"""An interval that is so many times as wide as with labels without end is as good as that one."""


class MoreLabels(Struct, frozen=True, kw_only=True):
    """`good` more answers that people call good, and `bad` ones, narrow an interval from `now` to `then`.

    Widths are half ones, at 95 %, of a rate from 0 to 1; `least` is what the cases alone leave.
    """

    good: int
    bad: int
    now: float
    then: float
    least: float


def more_labels(
    *, good: int, called_good: int, bad: int, called_bad: int, cases: int, level: float = 0.95
) -> MoreLabels | None:
    """How many more labels bring a run of `cases` half of what labels can bring.

    Of `good` labelled answers the judge called `called_good` good, of `bad` ones `called_bad` bad. The run's rate
    is taken to be the labels'. No more where they would give little; None where the judge is no better than chance.
    """
    # As Lang and Reiczigel do: a judge that made no error yet may make some.
    sensitivity, specificity = (called_good + 1) / (good + 2), (called_bad + 1) / (bad + 2)
    youden = sensitivity + specificity - 1
    if youden <= 0:
        return None
    rate = good / (good + bad)
    raw = rate * sensitivity + (1 - rate) * (1 - specificity)
    of_cases = raw * (1 - raw) / cases
    each = (rate**2 * sensitivity * (1 - sensitivity), (1 - rate) ** 2 * specificity * (1 - specificity))
    wide = NormalDist().inv_cdf((1 + level) / 2) / youden
    least = wide * math.sqrt(of_cases)
    now = wide * math.sqrt(of_cases + each[0] / good + each[1] / bad)
    if now < _LITTLE * least:
        return MoreLabels(good=0, bad=0, now=now, then=now, least=least)
    then = (now + least) / 2
    wanted = _shared_out(each, (good, bad), (then / wide) ** 2 - of_cases)
    return MoreLabels(good=wanted[0] - good, bad=wanted[1] - bad, now=now, then=then, least=least)


def _shared_out(each: tuple[float, float], have: tuple[int, int], variance: float) -> tuple[int, int]:
    """The fewest labels of both kinds, not below `have`, whose `each / labels` add up to `variance`.

    Neyman's allocation (Journal of the Royal Statistical Society 97, 1934): in proportion to the deviations.
    """
    roots = [math.sqrt(one) for one in each]
    first, second = (math.ceil(root * sum(roots) / variance) for root in roots)
    if first < have[0]:
        first, second = have[0], math.ceil(each[1] / (variance - each[0] / have[0]))
    elif second < have[1]:
        first, second = math.ceil(each[0] / (variance - each[1] / have[1])), have[1]
    return first, second
