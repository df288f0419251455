"""The table of a student's variants: size, speed, memory and quality, as far as each is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct


class Row(Struct, frozen=True, kw_only=True):
    """One variant. `quality` and its interval are 0..1; None stands for what was not measured."""

    variant: str
    engine: str = ""
    bytes: int | None = None
    tokens_s: float | None = None
    p95_ms: float | None = None
    memory_mb: float | None = None
    quality: float | None = None
    low: float | None = None
    high: float | None = None
    remark: str = ""


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("variant", lambda row: f"`{row.variant}`"),
    ("engine", lambda row: row.engine),
    ("MB", lambda row: "" if row.bytes is None else _short(row.bytes / 1e6)),
    ("tokens/s", lambda row: _short(row.tokens_s)),
    ("P95 ms", lambda row: _short(row.p95_ms)),
    ("memory MB", lambda row: _short(row.memory_mb)),
    ("quality", lambda row: _quality(row)),
    ("", lambda row: row.remark),
)


def table(rows: Sequence[Row]) -> str:
    """In Markdown. A column that no row has anything for is left out."""
    columns = [(title, [cell(row) for row in rows]) for title, cell in _COLUMNS]
    shown = [(title, cells) for title, cells in columns if any(cells)]
    numeric = [title not in ("variant", "engine", "") for title, _ in shown]
    lines = [[title for title, _ in shown], ["---:" if number else "---" for number in numeric]]
    lines += [[cells[place] or "-" for _, cells in shown] for place in range(len(rows))]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines) + "\n"


def _short(value: float | None) -> str:
    """To three figures, or to the whole number where it has more."""
    if value is None:
        return ""
    digits = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:,.{digits}f}"


def _quality(row: Row) -> str:
    if row.quality is None:
        return ""
    known = row.low is not None and row.high is not None
    return f"{row.quality:.3f} ({row.low:.3f} to {row.high:.3f})" if known else f"{row.quality:.3f}"
