"""Whether a cost export follows FOCUS: which columns there must be, and what may stand in them.

FOCUS is the FinOps Open Cost and Usage Specification, https://focus.finops.org; these are its rules for the Cost
and Usage dataset, 1.2 to 1.4, as far as they concern usage. Asked for is the union: the names that 1.4 gave up
(ProviderName, PublisherName) and those that 1.3 brought (ServiceProviderName, HostProviderName), so that one file
is good for readers of any of the three. Subcategories are known for models only; those of other services pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

import orjson
from msgspec import Struct

_Kind = Literal["text", "decimal", "time", "json", "currency"]
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_CURRENCY = re.compile(r"[A-Z]{3}")
_PASCAL = re.compile(r"[A-Z][A-Za-z0-9]*")
_LONGEST_NAME = 50
_MOST_PROBLEMS = 50
_ALIKE = Decimal("1e-9")


class Rule(Struct, frozen=True):
    """What a column holds. Empty `values`: any."""

    name: str
    kind: _Kind = "text"
    nullable: bool = False
    values: tuple[str, ...] = ()


class Problem(Struct, frozen=True):
    """`row` counts from 1; 0 is the file as a whole."""

    row: int
    column: str
    says: str

    def __str__(self) -> str:
        return f"{f'row {self.row}' if self.row else 'the file'}: {self.column}: {self.says}"


_CHARGES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
_SERVICES = (
    "AI and Machine Learning", "Analytics", "Business Applications", "Compute", "Databases", "Developer Tools",
    "Identity", "Integration", "Internet of Things", "Management and Governance", "Media", "Migration", "Mobile",
    "Multicloud", "Networking", "Security", "Storage", "Web", "Other",
)  # fmt: skip
_OF_MODELS = (
    "AI Platforms", "Bots", "Generative AI", "Machine Learning", "Natural Language Processing",
    "Other (AI and Machine Learning)",
)  # fmt: skip

MANDATORY = (
    Rule("BilledCost", "decimal"),
    Rule("BillingAccountId", "text"),
    Rule("BillingAccountName", "text", nullable=True),
    Rule("BillingCurrency", "currency"),
    Rule("BillingPeriodEnd", "time"),
    Rule("BillingPeriodStart", "time"),
    Rule("ChargeCategory", "text", values=_CHARGES),
    Rule("ChargeClass", "text", nullable=True, values=("Correction",)),
    Rule("ChargeDescription", "text", nullable=True),
    Rule("ChargePeriodEnd", "time"),
    Rule("ChargePeriodStart", "time"),
    Rule("ContractedCost", "decimal"),
    Rule("EffectiveCost", "decimal"),
    Rule("HostProviderName", "text"),
    Rule("InvoiceIssuerName", "text"),
    Rule("ListCost", "decimal"),
    Rule("PricingQuantity", "decimal", nullable=True),
    Rule("PricingUnit", "text", nullable=True),
    Rule("ProviderName", "text"),
    Rule("PublisherName", "text"),
    Rule("ServiceCategory", "text", values=_SERVICES),
    Rule("ServiceName", "text"),
    Rule("ServiceProviderName", "text"),
)
OTHERS = (  # checked where they are there
    Rule("AvailabilityZone", nullable=True),
    Rule("BillingAccountType"),
    Rule("CapacityReservationId", nullable=True),
    Rule("CapacityReservationStatus", nullable=True, values=("Used", "Unused")),
    Rule("ChargeFrequency", values=("One-Time", "Recurring", "Usage-Based")),
    Rule("CommitmentDiscountCategory", nullable=True, values=("Spend", "Usage")),
    Rule("CommitmentDiscountId", nullable=True),
    Rule("CommitmentDiscountName", nullable=True),
    Rule("CommitmentDiscountQuantity", "decimal", nullable=True),
    Rule("CommitmentDiscountStatus", nullable=True, values=("Used", "Unused")),
    Rule("CommitmentDiscountType", nullable=True),
    Rule("CommitmentDiscountUnit", nullable=True),
    Rule("ConsumedQuantity", "decimal", nullable=True),
    Rule("ConsumedUnit", nullable=True),
    Rule("ContractedUnitPrice", "decimal", nullable=True),
    Rule("InvoiceDetailId", nullable=True),
    Rule("InvoiceId", nullable=True),
    Rule("ListUnitPrice", "decimal", nullable=True),
    Rule("PricingCategory", nullable=True, values=("Standard", "Dynamic", "Committed", "Other")),
    Rule("PricingCurrency", "currency", nullable=True),
    Rule("PricingCurrencyContractedUnitPrice", "decimal", nullable=True),
    Rule("PricingCurrencyEffectiveCost", "decimal"),
    Rule("PricingCurrencyListUnitPrice", "decimal", nullable=True),
    Rule("RegionId", nullable=True),
    Rule("RegionName", nullable=True),
    Rule("ResourceId", nullable=True),
    Rule("ResourceName", nullable=True),
    Rule("ResourceType", nullable=True),
    Rule("ServiceSubcategory"),
    Rule("SkuId", nullable=True),
    Rule("SkuMeter", nullable=True),
    Rule("SkuPriceDetails", "json", nullable=True),
    Rule("SkuPriceId", nullable=True),
    Rule("SubAccountId", nullable=True),
    Rule("SubAccountName", nullable=True),
    Rule("SubAccountType", nullable=True),
    Rule("Tags", "json", nullable=True),
    # Of 1.3 and 1.4; Weir splits no cost and knows no contracts, so what is in them is not looked into.
    *(Rule(f"Allocated{part}", nullable=True) for part in ("MethodId", "ResourceId", "ResourceName")),
    *(Rule(name, "json", nullable=True) for name in ("AllocatedMethodDetails", "AllocatedTags")),
    Rule("ContractApplied", nullable=True),
    Rule("CommitmentProgramEligibilityDetails", nullable=True),
)
RULES: Mapping[str, Rule] = {rule.name: rule for rule in (*MANDATORY, *OTHERS)}
_TO_USAGE = ("PricingQuantity", "PricingUnit", "ConsumedQuantity", "ConsumedUnit", "SkuId", "SkuPriceId")
_PRODUCTS = (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost"))


def check(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """What is wrong, the first fifty of it. Values may be typed (Parquet) or texts (CSV), where empty is null."""
    found = list(_columns(columns))
    parents: dict[str, str] = {}
    for number, row in enumerate(rows, 1):
        if len(found) >= _MOST_PROBLEMS:
            break
        values, wrong = _values(columns, row)
        wrong += [] if wrong else [*_usage(columns, values), *_spans(values), *_money(values), *_names(values)]
        sku_price, sku = values.get("SkuPriceId"), values.get("SkuId")
        if sku_price is not None and sku is not None and parents.setdefault(sku_price, sku) != sku:
            wrong.append(("SkuPriceId", f"'{sku_price}' belongs to two SkuIds"))
        found += [Problem(number, column, says) for column, says in wrong]
    return found[:_MOST_PROBLEMS]


_Wrong = tuple[str, str]


def _columns(columns: Sequence[str]) -> Iterator[Problem]:
    for rule in MANDATORY:
        if rule.name not in columns:
            yield Problem(0, rule.name, "must be there")
    custom = False
    for place, name in enumerate(columns):
        if name in columns[:place]:
            yield Problem(0, name, "is there twice")
        if len(name) > _LONGEST_NAME:
            yield Problem(0, name, f"has more than {_LONGEST_NAME} characters")
        if name.startswith("x_"):
            custom = True
            if not _PASCAL.fullmatch(name.removeprefix("x_")):
                yield Problem(0, name, "must be in Pascal case behind its x_")
        elif name not in RULES:
            yield Problem(0, name, "is no column of FOCUS; one of your own begins with x_")
        elif custom:
            yield Problem(0, name, "must stand before the columns that begin with x_")


def _values(columns: Sequence[str], row: Mapping[str, Any]) -> tuple[dict[str, Any], list[_Wrong]]:
    values: dict[str, Any] = {}
    wrong: list[_Wrong] = []
    for name in columns:
        rule = RULES.get(name)
        raw = row.get(name)
        if rule is None:
            continue
        if raw is None or raw == "":
            values[name] = None
            if not rule.nullable:
                wrong.append((name, "must not be null"))
            continue
        try:
            values[name] = _read(rule, raw)
        except ValueError as error:
            wrong.append((name, str(error)))
    return values, wrong


def _read(rule: Rule, raw: Any) -> Any:
    """`raw` as a Decimal, a time, an object or a text. Raises ValueError where it is none."""
    match rule.kind:
        case "decimal":
            return _decimal(raw)
        case "time":
            return _time(raw)
        case "json":
            return _object(raw)
        case _:
            pass
    if not isinstance(raw, str):
        raise ValueError("must be a text")  # noqa: TRY004 - of a file, not of a caller
    if rule.kind == "currency" and not _CURRENCY.fullmatch(raw):
        raise ValueError(f"'{raw}' is no currency code of ISO 4217")
    if rule.values and raw not in rule.values:
        raise ValueError(f"'{raw}' is none of {', '.join(rule.values)}")
    return raw


def _decimal(raw: Any) -> Decimal:
    if isinstance(raw, str) and not _NUMBER.fullmatch(raw):
        raise ValueError(f"'{raw}' is no number")
    try:
        number = Decimal(str(raw))
    except InvalidOperation:
        raise ValueError(f"'{raw}' is no number") from None
    if not number.is_finite():
        raise ValueError(f"'{raw}' is no number")
    return number


def _time(raw: Any) -> datetime:
    if isinstance(raw, datetime) and raw.tzinfo is not None:
        return raw.astimezone(UTC)
    if isinstance(raw, str) and _TIME.fullmatch(raw):
        return datetime.fromisoformat(raw)
    raise ValueError(f"'{raw}' must be a time in UTC, as 2026-11-01T00:00:00Z")


def _object(raw: Any) -> Mapping[str, Any]:
    try:
        found = orjson.loads(raw) if isinstance(raw, str) else raw
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be a JSON object")  # noqa: TRY004 - as above
    if any(isinstance(value, dict | list) for value in found.values()):
        raise ValueError("must hold texts, numbers, booleans or nulls, nothing nested")
    return found


def _usage(columns: Sequence[str], values: Mapping[str, Any]) -> Iterator[_Wrong]:
    if values.get("ChargeCategory") != "Usage" or values.get("ChargeClass") == "Correction":
        return
    for name in _TO_USAGE:
        if name in columns and values[name] is None:
            yield name, "must not be null for usage"
    if values.get("ChargeFrequency") == "One-Time":
        yield "ChargeFrequency", "must not be One-Time for usage"


def _spans(values: Mapping[str, Any]) -> Iterator[_Wrong]:
    if any(values.get(name) is None for name in ("BillingPeriodStart", "BillingPeriodEnd")):
        return
    begin, end = values["BillingPeriodStart"], values["BillingPeriodEnd"]
    if begin >= end:
        yield "BillingPeriodEnd", "must be after BillingPeriodStart"
    if any(values.get(name) is None for name in ("ChargePeriodStart", "ChargePeriodEnd")):
        return
    charged, until = values["ChargePeriodStart"], values["ChargePeriodEnd"]
    if charged >= until:
        yield "ChargePeriodEnd", "must be after ChargePeriodStart"
    if values.get("ChargeCategory") == "Usage" and not (begin <= charged and until <= end):
        yield "ChargePeriodStart", "usage must be charged inside its billing period"


def _money(values: Mapping[str, Any]) -> Iterator[_Wrong]:
    quantity = values.get("PricingQuantity")
    for unit, product in _PRODUCTS:
        price, cost = values.get(unit), values.get(product)
        if price is None or quantity is None or cost is None:
            continue
        if abs(price * quantity - cost) > _ALIKE * max(1, abs(cost)):
            yield product, f"must be {unit} times PricingQuantity"
    if values.get("ChargeCategory") == "Credit" and values.get("ContractedCost") != values.get("BilledCost"):
        yield "ContractedCost", "must be BilledCost for a credit"


def _names(values: Mapping[str, Any]) -> Iterator[_Wrong]:
    if values.get("ServiceCategory") == "AI and Machine Learning" and "ServiceSubcategory" in values:
        found = values["ServiceSubcategory"]
        if found not in _OF_MODELS:
            yield "ServiceSubcategory", f"'{found}' is none of {', '.join(_OF_MODELS)}"
    if "SubAccountType" in values and (values["SubAccountType"] is None) != (values.get("SubAccountId") is None):
        yield "SubAccountType", "must be there where SubAccountId is, and only there"


def month_of(day: date | datetime) -> tuple[datetime, datetime]:
    """The calendar month that `day` is in, in UTC: its begin, and its end, which is not in it."""
    begin = datetime(day.year, day.month, 1, tzinfo=UTC)
    years, month = divmod(day.month, 12)
    return begin, begin.replace(year=day.year + years, month=month + 1)
