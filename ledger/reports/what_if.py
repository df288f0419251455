"""What a saving would be worth, from figures that somebody supposes: no ledger is asked.

The non-obvious decision: a figure that can be read in two ways is refused, never guessed. 30 may be 30 % or thirty
times; a cost per call says nothing without the calls of a month. The same sums value what was measured: `Worth`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

from contracts.money import ZERO
from ledger.reports.document import Column, Fact, Kind, Report, Table

MONTHS = 12
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_DIGITS = Decimal("1e-6")
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{0,12})?|\.[0-9]{1,12}")
_SHAPE = "Write digits and a point, such as 10000 or 0.01, without signs, separators or units."


def decimal_of(text: str) -> Decimal:
    """A number that is not negative, to the last digit. Raises ValueError, which says how to write it."""
    if text.startswith("-") and _NUMBER.fullmatch(text[1:]):
        raise ValueError(f"'{text}' is negative. Zero is the least.")
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"'{text[:40]}' is no number. {_SHAPE}")
    return Decimal(text)


def share_of(text: str) -> Decimal:
    """A share from 0 to 1, written as 30% or 0.30. Raises ValueError, also where it could mean either."""
    if text.endswith("%"):
        share = decimal_of(text[:-1]).scaleb(-2, _EXACT)
        if share > 1:
            raise ValueError(f"'{text}' is more than all of it. 100% is the most.")
        return share
    share = decimal_of(text)
    if share >= 1:
        raise ValueError(f"'{text}' is ambiguous. Write {text}%, or a share below 1 such as 0.30.")
    return share


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What no ledger knows, in dollars: work done once, by hours and rate, and what a month of running Weir costs.

    The work is written off over `years`, in equal parts (straight line).
    """

    hours: Decimal = ZERO
    hourly_rate: Decimal = ZERO
    running_cost: Decimal = ZERO
    years: Decimal = Decimal(3)


@dataclass(frozen=True, slots=True)
class Worth:
    """What a monthly saving is worth to who pays for getting it. Dollars; nothing is discounted.

    `monthly_saving` is net of what models were paid to optimise. The work is paid before the first month.
    """

    monthly_saving: Decimal
    stated: Stated

    @property
    def implementation_cost(self) -> Decimal:
        """Hours x hourly rate."""
        return _EXACT.multiply(self.stated.hours, self.stated.hourly_rate)

    @property
    def annual_saving(self) -> Decimal:
        """12 x monthly saving."""
        return _EXACT.multiply(self.monthly_saving, Decimal(MONTHS))

    @property
    def annual_net(self) -> Decimal:
        """12 x (monthly saving - running cost): what each year brings, before implementation."""
        return _EXACT.multiply(self.monthly_saving - self.stated.running_cost, Decimal(MONTHS))

    @property
    def first_year_net(self) -> Decimal:
        """Annual net - the whole implementation cost: cash after twelve months."""
        return _EXACT.subtract(self.annual_net, self.implementation_cost)

    @property
    def annualised_implementation(self) -> Decimal:
        """Implementation cost / years."""
        return _rounded(_EXACT.divide(self.implementation_cost, self.stated.years))

    @property
    def annual_roi(self) -> Decimal | None:
        """(Annual net - annualised implementation) / annualised implementation; None where that is nothing."""
        if not self.implementation_cost:
            return None
        whole = _EXACT.multiply(self.annual_net, self.stated.years)
        return _rounded(_EXACT.divide(whole - self.implementation_cost, self.implementation_cost))

    @property
    def payback_months(self) -> Decimal | None:
        """Implementation cost / (annual net / 12), rounded to six digits; None where nothing is left to pay it."""
        monthly = self.monthly_saving - self.stated.running_cost
        if monthly <= 0:
            return None
        return _rounded(_EXACT.divide(self.implementation_cost, monthly))


DEFINITIONS = (
    "Annual net = 12 x (monthly saving - running cost). First-year net = annual net - implementation cost.",
    "Payback in months = implementation cost / (annual net / 12); none where annual net is not above zero.",
    "Annual ROI = (annual net - annualised implementation) / annualised implementation, which is the "
    "implementation cost / years, in equal parts. Nothing is discounted.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """What is supposed: a monthly bill, the share of it that is saved, and what getting there takes."""

    monthly_cost: Decimal
    saving: Decimal
    stated: Stated

    @property
    def worth(self) -> Worth:
        return Worth(_EXACT.multiply(self.monthly_cost, self.saving), self.stated)


def monthly_bill(cost_per_call: Decimal, calls_per_month: Decimal) -> Decimal:
    """Dollars a month."""
    return _EXACT.multiply(cost_per_call, calls_per_month)


_FACTS: tuple[tuple[str, str, Kind], ...] = (
    ("monthly_saving", "Saved a month", "usd"),
    ("annual_saving", "Saved a year", "usd"),
    ("implementation_cost", "Implementation", "usd"),
    ("annual_net", "Net of running costs a year", "usd"),
    ("first_year_net", "Net in the first year", "usd"),
    ("payback_months", "Payback in months", "count"),
    ("annualised_implementation", "Implementation a year", "usd"),
    ("annual_roi", "Annual ROI", "share"),
)


def what_if_report(supposed: WhatIf) -> Report:
    """The figures as a report, with the balance year by year."""
    worth, stated = supposed.worth, supposed.stated
    facts = [
        Fact(name=name, heading=heading, value=getattr(worth, name), kind=kind, as_number=True)
        for name, heading, kind in _FACTS
    ]
    supposed_in_words = (
        f"Supposed: a bill of ${supposed.monthly_cost:,f} a month, of which {supposed.saving:%} is saved; "
        f"{stated.hours:,f} hours at ${stated.hourly_rate:,f}; ${stated.running_cost:,f} a month to run it; "
        f"written off over {stated.years:f} years. Nothing here is measured: see `weir report roi`."
    )
    return Report(
        name="what-if",
        title="What a saving would be worth",
        since=None,
        until=None,
        tenant=None,
        facts=facts,
        tables=[_balance(worth)],
        notes=[supposed_in_words, *DEFINITIONS],
    )


def _balance(worth: Worth) -> Table:
    columns = [
        Column(name="year", kind="count"),
        Column(name="saved", kind="usd"),
        Column(name="spent", kind="usd"),
        Column(name="balance", kind="usd", heading="balance so far"),
    ]
    rows, balance = [], ZERO
    for year in range(1, max(1, int(worth.stated.years)) + 1):
        spent = worth.stated.running_cost * MONTHS + (worth.implementation_cost if year == 1 else ZERO)
        balance += worth.annual_saving - spent
        rows.append({"year": year, "saved": worth.annual_saving, "spent": spent, "balance": balance})
    return Table(name="balance", heading="Year by year", columns=columns, rows=rows)


def _rounded(value: Decimal) -> Decimal:
    return value.quantize(_DIGITS, context=_EXACT)
