"""The rules of FOCUS: a good file passes, and each way of breaking one is told."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from ledger.reports.focus_rules import MANDATORY, Problem, check, month_of

GOOD: dict[str, Any] = {
    "BilledCost": "1.25",
    "BillingAccountId": "acme",
    "BillingAccountName": "acme",
    "BillingCurrency": "USD",
    "BillingPeriodEnd": "2026-12-01T00:00:00Z",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "ChargeCategory": "Usage",
    "ChargeClass": "",
    "ChargeDescription": "Tokens",
    "ChargeFrequency": "Usage-Based",
    "ChargePeriodEnd": "2026-11-06T00:00:00Z",
    "ChargePeriodStart": "2026-11-05T00:00:00Z",
    "ConsumedQuantity": "1000",
    "ConsumedUnit": "Tokens",
    "ContractedCost": "1.25",
    "EffectiveCost": "1.25",
    "HostProviderName": "openai",
    "InvoiceIssuerName": "Weir",
    "ListCost": "1.25",
    "ListUnitPrice": "1250",
    "PricingQuantity": "0.001",
    "PricingUnit": "1000000 Tokens",
    "ProviderName": "openai",
    "PublisherName": "openai",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "Model inference",
    "ServiceProviderName": "openai",
    "ServiceSubcategory": "Generative AI",
    "SkuId": "gpt",
    "SkuPriceId": "gpt",
    "SubAccountId": "key",
    "SubAccountType": "Key",
    "Tags": '{"team": "search"}',
    "x_SavedCost": "0.5",
}


def problems(**changes: Any) -> list[str]:
    row = GOOD | changes
    return [str(problem) for problem in check(list(row), [row])]


def test_a_good_row_passes_as_texts_and_typed() -> None:
    assert problems() == []
    assert (
        problems(
            BilledCost=Decimal("1.25"),
            ConsumedQuantity=1000,
            ChargePeriodStart=datetime(2026, 11, 5, 1, tzinfo=timezone(timedelta(hours=1))),
            ChargeClass=None,
            Tags={"team": "search"},
        )
        == []
    )


def test_there_are_the_mandatory_columns_of_all_three_versions() -> None:
    names = {rule.name for rule in MANDATORY}
    assert len(names) == 23, "21 of version 1.2, and two names that 1.3 brought"
    assert {"ProviderName", "PublisherName", "ServiceProviderName", "HostProviderName"} <= names


@pytest.mark.parametrize("name", [rule.name for rule in MANDATORY])
def test_each_mandatory_column_is_missed(name: str) -> None:
    row = {column: value for column, value in GOOD.items() if column != name}
    assert Problem(0, name, "must be there") in check(list(row), [row])


@pytest.mark.parametrize("name", [rule.name for rule in MANDATORY if not rule.nullable])
@pytest.mark.parametrize("nothing", ["", None])
def test_what_must_not_be_null_is_told(name: str, nothing: str | None) -> None:
    assert f"row 1: {name}: must not be null" in problems(**{name: nothing})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"BilledCost": "1,25"}, "BilledCost: '1,25' is no number"),
        ({"BilledCost": "$1"}, "BilledCost: '$1' is no number"),
        ({"BilledCost": "1e-3"}, "is no number"),
        ({"BilledCost": float("nan")}, "is no number"),
        ({"BilledCost": Decimal("Infinity")}, "is no number"),
        ({"BillingCurrency": "usd"}, "no currency code"),
        ({"BillingPeriodStart": "2026-11-01"}, "must be a time in UTC"),
        ({"BillingPeriodStart": "2026-11-01T00:00:00+01:00"}, "must be a time in UTC"),
        ({"BillingPeriodStart": datetime(2026, 11, 1)}, "must be a time in UTC"),
        ({"BillingPeriodStart": "2026-13-01T00:00:00Z"}, "month must be in 1..12"),
        ({"ChargeCategory": "Savings"}, "'Savings' is none of Usage"),
        ({"ChargeClass": "New"}, "none of Correction"),
        ({"ChargeFrequency": "One-Time"}, "must not be One-Time"),
        ({"PricingQuantity": ""}, "PricingQuantity: must not be null for usage"),
        ({"SkuId": ""}, "SkuId: must not be null for usage"),
        ({"ConsumedUnit": ""}, "ConsumedUnit: must not be null for usage"),
        ({"ServiceCategory": "Language"}, "none of AI and Machine Learning"),
        ({"ServiceSubcategory": "Chat"}, "'Chat' is none of AI Platforms"),
        ({"ServiceSubcategory": ""}, "ServiceSubcategory: must not be null"),
        ({"ChargePeriodEnd": "2026-11-05T00:00:00Z"}, "must be after ChargePeriodStart"),
        ({"BillingPeriodEnd": "2026-10-01T00:00:00Z"}, "must be after BillingPeriodStart"),
        ({"ChargePeriodStart": "2026-10-31T00:00:00Z"}, "inside its billing period"),
        ({"ListUnitPrice": "1000"}, "ListCost: must be ListUnitPrice times PricingQuantity"),
        ({"SubAccountId": ""}, "SubAccountType: must be there where SubAccountId is"),
        ({"SubAccountType": ""}, "SubAccountType: must be there where SubAccountId is"),
        ({"Tags": "team=search"}, "must be a JSON object"),
        ({"Tags": "[1]"}, "must be a JSON object"),
        ({"Tags": '{"a": {"b": 1}}'}, "nothing nested"),
        ({"ServiceName": 5}, "must be a text"),
        ({"ChargeCategory": "Credit", "ContractedCost": "2"}, "must be BilledCost for a credit"),
        ({"Savings": "1"}, "no column of FOCUS"),
        ({"x_saved_cost": "1"}, "Pascal case"),
        ({"x_" + "A" * 49: "1"}, "more than 50 characters"),
        ({"ResourceId": "r"}, "must stand before the columns that begin with x_"),
    ],
)
def test_every_broken_rule_is_told(changes: dict[str, Any], told: str) -> None:
    found = problems(**changes)
    assert any(told in problem for problem in found), found


def test_corrections_and_taxes_may_leave_quantities_out() -> None:
    assert problems(ChargeClass="Correction", PricingQuantity="", ConsumedQuantity="", SkuId="") == []
    assert problems(ChargeCategory="Tax", PricingQuantity="", ConsumedQuantity="", SkuId="", SkuPriceId="") == []


def test_a_price_belongs_to_one_sku() -> None:
    rows = [GOOD, GOOD | {"SkuId": "other"}]
    assert [str(problem) for problem in check(list(GOOD), rows)] == [
        "row 2: SkuPriceId: 'gpt' belongs to two SkuIds"
    ]


def test_a_column_must_not_be_there_twice() -> None:
    assert Problem(0, "BilledCost", "is there twice") in check(["BilledCost", *GOOD], [])


def test_only_the_first_problems_are_told() -> None:
    assert len(check(list(GOOD), [GOOD | {"BilledCost": "x"}] * 1000)) == 50


def test_a_month_ends_where_the_next_begins() -> None:
    begin = datetime(2026, 12, 1, tzinfo=UTC)
    assert month_of(date(2026, 12, 31)) == (begin, datetime(2027, 1, 1, tzinfo=UTC))
    assert month_of(datetime(2026, 11, 5, 23, tzinfo=UTC)) == (datetime(2026, 11, 1, tzinfo=UTC), begin)
