"""Reports, as the server offers them: asked for by name, made by the ledger, written out in one of three formats.

What a report has to know of the configuration is handed to it as plain data, `Surroundings`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol

from msgspec import Struct, field

ReportFormat = Literal["json", "csv", "html"]


class ReportQuestion(Struct, frozen=True, kw_only=True):
    """From `since` on and before `until` (aware times; None: no bound), of one tenant or of all.

    `by` is what makes a row, with commas; empty: as usual. `allocate`: spread costs that no request caused.
    """

    since: datetime | None = None
    until: datetime | None = None
    tenant: str | None = None
    by: str = ""
    allocate: bool = False
    format: ReportFormat = "json"


class MadeReport(Struct, frozen=True):
    body: bytes
    media_type: str


class Provider(Struct, frozen=True):
    """Who sells a model, and on whose machines it runs; empty: the seller's."""

    name: str
    host: str = ""


class Shutdown(Struct, frozen=True):
    """A model that its provider will turn off on `day`, the routes that use it, and who says so."""

    model: str
    day: date
    routes: Sequence[str] = ()
    source: str = ""


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the configuration says that a report needs."""

    tags: tuple[str, ...] = ()
    """Those that are rolled up."""
    providers: Mapping[str, Provider] = field(default_factory=dict)
    """By model."""
    idle_gpus: Mapping[str, Decimal] = field(default_factory=dict)
    """Dollars per hour of models on GPUs that are paid for while nobody asks, too."""
    shutdowns: Sequence[Shutdown] = ()
    """Those that are near, or over."""
    tenants: frozenset[str] = frozenset()
    """Those of the configuration."""


class Reports(Protocol):
    @property
    def names(self) -> Sequence[str]: ...

    async def make(self, name: str, question: ReportQuestion) -> MadeReport:
        """Raises NotFound where there is no such report, InvalidRequest, and LedgerUnavailable."""
