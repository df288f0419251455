"""The rows of a report's own table as CSV: UTF-8, commas, a heading line, unknown values empty.

The non-obvious decision: a text that a spreadsheet would take for a formula gets an apostrophe in front, and so
does one that begins with an apostrophe. So none is run, and whoever needs the very text takes one apostrophe away;
JSON and Parquet hold it as it is. Numbers are never touched.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import orjson

from ledger.reports.document import Report, Table
from ledger.reports.formats.values import exact

FORMULA = ("=", "+", "-", "@", "'", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What begins so is run by a spreadsheet, or is what marks one that would be."""


def to_csv(report: Report) -> str:
    """Empty where the report has no table."""
    return table_csv(report.tables[0]) if report.tables else ""


def table_csv(table: Table) -> str:
    lines = [_line([column.name for column in table.columns])]
    lines += (
        _line([_cell(exact(row.get(column.name), column.kind), column.kind) for column in table.columns])
        for row in table.rows
    )
    return "".join(lines)


def as_written(cell: str) -> str:
    """The text that `cell` of a text column was made from."""
    return cell[1:] if cell.startswith("'") else cell


def _line(cells: Sequence[Any]) -> str:
    """Ends as lines do here. Python quotes a lone carriage return only where lines end with one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue()[:-2] + "\n"


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        value = orjson.dumps(value).decode()
    if kind == "text" and isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
