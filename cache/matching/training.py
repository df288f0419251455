"""Teaches a verifier from labelled pairs of questions: offline, and alone in needing lightgbm.

The non-obvious decision: two stages. A linear model first learns of each word how much it harms where only one of
two questions has it; the trees get its sums as features. Both are cross-fitted: a pair's harms, and the score by
which thresholds are chosen, come from models that saw no pair of its group, nor harms learned from one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from cache.matching.features import NAMES, Profile, features, profile
from cache.matching.verifier import Meanings, Verifier
from cache.matching.words import BUCKETS, Lexicon, bucket
from heads.trees import Trees

FOLDS = 5
_HARMS = tuple(NAMES.index(f"{name}_{side}") for side in ("query", "stored") for name in ("harm", "worst"))
_BESIDE = tuple(
    NAMES.index(name) for name in ("cosine", "dice_weighted", "grams", "numbers_query", "denials_differ")
)
"""Features that stand beside the words in the linear model, so that words need not say what these do."""

_FALLS_WITH = (
    *(f"{name}_{side}" for name in ("numbers", "dates", "codes", "capitals") for side in ("query", "stored")),
    *("denials_differ", "opposites", "role_conflicts", "role_swaps"),
)
_RISES_WITH = tuple(f"{name}_{side}" for name in ("harm", "worst") for side in ("query", "stored"))
"""More of the first never makes a pair likelier, nor more of the second less likely, whatever a few labels say."""

_LIGHTGBM: dict[str, Any] = {
    "monotone_constraints": [(name in _RISES_WITH) - (name in _FALLS_WITH) for name in NAMES],
    "objective": "binary",
    "num_leaves": 16,
    "learning_rate": 0.07,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 1,
    "verbose": -1,
}


class Labelled(Struct, frozen=True, kw_only=True):
    """A stored question that was near a new one, and whether its answer fits."""

    query: str
    stored: str
    right: bool
    similarity: float
    group: str
    """Pairs of one group are learned from, or judged, together: the answer class of the query."""
    source: str = ""
    weight: float = 1.0


class Trained(Struct, frozen=True):
    """A verifier, and for each pair the probability that models gave it which had not seen its group."""

    verifier: Verifier
    scores: NDArray[np.float64]


def neighbours(
    vectors: NDArray[np.float32], *, most: int = 3, floor: float = 0.5, at_once: int = 512
) -> list[list[tuple[int, float]]]:
    """For each row of unit vectors in order of arrival: its nearest earlier rows, nearest first, with cosines."""
    found: list[list[tuple[int, float]]] = []
    for start in range(0, len(vectors), at_once):
        block = vectors[start : start + at_once]
        near = block @ vectors[: start + len(block)].T
        for row in range(len(block)):
            earlier = near[row, : start + row]
            few = np.argpartition(-earlier, most)[:most] if len(earlier) > most else np.arange(len(earlier))
            few = few[np.argsort(-earlier[few], kind="stable")]
            found.append([(int(place), float(earlier[place])) for place in few if earlier[place] >= floor])
    return found


def mined(
    queries: Sequence[str],
    answers: Sequence[str],
    vectors: NDArray[np.float32],
    *,
    sources: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    most: int = 3,
    floor: float = 0.5,
) -> list[Labelled]:
    """Label each question's nearest earlier ones: right where the answer class is the same."""
    pairs: list[Labelled] = []
    for place, near in enumerate(neighbours(vectors, most=most, floor=floor)):
        pairs += [
            Labelled(
                query=queries[place],
                stored=queries[other],
                right=answers[place] == answers[other],
                similarity=cosine,
                group=(groups or answers)[place],
                source=sources[place] if sources else "",
            )
            for other, cosine in near
        ]
    return pairs


def train(
    pairs: Sequence[Labelled],
    meanings: Meanings,
    *,
    provenance: Mapping[str, Any],
    rounds: int = 200,
    evenness: float = 0.5,
    settings: Mapping[str, Any] | None = None,
) -> Trained:
    """Learn from `pairs`, of which there must be right and wrong ones in several groups.

    `evenness`: 0 counts all pairs alike, 1 all sources; between, a large source counts for more, but not that much.
    """
    if len({pair.right for pair in pairs}) < 2:
        raise ValueError("labels of right and wrong pairs are needed, of both some")
    folds = np.array([fold_of(pair.group) for pair in pairs])
    present = np.unique(folds).tolist()
    if len(present) < FOLDS:
        raise ValueError(f"the pairs are of too few groups for {FOLDS} folds")

    def without(*out: int) -> NDArray[np.intp]:
        return np.flatnonzero(~np.isin(folds, out))

    chosen = {**_LIGHTGBM, **(settings or {})}
    weights = _rarities(pairs)
    table = _Table(pairs, Lexicon(weights, np.zeros(BUCKETS, np.float32), meanings.names, meanings.unit()))
    importance = _importance(pairs, evenness)
    harms = {out: _harms(table, without(*out), importance) for out in combinations_with_replacement(present, 2)}
    odds = np.zeros(len(pairs))
    for fold in present:
        for other in present:
            table.fill(np.flatnonzero(folds == other), harms[min(fold, other), max(fold, other)])
        odds[folds == fold] = _boost(table, without(fold), importance, rounds, chosen).score(
            table.rows[folds == fold]
        )
    slope, shift = platt(odds, table.right)
    for fold in present:
        table.fill(np.flatnonzero(folds == fold), harms[fold, fold])
    everything = without()
    verifier = Verifier(
        trees=_boost(table, everything, importance, rounds, chosen),
        meanings=meanings,
        weights=weights,
        harms=_harms(table, everything, importance),
        calibration=(slope, shift),
        provenance=provenance,
    )
    return Trained(verifier, 1 / (1 + np.exp(-(odds * slope + shift))))


