"""Curves and numbered points as an SVG file: two axes, a legend beside them, no library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 440, 70, 190, 40, 60
_COLOURS = ("#1f6fb2", "#c8691c", "#a4489c", "#2b8c9e", "#8a7a12", "#b03a48")
_FIXED = {"by lot": "#8a8a8a", "random": "#8a8a8a", "oracle": "#2f8f5b"}
"""What curves of every plot may be beside, in the same colour everywhere."""
_TICKS = 5
_MOST_POINTS = 300

Point = tuple[float, float]
Curve = Sequence[Point]


def svg(curves: Mapping[str, Curve], points: Mapping[str, Point], *, across: str, up: str, title: str = "") -> str:
    """The text of an SVG file; colours are for a white ground. `across` and `up` say what the axes are."""
    every = [point for curve in curves.values() for point in curve] + list(points.values())
    right, upper = _span([x for x, _ in every]), _span([y for _, y in every])

    def place(x: float, y: float) -> Point:
        return (
            _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - right[0]) / (right[1] - right[0]),
            _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (y - upper[0]) / (upper[1] - upper[0]),
        )

    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        *[_text(_LEFT, 22, up, "start"), _text(middle, 22, title), _text(middle, _HEIGHT - 14, across)],
    ]
    for tick in range(_TICKS + 1):
        at, level = (low + (high - low) * tick / _TICKS for low, high in (right, upper))
        x, y = place(at, level)
        parts.append(f'<path d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>')
        parts += [_text(_LEFT - 6, y + 4, f"{level:.3f}", "end"), _text(x, _HEIGHT - _BOTTOM + 18, f"{at:.3g}")]
    colours = {name: _FIXED.get(name, _COLOURS[place % len(_COLOURS)]) for place, name in enumerate(curves)}
    for name, curve in curves.items():
        few = [*curve[:: max(1, len(curve) // _MOST_POINTS)], curve[-1]]
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in few)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
    for number, (name, point) in enumerate(points.items(), 1):
        x, y = place(*point)
        dot = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#333333"><title>{escape(name)}</title></circle>'
        parts += [dot, _text(x + 7, y - 5, str(number), "start")]
    return "\n".join([*parts, *_legend(colours), *_names(list(points), len(colours)), "</svg>\n"])


def _legend(colours: Mapping[str, str]) -> list[str]:
    x = _WIDTH - _RIGHT + 16
    return [
        part
        for number, (name, colour) in enumerate(colours.items())
        for part in (
            f'<rect x="{x}" y="{_TOP + 18 * number}" width="10" height="10" fill="{colour}"/>',
            _text(x + 16, _TOP + 9 + 18 * number, name, "start"),
        )
    ]


def _names(names: Sequence[str], curves: int) -> list[str]:
    """What the numbered points are, beside the plot where they cannot cover each other."""
    x, begin = _WIDTH - _RIGHT + 16, _TOP + 18 * (curves + 1)
    return [_text(x, begin + 16 * place, f"{place + 1}  {name}", "start") for place, name in enumerate(names)]


def _span(values: Sequence[float]) -> Point:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333333">{escape(text)}</text>'
