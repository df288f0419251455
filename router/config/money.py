"""Budgets and alerts: sections of `weir.yaml`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from router.config.values import Name, Secret, Section

_MOST = 9_000_000_000_000_000
"""Counters may be doubles, which count up to 2**53 one by one."""


class Budget(Section):
    """Requests, tokens or dollars that may be spent in a span of time, by what fits all named parts."""

    requests: PositiveInt | None = Field(None, le=_MOST, description="At most so many requests.")
    tokens: PositiveInt | None = Field(
        None, le=_MOST, description="At most so many tokens, of prompts and answers together."
    )
    usd: Decimal | None = Field(
        None, gt=0, le=9_000_000, max_digits=16, decimal_places=9, description="At most so many dollars."
    )
    per: Literal["minute", "day", "month", "total"] = Field(
        description="Of the calendar, in UTC; `total` never begins anew."
    )
    hard: bool = Field(True, description="Refuse what would exceed it. Off: only alert.")
    warn_at: tuple[Annotated[float, Field(gt=0, le=10)], ...] = Field(
        (0.8, 1.0), description="Shares of it whose passing is alerted."
    )
    tenant: Name | None = Field(None, description="Of this tenant. Left out, of any; the same of all below.")
    key: str | None = Field(None, min_length=1, description="A key's id, as `weir keys list` shows it.")
    route: Name | None = Field(None, description="One of `routes`.")
    model: Name | None = Field(None, description="One of `models`.")
    tag: Annotated[str, Field(pattern=r"^[^=]{1,64}=.{0,512}$")] | None = Field(
        None, description="A tag and its value, as `team=search`: what clients send in `metadata`."
    )
    each: tuple[Literal["tenant", "key", "route", "model"], ...] = Field(
        (), description="One account for each tenant, key and so on. Left out: all share one."
    )

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        given = [name for name in _MEASURES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have exactly one of {', '.join(_MEASURES)}; it has {' and '.join(given) or 'none'}"
            )
        return self


_MEASURES = ("requests", "tokens", "usd")


class Alerts(Section):
    """Where alerts go."""

    webhook: Secret | None = Field(
        None, description="URL as an environment reference; alerts are sent there as JSON, by POST."
    )
    timeout_seconds: PositiveFloat = Field(5, description="How long one try may take; there are several.")
