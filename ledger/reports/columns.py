"""A table's columns written as a table: name, kind, heading, and whether a narrow terminal leaves them out."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.reports.document import Column, Kind

Written = tuple[str, Kind, str, bool]


def columns(written: Sequence[Written]) -> list[Column]:
    return [Column(name=name, kind=kind, heading=heading, wide=wide) for name, kind, heading, wide in written]
