"""What the ledger's writer says of itself: one small file in the spool's folder, for whoever serves beside it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

REPORT = "writer.json"
FRESH_S = 10.0
"""An older report is nobody's: its writer has ended, or hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriterReport:
    """Counts since the writer began; `at` in seconds since the epoch."""

    at: float = 0.0
    database_up: bool = False
    events_waiting: int = 0
    written: int = 0
    rejected: int = 0


def write_report(folder: Path, report: WriterReport) -> None:
    """Replace the report in `folder`. Raises OSError."""
    draft = folder / f"{REPORT}.{os.getpid()}"
    draft.write_bytes(orjson.dumps(report))
    draft.replace(folder / REPORT)


def read_report(folder: Path) -> WriterReport | None:
    """The report of a writer that is alive, or None."""
    try:
        report = WriterReport(**orjson.loads((folder / REPORT).read_bytes()))
        fresh = abs(time.time() - report.at) < FRESH_S
    except (OSError, ValueError, TypeError):
        return None
    return report if fresh else None
