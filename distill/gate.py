"""Whether what was learned may serve: rules over its evidence, each with the figure it was held against.

The non-obvious decision: the lower ends of intervals count, not the values. Little evidence has wide intervals, so
a head that was learned from too little fails by itself, whatever it seems to gain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, convert

NO_GAP = "no gap: "
"""How a figure begins that says of a cheaper model that the reference is no better, so that there is no APGR."""


class Measured(Struct, frozen=True, kw_only=True):
    """One figure of the evidence, with the 95 % interval it lies in, and the number of queries behind it."""

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int = 0


class Rules(Struct, frozen=True, kw_only=True):
    """What is asked for. Defaults: better than chance (APGR of .5) for sure; probabilities that are off by a tenth
    at the most, since the quality floor is only as good as they are; intents that are mostly right.
    """

    least_queries: int = 100
    least_apgr: float = 0.5
    most_calibration_error: float = 0.1
    least_intent_accuracy: float = 0.6
    may_lose: float = 0.02
    """APGR that may be lost against the artefact in production, for sure."""


def rules_of(changes: Sequence[str]) -> Rules:
    """The default rules with some changed, each written NAME=VALUE. Raises ValueError, saying what there is."""
    values: dict[str, float] = {}
    for change in changes:
        name, _, value = change.partition("=")
        if name not in Rules.__struct_fields__:
            raise ValueError(f"there is no rule {name}; there are {', '.join(Rules.__struct_fields__)}")
        try:
            values[name] = float(value)
        except ValueError:
            raise ValueError(f"the rule {name} needs a number, not {value!r}") from None
    return convert(values, Rules, strict=False)


class Verdict(Struct, frozen=True):
    """`reasons`: a line for each rule, those that failed first."""

    passed: bool
    reasons: tuple[str, ...]


def judge(
    evidence: Sequence[Measured], rules: Rules | None = None, against: Sequence[Measured] | None = None
) -> Verdict:
    """Hold evidence against rules; `against` is that of the artefact in production, from when it was learned."""
    rules = rules or Rules()
    found = {one.metric: one for one in evidence}
    before = {one.metric: one for one in against or ()}
    checks: list[tuple[bool, str]] = []
    for metric, one in found.items():
        if metric.startswith(("apgr ", NO_GAP)):
            checks.append((one.n >= rules.least_queries, f"{metric}: {one.n} queries of {rules.least_queries}"))
        if metric.startswith("apgr "):
            low = one.low if one.low is not None else one.value
            checks.append((low > rules.least_apgr, f"{metric}: {low:.3f} for sure, more than {rules.least_apgr}"))
            if metric in before:
                lost = round(before[metric].value - one.value, 5)
                checks.append((lost <= rules.may_lose, f"{metric}: {lost:+.3f} lost, at most {rules.may_lose}"))
        elif metric.startswith("calibration error "):
            most, sure = rules.most_calibration_error, one.low if one.low is not None else one.value
            checks.append((sure <= most, f"{metric}: {sure:.3f} for sure, at most {most}"))
        elif metric == "intent accuracy":
            least = rules.least_intent_accuracy
            checks.append((one.value >= least, f"{metric}: {one.value:.3f}, at least {least}"))
    if not checks:
        checks.append((False, "there is no evidence"))
    failed = [f"failed: {told}" for good, told in checks if not good]
    return Verdict(not failed, (*failed, *(f"held: {told}" for good, told in checks if good)))


def as_rows(evidence: Sequence[Measured]) -> list[dict[str, Any]]:
    """The evidence as a card has it."""
    names = Measured.__struct_fields__
    return [{name: getattr(one, name) for name in names if getattr(one, name) is not None} for one in evidence]


def of_rows(rows: Sequence[Mapping[str, Any]]) -> list[Measured]:
    """The evidence that a card has."""
    return [Measured(**{name: row[name] for name in Measured.__struct_fields__ if name in row}) for row in rows]
