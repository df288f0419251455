"""The checks of a run's figures, rule by rule.

The non-obvious decision: what cannot be told fails. A rule about a price that nobody knows, a segment that is not
there, or a baseline that was not given is refused with advice, since a gate that lets it through would be trusted
for something it never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import permutations

from msgspec.structs import replace

from evals.comparison import Comparison
from evals.findings import Finding
from evals.gating.bounds import Bound, exactly
from evals.gating.rules import CostRule, GroupRule, LatencyRule, QualityRule, Rules, ScorerRule, SegmentsRule
from evals.gating.verdict import ALL_CASES, Check
from evals.records import Manifest, Outcome
from evals.statistics.interval import Interval, Rate
from evals.summary import Figures, Summary
from evals.verdicts import BETTER, NOT_WORSE

_UNPRICED = "The cost is not known: give the target's models a price, or delete the rule."
_SILENT = "No latency is known: no answer came, or only in batches, which nobody waits for."
_UNSCORED = "No answer was scored."
_UNTOLD = "No scorer of this run has such a rate. Mend the rule or the suite."
_NOTHING = "This run has nothing that the rule is about. Mend the rule, or delete it."

Beside = Comparison | str
"""A comparison with the baseline, or why there is none."""


def checks_of(rules: Rules, summary: Summary, beside: Beside) -> Iterator[Check]:
    """One check for each bound and what it is about, in the order of the rules."""
    overall, sure = summary.overall, rules.sure
    if rules.cases is not None:
        yield Bound(rule="cases.at_least", unit="cases", side="at least", limit=rules.cases.at_least).check(
            exactly(overall.cases)
        )
    if rules.errors is not None:
        share = overall.errors / overall.answers if overall.answers else 1.0
        yield Bound(rule="errors.most_share", unit="share", side="at most", limit=rules.errors.most_share).check(
            exactly(share)
        )
    if rules.quality is not None:
        yield from _quality(rules.quality, sure, summary, beside)
    for name, scorer in rules.scorers.items():
        yield from _scorer(name, scorer, sure, summary)
    if rules.segments is not None:
        yield from _floors(rules.segments.floors, sure, summary)
        if rules.segments.floor is not None:
            yield from _some(_floor(rules.segments, rules.segments.floor, sure, summary), "segments.floor")
        if rules.segments.most_fall is not None:
            falls = _falls(rules.segments, rules.segments.most_fall, sure, beside)
            yield from _some(falls, "segments.most_fall")
    for field, group in rules.groups.items():
        yield _gap(field, group, sure, summary)
    if rules.cost is not None:
        yield from _cost(rules.cost, sure, overall, beside)
    if rules.latency is not None:
        yield from _latency(rules.latency, sure, overall, beside)
    if rules.judges is not None:
        yield from _some(_judges(rules.judges.least_kappa, sure, summary.manifest), "judges.least_kappa")


def _some(checks: Iterator[Check], rule: str) -> Iterator[Check]:
    """`checks`, or one that fails where there are none: the rule would look like a promise."""
    found = list(checks)
    yield from found or [Bound(rule=rule, unit="cases", side="at least", limit=1).untold(_NOTHING)]


def difference(good: Rate, bad: Rate) -> Interval:
    """`good` - `bad` of two groups of cases, from the intervals of each.

    The square-and-add interval: Newcombe 1998, "Interval estimation for the difference between independent
    proportions", Statistics in Medicine 17, method 10; Zou and Donner 2008 show it for any two intervals.
    """
    value = good.value - bad.value
    low = value - math.hypot(good.value - good.low, bad.high - bad.value)
    high = value + math.hypot(good.high - good.value, bad.value - bad.low)
    return Interval(value, low, high)


def _quality(rule: QualityRule, sure: bool, summary: Summary, beside: Beside) -> Iterator[Check]:
    if rule.least is not None:
        bound = Bound(rule="quality.least", side="at least", unit="share", limit=rule.least, sure=sure)
        rate = _rate(summary.overall, summary.manifest)
        yield bound.untold(_UNSCORED) if rate is None else bound.check(rate)
    if rule.need is not None:
        margin = summary.manifest.margin if rule.margin is None else rule.margin
        yield _needed(rule.need, margin, beside)


def _scorer(name: str, rule: ScorerRule, sure: bool, summary: Summary) -> Iterator[Check]:
    refused = summary.refusing.get(name)
    bounds = {
        "least": (rule.least, summary.overall.corrected.get(name) or summary.overall.scores.get(name)),
        "least_precision": (rule.least_precision, refused.precision if refused else None),
        "least_recall": (rule.least_recall, refused.recall if refused else None),
    }
    for what, (limit, rate) in bounds.items():
        if limit is not None:
            bound = Bound(rule=f"scorers.{what}", side="at least", unit="share", limit=limit, sure=sure, about=name)
            yield bound.untold(_UNTOLD) if rate is None else bound.check(rate)


def _needed(need: str, margin: float, beside: Beside) -> Check:
    """A statement of the comparison's own, with its own error rates: `sure` has no say in it."""
    limit = -margin if need == "not_worse" else 0.0
    bound = Bound(rule="quality.need", side="at least", unit="points", limit=limit)
    finding = None if isinstance(beside, str) else beside.overall.findings.get("quality")
    if finding is None:
        return bound.untold(beside if isinstance(beside, str) else _UNSCORED)
    passed = finding.verdict == BETTER or (need == "not_worse" and finding.verdict == NOT_WORSE)
    return bound.said(finding.change, passed, _sentence(need, finding))


def _sentence(need: str, finding: Finding) -> str:
    wanted = "must be better" if need == "better" else f"may be worse by {100 * finding.margin:.1f} points at most"
    more = f" {finding.more_needed:,} more cases are needed to tell." if finding.more_needed else ""
    return f"It {wanted}; beside the baseline it is: {finding.verdict}.{more}"


