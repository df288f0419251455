"""The rows of a report's own table as a Parquet file: dollars as decimal128(38, 12), so that sums stay exact.

pyarrow is large and rarely needed, so it is imported when a file is written. Without it: ReportsExtraMissing.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from contracts.money import usd
from ledger.reports.document import Column, Kind, Report, Table
from ledger.reports.formats.values import exact, whole

if TYPE_CHECKING:
    import pyarrow


class ReportsExtraMissing(Exception):
    """A library that only this format needs is not installed; the message says how to install it."""


def write_parquet(report: Report, path: Path) -> None:
    """Raises ReportsExtraMissing, and OSError where `path` cannot be written."""
    arrow = _arrow()
    from pyarrow import parquet

    table = report.tables[0] if report.tables else Table(name="", heading="", columns=(), rows=())
    fields = [arrow.field(column.name, _type(arrow, column.kind)) for column in table.columns]
    columns = [[_value(row.get(column.name), column) for row in table.rows] for column in table.columns]
    arrays = [arrow.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
    parquet.write_table(arrow.Table.from_arrays(arrays, schema=arrow.schema(fields)), path, compression="zstd")


def read_parquet(path: Path) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The types of the columns, as Arrow names them, and the rows. Raises ReportsExtraMissing, and ValueError."""
    arrow = _arrow()
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (arrow.ArrowException, ValueError) as error:
        raise ValueError(f"{path} is no Parquet file: {error}") from error
    return {field.name: str(field.type) for field in table.schema}, table.to_pylist()


def _arrow() -> pyarrow:
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise ReportsExtraMissing("Parquet needs pyarrow: pip install 'weir[reports]'.") from error
    return pyarrow


def _type(arrow: pyarrow, kind: Kind) -> Any:
    types: dict[Kind, Any] = {
        "count": arrow.int64(),
        "usd": arrow.decimal128(38, 12),
        "number": arrow.decimal128(38, 12),
        "share": arrow.float64(),
        "ms": arrow.float64(),
        "time": arrow.timestamp("us", tz="UTC"),
        "day": arrow.date32(),
    }
    return types.get(kind, arrow.string())


def _value(value: Any, column: Column) -> Any:
    if value is None:
        return None
    match column.kind:
        case "usd" | "number":
            return usd(Decimal(value))
        case "count":
            return int(value)
        case "share" | "ms":
            return float(value)
        case "time":
            return value.astimezone(UTC) if isinstance(value, datetime) else datetime.fromisoformat(value)
        case "day":
            return value if isinstance(value, date) else date.fromisoformat(value)
        case "text":
            value = exact(value, "text")
            return whole(value) if isinstance(value, str) else orjson.dumps(value).decode()
