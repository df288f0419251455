"""What the counters in Redis are asked and told: accounts in a window, what requests hold of them and spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from math import inf

import orjson

from ledger.budgets.accounts import Account
from ledger.budgets.windows import Span

_KEPT_S = {"minute": 600, "day": 172_800, "month": 172_800}
"""How long after its end a window's account is kept, for requests that end late."""


@dataclass(frozen=True)
class Tab:
    """An account in one window."""

    account: Account
    span: Span

    @cached_property
    def place(self) -> str:
        return f"{self.account.version}:{self.span.begin}"

    @cached_property
    def values(self) -> str:
        return orjson.dumps(self.account.values).decode()

    @cached_property
    def name(self) -> str:
        return f"{self.place}:{blake2b(self.values.encode(), digest_size=10).hexdigest()}"

    @property
    def until_ms(self) -> str:
        """Until when it is kept, in milliseconds since the epoch; 0: for good."""
        if self.span.end == inf:
            return "0"
        return str((int(self.span.end) + _KEPT_S[self.account.budget.window]) * 1000)

    @property
    def bounds_ms(self) -> tuple[int, int]:
        end = 0 if self.span.end == inf else int(self.span.end) * 1000
        return self.span.begin * 1000, end


@dataclass(frozen=True, slots=True)
class Line:
    """What one model of a settled request gives back to an account, and what it has spent.

    `once`: not where it was counted already when the request was admitted.
    """

    tab: Tab
    field: str
    release: int
    spent: int
    once: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    request_id: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Held:
    """What `field` of a request holds of each account."""

    request_id: str
    field: str
    parts: Sequence[tuple[Tab, int]]


@dataclass(frozen=True, slots=True)
class Said:
    """What a script said: `word`, the time in seconds by the clock of Redis, and figures."""

    word: str
    now: float
    figures: Sequence[int] = ()
