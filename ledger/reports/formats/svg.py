"""Plots as inline SVG: bars, lines and intervals. No script; colours come from the page, so that both themes do.

Widths are in the units of the view box, which the page scales. What a shape stands for is in its `<title>`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import escape
from typing import Any

from ledger.reports.document import Plot
from ledger.reports.formats.values import printable

COLOURS = 8
"""The page has so many, as --c0 to --c7; after that they begin anew."""

_WIDTH, _HEIGHT = 760, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 14, 34
_LINE = 30
_MOST_LABELS = 8
_TICKS = 5
"""So many at most."""


def svg(plot: Plot) -> str:
    """Empty where there is nothing to draw."""
    if not any(points for points in plot.series.values()):
        return ""
    return _intervals(plot) if plot.kind == "intervals" else _upright(plot)


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places along an axis, which begins and ends at a tick."""

    low: float
    high: float
    step: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / (self.high - self.low) * (self.end - self.begin)

    def ticks(self) -> list[float]:
        return [self.low + self.step * number for number in range(round((self.high - self.low) / self.step) + 1)]


def _upright(plot: Plot) -> str:
    """Bars, stacked, or lines, over places in a row."""
    places = list(dict.fromkeys(place for points in plot.series.values() for place, _ in points))
    values = [{place: float(value) for place, value in points} for points in plot.series.values()]
    if plot.kind == "bars":
        tops = [sum(max(0.0, each.get(place, 0.0)) for each in values) for place in places]
        bottoms = [sum(min(0.0, each.get(place, 0.0)) for each in values) for place in places]
    else:
        tops = bottoms = [value for each in values for value in each.values()]
    y = _Scale(*_span(bottoms, tops), _HEIGHT - _BOTTOM, _TOP)
    width = (_WIDTH - _LEFT - _RIGHT) / len(places)
    middles = [_LEFT + width * (number + 0.5) for number in range(len(places))]
    parts = [_level(y(tick), _number(tick, plot.unit, y)) for tick in y.ticks()]
    parts += _labels(places, middles)
    if plot.kind == "bars":
        parts += _bars(plot, places, middles, width, y)
    else:
        parts += _lines(plot, places, middles, y)
    return _framed(plot, _HEIGHT, parts)


def _bars(plot: Plot, places: Sequence[Any], middles: Sequence[float], width: float, y: _Scale) -> list[str]:
    above, below = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    at = dict(zip(places, middles, strict=True))
    parts = []
    for number, (name, points) in enumerate(plot.series.items()):
        for place, value in points:
            amount = float(value)
            stack = above if amount >= 0 else below
            begin, stack[place] = stack[place], stack[place] + amount
            top, bottom = sorted((y(begin), y(stack[place])))
            title = f"{_name(name)}{_place(place)}: {_number(amount, plot.unit)}"
            parts.append(
                f'<rect x="{at[place] - width * 0.38:.1f}" y="{top:.1f}" width="{width * 0.76:.1f}" '
                f'height="{bottom - top:.1f}" fill="{_colour(number)}"><title>{_safe(title)}</title></rect>'
            )
    return parts


