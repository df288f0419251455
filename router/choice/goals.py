"""What a route wants, and which candidate serves it best: arithmetic on predictions, nothing else.

An option's cost is a share of what the dearest option would cost, so that prices of any size compare. The
non-obvious decision: every goal but the floor is one exchange rate, `price`: how much expected quality must be
gained to pay the full cost of the reference. A knob states it; a share or a spend is held by moving it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from contracts.records import Outlook


class Option(Struct, frozen=True, kw_only=True):
    """A candidate with what is predicted of it. `quality` is a probability, `deviation` its standard error.

    `cost` is in dollars, `latency_ms` the 95th percentile; None where too little was seen.
    """

    model: str
    quality: float
    deviation: float
    cost: float
    latency_ms: float | None = None
    stay: float = 0.0
    """What it is worth, in quality, that it has the conversation already."""

    @property
    def worth(self) -> float:
        """What it is weighed by."""
        return self.quality + self.stay


class Bounds(Struct, frozen=True, kw_only=True):
    """What no choice may exceed, where another one keeps it: dollars of a request, milliseconds of its P95."""

    max_cost: float | None = None
    max_p95_ms: float | None = None


class Pick(Struct, frozen=True, kw_only=True):
    """The chosen option. `outlook` as in a Decision; `otherwise` says what would have changed it."""

    option: Option
    outlook: Outlook
    reason: str
    otherwise: str = ""


_LEAST_SAVED = 1e-9
Sureness = float
"""Standard errors by which a prediction must clear its mark to count as sure."""


def within(options: Sequence[Option], bounds: Bounds) -> tuple[list[Option], dict[str, str]]:
    """Those that keep the bounds, and why the others do not. Where none does: the one that comes nearest."""
    excess = {option.model: _excess(option, bounds) for option in options}
    kept = [option for option in options if not excess[option.model]]
    if kept:
        return kept, {model: why for model, why in excess.items() if why}
    cheapest = min(options, key=lambda option: (option.cost, option.latency_ms or 0.0))
    return [cheapest], {model: why for model, why in excess.items() if model != cheapest.model}


def _excess(option: Option, bounds: Bounds) -> str:
    if bounds.max_cost is not None and option.cost > bounds.max_cost:
        return f"it would cost about ${option.cost:.6f}, more than ${bounds.max_cost:g}"
    if bounds.max_p95_ms is not None and option.latency_ms is not None and option.latency_ms > bounds.max_p95_ms:
        return f"its slowest answers take {option.latency_ms:.0f} ms, more than {bounds.max_p95_ms:g}"
    return ""


def by_floor(options: Sequence[Option], reference: Option, floor: float, sureness: Sureness, checks: bool) -> Pick:
    """The cheapest option that surely reaches `floor`; where none does and `checks`, one that may; else the
    reference.
    """
    cheap = sorted((option for option in options if option.cost < reference.cost), key=lambda option: option.cost)
    for option in cheap:
        if option.worth - sureness * option.deviation >= floor:
            return Pick(
                option=option,
                outlook="local",
                reason=f"the cheapest that is predicted to reach {floor:g}: {_predicted(option)}",
                otherwise=f"a floor above {option.worth - sureness * option.deviation:.3f}",
            )
    hopeful = [option for option in cheap if option.worth + sureness * option.deviation >= floor]
    if hopeful and checks:
        return Pick(
            option=hopeful[0],
            outlook="unsure",
            reason=f"it may reach {floor:g}: {_predicted(hopeful[0])}; its answer is checked",
            otherwise=_lower_floor(cheap, sureness),
        )
    return Pick(
        option=reference,
        outlook="hosted",
        reason=f"nothing cheaper is predicted to reach {floor:g}",
        otherwise=_lower_floor(cheap, sureness),
    )


def _lower_floor(cheap: Sequence[Option], sureness: Sureness) -> str:
    if not cheap:
        return "a cheaper candidate"
    best = max(cheap, key=lambda option: option.worth - sureness * option.deviation)
    return f"a floor of {max(0.0, best.worth - sureness * best.deviation):.3f} or less, for {best.model}"


def rival(options: Sequence[Option], reference: Option) -> tuple[Option, float, float] | None:
    """The cheaper option that is hardest to beat, the exchange rate at which the reference just beats it, and the
    standard error of that rate. None where nothing is cheaper.

    The rate is the smallest gain in quality over each cheaper option, for the cost that is saved with it.
    """
    cheaper = [option for option in options if option.cost < reference.cost]
    if not cheaper:
        return None
    rated = [(_rate(reference, option), option) for option in cheaper]
    rate, option = min(rated, key=lambda pair: pair[0])
    return option, rate, option.deviation / saved(reference, option)


def _rate(reference: Option, option: Option) -> float:
    return (reference.worth - option.worth) / saved(reference, option)


def saved(reference: Option, option: Option) -> float:
    """The share of the reference's cost that is saved with an option; never quite nothing."""
    return max(_LEAST_SAVED, 1 - option.cost / reference.cost) if reference.cost > 0 else _LEAST_SAVED


def by_price(
    options: Sequence[Option], reference: Option, price: float, sureness: Sureness, checks: bool, wanted: str
) -> Pick:
    """The reference where the gain is worth `price`, else the option with the most quality for its cost.

    Where the two are too close to call and `checks`, the cheaper one answers and is checked. `wanted` is the goal,
    in words.
    """
    found = rival(options, reference)
    if found is None:
        return Pick(option=reference, outlook="hosted", reason="nothing cheaper can answer")
    hardest, rate, deviation = found
    best = best_at(options, reference, price) if rate < price else reference
    told = f"a gain of {reference.worth - hardest.worth:+.3f} over {hardest.model}"
    turning = f"a price of {rate:.3f} in place of {price:.3f}"
    if checks and abs(rate - price) < sureness * deviation:
        cheap = best if best is not reference else hardest
        return Pick(
            option=cheap,
            outlook="unsure",
            reason=f"{told} is too close to {wanted} to call; its answer is checked",
            otherwise=turning,
        )
    if best is reference:
        return Pick(
            option=reference, outlook="hosted", reason=f"{told} is worth its cost at {wanted}", otherwise=turning
        )
    return Pick(option=best, outlook="local", reason=f"{told} is not worth its cost at {wanted}", otherwise=turning)


def best_at(options: Sequence[Option], reference: Option, price: float) -> Option:
    """Of the options cheaper than the reference, the one with the most quality left after its cost at `price`."""
    cheaper = [option for option in options if option.cost < reference.cost]
    if price == math.inf:  # a share of nought: only cost counts
        return min(cheaper, key=lambda option: (option.cost, -option.worth))
    return max(cheaper, key=lambda option: option.worth - price * option.cost / reference.cost)


def _predicted(option: Option) -> str:
    return f"{option.quality:.3f} ± {option.deviation:.3f}"
