"""Quality against the share that the strong model answers, as SVG: a router, chance, an oracle, each model
alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT, _EDGE = 640, 420, 56
_COLOURS = {"router": "#1f6fb2", "random": "#8a8a8a", "oracle": "#2e8b57"}
_MOST_POINTS = 300
_STEP = 0.05

Curve = Sequence[tuple[float, float]]


def draw(file: Path, curves: Mapping[str, Curve], title: str) -> None:
    """`curves`: points (share, quality), both 0..1, shares ascending; all of them begin and end alike."""
    file.write_text(svg(curves, title), encoding="utf-8")


def svg(curves: Mapping[str, Curve], title: str) -> str:
    """As the text of an SVG file."""
    heights = [quality for points in curves.values() for _, quality in points]
    low, high = _STEP * int(min(heights) / _STEP), _STEP * (int(max(heights) / _STEP) + 1)

    def x(share: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * share

    def y(quality: float) -> float:
        return _HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * (quality - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_WIDTH / 2, 28, title),
        _text(_WIDTH / 2, _HEIGHT - 14, "share of queries that the strong model answers"),
        _text(_EDGE, 44, "mean quality", "start"),
    ]
    parts += [_text(x(tick / 5), y(low) + 18, f"{20 * tick} %") for tick in range(6)]
    for tick in range(round((high - low) / _STEP) + 1):
        level = low + tick * _STEP
        parts.append(f'<line x1="{x(0)}" y1="{y(level):.1f}" x2="{x(1)}" y2="{y(level):.1f}" stroke="#dddddd"/>')
        parts.append(_text(x(0) - 6, y(level) + 4, f"{level:.2f}", "end"))
    for place, (name, points) in enumerate(curves.items()):
        colour = _COLOURS.get(name, "#c0562b")
        few = [*points[:: max(1, len(points) // _MOST_POINTS)], points[-1]]
        path = " ".join(f"{x(share):.1f},{y(quality):.1f}" for share, quality in few)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(_text(x(1) - 8, y(low) - 12 - 16 * place, name, "end", colour))
    first = next(iter(curves.values()))
    for (share, quality), name, anchor in ((first[0], "weak alone", "start"), (first[-1], "strong alone", "end")):
        parts.append(f'<circle cx="{x(share):.1f}" cy="{y(quality):.1f}" r="5" fill="#c0392b"/>')
        parts.append(_text(x(share), y(quality) - 10, name, anchor))
    return "\n".join([*parts, "</svg>\n"])


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
