"""The goals of routes at work: what each makes of predictions, before an answer is there and after.

The non-obvious decision: a share or a spend is held by one controller for both. What is unsure is counted only once
its cheap answer has been judged, so that escalations are part of the share that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec.structs import replace

from router.choice.goals import Option, Pick, best_at, by_floor, by_price, rival, saved
from router.choice.options import reference_of
from router.share import ShareController

_WEIGHT = 0.01
"""Of the newest request in running means of cost: about the last two hundred count."""


_MOST = 10.0
"""Times the whole of quality: a price at which nothing is bought, and below zero, one at which everything is."""


class Aim(Protocol):
    """A route's goal. `dry`: nothing is counted, somebody only wants to know."""

    def pick(
        self, options: Sequence[Option], reference: Option, *, sureness: float, checks: bool, dry: bool
    ) -> Pick: ...

    def expect(self, usual: Sequence[Sequence[Option]], reference: str) -> None:
        """What is usual, told before the first request: the options of some queries."""

    def verdict(
        self, options: Sequence[Option], reference: Option, drafted: Option, good: float
    ) -> tuple[float, bool]:
        """Of an answer that is `good` enough with that probability: what is needed, and whether it falls short."""

    def answered(self, reference: bool, counted: bool | None) -> None:
        """Whether the reference answered in the end; `counted` is what `pick` or `verdict` expected, if so."""


class FloorAim:
    """The cheapest candidate that is good enough with a probability of `floor`."""

    def __init__(self, floor: float) -> None:
        self._floor = floor

    def pick(
        self, options: Sequence[Option], reference: Option, *, sureness: float, checks: bool, dry: bool
    ) -> Pick:
        return by_floor(options, reference, self._floor, sureness, checks)

    def expect(self, usual: Sequence[Sequence[Option]], reference: str) -> None:
        """Each request is decided for itself."""

    def verdict(
        self, options: Sequence[Option], reference: Option, drafted: Option, good: float
    ) -> tuple[float, bool]:
        return self._floor, good < self._floor

    def answered(self, reference: bool, counted: bool | None) -> None:
        """Each request is decided for itself."""


class KnobAim:
    """`price` is the gain in quality for which the reference is worth its full cost."""

    def __init__(self, knob: float) -> None:
        self._price = 1 - knob
        self._wanted = f"a knob of {knob:g}"

    def pick(
        self, options: Sequence[Option], reference: Option, *, sureness: float, checks: bool, dry: bool
    ) -> Pick:
        return by_price(options, reference, self._price, sureness, checks, self._wanted)

    def expect(self, usual: Sequence[Sequence[Option]], reference: str) -> None:
        """Each request is decided for itself."""

    def verdict(
        self, options: Sequence[Option], reference: Option, drafted: Option, good: float
    ) -> tuple[float, bool]:
        needed = reference.quality - self._price * saved(reference, drafted)
        return needed, good < needed

    def answered(self, reference: bool, counted: bool | None) -> None:
        """Each request is decided for itself."""


class ShareAim:
    """The reference answers a share of requests, those where it gains most for its cost."""

    def __init__(self, controller: ShareController) -> None:
        self._controller = controller

    def pick(
        self, options: Sequence[Option], reference: Option, *, sureness: float, checks: bool, dry: bool
    ) -> Pick:
        self._steer(options, reference)
        price, wanted = self._price(), self._wanted
        pick = by_price(options, reference, price, sureness, checks, wanted)
        found = rival(options, reference)
        if pick.outlook == "unsure" or dry:
            return pick
        if found is None:
            self._controller.count(True)
            return pick
        if self._controller.decide(found[1]) == (pick.option is reference):
            return pick
        # Equal predictions take turns, which no threshold tells.
        if pick.option is reference:
            cheap = best_at(options, reference, price)
            return replace(pick, option=cheap, outlook="local", reason=f"its turn among equals, at {wanted}")
        return replace(pick, option=reference, outlook="hosted", reason=f"its turn among equals, at {wanted}")

    def expect(self, usual: Sequence[Sequence[Option]], reference: str) -> None:
        found = [rival(options, reference_of(options, reference)) for options in usual]
        self._controller.expect(each[1] for each in found if each is not None)

    def verdict(
        self, options: Sequence[Option], reference: Option, drafted: Option, good: float
    ) -> tuple[float, bool]:
        worth = saved(reference, drafted)
        needed = reference.quality - self._price(checked=True) * worth
        return needed, self._controller.decide((reference.quality - good) / worth, checked=True)

    def answered(self, reference: bool, counted: bool | None) -> None:
        if counted is None:
            self._controller.count(reference)
        elif counted != reference:  # the one that was decided for could not answer
            self._controller.correct(reference)

    def _price(self, *, checked: bool = False) -> float:
        """The gain from which the reference answers, for its full cost; none is worth more than `_MOST`."""
        return min(_MOST, max(-_MOST, self._controller.threshold(checked=checked)))

    @property
    def _wanted(self) -> str:
        return f"a share of {self._controller.wanted:.2f}"

    def _steer(self, options: Sequence[Option], reference: Option) -> None:
        """A share stays what it is."""


class SpendAim(ShareAim):
    """Requests cost `spend` dollars on average: the share that this allows, by what candidates would cost."""

    def __init__(self, controller: ShareController, spend: float) -> None:
        super().__init__(controller)
        self._spend = spend
        self._dear = self._cheap = 0.0

    @property
    def _wanted(self) -> str:
        return f"${self._spend:g} a request"

    def _steer(self, options: Sequence[Option], reference: Option) -> None:
        cheapest = min(option.cost for option in options)
        weight = _WEIGHT if self._dear else 1.0
        self._dear += weight * (reference.cost - self._dear)
        self._cheap += weight * (cheapest - self._cheap)
        span = self._dear - self._cheap
        share = (self._spend - self._cheap) / span if span > 0 else 1.0
        self._controller.wanted = min(1.0, max(0.0, share))
