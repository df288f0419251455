"""A report as JSON, as `Report` says. Dollars are texts: a JSON number would be read back as a float."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import orjson

from ledger.reports.document import Fact, Report, Table
from ledger.reports.formats.values import exact, whole


def to_json(report: Report) -> bytes:
    return orjson.dumps(document(report), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def document(report: Report) -> dict[str, Any]:
    """What JSON holds, of plain values."""
    found: dict[str, Any] = {
        "name": report.name,
        "since": exact(report.since, "time"),
        "until": exact(report.until, "time"),
        "tenant": exact(report.tenant, "text"),
    }
    found |= {fact.name: _fact(fact) for fact in report.facts}
    for place, table in enumerate(report.tables):
        found["rows" if place == 0 else table.name] = [_row(table, row) for row in table.rows]
        if place == 0 and table.total is not None:
            found["total"] = _row(table, table.total)
    found["notes"] = [whole(note) for note in report.notes]
    found["next_steps"] = [whole(step) for step in report.next_steps]
    return found


def _fact(fact: Fact) -> Any:
    if fact.as_number and isinstance(fact.value, Decimal):
        number = float(fact.value)
        return int(number) if number.is_integer() else number
    return exact(fact.value, fact.kind)


def _row(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: exact(row[column.name], column.kind) for column in table.columns if column.name in row}
