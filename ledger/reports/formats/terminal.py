"""A report on a terminal: facts, tables, notes. Wide columns that do not fit are told by their totals only.

Texts come from clients: they are printed as they are, never as markup, and cannot steer the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ledger.reports.document import Column, Fact, Report, Table
from ledger.reports.formats.values import printable, shown, with_unit

_NARROWEST = 6
_GAP = 2


def print_report(report: Report, console: Console) -> None:
    """All but the plots."""
    facts = [fact for fact in report.facts if fact.heading]
    if facts:
        console.print(_facts(facts))
    for place, table in enumerate(report.tables):
        _print_table(table, console, alone=not place)
    for note in report.notes:
        _say(console, note)
    if report.next_steps:
        _say(console, "Next steps:")
        for number, step in enumerate(report.next_steps, 1):
            _say(console, f"{number}. {step}")


def _facts(facts: Sequence[Fact]) -> Grid:
    grid = Grid(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(overflow="fold")
    grid.add_column(overflow="fold", justify="right")
    grid.add_column(overflow="fold", style="dim")
    for fact in facts:
        grid.add_row(_plain(fact.heading), _plain(with_unit(fact.value, fact.kind)), _plain(fact.note))
    return grid


def _print_table(table: Table, console: Console, *, alone: bool) -> None:
    if table.heading and not (alone and not table.rows):
        console.print()
        _say(console, table.heading)
    if not table.rows:
        _say(console, table.empty)
        return
    columns = _fitting(table, console)
    console.print(_grid(table, columns))
    left_out = [column for column in table.columns if column not in columns]
    if left_out and table.total is not None:
        told = [
            f"{_heading(column)} {_cell(table.total, column)}" for column in left_out if column.name in table.total
        ]
        _say(console, f"In all: {', '.join(told)}.")


def _fitting(table: Table, console: Console) -> list[Column]:
    """As many of the wide columns as there is room for beside all the others, with nothing cut off."""
    columns = list(table.columns)
    widths = [_width(table, column) for column in columns]
    room = console.width - sum(widths)
    for place in reversed(range(len(columns))):
        if room < 0 and columns[place].wide:
            room += widths[place]
            del columns[place]
    return columns


def _width(table: Table, column: Column) -> int:
    """With the gap beside it."""
    rows = table.rows if table.total is None else [*table.rows, table.total]
    cells = (cell_len(printable(_cell(row, column))) for row in rows)
    return max(cell_len(_heading(column)), _NARROWEST if column.kind == "text" else 0, *cells) + _GAP


def _grid(table: Table, columns: Sequence[Column]) -> Grid:
    total = table.total
    grid = Grid(show_footer=total is not None, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for place, column in enumerate(columns):
        footer = ""
        if total is not None:
            footer = _cell(total, column) if column.name in total else "" if place else "total"
        text = column.kind == "text"
        grid.add_column(
            _plain(_heading(column)),
            footer=_plain(footer),
            justify="left" if text else "right",
            no_wrap=not text,
            overflow="fold",
            min_width=_NARROWEST if text else None,
        )
    for row in table.rows:
        grid.add_row(*(_plain(_cell(row, column)) for column in columns))
    return grid


def _heading(column: Column) -> str:
    return column.heading or column.name


def _cell(row: Mapping[str, Any], column: Column) -> str:
    return shown(row.get(column.name), column.kind)


def _say(console: Console, text: str) -> None:
    console.print(_plain(text))


def _plain(text: str) -> Text:
    return Text(printable(text), overflow="fold")
