"""Finds the intents in questions: those that lie densely by meaning, and those that have the same answer.

The non-obvious decision: what was answered counts as much as what was asked. Customers say the same in ways that
no small encoder sees through, and ask for opposite things in the same words; a teacher that gives one answer to
several questions took them for one intent. So a question's vector is mixed with its answer's, and equal answers
make an intent whatever the vectors say.

Measured on the example's log (252 different first questions, 41 intents in two languages), as adjusted mutual
information with intent and language, and as purity, both by requests: 0.97 and 0.98 where all answers are known,
0.74 and 0.87 where half of them are, 0.55 and 0.61 where none is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evals.importing.alike import led_by, plain
from heads.answers import agreement

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

UNKNOWN = -1
"""The label of a question that lies near no others."""
_NEAR = 0.9
"""Cosine of two answers below which their words are not compared: equal ones have 1, and most pairs have less."""
_TELLING = 4
"""Words of an answer that says what was asked: "Yes." may answer anything."""
_SMALLEST = 1 / 400
"""Share of the questions that lie together at least. In 4,000 of banking77, clinc150 and hwu64, without answers,
clusters of 3 and more are 468, 462 and 376, of 10 and more 115, 116 and 79, where there are 77, 151 and 64 intents;
adjusted mutual information with those rises from 0.43, 0.38 and 0.29 to 0.53, 0.55 and 0.43."""
_BLOCK = 1024
"""Questions compared at once: with 4,000 others they take 16 MB."""

Labels = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """`least` different questions make an intent, and answers are the same from an agreement of `same` on.

    `answer_weight` is the share of an answer's vector in its question's. At most `most` questions are clustered,
    those that were asked most; the others join what is as near as the cosine `joins`.
    """

    least: int
    answer_weight: float
    same: float
    most: int
    joins: float


def labels_of(
    asked: Vectors,
    answered: Mapping[str, NDArray[np.float32]],
    answers: Sequence[str],
    times: Sequence[int],
    by: Density,
) -> Labels:
    """Of each question the number of its intent, or UNKNOWN.

    `asked` (questions, dimensions) and `answered`, by answer, have rows of length one; an answer may be empty.
    Memory grows with the square of `by.most`, and time with that and with the questions times `by.most`.
    """
    mixed = _mixed(asked, answered, answers, by.answer_weight)
    order = sorted(range(len(asked)), key=lambda place: (-times[place], place))
    chosen = np.sort(np.array(order[: by.most], np.intp))
    found = np.full(len(asked), UNKNOWN)
    if len(chosen) < by.least:
        return found
    some = [answers[place] for place in chosen]
    dense = _dense(mixed[chosen], max(by.least, round(_SMALLEST * len(chosen))))
    found[chosen] = _by_answers(dense, _alike(some, answered, by), some, asked[chosen], by.least)
    rest = np.setdiff1d(np.arange(len(asked)), chosen)
    found[rest] = _joined(mixed, rest, chosen, found[chosen], answers, by.joins)
    return found


def _mixed(
    asked: Vectors, answered: Mapping[str, NDArray[np.float32]], answers: Sequence[str], weight: float
) -> Vectors:
    mixed: Vectors = np.array(asked, np.float32)
    for place, answer in enumerate(answers):
        if answer:
            mixed[place] = (1 - weight) * mixed[place] + weight * answered[answer]
    lengths = np.linalg.norm(mixed, axis=1, keepdims=True)
    np.divide(mixed, lengths, out=mixed, where=lengths > 0)
    return mixed


def _dense(vectors: Vectors, least: int) -> Labels:
    """By HDBSCAN (Campello et al. 2015), the leaves of its tree: what is too fine is joined by equal answers."""
    from sklearn.cluster import HDBSCAN

    # Brute force: trees lose in hundreds of dimensions.
    scan = HDBSCAN(
        min_cluster_size=least, min_samples=1, cluster_selection_method="leaf", algorithm="brute", copy=True
    )
    return np.asarray(scan.fit_predict(vectors), np.intp)


def _alike(answers: Sequence[str], answered: Mapping[str, NDArray[np.float32]], by: Density) -> Labels:
    """The number of each answer's group, where it is given to more questions than one; else UNKNOWN."""
    told = list(dict.fromkeys(answer for answer in answers if len(answer.split()) >= _TELLING))
    if not told:
        return np.full(len(answers), UNKNOWN)
    vectors = np.stack([answered[answer] for answer in told])
    leaders = led_by(vectors, _NEAR, agree=lambda one, other: agreement(told[one], told[other]) >= by.same)
    group = dict(zip(told, leaders, strict=True))
    often = Counter(group[answer] for answer in answers if answer in group)
    return np.array(
        [group[answer] if answer in group and often[group[answer]] > 1 else UNKNOWN for answer in answers], np.intp
    )


def _by_answers(dense: Labels, alike: Labels, answers: Sequence[str], asked: Vectors, least: int) -> Labels:
    """A group of equal answers is an intent. What else lay densely with it joins it, if its answer is not known."""
    first = int(dense.max()) + 1
    found = np.where(alike >= 0, alike + first, UNKNOWN)
    there: defaultdict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(dense):
        if label >= 0:
            there[int(label)].append(place)
    for label, places in there.items():
        grouped = [place for place in places if alike[place] >= 0]
        rest = [place for place in places if alike[place] < 0]
        if grouped:
            for place in rest:
                if not answers[place]:
                    found[place] = found[grouped[int(np.argmax(asked[grouped] @ asked[place]))]]
            rest = [place for place in rest if answers[place]]
        if len(rest) >= least:
            found[rest] = label
    return found


def _joined(
    mixed: Vectors, rest: Labels, chosen: Labels, labels: Labels, answers: Sequence[str], joins: float
) -> Labels:
    """Of the places in `rest`: the intent that has the same answer, or that of the nearest of those `chosen`."""
    known = {
        plain(answers[place]): int(label) for place, label in zip(chosen, labels, strict=True) if answers[place]
    }
    found = np.full(len(rest), UNKNOWN)
    for start in range(0, len(rest), _BLOCK):
        places = rest[start : start + _BLOCK]
        cosines = mixed[places] @ mixed[chosen].T
        nearest = cosines.argmax(axis=1)
        near = cosines[np.arange(len(places)), nearest] >= joins
        found[start : start + _BLOCK] = np.where(near, labels[nearest], UNKNOWN)
    for row, place in enumerate(rest):
        label = known.get(plain(answers[place]), UNKNOWN) if answers[place] else UNKNOWN
        if label != UNKNOWN:
            found[row] = label
    return found
