"""What a reader of the return on investment must know, and what to do next."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ledger.reports.bootstrap import DRAWS, LEAST_CLUSTERS, MOST_GROUPS
from ledger.reports.roi_cases import days_of
from ledger.reports.saving import RouteSaving, Savings
from ledger.reports.what_if import DEFINITIONS, Stated

FEW_DAYS = 28
_NOTICEABLE = 1.96  # standard errors: one in twenty by chance


def notes_of(savings: Savings, stated: Stated) -> list[str]:
    notes = [
        "Saved = the requests that went the usual way x (mean cost of the dear way - mean cost of the usual way). "
        "Lots decide which way a request goes; the dear way is the route's reference, past the cache. All requests "
        "count, failed ones too. What measuring costs is out of the saving already: see the balance.",
        f"Intervals: {savings.confidence:.0%}, percentile bootstrap over conversations ({DRAWS:,} draws, fixed "
        f"seed), widened for few clusters; a route with fewer than {LEAST_CLUSTERS} effective conversations in an "
        "arm is not judged. A conversation without a name is its request.",
        "Conservative, measured and optimistic: the interval's lower end, its middle, its upper end.",
        *DEFINITIONS,
    ]
    days = days_of(savings)
    if savings.gone_before is not None:
        notes.append(
            f"Single events before {savings.gone_before:%Y-%m-%d} were deleted (ledger.keep_events_days): nothing "
            "is counted of that time."
        )
    if savings.total is not None and days < FEW_DAYS:
        notes.append(f"Annual figures are extrapolated from {days:f} days; a month or more would say more.")
    if any(route.grouped for route in savings.routes):
        notes.append(
            f"Where there were more than {MOST_GROUPS:,} conversations, they were put together at random in as "
            "many groups, and groups were drawn instead."
        )
    if not stated.hours:
        notes.append("No implementation cost was stated (--hours and --hourly-rate), so there is no ROI.")
    return notes + [note for route in savings.routes for note in _about(route)]


def _about(route: RouteSaving) -> list[str]:
    """What a reader must know of one route."""
    notes = []
    if route.drawn and route.saving is None:
        notes.append(
            f"Route {route.route}: not enough for an interval. Its smaller arm is worth {route.effective:.1f} "
            f"equal conversations, and {LEAST_CLUSTERS} are needed; no saving is stated."
        )
    if route.drawn and route.undrawn:
        notes.append(
            f"Route {route.route}: {route.undrawn:,} of its requests drew no lot, such as those from before lots "
            "were drawn. What they saved is not counted; what optimising cost meanwhile is. Narrow it with --since."
        )
    if _failures_differ(route):
        notes.append(
            f"Route {route.route}: {route.dear.failed_share:.1%} of requests failed the dear way and "
            f"{route.usual.failed_share:.1%} the usual way. Failures cost little, so the saving is off by about "
            "as much."
        )
    return notes


def _failures_differ(route: RouteSaving) -> bool:
    """More than chance explains: the usual test of two shares, which takes requests for independent."""
    usual, dear = route.usual, route.dear
    if not usual.requests or not dear.requests:
        return False
    pooled = (usual.failed + dear.failed) / (usual.requests + dear.requests)
    error = math.sqrt(pooled * (1 - pooled) * (1 / usual.requests + 1 / dear.requests))
    return error > 0 and abs(usual.failed_share - dear.failed_share) > _NOTICEABLE * error


def next_steps_of(savings: Savings, drawing: Mapping[str, bool]) -> list[str]:
    seen = {route.route: route for route in savings.routes}
    steps = []
    for name, drawn in drawing.items():
        route = seen.get(name)
        if not drawn and route is not None:
            steps.append(f"Turn on routes.{name}.counterfactual: what it saves is not measured.")
        elif drawn and route is not None and route.drawn and route.saving is None:
            steps.append(f"Wait, or raise routes.{name}.counterfactual.share: too few requests went the dear way.")
    return steps
