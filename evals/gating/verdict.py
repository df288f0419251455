"""What a gate says: each check with its figure and bound, and the words that tables, Markdown and JUnit share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

ALL_CASES = "all cases"

Unit = Literal["share", "points", "usd", "ms", "ratio", "cases", "kappa"]
"""Of a check's figures. `share` and `points` are from 0 to 1, `ratio` is run / baseline."""

Side = Literal["at least", "at most"]

_TRAILING = ("%", " points", " ms", " times")


class Check(Struct, frozen=True, kw_only=True):
    """One rule held against one figure. `about` is whose figure it is, for people.

    `value`, `low` and `high` are an estimate and its interval, None where nothing is known. `why` is a sentence,
    and empty where figure and bound say it all.
    """

    rule: str
    about: str = ALL_CASES
    segment: str = ""
    group: str = ""
    """FIELD=VALUE of the group that is worst off."""
    passed: bool
    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    bound: float
    side: Side
    why: str = ""

    @property
    def name(self) -> str:
        return f"{self.rule}: {self.about}"

    @property
    def figure(self) -> str:
        """The estimate, with its interval where it has one."""
        told = self.estimate
        return f"{told} ({self.interval})" if self.interval else told

    @property
    def estimate(self) -> str:
        return "not known" if self.value is None else shown(self.value, self.unit)

    @property
    def interval(self) -> str:
        if self.low is None or self.high is None:
            return ""
        low, high = shown(self.low, self.unit), shown(self.high, self.unit)
        for unit in _TRAILING:
            low = low.removesuffix(unit)
        return f"{low} to {high}"

    @property
    def limit(self) -> str:
        return f"{self.side} {shown(self.bound, self.unit)}"

    @property
    def told(self) -> str:
        """Why it passed or failed."""
        return self.why or f"{self.figure}, and it must be {self.limit}."


class Verdict(Struct, frozen=True, kw_only=True):
    """`checks` come with the failed ones first. `segments` and `groups` are those that failed one."""

    passed: bool
    summary: str
    run: str
    target: str
    config_hash: str
    suite: str
    suite_version: str
    baseline: str
    """Its folder, or empty."""
    level: float
    segments: Sequence[str]
    groups: Sequence[str]
    checks: Sequence[Check]
    rules: Mapping[str, Any]
    notes: Sequence[str] = ()

    @property
    def failed(self) -> Sequence[Check]:
        return [check for check in self.checks if not check.passed]


def shown(value: float, unit: Unit) -> str:
    """A figure for people."""
    match unit:
        case "share":
            return f"{value:.1%}"
        case "points":
            return f"{100 * value:+.1f} points"
        case "usd":
            return f"${value:.2g}" if 0 < abs(value) < 0.01 else f"${value:.4f}"
        case "ms":
            return f"{value:,.0f} ms"
        case "ratio":
            return f"{value:.2f} times"
        case "cases":
            return f"{value:,.0f}"
        case "kappa":
            return f"{value:.2f}"


def summed_up(checks: Sequence[Check], segments: Sequence[str], groups: Sequence[str]) -> str:
    """The verdict in a sentence that names what failed."""
    failed = [check for check in checks if not check.passed]
    if not failed:
        return "Passed: the one check." if len(checks) == 1 else f"Passed: all {len(checks)} checks."
    where = [
        f"{kind}{'s' if len(names) > 1 else ''}: {', '.join(names)}"
        for kind, names in (("segment", segments), ("group", groups))
        if names
    ]
    told = f"Refused: {len(failed)} of {len(checks)} checks failed"
    return f"{told}; {'; '.join(where)}." if where else f"{told}."
