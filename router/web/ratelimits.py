"""What budgets have left for a client, as headers that OpenAI's clients know; dollars beside requests and tokens.

https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers. Of several budgets with one measure the
tightest is told: the one with the least left.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime

from contracts.budgets import Left, Measure, dollars
from contracts.errors import LimitReached
from contracts.money import plain


def headers_of(left: Iterable[Left], now: datetime) -> dict[str, str]:
    """`x-ratelimit-limit-*`, `-remaining-*` and `-reset-*`; without a reset where that never comes."""
    tightest: dict[Measure, Left] = {}
    for one in left:
        known = tightest.get(one.measure)
        if known is None or one.left < known.left:
            tightest[one.measure] = one
    headers: dict[str, str] = {}
    for measure, one in tightest.items():
        limit, rest = _text(measure, one.limit), _text(measure, one.left)
        headers |= _headers(measure, limit, rest, one.resets_at, now)
    return headers


def headers_of_refusal(reached: LimitReached, now: datetime) -> dict[str, str]:
    """The same of the budget that refused a request."""
    resets_at = datetime.fromisoformat(reached.resets_at) if reached.resets_at else None
    return _headers(reached.measure, reached.limit, reached.left, resets_at, now)


def _headers(measure: str, limit: str, left: str, resets_at: datetime | None, now: datetime) -> dict[str, str]:
    headers = {f"x-ratelimit-limit-{measure}": limit, f"x-ratelimit-remaining-{measure}": left} if limit else {}
    if resets_at is not None:
        headers[f"x-ratelimit-reset-{measure}"] = span((resets_at.astimezone(UTC) - now).total_seconds())
    return headers


def span(seconds: float) -> str:
    """As OpenAI writes it: `1s`, `6m0s`, `24h0m0s`; whole seconds, rounded up."""
    minutes, rest = divmod(max(0, math.ceil(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _text(measure: Measure, amount: int) -> str:
    return plain(dollars(amount)) if measure == "usd" else str(amount)
