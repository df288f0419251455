"""What a soak comes to: how fast memory grew, whether every request was answered and billed as it should be.

Everything here is computed from counts and samples; nothing is measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, floor, sqrt
from statistics import median
from typing import Any

from benchmarks.soak_traffic import KINDS, Kind
from benchmarks.targets import Target, below

_SPANS = 24
_PER = 100_000
_Z95 = 1.96


@dataclass(frozen=True)
class Sample:
    """Weir at one moment. `rss_mb` is that of its largest process, `pss_mb` that of all of them."""

    at_s: float
    requests: int
    rss_mb: float
    pss_mb: float
    sockets: int
    tasks: int


@dataclass(frozen=True)
class Slope:
    """MB per 100,000 requests, with the bounds of a 95 % interval."""

    middle: float
    low: float
    high: float


def outcomes(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """Answers by kind, then by outcome, in the order of KINDS."""
    told: dict[str, dict[str, int]] = {kind.name: {} for kind in KINDS}
    for (kind, outcome), count in sorted(counts.items()):
        told[kind][outcome] = count
    return told


def unexpected(counts: Mapping[tuple[str, str], int], kinds: Sequence[Kind] = KINDS) -> list[str]:
    """Outcomes that their kind did not ask for."""
    expected = {kind.name: kind.expected for kind in kinds}
    return [
        f"{kind}: {count} times {outcome}"
        for (kind, outcome), count in sorted(counts.items())
        if outcome not in expected[kind]
    ]


def due(counts: Mapping[tuple[str, str], int], kinds: Sequence[Kind] = KINDS) -> dict[str, int]:
    """Usage events that there must be, by route: one for each request that was let in."""
    totals: Counter[str] = Counter()
    for (kind, _), count in counts.items():
        totals[kind] += count
    return {kind.name: totals[kind.name] for kind in kinds if kind.models and kind.certain}


def miscounted(
    counts: Mapping[tuple[str, str], int], events: Mapping[str, int], kinds: Sequence[Kind] = KINDS
) -> list[str]:
    """Routes whose usage events are not as many as their requests, or more where some may not have got in."""
    wrong = [
        f"{route}: {events.get(route, 0)} usage events for {requests} requests"
        for route, requests in due(counts, kinds).items()
        if events.get(route, 0) != requests
    ]
    for kind in kinds:
        most = sum(count for (name, _), count in counts.items() if name == kind.name)
        if kind.models and not kind.certain and events.get(kind.name, 0) > most:
            wrong.append(f"{kind.name}: {events[kind.name]} usage events for {most} requests")
    return wrong


def left_over(before: Sample, after: Sample) -> list[str]:
    """What is more at rest than it was."""
    return [
        f"{then} {what} before, {now} after"
        for what, then, now in (
            ("sockets", before.sockets, after.sockets),
            ("tasks", before.tasks, after.tasks),
        )
        if now > then
    ]


def logged(log: str) -> list[str]:
    """Errors in Weir's log: how many, and the first of them."""
    found = [line for line in log.splitlines() if " ERROR " in line or line.startswith("Traceback")]
    return [f"{len(found)} errors in the log, the first: {found[0]}"] if found else []


def slope(points: Sequence[tuple[float, float]]) -> Slope:
    """Theil and Sen's slope of MB over requests: the median of the slopes between any two spans' medians.

    Spans of samples stand in for the samples, since neighbouring ones resemble each other too much for the
    interval, which takes errors as independent. P. K. Sen, 1968, doi:10.1080/01621459.1968.10480934, section 3.
    """
    size = max(1, ceil(len(points) / _SPANS))
    spans = [points[start : start + size] for start in range(0, len(points), size)]
    middles = [(median(x for x, _ in span), median(y for _, y in span)) for span in spans]
    slopes = sorted((y2 - y1) / (x2 - x1) * _PER for (x1, y1), (x2, y2) in combinations(middles, 2) if x2 > x1)
    if not slopes:
        raise ValueError("two samples with different numbers of requests are needed")
    count, n = len(slopes), len(middles)
    reach = _Z95 * sqrt(n * (n - 1) * (2 * n + 5) / 18)
    low, high = floor((count - reach) / 2), ceil((count + reach) / 2)
    return Slope(median(slopes), slopes[max(0, low)], slopes[min(count - 1, high)])


def sparkline(samples: Sequence[Sample]) -> str:
    """RSS over time, from its least to its most."""
    values = [sample.rss_mb for sample in samples[:: max(1, len(samples) // 60)]]
    least, span = min(values), max(values) - min(values) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[min(7, int((value - least) / span * 8))] for value in values)


def targets(results: list[dict[str, Any]]) -> list[Target]:
    (result,) = results
    middle = result["slope_mb_per_100k"]["rss_mb"][0]
    return [below("Growth of RSS per 100,000 requests", middle, 1, "MB")]


def markdown(results: list[dict[str, Any]]) -> str:
    """What was measured, what was asked, and what went wrong."""
    (result,) = results
    before, warm, after, most = (result[when] for when in ("before", "warm", "after", "most"))
    rss, pss = result["slope_mb_per_100k"]["rss_mb"], result["slope_mb_per_100k"]["pss_mb"]
    rows = [
        ("requests", f"{result['requests']:,} in {result['seconds']:,.0f} s, after {result['warm_up_requests']:,}"),
        (
            "RSS before the warm-up, after it, at the end",
            "{} MB, {} MB, {} MB".format(*(when["rss_mb"] for when in (before, warm, after))),
        ),
        ("RSS per 100,000 requests", "{:+.2f} MB ({:+.2f} to {:+.2f})".format(*rss)),
        ("PSS of all processes, the same", "{:+.2f} MB ({:+.2f} to {:+.2f})".format(*pss)),
        ("open sockets before, at most, after", f"{before['sockets']}, {most['sockets']}, {after['sockets']}"),
        ("asyncio tasks before, at most, after", f"{before['tasks']}, {most['tasks']}, {after['tasks']}"),
        ("usage events due, found", f"{result['events']['due']:,}, {result['events']['found']:,}"),
        ("reloads, refused", f"{result['reloads']['asked_for']}, {result['reloads']['refused']}"),
    ]
    answers = [
        (kind, ", ".join(f"{count:,} x {outcome}" for outcome, count in told.items()) or "-")
        for kind, told in result["outcomes"].items()
    ]
    found = [f"- **{problem}**" for problem in result["problems"]] or ["Nothing went wrong that was not asked to."]
    return "\n".join(
        [_table(("what", "measured"), rows), "", _table(("kind of request", "answers"), answers), "", *found]
    )


def _table(heads: tuple[str, str], rows: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"| {left} | {right} |" for left, right in (heads, ("---", "---"), *rows))
