"""A report as one page that stands for itself: no script, and nothing is fetched, which its own policy forbids.

It is readable in light and dark, and printable. Every text is escaped, and cleared of marks that turn the direction
of what follows; a cell is a paragraph of its own, so a name in Hebrew turns nothing else round. Dollars are rounded
for the eye; the exact figure is each cell's tooltip, and in JSON, CSV and Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ledger.reports.document import Column, Fact, Plot, Report, Table
from ledger.reports.formats.style import LANDSCAPE, STYLE
from ledger.reports.formats.svg import COLOURS, svg
from ledger.reports.formats.values import exact, printable, shown, whole, with_unit

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_LONG = 48
"""A text with more characters is folded."""
_MOST_UPRIGHT = 10
"""Columns that fit a sheet in portrait."""


def to_html(report: Report) -> str:
    """A whole document in UTF-8."""
    parts = [f"<h1>{_safe(report.title)}</h1>", f'<p class="span">{_safe(_span(report))}</p>']
    if facts := [fact for fact in report.facts if fact.heading]:
        parts.append(f'<dl class="facts">{"".join(map(_fact, facts))}</dl>')
    parts += map(_figure, report.plots)
    parts += map(_table, report.tables)
    if report.next_steps:
        parts.append(f"<h2>Next steps</h2><ol>{_items(report.next_steps)}</ol>")
    if report.notes:
        parts.append(f'<h2>Notes</h2><ul class="notes">{_items(report.notes)}</ul>')
    broad = any(len(table.columns) > _MOST_UPRIGHT for table in report.tables)
    style = STYLE + LANDSCAPE if broad else STYLE
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer">'
        f"<title>{_safe(report.title)}</title><style>{style}</style></head>\n"
        f"<body><main>\n{_lines(parts)}\n</main></body></html>\n"
    )


def _lines(parts: Sequence[str]) -> str:
    return "\n".join(part for part in parts if part)


def _span(report: Report) -> str:
    since = shown(report.since, "time") if report.since else "the beginning"
    until = shown(report.until, "time") if report.until else "now"
    return f"{report.tenant or 'All tenants'}, from {since} until {until} (UTC)"


def _fact(fact: Fact) -> str:
    value = with_unit(fact.value, fact.kind)
    note = f'<dd class="note">{_safe(fact.note)}</dd>' if fact.note else ""
    tip = _tip(fact.value, fact.kind)
    return f'<div><dt>{_safe(fact.heading)}</dt><dd class="value"{tip}>{_safe(value)}</dd>{note}</div>'


def _figure(plot: Plot) -> str:
    drawing = svg(plot)
    if not drawing:
        return ""
    names = [name for name in plot.series if name]
    legend = "".join(
        f'<li><span style="background:var(--c{number % COLOURS})"></span>{_safe(name)}</li>'
        for number, name in enumerate(names)
    )
    keys = f'<ul class="legend">{legend}</ul>' if len(names) > 1 else ""
    return f"<h2>{_safe(plot.heading)}</h2><figure>{keys}{drawing}</figure>"


def _table(table: Table) -> str:
    heading = f"<h2>{_safe(table.heading)}</h2>" if table.heading else ""
    if not table.rows:
        return f"{heading}<p>{_safe(table.empty)}</p>"
    head = "".join(f'<th scope="col"{_class(column)}>{_safe(_heading(column))}</th>' for column in table.columns)
    body = "\n".join(f"<tr>{_cells(table, row)}</tr>" for row in table.rows)
    foot = f"<tfoot><tr>{_cells(table, table.total, 'total')}</tr></tfoot>" if table.total is not None else ""
    label = _safe(table.heading or table.name)
    return (
        f'{heading}<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n{foot}</table></div>"
    )


def _cells(table: Table, row: Mapping[str, Any], first: str = "") -> str:
    cells = []
    for place, column in enumerate(table.columns):
        known = column.name in row or not first
        value = row.get(column.name)
        text = shown(value, column.kind, rounded=True) if known else "" if place else first
        tip = _tip(value, column.kind) if known else ""
        long = column.kind == "text" and len(text) > _LONG
        cells.append(f"<td{_class(column, long=long)}{tip}>{_safe(text)}</td>")
    return "".join(cells)


def _tip(value: Any, kind: str) -> str:
    return f' title="{_safe(str(exact(value, "usd")))}"' if kind == "usd" and value is not None else ""


def _heading(column: Column) -> str:
    return column.heading or column.name


def _class(column: Column, *, long: bool = False) -> str:
    if column.kind != "text":
        return ""
    return ' class="text long"' if long else ' class="text"'


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<li>{_safe(text)}</li>" for text in texts)


def _safe(text: str) -> str:
    return escape(printable(whole(text)))
