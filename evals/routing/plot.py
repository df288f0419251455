"""Quality against cost as an SVG file: each policy's curve, each model and each choice as a point."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from evals.routing.replay import Replay

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 440, 70, 190, 40, 60
_COLOURS = ("#1f6fb2", "#c8691c", "#a4489c", "#2b8c9e", "#8a7a12", "#b03a48")
_FIXED = {"by lot": "#8a8a8a", "oracle": "#2f8f5b"}
_TICKS = 5
_MOST_POINTS = 300


def svg(replayed: Replay) -> str:
    """The text of an SVG file; colours are for a white ground."""
    points = {one.policy: _point(replayed, one.policy) for one in replayed.policies}
    every = [point for curve in replayed.curves.values() for point in curve] + list(points.values())
    across, up = _span([cost for cost, _ in every]), _span([quality for _, quality in every])

    def place(cost: float, quality: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * (cost - across[0]) / (across[1] - across[0])
        y = _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (quality - up[0]) / (up[1] - up[0])
        return x, y

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 22, "mean quality", "start"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 14, _across(replayed)),
    ]
    for tick in range(_TICKS + 1):
        cost, quality = (low + (high - low) * tick / _TICKS for low, high in (across, up))
        x, y = place(cost, quality)
        parts.append(f'<path d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>')
        parts += [_text(_LEFT - 6, y + 4, f"{quality:.3f}", "end"), _text(x, _HEIGHT - _BOTTOM + 18, f"{cost:.3g}")]
    legend = []
    for number, (name, curve) in enumerate(replayed.curves.items()):
        colour = _FIXED.get(name, _COLOURS[number % len(_COLOURS)])
        few = [*curve[:: max(1, len(curve) // _MOST_POINTS)], curve[-1]]
        path = " ".join("{:.1f},{:.1f}".format(*place(*point)) for point in few)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        legend.append((name, colour))
    for number, (name, point) in enumerate(points.items(), 1):
        x, y = place(*point)
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#333333"><title>{escape(name)}</title></circle>'
        )
        parts.append(_text(x + 7, y - 5, str(number), "start"))
    parts += _legend(legend)
    parts += _names(replayed)
    return "\n".join([*parts, "</svg>\n"])


def _point(replayed: Replay, policy: str) -> tuple[float, float]:
    one = next(one for one in replayed.policies if one.policy == policy)
    return (one.cost.value if replayed.costs_known and one.cost else one.reference_share), one.quality.value


def _across(replayed: Replay) -> str:
    return "dollars a query" if replayed.costs_known else f"share of queries that {replayed.reference} answers"


def _legend(names: Sequence[tuple[str, str]]) -> list[str]:
    x = _WIDTH - _RIGHT + 16
    return [
        part
        for number, (name, colour) in enumerate(names)
        for part in (
            f'<rect x="{x}" y="{_TOP + 18 * number}" width="10" height="10" fill="{colour}"/>',
            _text(x + 16, _TOP + 9 + 18 * number, name, "start"),
        )
    ]


def _names(replayed: Replay) -> list[str]:
    """What the numbered points are, beside the plot where they cannot cover each other."""
    x = _WIDTH - _RIGHT + 16
    begin = _TOP + 18 * (len(replayed.curves) + 1)
    return [
        _text(x, begin + 16 * number, f"{number + 1}  {one.policy}", "start")
        for number, one in enumerate(replayed.policies)
    ]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#333333">{escape(text)}</text>'
