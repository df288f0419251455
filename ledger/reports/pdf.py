"""A report on one sheet of A4, as PDF. What does not fit is cut, with a word that it was: it is never two sheets.

reportlab draws it. It is large and rarely needed, so it is imported when a sheet is made; without it:
ReportsExtraMissing. Only the fonts that every reader has are used, which know the letters of Western Europe: others
are printed as question marks, and stand in the page and in JSON as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from importlib import import_module
from io import BytesIO
from typing import Any

from ledger.reports.document import Column, Fact, Plot, Report, Table
from ledger.reports.formats.as_parquet import ReportsExtraMissing
from ledger.reports.formats.values import printable, shown, with_unit

_WIDTH, _HEIGHT, _MARGIN = 595.28, 841.89, 48.0
_INNER = _WIDTH - 2 * _MARGIN
_REGULAR, _BOLD = "Helvetica", "Helvetica-Bold"
_INK, _SOFT, _LINE, _CARD, _ACCENT = "#1c2024", "#5c6570", "#d8dde3", "#f5f7f9", "#1f6fb2"
_CARDS, _CARD_ROWS = 3, 3
_CARD_HEIGHT, _GAP = 62.0, 8.0
_NOTE_LINES = 2
_PLOT_HEIGHT = 84.0
_MOST_ROWS = 6
_MOST_TABLES = 2
_MOST_STEPS, _STEP_LINES = 3, 2
_SMALL, _TEXT = 7.5, 9.0


def to_pdf(report: Report) -> bytes:
    """Facts, the first plot, two tables, next steps and as many notes as there is room for.

    The same report gives the same bytes. Raises ReportsExtraMissing.
    """
    try:
        canvas = import_module("reportlab.pdfgen.canvas")
    except ModuleNotFoundError as error:
        raise ReportsExtraMissing("PDF needs reportlab: pip install 'weir[reports]'.") from error
    written = BytesIO()
    drawn = canvas.Canvas(written, pagesize=(_WIDTH, _HEIGHT), invariant=1, lang="en")
    drawn.setTitle(_letters(report.title))
    drawn.setCreator("Weir")
    _Sheet(drawn, _HEIGHT - _MARGIN).draw(report)
    drawn.showPage()
    drawn.save()
    return written.getvalue()


@dataclass(slots=True)
class _Sheet:
    """`canvas` is reportlab's; `y` is how far down the sheet is full, in points from the bottom."""

    canvas: Any
    y: float

    def draw(self, report: Report) -> None:
        self._headline(report)
        self._cards([fact for fact in report.facts if fact.heading][: _CARDS * _CARD_ROWS])
        for plot in report.plots[:1]:
            self._bars(plot)
        for table in report.tables[:_MOST_TABLES]:
            self._table(table)
        self._steps(report.next_steps[:_MOST_STEPS])
        self._notes(report.notes)

    def _headline(self, report: Report) -> None:
        self.y -= 14
        self._write(_MARGIN, report.title, _BOLD, 17, width=_INNER)
        self.y -= 16
        self._write(_MARGIN, _span(report), size=_TEXT, colour=_SOFT, width=_INNER)
        self.y -= 12

    def _cards(self, facts: Sequence[Fact]) -> None:
        width = (_INNER - _GAP * (_CARDS - 1)) / _CARDS
        for start in range(0, len(facts), _CARDS):
            self.y -= _CARD_HEIGHT
            for place, fact in enumerate(facts[start : start + _CARDS]):
                left, inner = _MARGIN + place * (width + _GAP), width - 16
                self.canvas.setFillColor(_CARD)
                self.canvas.roundRect(left, self.y, width, _CARD_HEIGHT, 4, stroke=0, fill=1)
                self._write(left + 8, fact.heading, size=8, colour=_SOFT, width=inner, up=48)
                self._write(left + 8, with_unit(fact.value, fact.kind), _BOLD, 15, width=inner, up=30)
                for number, line in enumerate(self._lines(fact.note, _SMALL, _NOTE_LINES, inner)):
                    self._write(left + 8, line, size=_SMALL, colour=_SOFT, width=inner, up=17 - 9 * number)
            self.y -= _GAP

    def _bars(self, plot: Plot) -> None:
        points = [(place, float(value)) for series in plot.series.values() for place, value in series]
        if not points:
            return
        self._section(plot.heading)
        most = max(max(value for _, value in points), 0.0)
        self.y -= _PLOT_HEIGHT
        step = _INNER / len(points)
        self.canvas.setFillColor(_ACCENT)
        for number, (_, value) in enumerate(points):
            height = max(0.0, value) / most * (_PLOT_HEIGHT - 14) if most else 0.0
            self.canvas.rect(_MARGIN + number * step, self.y, max(step * 0.8, 0.5), height, stroke=0, fill=1)
        self._rule()
        top = f"{plot.unit}{most:,.2f} at most"
        self._write(_MARGIN, top, size=_SMALL, colour=_SOFT, width=_INNER, up=_PLOT_HEIGHT - 8)
        self.y -= 10
        self._write(_MARGIN, str(points[0][0]), size=_SMALL, colour=_SOFT, width=_INNER / 2)
        if len(points) > 1:
            self._write_right(_WIDTH - _MARGIN, str(points[-1][0]), size=_SMALL, colour=_SOFT, width=_INNER / 2)

    def _table(self, table: Table) -> None:
        self._section(table.heading)
        if not table.rows:
            self.y -= 12
            self._write(_MARGIN, table.empty, size=_TEXT, colour=_SOFT, width=_INNER)
            return
        self._row(table.columns, lambda column: column.heading or column.name, colour=_SOFT)
        self._rule()
        for row in table.rows[:_MOST_ROWS]:
            self._row(table.columns, _cell_of(row))
        left_out = len(table.rows) - _MOST_ROWS
        if left_out > 0:
            self.y -= 11
            self._write(_MARGIN, f"and {left_out} more", size=_SMALL, colour=_SOFT, width=_INNER)

    def _row(self, columns: Sequence[Column], text: Callable[[Column], str], colour: str = _INK) -> None:
        """The first column is as wide as two."""
        self.y -= 13
        width = _INNER / (len(columns) + 1)
        self._write(_MARGIN, text(columns[0]), size=_TEXT, colour=colour, width=2 * width - 6)
        for number, column in enumerate(columns[1:], 3):
            edge = _MARGIN + number * width
            self._write_right(edge, text(column), size=_TEXT, colour=colour, width=width - 6)
        if colour == _SOFT:
            self.y -= 3

    def _steps(self, steps: Sequence[str]) -> None:
        if not steps:
            return
        self._section("What to do next" if len(steps) == 1 else "What to do next, the first first")
        for step in steps:
            for line in self._lines(step, _TEXT, _STEP_LINES):
                self.y -= 12
                self._write(_MARGIN, line, size=_TEXT, width=_INNER)
            self.y -= 2

    def _notes(self, notes: Sequence[str]) -> None:
        """As many lines as there is room for above the margin."""
        self.y -= 10
        for note in notes:
            room = int((self.y - _MARGIN) / 10)
            if room < 1:
                return
            for line in self._lines(note, _SMALL, room):
                self.y -= 10
                self._write(_MARGIN, line, size=_SMALL, colour=_SOFT, width=_INNER)

    def _section(self, heading: str) -> None:
        self.y -= 24
        self._write(_MARGIN, heading, _BOLD, 11, width=_INNER)
        self.y -= 3

    def _rule(self) -> None:
        self.canvas.setStrokeColor(_LINE)
        self.canvas.setLineWidth(0.5)
        self.canvas.line(_MARGIN, self.y, _WIDTH - _MARGIN, self.y)

    def _lines(self, text: str, size: float, most: int, width: float = _INNER) -> Iterator[str]:
        """`text` in lines that are as wide; the last of `most` holds all the rest, for `_write` to cut."""
        words, line = _letters(text).split(), ""
        for number, word in enumerate(words):
            longer = f"{line} {word}".strip()
            if line and self.canvas.stringWidth(longer, _REGULAR, size) > width:
                if most == 1:
                    yield " ".join([line, *words[number:]])
                    return
                yield line
                line, most = word, most - 1
            else:
                line = longer
        if line:
            yield line

    def _write(
        self,
        x: float,
        text: str,
        font: str = _REGULAR,
        size: float = _TEXT,
        *,
        width: float,
        colour: str = _INK,
        up: float = 0.0,
    ) -> None:
        self.canvas.setFont(font, size)
        self.canvas.setFillColor(colour)
        self.canvas.drawString(x, self.y + up, self._cut(_letters(text), font, size, width))

    def _write_right(self, x: float, text: str, *, size: float, colour: str, width: float) -> None:
        self.canvas.setFont(_REGULAR, size)
        self.canvas.setFillColor(colour)
        self.canvas.drawRightString(x, self.y, self._cut(_letters(text), _REGULAR, size, width))

    def _cut(self, text: str, font: str, size: float, width: float) -> str:
        if self.canvas.stringWidth(text, font, size) <= width:
            return text
        kept = text[:400]
        while kept and self.canvas.stringWidth(f"{kept}…", font, size) > width:
            kept = kept[:-1]
        return f"{kept}…"


def _cell_of(row: Mapping[str, Any]) -> Callable[[Column], str]:
    return lambda column: shown(row.get(column.name), column.kind, rounded=True)


def _span(report: Report) -> str:
    bounds = [
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M}" if moment else "" for moment in (report.since, report.until)
    ]
    begin, end = bounds
    told = (
        f"From {begin} on" if begin and not end else f"Before {end}" if end and not begin else f"{begin} to {end}"
    )
    told = f"{told} (UTC)" if begin or end else "All there is in the ledger"
    return f"{told}, {f'tenant {report.tenant}' if report.tenant else 'all tenants'}"


def _letters(text: str) -> str:
    """In the fonts' encoding, and nothing that moves the pen."""
    return printable(text).encode("cp1252", "replace").decode("cp1252")
