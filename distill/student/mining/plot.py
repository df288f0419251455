"""What traffic is about, as an SVG file: a bar for each intent, as long as its spend; those picked stand out."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from distill.student.mining.worth import Intent

_WIDTH, _NAMES, _FIGURES, _TOP, _ROW = 760, 250, 120, 76, 20
_MOST = 40
"""Bars; what comes after is one."""
_STYLE = (
    "svg{background:#fff;font:12px system-ui,sans-serif}text{fill:#1c2024}.soft{fill:#5c6570}"
    ".yes{fill:#1f6fb2}.no{fill:#b9c0c8}.other{fill:#d8dde3}"
    "@media(prefers-color-scheme:dark){svg{background:#14171a}text{fill:#e6e9ec}.soft{fill:#9aa4af}"
    ".yes{fill:#6cb2ec}.no{fill:#59636d}.other{fill:#363d45}}"
)


def svg(intents: Sequence[Intent], *, title: str = "") -> str:
    """The text of an SVG file, in light or dark as whoever looks has it. `intents` as `picked` gives them."""
    known = all(one.spend_usd is not None for one in intents)
    bars = [(one.intent, _length(one, known=known), "yes" if one.picked else "no") for one in intents]
    bars.sort(key=lambda bar: -bar[1])
    rest = bars[_MOST:]
    if rest:
        bars = [*bars[:_MOST], (f"{len(rest)} more", sum(length for _, length, _ in rest), "other")]
    total = sum(length for _, length, _ in bars) or 1.0
    most = max([length for _, length, _ in bars] + [0.0]) or 1.0
    taken = sum(one.picked for one in intents)
    share = sum(_length(one, known=known) for one in intents if one.picked) / total
    unit = "dollars spent" if known else "requests"
    height = _TOP + _ROW * len(bars) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img"><style>{_STYLE}</style>',
        f'<rect width="{_WIDTH}" height="{height}" fill="none"/>',
        _text(16, 24, title or "What the traffic is about"),
        _text(16, 46, f"{unit}, by intent; {taken} picked, with {share:.0%} of all", "soft"),
    ]
    for row, (name, length, kind) in enumerate(bars):
        y = _TOP + _ROW * row
        reach = (_WIDTH - _NAMES - _FIGURES) * length / most
        told = f"${length:,.4f}" if known else f"{length:,.0f}"
        mark = "✓ " if kind == "yes" else ""
        parts += [
            _text(_NAMES - 8, y + 12, mark + _short(name), "" if kind == "yes" else "soft", "end"),
            f'<rect class="{kind}" x="{_NAMES}" y="{y}" width="{max(reach, 1):.1f}" height="{_ROW - 5}" rx="2"/>',
            _text(_NAMES + reach + 6, y + 12, f"{told}  {length / total:.1%}", "soft"),
        ]
    return "\n".join([*parts, "</svg>\n"])


def _length(one: Intent, *, known: bool) -> float:
    return float(one.spend_usd or 0) if known else float(one.requests)


def _short(name: str) -> str:
    return name if len(name) <= 34 else f"{name[:33]}…"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}"{style}>{escape(text)}</text>'
