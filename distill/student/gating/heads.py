"""The two heads that stand before and behind a student: which intent a question has, and whether an answer is good.

The non-obvious decision: the intents that were not picked are intents of their own here, as far as they have
examples. One class of all that is "other" has no shape that could be learned: on the support example's traffic half
of its questions were taken for a picked intent, a third less when each other intent had its own name.

Neither head ever judges a question by itself: what is said of tuning questions comes from heads that were made
without them, and the test questions are in neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from distill.additive import Scale, calibrate, fit
from distill.checks import Example as Labelled
from distill.checks import learn as learn_checks
from distill.intents import Example as Asked
from distill.intents import learn as learn_intents
from distill.student.examples import Example
from evals.statistics.clusters import Row
from heads.additive import Additive, filled, standardised
from heads.checks import COLUMNS, CheckHead
from heads.intents import UNKNOWN, IntentHead
from heads.signals import Signals

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

_FEW_FOLDS = 5
_FEW = ("mean_logp", "lowest", "entropy", "forecast_good", "second_agrees")
"""Signals that fewer than a hundred answers are enough for: how sure the student's tokens are, and its intent; and
whether the answer is one that this intent gets."""
_HALF = 0.5


class Guess(Struct, frozen=True):
    """What a question was taken for; `UNKNOWN` with the probability of the likeliest where the head abstains.

    `usual` are answers that such questions usually get.
    """

    intent: str
    probability: float
    usual: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IntentsLearned:
    """The head, and what it says of the tuning and the test questions."""

    head: IntentHead
    guesses: Mapping[str, Guess]


@dataclass(frozen=True, slots=True)
class ChecksLearned:
    """The head, the probabilities it gives the tuning answers, by question, and what it was learned from."""

    head: CheckHead
    sure: Mapping[str, float]
    how: str


def intents_of(
    learned: Sequence[Example],
    judged: Sequence[Example],
    known: frozenset[str],
    usual: Mapping[str, tuple[str, ...]],
    encode: Callable[[Sequence[str]], Vectors],
    progress: Callable[[int, int], object],
) -> IntentsLearned:
    """From `learned`, which are those of train and tune; `judged` are the test's. `known` are picked intents, of
    which `usual` has answers.

    Raises ValueError where they are too few.
    """
    names = _names(learned, known)
    examples = [Asked(one.question, name, one.id) for one, name in zip(learned, names, strict=True)]
    found = learn_intents(examples, encode([one.question for one in learned]), progress=progress)
    said, guesses = found.predictions, dict[str, Guess]()
    for place, one in enumerate(learned):
        name = said.intents[said.taken[place]] if said.accepted[place] else UNKNOWN
        guesses[one.id] = Guess(name, float(said.probability[place]), usual.get(name, ()))
    for one, vector in zip(judged, encode([one.question for one in judged]), strict=True):
        intent = found.head.classify(one.question, vector)
        guesses[one.id] = Guess(intent.name, intent.probability, usual.get(intent.name, ()))
    return IntentsLearned(found.head, guesses)


def checks_of(
    answered: Sequence[Example], signals: Mapping[str, Signals], good: Sequence[float], guesses: Mapping[str, Guess]
) -> ChecksLearned:
    """From the student's answers to tuning questions, `good` being what each is worth.

    Of few labels, or of one kind alone, it is what the few signals say that tell most.
    """
    labelled = [
        Labelled(signals=with_guess(signals[one.id], guesses[one.id]), good=worth, task=guesses[one.id].intent)
        for one, worth in zip(answered, good, strict=True)
    ]
    labelled = [replace(each, group=one.group) for each, one in zip(labelled, answered, strict=True)]
    ids = [one.id for one in answered]
    try:
        learned = learn_checks(labelled, provenance={"learned_from": "a student's answers to tuning questions"})
    except ValueError:
        head, sure = _of_few(labelled)
        how = f"learned from {len(labelled)} answers, too few or too much alike for more than {', '.join(_FEW)}"
        return ChecksLearned(head, dict(zip(ids, sure.tolist(), strict=True)), how)
    how = f"learned from {len(labelled)} answers"
    return ChecksLearned(learned.head, dict(zip(ids, learned.good.tolist(), strict=True)), how)


def with_guess(signals: Signals, guess: Guess) -> Signals:
    """The probability of its intent is what was expected of an answer before there was one; so says the router.

    What its intent usually gets stands beside the answer: the head for intents and the student err differently.
    """
    as_decided = round(guess.probability, 4)  # a decision has no more digits
    return replace(signals, forecast_good=as_decided).with_usual(guess.usual)


def _names(examples: Sequence[Example], known: frozenset[str]) -> list[str]:
    """The class of each. An intent that was not picked needs two examples: of one nothing is foreseen."""
    many = Counter(one.intent for one in examples)
    return [one.intent if one.intent in known or many[one.intent] > 1 else UNKNOWN for one in examples]


def _of_few(labelled: Sequence[Labelled]) -> tuple[CheckHead, Row]:
    """A head of `_FEW` signals, or where all labels are of one kind the cautious guess, calibrated to them all; and
    what others like it say of answers that they were not learned from."""
    guess = CheckHead.default()
    rows = guess.rows([one.signals for one in labelled], [one.task for one in labelled])
    rows[:, [place for place, name in enumerate(COLUMNS) if name not in _FEW]] = np.nan
    good, ones = np.array([one.good for one in labelled]), np.ones(len(labelled))
    folds = np.array([_fold(one, place) for place, one in enumerate(labelled)], np.intp)
    everywhere = np.zeros(len(labelled), np.intp)

    def learned(places: NDArray[np.bool_]) -> tuple[Scale, Additive]:
        if len(np.unique(good[places] >= _HALF)) < 2:
            return Scale(guess.centre, guess.scale), guess.good
        scale = Scale.of(rows[places])
        return scale, fit(rows[places], good[places], ones[places], scale, odds=True)

    odds, sure = np.zeros(len(labelled)), np.zeros(len(labelled))
    for fold in np.unique(folds).tolist():
        judged = folds == fold
        scale, scores = learned(~judged)
        odds[judged] = scores.of(standardised(rows[judged], scale.centre, scale.spread), filled(rows[judged]))
    for fold in np.unique(folds).tolist():
        judged = folds == fold
        calibration = calibrate(odds[~judged], good[~judged], ones[~judged], everywhere[~judged], 0)
        sure[judged] = calibration.of(odds[judged], everywhere[judged])
    scale, scores = learned(np.ones(len(labelled), bool))
    head = CheckHead(
        centre=scale.centre,
        scale=scale.spread,
        good=scores,
        gain=None,
        tasks=(),
        task_means=guess.task_means,
        wording=None,
        calibration=calibrate(odds, good, ones, everywhere, 0),
        card={"labels": len(labelled), "signals": list(_FEW)},
    )
    return head, sure


def _fold(one: Labelled, place: int) -> int:
    digest = blake2b((one.group or str(place)).encode(errors="replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big") % _FEW_FOLDS