def fold_of(group: str) -> int:
    """The fold of a group; the same on every machine."""
    return int.from_bytes(blake2b(group.encode(errors="replace"), digest_size=4).digest(), "big") % FOLDS


def platt(odds: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift that make log odds honest (Platt 1999), by Newton's method; the slope stays above zero."""
    slope, shift = 1.0, 0.0
    for _ in range(30):
        sure = 1 / (1 + np.exp(-(odds * slope + shift)))
        off, spread = right - sure, np.maximum(sure * (1 - sure), 1e-9)
        gradient = np.array([(off * odds).sum(), off.sum()])
        curve = np.array(
            [
                [(spread * odds * odds).sum() + 1e-6, (spread * odds).sum()],
                [(spread * odds).sum(), spread.sum() + 1e-6],
            ]
        )
        step = np.linalg.solve(curve, gradient)
        slope, shift = max(0.05, slope + float(step[0])), shift + float(step[1])
    return slope, shift


class _Table:
    """The features of all pairs, and the words that only one side has."""

    def __init__(self, pairs: Sequence[Labelled], lexicon: Lexicon) -> None:
        known: dict[str, Profile] = {}
        rows: list[list[float]] = []
        self.only: list[tuple[list[int], list[int]]] = []
        for pair in pairs:
            for text in (pair.query, pair.stored):
                if text not in known:
                    known[text] = profile(text, lexicon)
            one, other = known[pair.query], known[pair.stored]
            rows.append(features(one, other, pair.similarity, lexicon))
            self.only.append(
                (
                    [bucket(stem) for stem in one.at if stem not in other.at],
                    [bucket(stem) for stem in other.at if stem not in one.at],
                )
            )
        self.rows = np.array(rows, np.float32)
        self.right = np.array([pair.right for pair in pairs])

    def fill(self, places: NDArray[np.intp], harms: NDArray[np.float32]) -> None:
        """Write the features that come from `harms`."""
        table = harms.astype(np.float16).astype(np.float32)  # as it is stored
        for place in places:
            query, stored = table[self.only[place][0]], table[self.only[place][1]]
            self.rows[place, _HARMS] = query.sum(), query.min(initial=0), stored.sum(), stored.min(initial=0)


def _rarities(pairs: Sequence[Labelled]) -> NDArray[np.float32]:
    """The idf of each bucket, over the different texts."""
    lexicon = Lexicon(
        np.zeros(BUCKETS, np.float32), np.zeros(BUCKETS, np.float32), [], np.zeros((0, 1), np.float32)
    )
    texts = {text for pair in pairs for text in (pair.query, pair.stored)}
    counts = np.zeros(BUCKETS)
    for text in texts:
        counts[list({bucket(stem) for stem in profile(text, lexicon).at})] += 1
    return np.log((len(texts) + 1) / (counts + 0.5)).astype(np.float32)


def _importance(pairs: Sequence[Labelled], evenness: float) -> NDArray[np.float64]:
    sources: dict[str, int] = {}
    for pair in pairs:
        sources[pair.source] = sources.get(pair.source, 0) + 1
    weights = np.array([pair.weight * sources[pair.source] ** -evenness for pair in pairs])
    scaled: NDArray[np.float64] = weights / weights.mean()
    return scaled


def _harms(table: _Table, places: NDArray[np.intp], importance: NDArray[np.float64]) -> NDArray[np.float32]:
    """The linear model: what each bucket adds to the log odds where one side has it alone. Adam, full batches."""
    words = [sorted({*table.only[place][0], *table.only[place][1]}) for place in places]
    row = np.repeat(np.arange(len(words)), [len(some) for some in words])
    column = np.array([place for some in words for place in some], np.intp)
    beside = table.rows[np.ix_(places, np.array(_BESIDE))].astype(np.float64)
    beside = np.hstack([(beside - beside.mean(axis=0)) / (beside.std(axis=0) + 1e-9), np.ones((len(places), 1))])
    right, weight = table.right[places], importance[places]
    scale = weight.sum()
    values = np.zeros(BUCKETS + beside.shape[1])
    mean, spread = np.zeros_like(values), np.zeros_like(values)
    for step in range(1, 151):
        odds = beside @ values[BUCKETS:] + np.bincount(row, values[column], len(words))
        off = weight * (1 / (1 + np.exp(-odds)) - right)
        gradient = np.concatenate([np.bincount(column, off[row], BUCKETS), beside.T @ off]) / scale
        gradient[:BUCKETS] += 3.0 * values[:BUCKETS] / scale
        mean, spread = 0.9 * mean + 0.1 * gradient, 0.99 * spread + 0.01 * gradient**2
        values -= 0.05 * (mean / (1 - 0.9**step)) / (np.sqrt(spread / (1 - 0.99**step)) + 1e-8)
    return values[:BUCKETS].astype(np.float32)


def _boost(
    table: _Table,
    places: NDArray[np.intp],
    importance: NDArray[np.float64],
    rounds: int,
    settings: Mapping[str, Any],
) -> Trees:
    import lightgbm  # only whoever trains has it

    data = lightgbm.Dataset(table.rows[places], table.right[places], weight=importance[places])
    booster = lightgbm.train({"num_threads": 1, **settings}, data, num_boost_round=rounds)
    return Trees.of_lightgbm(booster.dump_model())
