"""What two runs say of two versions of a prompt, and whether it is enough for the new one to be served.

The non-obvious decision: the figures are those of `weir eval compare`, and nothing is reckoned again. What it says
of two runs is what the evidence says; only tokens, and when the gain pays, are counted here, over the answers that
both versions gave.

Latency is left out. One run comes after the other, within one budget, and how busy the machine and its providers
were meanwhile would be told of the prompt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

from msgspec.structs import replace

from contracts.money import ZERO, plain
from evals.comparison import Comparison, Incomparable, compare
from evals.comparison_notes import points
from evals.findings import Finding
from evals.records import Answer, Row
from evals.run_folder import Run
from evals.scorers.json_schema import fault_in, validator_of
from evals.scorers.regex import occurs
from evals.summary import LEVEL
from evals.verdicts import BETTER, NOT_ENOUGH, NOT_WORSE, WORSE
from prompts.evidence import Change, Evidence, ServedBy, Share
from prompts.optimise.order import Order
from prompts.prompt import Contract
from router.prompt_watch import answering

_NAMED = 5
"""Cases that a reason names: enough to look at."""
_UNKNOWN = Change(before=0.0, after=0.0, change=0.0, low=-1.0, high=1.0, verdict=NOT_ENOUGH)
"""Of quality, where no case was scored in both runs."""


def evidence_of(order: Order, before: Run, after: Run, *, spent: Decimal, refusals: Sequence[str]) -> Evidence:
    """`before` and `after` are the test part's runs under `order.prompt` and the new version; `spent` is of all.

    The new version is what the answers of `after` say they were given under. A run that did not end is not enough
    for any verdict, but for one that is worse. Raises ValueError where `after` has no answer.
    """
    found = _compared(before, after)
    both = _both(before, after)
    quality = _quality(found, whole=before.complete and after.complete)
    changes = {} if found is None else {name: _change(each) for name, each in found.overall.findings.items()}
    evidence = Evidence(
        route=order.route,
        before=order.prompt.version,
        after=_version(after),
        at=after.manifest.finished_at or after.manifest.started_at,
        objective=order.objective,
        optimiser=order.optimiser,
        suite=str(order.suite.folder),
        suite_version=order.suite.version,
        cases=0 if found is None else found.overall.cases,
        level=LEVEL,
        quality=quality,
        cost=changes.get("cost"),
        segments=tuple(_shares(found)),
        prompt_tokens_before=_mean([pair.before.prompt_tokens for pair in both]),
        prompt_tokens_after=_mean([pair.after.prompt_tokens for pair in both]),
        spent=spent,
        breaks_even=breaks_even(spent, *_dollars(both)),
        models=_answered(order, after),
        refusals=tuple(refusals),
        summary="",
        unasked=_unasked(order, after),
        tenant=order.tenant,
        reflect_with=order.reflect_with,
    )
    return _summed_up(evidence)


def passes(evidence: Evidence) -> tuple[bool, str]:
    """Whether the new version may be promoted, and why.

    It must be better, or not worse and cheaper; where cost is what was wanted, not worse and cheaper.
    """
    quality, cost = evidence.quality, evidence.cost
    said = f"quality {quality.verdict} ({_points(quality, evidence.level)})"
    if evidence.refusals:
        return False, "; ".join(evidence.refusals)
    if quality.verdict not in (BETTER, NOT_WORSE):
        return False, said
    if cost is not None and cost.verdict == BETTER:
        return True, f"{said}, and cheaper ({_percent(cost)})"
    if evidence.objective == "quality" and quality.verdict == BETTER:
        return True, said
    wanted = "cheaper" if evidence.objective == "cost" else "better or cheaper"
    return False, f"{said}, but it is not shown to be {wanted}"


def contract_breaks(contract: Contract, run: Run) -> tuple[str, ...]:
    """Ids of the cases with an answer that breaks `contract`, in the run's order. Raises ValueError: it is wrong.

    Calls of tools are no answer yet, and what never came breaks nothing. A pattern that takes too long on an answer
    counts as broken: what cannot be checked cannot be promised.
    """
    if not contract.checks:
        return ()
    schema = None if contract.json_schema is None else validator_of(contract.json_schema)
    checked = [row for row in run.rows if row.answer is not None and not row.answer.tool_calls]
    broken = [row.case for row in checked if row.answer and not _keeps(contract, schema, row.answer.text)]
    return tuple(dict.fromkeys(broken))


def contract_refusal(contract: Contract, before: Run, after: Run) -> str:
    """Why the new version is refused: its answers break `contract` in more cases. Empty where they do not."""
    then, now = contract_breaks(contract, before), contract_breaks(contract, after)
    if len(now) <= len(then):
        return ""
    new = [case for case in now if case not in then]
    more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
    return (
        f"answers break the prompt's contract in {len(now)} cases, {len(then)} before; new are "
        f"{', '.join(new[:_NAMED])}{more}"
    )


def breaks_even(spent: Decimal, before: Decimal | None, after: Decimal | None) -> int | None:
    """After how many requests, at `before` and `after` dollars each, `spent` is saved; None where never."""
    if not spent:
        return 0
    if before is None or after is None or after >= before:
        return None
    return int((spent / (before - after)).to_integral_value(ROUND_CEILING))


class _Both(NamedTuple):
    """What a case was answered under either version, asked for the same time."""

    before: Answer
    after: Answer


def _compared(before: Run, after: Run) -> Comparison | None:
    try:
        return compare(before, after)
    except Incomparable:
        if before.complete and after.complete:
            raise
        return None


def _quality(found: Comparison | None, *, whole: bool) -> Change:
    if found is None:
        return _UNKNOWN
    change = _change(found.overall.findings["quality"])
    return change if whole or change.verdict == WORSE else replace(change, verdict=NOT_ENOUGH)


def _change(found: Finding) -> Change:
    change = found.change
    return Change(
        before=found.a, after=found.b, change=change.value, low=change.low, high=change.high, verdict=found.verdict
    )


def _shares(found: Comparison | None) -> Iterator[Share]:
    for part in found.segments if found is not None else ():
        if "quality" in part.findings:
            yield Share(segment=part.name, cases=part.cases, quality=_change(part.findings["quality"]))


def _both(before: Run, after: Run) -> list[_Both]:
    then = {(row.case, row.repeat): row.answer for row in before.rows if row.answer is not None}
    return [
        _Both(then[row.case, row.repeat], row.answer)
        for row in after.rows
        if row.answer is not None and (row.case, row.repeat) in then
    ]


def _dollars(both: Sequence[_Both]) -> tuple[Decimal | None, Decimal | None]:
    """Means for one request, exact; None where it is not known of each."""
    paid = [(pair.before.cost, pair.after.cost) for pair in both]
    known = [(one, other) for one, other in paid if one is not None and other is not None]
    if not known or len(known) < len(paid):
        return None, None
    before, after = (sum(column, ZERO) / len(known) for column in zip(*known, strict=True))
    return before, after


def _version(after: Run) -> str:
    found = {row.answer.evidence.get("prompt", "") for row in after.rows if row.answer is not None} - {""}
    if len(found) != 1:
        raise ValueError(f"{after.folder} has answers under {len(found)} versions of the prompt; it must be one")
    return found.pop()


def _answered(order: Order, after: Run) -> tuple[ServedBy, ...]:
    names = _names(after.rows)
    return tuple(each for each in answering(order.loaded, order.route) if each.model in names)


def _unasked(order: Order, after: Run) -> tuple[str, ...]:
    names = _names(after.rows)
    return tuple(each.model for each in answering(order.loaded, order.route) if each.model not in names)


def _names(rows: Sequence[Row]) -> set[str]:
    return {row.answer.model for row in rows if row.answer is not None}


def _keeps(contract: Contract, schema: object, text: str) -> bool:
    if schema is not None and fault_in(text, schema, strict=True):
        return False
    if contract.most_words is not None and len(text.split()) > contract.most_words:
        return False
    try:
        if contract.matches and not occurs(contract.matches, text):
            return False
        return not (contract.never_matches and occurs(contract.never_matches, text))
    except TimeoutError:
        return False


def _summed_up(evidence: Evidence) -> Evidence:
    quality, cost = evidence.quality, evidence.cost
    said = f"Quality {quality.verdict}: {_points(quality, evidence.level)}, over {evidence.cases:,} cases."
    if cost is not None:
        said += f" Cost of a request: {_percent(cost)}."
    if evidence.breaks_even is not None and evidence.spent:
        said += f" The ${plain(evidence.spent)} of the search are saved after {evidence.breaks_even:,} requests."
    return replace(evidence, summary=said)


def _points(quality: Change, level: float) -> str:
    return f"{points(quality.change)} points, {level * 100:g} %: {points(quality.low)} to {points(quality.high)}"


def _percent(cost: Change) -> str:
    return f"{(cost.change - 1) * 100:+.1f} %, {(cost.low - 1) * 100:+.1f} to {(cost.high - 1) * 100:+.1f}"


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0
