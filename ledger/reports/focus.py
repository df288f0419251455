"""The cost export for FinOps tools: FOCUS, the union of what its versions 1.2 to 1.4 call columns.

A row is a day of a tenant, key, route, model, purpose and set of tags. It sums up a model's meters (prompt, cached
and answer tokens), whose prices differ, so it states no unit price; `weir prices list` has them. The tenant is the
billing account, its keys are sub-accounts, and whoever runs Weir is the invoice's issuer.

The non-obvious decision: what was saved stands in columns of our own (x_) and never as a row of credit, since
nobody was ever charged for it. BilledCost adds up to the cost report's total, to the last digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.reporting import Provider
from ledger.reports.costs import CostReport
from ledger.reports.document import Column, Fact, Kind, Report, Table
from ledger.reports.focus_rules import check, month_of
from ledger.reports.reading import Cell
from ledger.rollups import Sums

NAME = "focus"
VERSIONS = "1.2 to 1.4"
UNKNOWN = "Unknown"
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_MILLION = Decimal(1_000_000)


class FocusBroken(Exception):
    """The export breaks a rule of FOCUS: a fault of Weir's. The message says which."""


COLUMNS: Mapping[str, Kind] = {
    "BilledCost": "usd",
    "BillingAccountId": "text",
    "BillingAccountName": "text",
    "BillingAccountType": "text",
    "BillingCurrency": "text",
    "BillingPeriodEnd": "time",
    "BillingPeriodStart": "time",
    "ChargeCategory": "text",
    "ChargeClass": "text",
    "ChargeDescription": "text",
    "ChargeFrequency": "text",
    "ChargePeriodEnd": "time",
    "ChargePeriodStart": "time",
    "ConsumedQuantity": "number",
    "ConsumedUnit": "text",
    "ContractedCost": "usd",
    "EffectiveCost": "usd",
    "HostProviderName": "text",
    "InvoiceDetailId": "text",
    "InvoiceId": "text",
    "InvoiceIssuerName": "text",
    "ListCost": "usd",
    "PricingCategory": "text",
    "PricingCurrency": "text",
    "PricingCurrencyEffectiveCost": "usd",
    "PricingQuantity": "number",
    "PricingUnit": "text",
    "ProviderName": "text",
    "PublisherName": "text",
    "ResourceId": "text",
    "ResourceName": "text",
    "ResourceType": "text",
    "ServiceCategory": "text",
    "ServiceName": "text",
    "ServiceProviderName": "text",
    "ServiceSubcategory": "text",
    "SkuId": "text",
    "SkuMeter": "text",
    "SkuPriceId": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "SubAccountType": "text",
    "Tags": "text",
    "x_Purpose": "text",
    "x_Requests": "count",
    "x_Hits": "count",
    "x_PromptTokens": "count",
    "x_CompletionTokens": "count",
    "x_CachedTokens": "count",
    "x_EstimatedRequests": "count",
    "x_UnpricedRequests": "count",
    "x_SavedCost": "usd",
    "x_AvoidedCost": "usd",
}
_ALWAYS: Mapping[str, Any] = {
    "BillingAccountType": "Tenant",
    "BillingCurrency": "USD",
    "ChargeCategory": "Usage",
    "ChargeClass": None,
    "ChargeFrequency": "Usage-Based",
    "ConsumedUnit": "Tokens",
    "InvoiceDetailId": None,
    "InvoiceId": None,
    "PricingCategory": "Standard",
    "PricingCurrency": "USD",
    "PricingUnit": "1000000 Tokens",
    "ResourceType": "Route",
    "ServiceCategory": "AI and Machine Learning",
    "ServiceName": "Model inference",
    "ServiceSubcategory": "Generative AI",
    "SkuMeter": "Tokens",
}


