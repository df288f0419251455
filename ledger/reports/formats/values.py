"""How a value is written: exactly, for machines; and for people.

What clients chose themselves (tags, models they named) is in reports, so texts are taken for hostile: here half a
surrogate pair becomes U+FFFD, and each format escapes what it has to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from contracts.money import plain, usd
from ledger.reports.document import Kind

NOTHING = "–"
"""What people see where a figure is unknown."""

EXACT: tuple[Kind, ...] = ("usd", "number")
"""Kinds of Decimals whose every digit counts; twelve decimals at most."""
_STRAY = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""Marks that change the direction of the text around them."""
_UNPRINTABLE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff{_STRAY}]")
"""Those, control characters (Cc) and halves of surrogate pairs (Cs)."""


def exact(value: Any, kind: Kind) -> Any:
    """`value` as JSON has it: `EXACT` numbers as a text of all their digits, times in ISO 8601, in UTC."""
    if value is None:
        return None
    if isinstance(value, Decimal):
        return plain(usd(value)) if kind in EXACT else float(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return whole(value)
    if isinstance(value, Mapping):
        return {whole(str(name)): exact(part, kind) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [exact(part, kind) for part in value]
    return value


def shown(value: Any, kind: Kind, *, rounded: bool = False) -> str:
    """`value` as people read it. `rounded`: dollars with no more digits than say something."""
    if value is None:
        return NOTHING
    if kind == "count":
        return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
    if kind in EXACT:
        return _dollars(usd(Decimal(value)), rounded and kind == "usd")
    if kind == "share":
        return f"{float(value):.1%}"
    if kind == "ms":
        return f"{float(value):,.0f}"
    if kind == "time" and isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
    return _text(value)


def with_unit(value: Any, kind: Kind) -> str:
    """`value`, rounded, with its unit: for a figure that stands for itself."""
    text = shown(value, kind, rounded=True)
    if value is None:
        return text
    if kind == "usd":
        return f"-${text[1:]}" if text.startswith("-") else f"${text}"
    return f"{text} ms" if kind == "ms" else text


def whole(text: str) -> str:
    """`text` without halves of surrogate pairs, which no encoding has."""
    return text.encode("utf-8", "replace").decode()


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor, colour it or turn its direction round."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _dollars(amount: Decimal, rounded: bool) -> str:
    if not rounded:
        return plain(amount)
    # Cents, and below a dollar four digits that say something.
    decimals = 2 if abs(amount) >= 1 or not amount else 3 - amount.adjusted()
    return f"{amount:,.{decimals}f}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{whole(str(name))}={_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return whole(str(value)) or "-"
