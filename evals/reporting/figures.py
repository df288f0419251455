"""Figures, tables and plots as HTML. Every text is escaped, and cleared of marks that turn the direction round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from msgspec import Struct

from evals.statistics.interval import Interval, Rate
from ledger.reports.document import Kind, Plot
from ledger.reports.formats.svg import svg
from ledger.reports.formats.values import NOTHING, printable, shown, whole, with_unit

_TEXT = ' class="text"'
_SHORT = 20
"""On a telephone, names of no more characters are readable beside a plot that is shown whole."""
_LONG = 24
"""A text with more characters is folded."""
_MOST_DRAWN = 16
"""A plot of more places than this is folded: the table above it says the same in less room."""


class Cell(Struct, frozen=True):
    """`value` is what a table is sorted by; where it is None, the text itself."""

    text: str
    value: float | None = None
    number: bool = True


def how_to_read(level: float) -> str:
    return (
        "An interval shows how far a figure may be off because only so many cases were asked: of a hundred "
        f"intervals made this way, about {level * 100:g} contain the figure that endlessly many such cases would "
        "give."
    )


def safe(text: str) -> str:
    return escape(printable(whole(text)))


def named(text: str) -> str:
    """A text from outside within a sentence of ours, which keeps its own direction to itself."""
    return f"<bdi>{safe(text)}</bdi>"


def figure(value: float | None, kind: Kind) -> str:
    """`value` with its unit: of a `share` from 0 to 1, dollars, or milliseconds."""
    return with_unit(Decimal(repr(value)) if kind == "usd" and value is not None else value, kind)


def between(interval: Interval | Rate | None, kind: Kind) -> str:
    """The bounds of `interval`, such as "71.2% to 80.0%"."""
    return f"{figure(interval.low, kind)} to {figure(interval.high, kind)}" if interval else NOTHING


def text_cell(text: str) -> Cell:
    return Cell(text, number=False)


def text_td(text: str, html: str = "") -> str:
    """A cell with `text`, folded where it is long; `html` stands in its place, such as a link of that text."""
    return f'<td class="text{" wrap" if len(text) > _LONG else ""}">{html or named(text)}</td>'


def count_cell(count: int) -> Cell:
    return Cell(shown(count, "count"), count)


def cells(interval: Interval | Rate | None, kind: Kind) -> tuple[Cell, Cell]:
    """A figure, and its bounds."""
    if interval is None:
        return Cell(NOTHING), Cell(NOTHING)
    return Cell(figure(interval.value, kind), interval.value), Cell(between(interval, kind), interval.low)


def table(label: str, headings: Sequence[str], rows: Sequence[Sequence[Cell]], *, sortable: bool = False) -> str:
    """`rows` have a cell for each of `headings`; with `sortable`, the page's script sorts by the heading chosen."""
    numbers = [cell.number for cell in rows[0]] if rows else [True for _ in headings]
    head = "".join(
        f'<th scope="col"{"" if number else _TEXT}>{_heading(heading, sortable)}</th>'
        for heading, number in zip(headings, numbers, strict=True)
    )
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{safe(label)}"><table>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def intervals(
    heading: str, unit: str, places: Mapping[str, Interval | Rate | None], *, mark: float | None = None
) -> str:
    """A plot with a line for each place, and a dashed one at `mark`; empty where no place has a figure."""
    points: list[tuple[Any, Any]] = [(name, (of.low, of.value, of.high)) for name, of in places.items() if of]
    drawing = svg(Plot(heading=heading, kind="intervals", unit=unit, series={"": points}, mark=mark))
    if not drawing:
        return ""
    short = ' class="short"' if all(len(name) <= _SHORT for name, _ in points) else ""
    framed = f'<figure{short} tabindex="0" role="group" aria-label="{safe(heading)}">{drawing}</figure>'
    if len(points) > _MOST_DRAWN:
        return f"<details><summary>{safe(heading)}, as a plot</summary>{framed}</details>"
    return f"<h3>{safe(heading)}</h3>{framed}"


def facts(told: Sequence[tuple[str, str, str]]) -> str:
    """Figures that stand for themselves: heading, figure, and what has to be known to read it."""
    parts = [
        f'<div><dt>{safe(heading)}</dt><dd class="value">{safe(value)}</dd><dd class="note">{safe(note)}</dd></div>'
        for heading, value, note in told
    ]
    return f'<dl class="facts">{"".join(parts)}</dl>'


def section(heading: str, *parts: str) -> str:
    """Empty where all of `parts` are."""
    said = "\n".join(part for part in parts if part)
    return f"<section><h2>{safe(heading)}</h2>\n{said}</section>" if said else ""


def notes(texts: Sequence[str]) -> str:
    return section("Notes", _listed(texts) if texts else "")


def _listed(texts: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{named(text)}</li>" for text in texts)}</ul>'


def _heading(heading: str, sortable: bool) -> str:
    return f'<button type="button">{safe(heading)}</button>' if sortable else safe(heading)


def _cell(cell: Cell) -> str:
    value = "" if cell.value is None else f' data-value="{cell.value!r}"'
    return f"<td{value}>{named(cell.text)}</td>" if cell.number else text_td(cell.text)
