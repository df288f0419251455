"""Bill and change of quality of each policy, with their intervals, as an SVG file: no library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

from evals.statistics.interval import Interval

_WIDTH, _ROW, _TOP, _BETWEEN = 860, 26, 46, 30
_NAMES, _LEFT, _RIGHT = 150, (170, 430), (500, 840)
"""Where the columns end and begin: names, bill, change."""
_BILL, _CHANGE, _AXIS = "#1f6fb2", "#c8691c", "#dddddd"
_AIM = 0.4
"""The bill that a student is built for: 60 % less."""


def draw(tables: Mapping[str, Mapping[str, Any]]) -> str:
    """`tables` are figures of `student_replay`, by what was replayed."""
    rows = [
        (name, policy, row["bill"], row["change"])
        for name, figures in tables.items()
        for policy, row in figures["policies"].items()
    ]
    ends = [end for *_, change in rows for end in (change.low, change.high)]
    low, high = min([-0.05, *ends]), max([0.05, *ends])
    height = _TOP + _ROW * len(rows) + _BETWEEN * len(tables) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        _text(_LEFT[0], 20, "bill, % of all large; the line: 40 %", "start"),
        _text(_RIGHT[0], 20, "right answers, points beside all large; the line: none", "start"),
    ]
    y, last = float(_TOP), ""
    for name, policy, bill, change in rows:
        if name != last:
            parts.append(_text(12, y + 8, name, "start", bold=True))
            y, last = y + _BETWEEN, name
        parts.append(_text(_NAMES, y + 4, policy, "end"))
        parts += _mark(_LEFT, (0.0, 1.05), bill, y, _BILL, rule=_AIM)
        parts += _mark(_RIGHT, (low, high), change, y, _CHANGE, rule=0.0, digits=1)
        y += _ROW
    return "\n".join([*parts, "</svg>\n"])


def _mark(
    ends: tuple[int, int],
    span: tuple[float, float],
    found: Interval,
    y: float,
    colour: str,
    *,
    rule: float,
    digits: int = 0,
) -> list[str]:
    """A dot with its interval, its figure in percent, and the line at `rule`."""

    def x(value: float) -> float:
        return ends[0] + (ends[1] - ends[0]) * (value - span[0]) / (span[1] - span[0])

    return [
        f'<path d="M{x(rule):.1f},{y - _ROW / 2:.1f}V{y + _ROW / 2:.1f}" stroke="{_AXIS}" stroke-width="2"/>',
        f'<path d="M{x(found.low):.1f},{y:.1f}H{x(found.high):.1f}" stroke="{colour}" stroke-width="2"/>',
        f'<circle cx="{x(found.value):.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>',
        _text(x(found.value), y - 6, f"{100 * found.value:.{digits}f}"),
    ]


def _text(x: float, y: float, text: str, anchor: str = "middle", *, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333333"{weight}>{escape(text)}</text>'
