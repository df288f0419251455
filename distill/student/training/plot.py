"""The loss of a training by step: an SVG file that reads on light and dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 360, 64, 24, 40, 52
_TICKS, _MOST_POINTS = 5, 400
_STYLE = (
    "<style>text{fill:#333}.rule{stroke:#ddd}.loss{stroke:#1f6fb2;fill:none;stroke-width:2}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.rule{stroke:#444}.loss{stroke:#6cb2ec}}</style>"
)


def loss_svg(points: Sequence[tuple[int, float]]) -> str:
    """`points` are (step, loss) in the order of steps. Loss is drawn by its logarithm. Raises ValueError."""
    shown = [(step, loss) for step, loss in points if math.isfinite(loss) and loss > 0]
    if not shown:
        raise ValueError("there is no loss to draw: the training had no step, or diverged")
    few = [*shown[:: max(1, len(shown) // _MOST_POINTS)], shown[-1]]
    most = max(step for step, _ in shown)
    low, high = math.log(min(loss for _, loss in few)), math.log(max(loss for _, loss in few))
    room = (high - low) * 0.05 or 0.1
    low, high = low - room, high + room

    def place(step: float, level: float) -> tuple[float, float]:
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / max(1, most)
        return x, _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (level - low) / (high - low)

    parts = [_text(_LEFT, 22, "loss", "start"), _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, "step")]
    for tick in range(_TICKS + 1):
        step, level = most * tick / _TICKS, low + (high - low) * tick / _TICKS
        x, y = place(step, level)
        parts.append(f'<path class="rule" d="M{_LEFT},{y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts += [_text(_LEFT - 6, y + 4, f"{math.exp(level):.3g}", "end")]
        parts += [_text(x, _HEIGHT - _BOTTOM + 18, f"{step:,.0f}")]
    line = " ".join("{:.1f},{:.1f}".format(*place(step, math.log(loss))) for step, loss in few)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12">{_STYLE}{"".join(parts)}<polyline class="loss" points="{line}"/></svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'
