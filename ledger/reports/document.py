"""What every report is made of, whatever format it is then written in: facts, tables, plots and notes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

Kind = Literal["text", "count", "number", "usd", "share", "ms", "time", "day"]
"""How a value is written: `usd` and `number` are Decimals, the first of dollars, `share` is a number from 0 to 1,
`ms` are milliseconds; None is unknown."""


class Unanswerable(ValueError):
    """What is asked of a report makes no sense; the message says what would."""


class Column(Struct, frozen=True, kw_only=True):
    """`name` in JSON, CSV and Parquet; `heading` where people read. `wide`: left out on a narrow terminal."""

    name: str
    kind: Kind
    heading: str = ""
    wide: bool = False


class Fact(Struct, frozen=True, kw_only=True):
    """One figure that stands for itself, with what has to be known to read it.

    One without a heading is for machines only. `as_number`: dollars are a number in JSON instead of exact digits in
    a text, for readers that expect so.
    """

    name: str
    heading: str
    value: Any
    kind: Kind
    note: str = ""
    as_number: bool = False


class Table(Struct, frozen=True, kw_only=True):
    """`rows` have a value for each column's name, `total` for some. `empty` is said where there are none."""

    name: str
    heading: str
    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    total: Mapping[str, Any] | None = None
    empty: str = "Nothing in this span."


class Plot(Struct, frozen=True, kw_only=True):
    """`series` by name: (place, value) pairs. `bars` stack theirs; `intervals` have (low, middle, high).

    Places stand in the order in which they first appear. `unit` is written beside values, as "$", "%" or "ms"; a
    share is multiplied by 100 where it is "%". `mark` is a value at which `intervals` have a dashed line, such as a
    margin.
    """

    heading: str
    kind: Literal["bars", "lines", "intervals"]
    unit: str
    series: Mapping[str, Sequence[tuple[Any, Any]]]
    mark: float | None = None


class Report(Struct, frozen=True, kw_only=True):
    """The first of `tables` is the report's own; its rows are what CSV and Parquet hold.

    As JSON: name, since, until, tenant, each fact by its name, `rows` and `total` of the first table, the rows of
    each further one by its name, `notes` and `next_steps`.
    """

    name: str
    title: str
    since: datetime | None
    until: datetime | None
    tenant: str | None
    facts: Sequence[Fact] = ()
    tables: Sequence[Table] = ()
    plots: Sequence[Plot] = ()
    notes: Sequence[str] = ()
    """What a reader must know, such as figures that were estimated or are missing."""
    next_steps: Sequence[str] = ()