def focus_page(report: CostReport, providers: Mapping[str, Provider], issuer: str = "Weir") -> Report:
    """The export of `report`, which must be read by day, key and all tags that are rolled up.

    `providers` by model; one that is not there, such as a model that is configured no more, is Unknown. Raises
    FocusBroken where a rule is broken.
    """
    rows = [
        _row(report, cell, sums, providers.get(cell.model, Provider(UNKNOWN)), issuer)
        for cell, sums in report.rows.items()
        if _charged(sums)
    ]
    table = Table(
        name="rows",
        heading="",
        columns=[Column(name=name, kind=kind, wide=name not in _NARROW) for name, kind in COLUMNS.items()],
        rows=rows,
        total={"BilledCost": sum((row["BilledCost"] for row in rows), start=Decimal(0))},
        empty="Nothing was charged in this span.",
    )
    if problems := check(list(COLUMNS), rows):
        raise FocusBroken("\n".join(map(str, problems)))
    return Report(
        name=NAME,
        title=f"FOCUS export, {VERSIONS}",
        since=report.since,
        until=report.until,
        tenant=report.tenant,
        facts=[Fact(name="versions", heading="", value=VERSIONS, kind="text")],
        tables=[table],
        notes=report.notes,
    )


_NARROW = ("BilledCost", "BillingAccountId", "ChargePeriodStart", "SkuId")


def _charged(sums: Sums) -> bool:
    """Whether a row says anything: requests that failed before a model was called do not."""
    return bool(
        sums.cost or sums.saved or sums.avoided or sums.prompt_tokens or sums.completion_tokens or sums.hits
    )


def _row(report: CostReport, cell: Cell, sums: Sums, provider: Provider, issuer: str) -> dict[str, Any]:
    begin, end = _charge_period(report, cell)
    month, month_end = month_of(begin)
    tokens = Decimal(sums.prompt_tokens + sums.completion_tokens)
    model = cell.model or UNKNOWN
    row = {
        **_ALWAYS,
        **dict.fromkeys(_COSTS, sums.cost),
        "BillingAccountId": cell.tenant,
        "BillingAccountName": cell.tenant,
        "BillingPeriodEnd": month_end,
        "BillingPeriodStart": month,
        "ChargeDescription": f"Tokens of {model} for {cell.route}, to {cell.purpose}",
        "ChargePeriodEnd": end,
        "ChargePeriodStart": begin,
        "ConsumedQuantity": tokens,
        "HostProviderName": provider.host or provider.name,
        "InvoiceIssuerName": issuer,
        "PricingQuantity": tokens / _MILLION,
        "ProviderName": provider.name,
        "PublisherName": provider.name,
        "ResourceId": cell.route,
        "ResourceName": cell.route,
        "ServiceProviderName": provider.name,
        "SkuId": model,
        "SkuPriceId": model,
        "SubAccountId": cell.key_id or None,
        "SubAccountName": cell.key_id or None,
        "SubAccountType": "Key" if cell.key_id else None,
        "Tags": cell.tags,
        "x_Purpose": cell.purpose,
        "x_Requests": sums.requests,
        "x_Hits": sums.hits,
        "x_PromptTokens": sums.prompt_tokens,
        "x_CompletionTokens": sums.completion_tokens,
        "x_CachedTokens": sums.cached_tokens,
        "x_EstimatedRequests": sums.estimated,
        "x_UnpricedRequests": sums.unpriced,
        "x_SavedCost": sums.saved,
        "x_AvoidedCost": sums.avoided,
    }
    return {name: row[name] for name in COLUMNS}


_COSTS = ("BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "PricingCurrencyEffectiveCost")


def _charge_period(report: CostReport, cell: Cell) -> tuple[datetime, datetime]:
    """The day, or the part of it that the report covers, in whole seconds."""
    if cell.start is None:
        raise ValueError("the report must be read by day")
    begin, end = cell.start, cell.start + _DAY
    if report.since is not None:
        begin = max(begin, report.since.astimezone(UTC).replace(microsecond=0))
    if report.until is not None and report.until < end:
        until = report.until.astimezone(UTC)
        end = until.replace(microsecond=0) + (_SECOND if until.microsecond else timedelta())
    return begin, end


def by_all(rolled_up: Sequence[str]) -> tuple[str, ...]:
    """What a report must be cut by to be exported: see `focus_page`."""
    return ("day", "key", *(f"tag:{name}" for name in rolled_up))
