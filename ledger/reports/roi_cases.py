"""What a measured saving comes to: net of all that optimising costs, and in a year, against what was spent once.

Three cases are told, so that nobody has to take one figure on trust: `conservative` and `optimistic` are the ends
of the saving's interval, `measured` is its middle. Costs are the same in all three: they are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from contracts.money import usd
from ledger.reports.saving import Savings
from ledger.reports.what_if import MONTHS, Stated, Worth

DAYS_A_YEAR = Decimal(365)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One reading of the saving. `net` is that of the span, `worth` what it comes to in a year."""

    name: str
    saving: Decimal
    net: Decimal
    worth: Worth


def days_of(savings: Savings) -> Decimal:
    """From the first event to the last, in days; one at least, so that an hour is not taken for a year's sample."""
    if savings.bounds is None:
        return Decimal(1)
    seconds = Decimal(str((savings.bounds.last - savings.bounds.first).total_seconds()))
    return max(Decimal(1), (seconds / 86_400).quantize(Decimal("0.001")))


def cases(savings: Savings, stated: Stated) -> Sequence[Case]:
    """Conservative, measured, optimistic; none where no route could be measured.

    Net = saving - optimising - running. A month's worth is the span's, by its days, of 365 / 12.
    """
    total, days = savings.total, days_of(savings)
    if total is None:
        return ()
    found = []
    for name, saving in (("conservative", total.low), ("measured", total.middle), ("optimistic", total.high)):
        net = saving - savings.optimising
        worth = Worth(usd(net * DAYS_A_YEAR / days / MONTHS), stated)
        found.append(Case(name=name, saving=saving, net=net - running(savings, stated), worth=worth))
    return found


def running(savings: Savings, stated: Stated) -> Decimal:
    """What is stated of a month, for the span."""
    return usd(stated.running_cost * MONTHS * days_of(savings) / DAYS_A_YEAR)
