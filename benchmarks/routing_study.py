"""What routers learn from one folder and say of the queries of another, or of the folds that they have not seen.

The non-obvious decision: there is one recipe for all pairs, the one that ships; nothing is chosen for a pair. What
is scored is the head as it serves, a query at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.routing_data import FOLDS, STRONG, WEAK, Pair, Vectors, outcomes_of
from distill.prior import Source, learn_prior
from distill.quality import Learned, QualitySettings, learn
from heads.prior import Prior
from heads.quality import QualityHead

Row = NDArray[np.float64]
Step = Callable[[str], object]

MIX_TRAIN, MIX_TEST = 900, 300
"""Queries of each pair in the mix: of the folder that is cut into folds, of a test folder."""
_MOST_UNKNOWN = 2500
"""Queries of each of nine pairs that are learned from for the tenth: so that it takes minutes, and not hours."""
_SETTINGS = QualitySettings(models=(STRONG, WEAK), reference=STRONG)


class Scored(Struct, frozen=True):
    """A test pair in the order of `pair.queries`: what each query is expected to gain, and the weak's quality.

    `streams`: for each learner its cross-fitted gains on what it learned from, and the places that it scored.
    """

    pair: Pair
    gains: Row
    weak: Row
    streams: Sequence[tuple[Row, NDArray[np.intp]]]


class Splits(Struct, frozen=True):
    """Pairs to learn from and to judge on, in turn; one turn where they are of two folders, else one a fold."""

    train: Sequence[Pair]
    test: Sequence[Pair]
    folds: bool

    @classmethod
    def of(cls, train: Sequence[Pair], test: Sequence[Pair] | None) -> Splits:
        return cls(train, train if test is None else test, test is None)

    @property
    def mix_size(self) -> int:
        return MIX_TRAIN if self.folds else MIX_TEST

    def learned_from(self, pair: Pair, turn: int) -> Pair:
        return pair.where(query.fold != turn for query in pair.queries) if self.folds else pair

    def judged(self, pair: Pair, turn: int) -> NDArray[np.intp]:
        if not self.folds:
            return np.arange(len(pair.queries))
        return np.flatnonzero([query.fold == turn for query in pair.queries])

    @property
    def turns(self) -> range:
        return range(FOLDS if self.folds else 1)


def known(splits: Splits, place: int, vectors: Vectors) -> Scored:
    """One pair by itself."""
    test = splits.test[place]
    gains, weak = np.zeros(len(test.queries)), np.zeros(len(test.queries))
    streams = []
    for turn in splits.turns:
        learned = learn(outcomes_of(splits.learned_from(splits.train[place], turn)), vectors, _SETTINGS)
        places = splits.judged(test, turn)
        gains[places], weak[places] = _said(learned.head, test, places, vectors)
        streams.append((learned.gains(STRONG, WEAK), places))
    return Scored(test, gains, weak, streams)


def mixed(splits: Splits, vectors: Vectors, step: Step) -> tuple[list[Scored], QualityHead]:
    """All pairs as one traffic, by one router; and the last of the routers."""
    tests = [pair.first(splits.mix_size) for pair in splits.test]
    gains = [np.zeros(len(pair.queries)) for pair in tests]
    weak = [np.zeros(len(pair.queries)) for pair in tests]
    head: QualityHead | None = None
    for turn in splits.turns:
        step(f"the mix, turn {turn + 1} of {len(splits.turns)}")
        head = _of_all([splits.learned_from(pair, turn) for pair in splits.train], vectors).head
        for pair, some, level in zip(tests, gains, weak, strict=True):
            places = splits.judged(pair, turn)
            some[places], level[places] = _said(head, pair, places, vectors)
    assert head is not None
    return [Scored(pair, some, level, []) for pair, some, level in zip(tests, gains, weak, strict=True)], head


def unknown(splits: Splits, place: int, vectors: Vectors) -> Scored:
    """One pair by what was learned from the nine others; no question of it is among what is learned from."""
    test = splits.test[place]
    stems = {query.stem for query in test.queries}
    others = [
        pair.where(query.stem not in stems for query in pair.queries).first(_MOST_UNKNOWN)
        for other, pair in enumerate(splits.train)
        if other != place
    ]
    prior = prior_of(others, vectors)
    learned = learn([o for pair in others for o in outcomes_of(pair)], vectors, _SETTINGS, prior=prior)
    gains, weak = _said(learned.head, test, np.arange(len(test.queries)), vectors)
    return Scored(test, gains, weak, [])


def prior_of(pairs: Sequence[Pair], vectors: Vectors) -> Prior:
    """What carries over from `pairs` to another one."""
    sources = []
    for pair in pairs:
        weak, strong = pair.rows()
        texts = [query.text for query in pair.queries]
        sources.append(Source(pair.name, texts, np.array([vectors[text] for text in texts]), strong - weak))
    return learn_prior(sources)


def _of_all(pairs: Sequence[Pair], vectors: Vectors) -> Learned:
    """Large pairs count for more than small ones, but not by as much as they are larger."""
    outcomes = [
        outcome for pair in pairs for outcome in outcomes_of(pair, min(1.0, (MIX_TRAIN / len(pair.queries)) ** 0.5))
    ]
    return learn(outcomes, vectors, _SETTINGS)


def _said(head: QualityHead, pair: Pair, places: NDArray[np.intp], vectors: Vectors) -> tuple[Row, Row]:
    forecasts = [
        head.forecast(pair.queries[place].text, vectors[pair.queries[place].text]) for place in places.tolist()
    ]
    gains = np.array([forecast.gain(STRONG, WEAK) for forecast in forecasts])
    return gains, np.array([forecast.quality(WEAK) for forecast in forecasts])
