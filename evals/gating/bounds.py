"""One bound, and a figure held against it."""

from __future__ import annotations

from dataclasses import dataclass

from evals.gating.verdict import ALL_CASES, Check, Side, Unit, shown
from evals.statistics.interval import Interval, Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a rule asks of a figure. `sure`: of the bad end of its interval, and not of the estimate."""

    rule: str
    unit: Unit
    side: Side
    limit: float
    sure: bool = False
    about: str = ALL_CASES
    segment: str = ""

    def check(self, found: Rate | Interval) -> Check:
        end = found.low if self.side == "at least" else found.high
        counts = end if self.sure else found.value
        passed = counts >= self.limit if self.side == "at least" else counts <= self.limit
        why = (
            f"{shown(end, self.unit)} at the bad end of the interval, which counts here; it must be {self.side} "
            f"{shown(self.limit, self.unit)}."
        )
        return self.said(found, passed, why if self.sure and found.low != found.high else "")

    def untold(self, why: str) -> Check:
        """The check that fails since there is no figure; `why` says what to do."""
        return self.said(None, False, why)

    def said(self, found: Rate | Interval | None, passed: bool, why: str) -> Check:
        """The check of a figure whose verdict is known. An interval without width is not shown."""
        wide = found is not None and found.low != found.high
        return Check(
            rule=self.rule,
            about=self.about,
            segment=self.segment,
            passed=passed,
            unit=self.unit,
            value=found.value if found else None,
            low=found.low if found and wide else None,
            high=found.high if found and wide else None,
            bound=self.limit,
            side=self.side,
            why=why,
        )


def exactly(figure: float) -> Interval:
    """A figure that nothing is uncertain about."""
    return Interval(figure, figure, figure)
