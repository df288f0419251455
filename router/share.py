"""Keeps the share of traffic, or of spend, that goes to the strong model at what is wanted, without labels.

The non-obvious decision: what a score is compared with is not a threshold but a rank among recent scores, and the
rank that is let through is the wanted share plus what past decisions still owe. Scores may drift, bunch up or
change their scale altogether: the debt stays within about `horizon` requests, so the realised share nears what is
wanted.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterable

WINDOW = 512
"""Recent scores that a new one is ranked among: some 20 kB, and ranks within two hundredths."""
HORIZON = 40.0
"""Requests within which a debt is to be paid. Streams of 200 requests then end within .03 of what was wanted (see
benchmarks/routing.py, which measures it on forty); a longer one bends the order of scores less."""

_TURN = (math.sqrt(5) - 1) / 2
"""Multiples of it, less their whole part, fill the span from 0 to 1 evenly: how equal scores take turns."""


class Scores:
    """The last `most` scores of one kind, and where a new one would stand among them."""

    def __init__(self, most: int, scores: Iterable[float] = ()) -> None:
        self._most = most
        self.recent: deque[float] = deque(scores)
        self._ranked = sorted(self.recent)

    def __len__(self) -> int:
        return len(self._ranked)

    def rank(self, score: float, turn: float) -> float:
        """The share of recent scores that are higher, 0..1; equal ones count in part, by whose turn it is."""
        if not self._ranked:
            return turn
        below = bisect_left(self._ranked, score)
        upto = bisect_right(self._ranked, score)
        higher, equal = len(self._ranked) - upto, upto - below
        return (higher + turn * (equal + 1)) / (len(self._ranked) + 1)

    def at(self, share: float) -> float:
        """The score that `share` of the recent ones reach; infinite beyond the ends, 0 where there are none."""
        if not self._ranked:
            return 0.0
        place = math.ceil((1 - share) * (len(self._ranked) + 1)) - 1
        if place < 0:
            return -math.inf
        return self._ranked[place] if place < len(self._ranked) else math.inf

    def add(self, score: float) -> None:
        score = max(-1e300, min(1e300, score))
        if len(self.recent) >= self._most:
            self._ranked.pop(bisect_left(self._ranked, self.recent.popleft()))
        self.recent.append(score)
        insort(self._ranked, score)


class ShareController:
    """Says of each request by its score whether it goes to the strong model. Memory: twice `window` numbers.

    Scores of answers that were checked have ranks of their own: they mean something else than forecasts, so that
    among those all of them would look high, or low.
    """

    def __init__(
        self,
        wanted: float,
        expected: Iterable[float] = (),
        *,
        window: int = WINDOW,
        horizon: float = HORIZON,
    ) -> None:
        """`wanted`: 0..1. `expected`: scores to start from, as of training; at most `window` of them are kept.

        Raises ValueError for a share outside 0..1, and for a window or horizon below 1.
        """
        if not 0 <= wanted <= 1:
            raise ValueError(f"the wanted share is {wanted}, which is not in 0..1")
        if window < 1 or horizon < 1:
            raise ValueError("the window and the horizon are at least 1")
        self.wanted = wanted
        self._window = window
        self._horizon = horizon
        self._forecasts = Scores(window, _evenly(expected, window))
        self._checked = Scores(window)
        self._seen = 0
        self._owed = 0.0

    @property
    def owed(self) -> float:
        """How much weight the strong model should have got beyond what it got; below zero: it got too much."""
        return self._owed

    def decide(self, score: float, weight: float = 1.0, *, checked: bool = False) -> bool:
        """Whether the strong model answers. `score`: the more it gains, the higher; any scale.

        `weight`: what this request counts for, as what the strong model would cost, so that the share is one of
        spend; in units of the usual request. A score or weight that is no number counts as the usual one.
        `checked`: the score is of an answer that is there, and not a forecast.
        """
        weight = weight if 0 <= weight < math.inf else 1.0
        scores = self._checked if checked else self._forecasts
        self._seen += 1
        turn = self._seen * _TURN % 1.0
        allowed = self.wanted + (self._owed + self.wanted * weight) / self._horizon if 0 < self.wanted < 1 else 0.0
        strong = self.wanted == 1 or (turn if math.isnan(score) else scores.rank(score, turn)) < allowed
        self._owe(weight * (self.wanted - strong))
        if not math.isnan(score):
            scores.add(score)
        return strong

    def expect(self, scores: Iterable[float]) -> None:
        """Start from `scores`, as of training. Nothing is changed once a request was decided."""
        if not self._seen:
            self._forecasts = Scores(self._window, _evenly(scores, self._window))

    def threshold(self, *, checked: bool = False) -> float:
        """The score from which the strong model would answer the next request, of the usual weight.

        Infinite where none would, minus infinite where each would. Nothing is counted.
        """
        if not 0 < self.wanted < 1:
            return -math.inf if self.wanted == 1 else math.inf
        allowed = self.wanted + (self._owed + self.wanted) / self._horizon
        return (self._checked if checked else self._forecasts).at(allowed)

    def count(self, strong: bool, weight: float = 1.0) -> None:
        """A request was answered without having been decided here: by the strong model, or not."""
        self._owe(weight * (self.wanted - strong))

    def correct(self, strong: bool, weight: float = 1.0) -> None:
        """A decision was carried out the other way round: the strong model answered after all, or did not."""
        self._owe(weight * (-1 if strong else 1))

    def _owe(self, more: float) -> None:
        """A debt beyond the horizon is let go: a model that was down for an hour is not made up for by a flood."""
        self._owed = max(-self._horizon, min(self._horizon, self._owed + more))


def _evenly(scores: Iterable[float], most: int) -> list[float]:
    """At most `most` of `scores`, as quantiles, in an order in which the oldest half has all parts of the range."""
    known = sorted(max(-1e300, min(1e300, score)) for score in scores if not math.isnan(score))
    if len(known) > most:
        known = [known[(2 * place + 1) * len(known) // (2 * most)] for place in range(most)]
    by_turn = sorted(range(len(known)), key=lambda place: place * _TURN % 1.0)
    return [known[place] for place in by_turn]
