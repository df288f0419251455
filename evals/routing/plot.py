"""Quality against cost as an SVG file: each policy's curve, each model and each choice as a point."""

from __future__ import annotations

from evals import curve_plot
from evals.routing.replay import Replay, Replayed


def svg(replayed: Replay) -> str:
    """The text of an SVG file. Where costs are not known, the share of the reference stands for them."""
    known = replayed.costs_known
    return curve_plot.svg(
        replayed.curves,
        {one.policy: (_cost(one, known), one.quality.value) for one in replayed.policies},
        across="dollars a query" if known else f"share of queries that {replayed.reference} answers",
        up="mean quality",
    )


def _cost(one: Replayed, known: bool) -> float:
    return one.cost.value if known and one.cost else one.reference_share