def _lines(plot: Plot, places: Sequence[Any], middles: Sequence[float], y: _Scale) -> list[str]:
    at = dict(zip(places, middles, strict=True))
    parts = []
    for number, (name, points) in enumerate(plot.series.items()):
        path = " ".join(f"{at[place]:.1f},{y(float(value)):.1f}" for place, value in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{_colour(number)}" stroke-width="2"/>')
        for place, value in points:
            title = f"{_name(name)}{_place(place)}: {_number(float(value), plot.unit)}"
            parts.append(
                f'<circle cx="{at[place]:.1f}" cy="{y(float(value)):.1f}" r="3" fill="{_colour(number)}">'
                f"<title>{_safe(title)}</title></circle>"
            )
    return parts


def _intervals(plot: Plot) -> str:
    """One line for each place: from low to high, a dot at the middle, and a rule where nothing is."""
    rows = [
        (name, place, tuple(map(float, value))) for name, points in plot.series.items() for place, value in points
    ]
    ends = [value for _, _, values in rows for value in values]
    if plot.mark is not None:
        ends.append(plot.mark)
    height = _TOP + _LINE * len(rows) + _BOTTOM
    x = _Scale(*_span(ends, ends), _LEFT + 130, _WIDTH - _RIGHT - 30)
    floor = height - _BOTTOM
    parts = []
    for tick in x.ticks():
        parts.append(f'<line class="grid" x1="{x(tick):.1f}" y1="{_TOP}" x2="{x(tick):.1f}" y2="{floor}"/>')
        parts.append(_label(x(tick), height - 12, _number(tick, plot.unit, x)))
    parts.append(f'<line class="axis" x1="{x(0):.1f}" y1="{_TOP}" x2="{x(0):.1f}" y2="{floor}"/>')
    if plot.mark is not None:
        parts.append(_rule(x(plot.mark), floor, _number(plot.mark, plot.unit)))
    names = list(plot.series)
    for number, (name, place, (low, middle, high)) in enumerate(rows):
        y, colour = _TOP + _LINE * (number + 0.5), _colour(names.index(name))
        title = f"{_name(name)}{_place(place)}: " + " to ".join(_number(end, plot.unit) for end in (low, high))
        parts.append(_label(_LEFT + 118, y + 4, _place(place, 26), "end"))
        parts.append(
            f'<g stroke="{colour}" stroke-width="2"><title>{_safe(title)}</title>'
            f'<line x1="{x(low):.1f}" y1="{y}" x2="{x(high):.1f}" y2="{y}"/>'
            f'<line x1="{x(low):.1f}" y1="{y - 5}" x2="{x(low):.1f}" y2="{y + 5}"/>'
            f'<line x1="{x(high):.1f}" y1="{y - 5}" x2="{x(high):.1f}" y2="{y + 5}"/>'
            f'<circle cx="{x(middle):.1f}" cy="{y}" r="4" fill="{colour}"/></g>'
        )
    return _framed(plot, height, parts)


def _rule(x: float, floor: float, value: str) -> str:
    return (
        f'<line stroke="var(--c6)" stroke-width="2" stroke-dasharray="5 4" x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" '
        f'y2="{floor}"><title>{_safe(value)}</title></line>'
    )


def _span(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float, float]:
    """Low, high and the step between ticks: 1, 2 or 5 times a power of ten. Nought is in it; it is never empty."""
    low, high = min([0.0, *lows]), max([0.0, *highs])
    if high <= low:
        high = low + 1.0
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return math.floor(low / step) * step, math.ceil(high / step) * step, step


def _labels(places: Sequence[Any], middles: Sequence[float]) -> list[str]:
    step = -(-len(places) // _MOST_LABELS)
    shown = zip(places[::step], middles[::step], strict=True)
    return [_label(middle, _HEIGHT - 12, _place(place, 14)) for place, middle in shown]


def _level(y: float, text: str) -> str:
    line = f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{_WIDTH - _RIGHT}" y2="{y:.1f}"/>'
    return line + _label(_LEFT - 8, y + 4, text, "end")


def _label(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{_safe(text)}</text>'


def _framed(plot: Plot, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{_safe(plot.heading)}">'
        + "".join(parts)
        + "</svg>"
    )


def _number(value: float, unit: str, scale: _Scale | None = None) -> str:
    """With as many decimals as tell the ticks of `scale` apart, or as say something of the value."""
    factor = 100 if unit == "%" else 1
    size = scale.step * factor if scale else abs(value) * factor / 100
    decimals = 0 if not size else min(9, max(0, -math.floor(math.log10(size) + 1e-9)))
    text = f"{abs(value) * factor:,.{decimals}f}"
    sign = "-" if value < 0 and text.strip("0.,") else ""
    return f"{sign}${text}" if unit == "$" else f"{sign}{text} {unit}".rstrip()


def _place(place: object, most: int = 80) -> str:
    if isinstance(place, datetime):
        moment = place.astimezone(UTC)
        return f"{moment:%m-%d}" if moment.hour == moment.minute == 0 else f"{moment:%m-%d %H:%M}"
    text = f"{place:%m-%d}" if isinstance(place, date) else str(place)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _name(name: str) -> str:
    return f"{name}, " if name else ""


def _colour(number: int) -> str:
    return f"var(--c{number % COLOURS})"


def _safe(text: str) -> str:
    return escape(printable(text))
