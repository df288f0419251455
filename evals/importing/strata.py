"""How many cases each stratum of the traffic gets.

The non-obvious decision: in proportion to what was asked, not to what is left once repeats are gone. A suite then
speaks for the traffic, in which one question in many wordings counts as often as it was asked; and a floor keeps
the rare strata, which are the ones that break unseen.
"""

from __future__ import annotations

from collections.abc import Mapping


def allot(asked: Mapping[str, int], there: Mapping[str, int], cases: int, least: int) -> dict[str, int]:
    """Cases for each stratum of `there`, which says how many could be had; `cases` in all, or all that there are.

    First `least` to each, the most asked first where that is more than there may be; then one by one to whichever
    is furthest below its share of `asked` (which sums to more than 0) and has one left.
    """
    order = sorted(there, key=lambda stratum: (-asked.get(stratum, 0), stratum))
    given = dict.fromkeys(order, 0)
    left = min(cases, sum(there.values()))
    for _ in range(least):
        for stratum in order:
            if left and given[stratum] < there[stratum]:
                given[stratum] += 1
                left -= 1
    total = sum(asked.get(stratum, 0) for stratum in order) or 1
    while left:
        open_ = [stratum for stratum in order if given[stratum] < there[stratum]]
        # Ties go to the most asked, which comes first.
        next_ = max(open_, key=lambda stratum: asked.get(stratum, 0) / total * cases - given[stratum])
        given[next_] += 1
        left -= 1
    return given
