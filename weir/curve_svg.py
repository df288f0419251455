"""A plot of hits against wrong hits, as an SVG file: two axes, a line for each curve, no library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _EDGE = 640, 420, 56
_COLOURS = ("#8a8a8a", "#1f6fb2", "#c0562b")
_MOST_POINTS = 400


def svg(
    curves: Mapping[str, Iterable[tuple[float, float]]],
    *,
    most_wrong: float = 0.1,
    title: str = "",
    dots: Iterable[tuple[float, float, float]] = (),
) -> str:
    """`curves` are points (wrong, hits), shares from 0 to 1 that grow; what is beyond `most_wrong` is not shown.

    Each of `dots` is where a cache came to, and how much it was allowed: (wrong, hits, allowed).
    """
    shown = {name: [point for point in points if point[0] <= most_wrong] for name, points in curves.items()}
    most_hits = max([hits for points in shown.values() for _, hits in points] + [0.01]) * 1.1

    def x(wrong: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * wrong / most_wrong

    def y(hits: float) -> float:
        return _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * hits / most_hits

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, _HEIGHT - 14, "wrong hits, share of lookups"),
        _text(_EDGE, 28, "hits, share of lookups", "start"),
        _text(_WIDTH / 2, 28, title),
    ]
    for place in range(6):
        wrong, hits = most_wrong * place / 5, most_hits * place / 5
        parts.append(_line(x(wrong), y(0), x(wrong), y(most_hits)))
        parts.append(_line(x(0), y(hits), x(most_wrong), y(hits)))
        parts.append(_text(x(wrong), y(0) + 18, f"{100 * wrong:g} %"))
        parts.append(_text(x(0) - 6, y(hits) + 4, f"{100 * hits:.1f} %", "end"))
    for place, (name, points) in enumerate(shown.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        few = points[:: max(1, len(points) // _MOST_POINTS)] + points[-1:]
        path = " ".join(f"{x(wrong):.1f},{y(hits):.1f}" for wrong, hits in few)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(x(most_wrong) - 8, y(0) - 12 - 16 * place, name, "end", colour))
    for wrong, hits, allowed in dots:
        parts.append(_line(x(allowed), y(0), x(allowed), y(most_hits), "#999999"))
        parts.append(_line(x(wrong), y(hits), x(allowed), y(hits), "#c0392b"))
        parts.append(f'<circle cx="{x(wrong):.1f}" cy="{y(hits):.1f}" r="5" fill="#c0392b"/>')
    return "\n".join([*parts, "</svg>\n"])


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "#dddddd") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def side_by_side(plots: Sequence[str]) -> str:
    """Several of `svg`'s as one."""
    placed = "".join(
        f'<svg x="{place * _WIDTH}" width="{_WIDTH}" height="{_HEIGHT}">{plot}</svg>'
        for place, plot in enumerate(plots)
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {len(plots) * _WIDTH} {_HEIGHT}">{placed}</svg>\n'
