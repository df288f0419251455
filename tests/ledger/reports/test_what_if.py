"""A supposed saving: sums by hand, and figures that could mean two things are refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.reports.what_if import Stated, WhatIf, Worth, decimal_of, monthly_bill, share_of, what_if_report

amounts = st.decimals(min_value=0, max_value=10**12, places=6)


def worth(monthly: str, **stated: int) -> Worth:
    return Worth(Decimal(monthly), Stated(**{name: Decimal(value) for name, value in stated.items()}))


def test_thirty_percent_of_ten_thousand_a_month() -> None:
    stated = Stated(hours=Decimal(400), hourly_rate=Decimal(70))
    found = WhatIf(monthly_cost=Decimal(10000), saving=Decimal("0.30"), stated=stated).worth
    assert (found.monthly_saving, found.annual_saving) == (3000, 36000)
    assert (found.implementation_cost, found.first_year_net) == (28000, 8000)
    assert found.payback_months == Decimal("9.333333")
    assert found.annualised_implementation == Decimal("9333.333333")
    assert found.annual_roi == Decimal("2.857143")  # (36000 - 28000/3) / (28000/3) = 20/7


def test_half_a_cent_a_call_is_a_monthly_figure() -> None:
    bill = monthly_bill(Decimal("0.01"), Decimal(10**8))
    found = WhatIf(monthly_cost=bill, saving=Decimal("0.5"), stated=Stated()).worth
    assert (found.monthly_saving, found.annual_saving) == (500_000, 6_000_000)
    assert (found.payback_months, found.annual_roi) == (0, None), "nothing was spent"


@pytest.mark.parametrize(("monthly", "running"), [("0", 0), ("100", 100), ("100", 150), ("-5", 0)])
def test_what_brings_nothing_never_pays_back(monthly: str, running: int) -> None:
    found = worth(monthly, hours=10, hourly_rate=10, running_cost=running)
    assert found.payback_months is None
    assert found.first_year_net == 12 * (Decimal(monthly) - running) - 100
    assert found.annual_roi is not None and found.annual_roi <= -1


def test_running_costs_delay_the_payback() -> None:
    found = worth("1000", hours=100, hourly_rate=60, running_cost=400)
    assert (found.annual_net, found.payback_months, found.first_year_net) == (7200, 10, 1200)


@given(bill=amounts, share=st.decimals(0, 1, places=6), hours=amounts, rate=amounts, years=st.integers(1, 100))
def test_sums_are_exact(bill: Decimal, share: Decimal, hours: Decimal, rate: Decimal, years: int) -> None:
    stated = Stated(hours=hours, hourly_rate=rate, years=Decimal(years))
    found = WhatIf(monthly_cost=bill, saving=share, stated=stated).worth
    saved, spent = Fraction(bill) * Fraction(share), Fraction(hours) * Fraction(rate)
    assert Fraction(found.monthly_saving) == saved
    assert Fraction(found.first_year_net) == 12 * saved - spent
    if found.annual_roi is not None:
        assert abs(Fraction(found.annual_roi) - (12 * saved * years - spent) / spent) <= Fraction(1, 10**6)
    if found.payback_months is not None:
        assert abs(Fraction(found.payback_months) - spent / saved) <= Fraction(1, 10**6)


@given(whole=st.integers(0, 10**18 - 1), part=st.integers(0, 10**12 - 1))
def test_numbers_are_read_to_the_last_digit(whole: int, part: int) -> None:
    read = decimal_of(f"{whole}.{part:012}")
    assert Fraction(read) == whole + Fraction(part, 10**12)


@pytest.mark.parametrize(
    ("text", "share"),
    [("30%", "0.3"), ("0.30", "0.3"), (".5", "0.5"), ("0", "0"), ("0%", "0"), ("100%", "1"), ("12.5%", "0.125")],
)
def test_shares_in_both_forms(text: str, share: str) -> None:
    assert share_of(text) == Decimal(share)


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("30", "'30' is ambiguous. Write 30%, or a share below 1 such as 0.30."),
        ("1", "ambiguous"),
        ("101%", "more than all of it"),
        ("-0.3", "negative"),
        ("-30%", "negative"),
        ("nan", "no number"),
        ("inf", "no number"),
        ("1e-1", "no number"),
        ("0,3", "Write digits and a point"),
        ("", "no number"),
        ("%", "no number"),
        ("٣", "no number"),
        ("0.3\n", "no number"),
    ],
)
def test_what_could_mean_anything_else_is_refused(text: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice.replace(".", r"\.")):
        share_of(text)


@pytest.mark.parametrize("text", ["$5", "1_000", "1,000", "+1", "5 USD", "9" * 10_000, "0x10", "0.0000000000001"])
def test_amounts_are_digits_and_a_point(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no number\. Write digits") as refused:
        decimal_of(text)
    assert len(str(refused.value)) < 200


def test_the_balance_year_by_year_ends_where_the_figures_do() -> None:
    stated = Stated(hours=Decimal(400), hourly_rate=Decimal(70), running_cost=Decimal(500))
    supposed = WhatIf(monthly_cost=Decimal(10000), saving=Decimal("0.3"), stated=stated)
    (table,) = what_if_report(supposed).tables
    assert [row["balance"] for row in table.rows] == [2000, 32000, 62000]
    assert table.rows[0]["balance"] == supposed.worth.first_year_net