def _floors(floors: Mapping[str, float], sure: bool, summary: Summary) -> Iterator[Check]:
    by_name = {segment.name: segment for segment in summary.segments}
    for name, floor in floors.items():
        bound = Bound(
            rule="segments.floors", side="at least", unit="share", limit=floor, sure=sure, about=name, segment=name
        )
        rate = _rate(by_name[name], summary.manifest) if name in by_name else None
        if rate is None:
            yield bound.untold(
                "The run has no such segment, or scores no quality in it. Mend the rule or the suite."
            )
        else:
            yield bound.check(rate)


def _floor(rule: SegmentsRule, floor: float, sure: bool, summary: Summary) -> Iterator[Check]:
    for segment in summary.segments:
        rate = _rate(segment, summary.manifest)
        if rate is not None and segment.cases >= rule.at_least_cases and segment.name not in rule.floors:
            name = segment.name
            yield Bound(
                rule="segments.floor",
                side="at least",
                unit="share",
                limit=floor,
                sure=sure,
                about=name,
                segment=name,
            ).check(rate)


def _falls(rule: SegmentsRule, most: float, sure: bool, beside: Beside) -> Iterator[Check]:
    limit = -most
    if isinstance(beside, str):
        yield Bound(rule="segments.most_fall", side="at least", unit="points", limit=limit).untold(beside)
        return
    for part in beside.segments or [beside.overall]:  # where there is one segment, it is all there is
        finding = part.findings.get("quality")
        if finding is not None and part.cases >= rule.at_least_cases:
            yield Bound(
                rule="segments.most_fall",
                side="at least",
                unit="points",
                limit=limit,
                sure=sure,
                about=part.name if beside.segments else ALL_CASES,
                segment=part.name if beside.segments else "",
            ).check(finding.change)


def _gap(field: str, rule: GroupRule, sure: bool, summary: Summary) -> Check:
    """The widest gap between two groups: the estimates', or the one that may be widest where it must be sure."""
    name = f"groups.{field}.most_gap"
    unsaid = Bound(rule=name, side="at most", unit="points", limit=rule.most_gap, about=field)
    if field not in summary.groups:
        return unsaid.untold(f"The run does not tell groups of `{field}` apart: add it to the suite's `groups`.")
    rates = {
        group.name: rate
        for group in summary.groups[field]
        if group.cases >= rule.at_least_cases and (rate := _rate(group, summary.manifest)) is not None
    }
    if len(rates) < 2:
        few = f"{rule.at_least_cases:,} case{'' if rule.at_least_cases == 1 else 's'}"
        return unsaid.untold(f"There are no two groups with at least {few} that were scored.")
    gaps = {pair: difference(rates[pair[0]], rates[pair[1]]) for pair in permutations(rates, 2)}
    ends = {pair: gap.high if sure else gap.value for pair, gap in gaps.items()}
    good, bad = max(ends, key=ends.__getitem__)
    bound = Bound(
        rule=name,
        side="at most",
        unit="points",
        limit=rule.most_gap,
        sure=sure,
        about=f"{field}: {good} ahead of {bad}",
    )
    check = bound.check(gaps[good, bad])
    return check if check.passed else replace(check, group=f"{field}={bad}")


def _cost(rule: CostRule, sure: bool, overall: Figures, beside: Beside) -> Iterator[Check]:
    if (most := rule.most_usd_per_answer) is not None:
        bound = Bound(rule="cost.most_usd_per_answer", side="at most", unit="usd", limit=most, sure=sure)
        yield bound.untold(_UNPRICED) if overall.cost is None else bound.check(overall.cost)
    if rule.most_ratio is not None:
        bound = Bound(rule="cost.most_ratio", side="at most", unit="ratio", limit=rule.most_ratio, sure=sure)
        yield _ratio(bound, "cost", beside, _UNPRICED)


def _latency(rule: LatencyRule, sure: bool, overall: Figures, beside: Beside) -> Iterator[Check]:
    if (most := rule.most_p95_ms) is not None:
        bound = Bound(rule="latency.most_p95_ms", side="at most", unit="ms", limit=most, sure=sure)
        found = overall.latency_p95_ms
        yield bound.untold(_SILENT) if found is None else bound.check(found)
    if rule.most_p95_ratio is not None:
        bound = Bound(
            rule="latency.most_p95_ratio", side="at most", unit="ratio", limit=rule.most_p95_ratio, sure=sure
        )
        yield _ratio(bound, "latency", beside, _SILENT)


def _ratio(bound: Bound, outcome: Outcome, beside: Beside, unknown: str) -> Check:
    if isinstance(beside, str):
        return bound.untold(beside)
    finding = beside.overall.findings.get(outcome)
    return bound.untold(f"{unknown} It may be the baseline's.") if finding is None else bound.check(finding.change)


def _judges(least: float, sure: bool, manifest: Manifest) -> Iterator[Check]:
    for name, facts in manifest.scorers.items():
        if not facts.model:
            continue
        found = manifest.calibrations.get(name)
        bound = Bound(
            rule="judges.least_kappa", side="at least", unit="kappa", limit=least, sure=sure, about=f"judge {name}"
        )
        if found is None or found.version != facts.version:
            yield bound.untold(
                "As it is set up now, this judge was never held against people: `weir eval calibrate`."
            )
        else:
            yield bound.check(Interval(found.kappa, found.kappa_low, found.kappa_high))


def _rate(figures: Figures, manifest: Manifest) -> Rate | None:
    """Its quality; None where no case could be judged."""
    name = manifest.quality
    return figures.corrected.get(name) or figures.scores.get(name)
