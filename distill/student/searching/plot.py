"""Quality against cost, and against latency, of all that a search tried: an SVG file that reads on light and dark.

A line joins those that no other is both cheaper (or quicker) and better than; the one that was found has a ring.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape

from distill.student.searching.search import Found, Tried, front

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 460, 360, 64, 24, 44, 56
_TICKS = 4
_STYLE = (
    "<style>text{fill:#333}.rule{stroke:#ddd}.tried{fill:#8a8a8a}.front{stroke:#1f6fb2;fill:none;stroke-width:2}"
    ".good{fill:#1f6fb2}.limit{stroke:#c0562b;stroke-dasharray:4 3}.found{stroke:#c0562b;fill:none;stroke-width:2}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.rule{stroke:#444}.front{stroke:#6cb2ec}.good{fill:#6cb2ec}}"
    "</style>"
)

Figure = Callable[[Tried], float]


def pareto_svg(found: Found, *, p95_ms: float, margin: float) -> str:
    """Two plots beside each other. Raises ValueError where nothing was tried to the end."""
    whole = [one for one in found.tried if one.whole]
    if not whole:
        raise ValueError("nothing was tried to the end, so there is nothing to draw")
    least = max(one.score.teacher for one in whole) - margin
    plots = (
        _plot(found, whole, lambda one: one.cost_usd, "dollars for 1,000 answers", least, None),
        _plot(found, whole, lambda one: one.score.p95_ms, "P95, milliseconds", least, p95_ms),
    )
    placed = "".join(f'<g transform="translate({_WIDTH * place} 0)">{plot}</g>' for place, plot in enumerate(plots))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12">{_STYLE}{placed}</svg>\n'
    )


def _plot(
    found: Found, whole: Sequence[Tried], figure: Figure, across: str, least: float, most: float | None
) -> str:
    xs = [figure(one) for one in whole] + ([most] if most is not None else [])
    ys = [one.score.quality for one in whole] + [least]
    right, upper = _span(xs, least=0.0), _span(ys)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            _LEFT + (_WIDTH - _LEFT - _RIGHT) * (x - right[0]) / (right[1] - right[0]),
            _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (y - upper[0]) / (upper[1] - upper[0]),
        )

    bottom, end = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [
        _text(_LEFT, 22, "quality on the tuning questions", "start"),
        _text((_LEFT + end) / 2, _HEIGHT - 14, across),
    ]
    for tick in range(_TICKS + 1):
        at, level = (low + (high - low) * tick / _TICKS for low, high in (right, upper))
        x, y = place(at, level)
        parts.append(f'<path class="rule" d="M{_LEFT},{y:.1f}H{end}"/>')
        parts += [_text(_LEFT - 6, y + 4, f"{level:.2f}", "end"), _text(x, bottom + 18, f"{at:.3g}")]
    parts.append(f'<path class="limit" d="M{_LEFT},{place(right[0], least)[1]:.1f}H{end}"/>')
    if most is not None:
        parts.append(f'<path class="limit" d="M{place(most, upper[0])[0]:.1f},{_TOP}V{bottom}"/>')
    line = " ".join("{:.1f},{:.1f}".format(*place(figure(one), one.score.quality)) for one in front(whole, figure))
    parts.append(f'<polyline class="front" points="{line}"/>')
    for one in whole:
        x, y = place(figure(one), one.score.quality)
        kind = "tried" if one.why_not else "good"
        title = escape(f"{one.choice.name}: {one.why_not or 'good and quick enough'}")
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{title}</title></circle>')
        if one == found.best:
            parts.append(f'<circle class="found" cx="{x:.1f}" cy="{y:.1f}" r="8"/>')
    return "".join(parts)


def _span(values: Sequence[float], least: float | None = None) -> tuple[float, float]:
    low, high = min(values) if least is None else least, max(values)
    room = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return low - (room if least is None else 0), high + room


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
