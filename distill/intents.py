"""Teaches a route's intents from labelled queries, ten of each at least, and says what came of it.

The non-obvious decision: everything that steers the head (the second member's share, temperature, threshold) comes
from scores that heads gave which had not seen the query: five (of few examples ten) are made, each without its
part of the texts. On the
queries that it was made from a head is always sure, and a threshold from there would turn away far too many others.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.intent_fit import Settings, Texts, chosen, fit
from evals.curves import calibration_error
from heads.grams import character_grams, word_grams
from heads.intents import UNKNOWN, Floats, IntentHead, confidence, probabilities, unit

_TEMPERATURES = np.geomspace(0.25, 4.0, 49)
_CONFUSIONS = 10


class Example(Struct, frozen=True):
    """A query and its intent: `UNKNOWN` where it has none of the route's. Without `id` its text's hash names it."""

    text: str
    intent: str
    id: str = ""

    @property
    def name(self) -> str:
        """What the head calls it by."""
        return self.id or _digest(self.text).hex()


class Predictions(Struct, frozen=True):
    """What heads that had not seen them said of the examples, of each: the intent's number and probability, the
    confidence, and whether it was accepted. `intents` are the numbers' names; `truth` is -1 for unknown examples.
    """

    intents: tuple[str, ...]
    truth: NDArray[np.intp]
    taken: NDArray[np.intp]
    probability: Floats
    confidence: Floats
    accepted: NDArray[np.bool_]


class Learned(Struct, frozen=True):
    """A head, what the heads beside it said of its examples, and that in figures (they are in its card too)."""

    head: IntentHead
    predictions: Predictions
    evidence: Mapping[str, Any]


def read_examples(path: Path) -> list[Example]:
    """From JSON lines of text and intent, or of an intent and its phrasings. ValueError says the line and why."""
    examples: list[Example] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    examples += _examples(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(
                        f'{path}:{number}: not an example ({error}); a line is {{"text": ..., "intent": ...}} or '
                        f'{{"intent": ..., "phrasings": [{{"text": ...}}, ...]}}.'
                    ) from error
    return examples


def _examples(row: Mapping[str, Any]) -> list[Example]:
    phrasings = [row] if "text" in row else row["phrasings"]
    found = [Example(phrasing["text"], row["intent"], str(phrasing.get("id", ""))) for phrasing in phrasings]
    for example in found:
        if not isinstance(example.text, str) or not isinstance(example.intent, str):
            raise TypeError("text and intent must be strings")
        if not example.text.strip() or not example.intent.strip():
            raise ValueError("text and intent must not be empty")
    return found


def learn(
    examples: Sequence[Example],
    vectors: Floats,
    settings: Settings | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Learned:
    """Learn from examples and their vectors (examples, dimensions). Raises ValueError where there are too few.

    `progress` is told how many of how many heads are made. The same examples give the same head, on one machine.
    """
    chosen_settings, told = settings or Settings(), progress or (lambda *_: None)
    data = _Data(examples, vectors)
    folds = np.array([int.from_bytes(_digest(example.text)[:4], "big") for example in examples])
    folds %= chosen_settings.folds_for(len(examples))
    present = np.unique(folds).tolist()
    classes = len(data.intents) + data.has_unknown
    linear, kernel = np.zeros((2, len(examples), classes), np.float32)
    for done, fold in enumerate(present):
        told(done, len(present) + 1)
        held = np.flatnonzero(folds == fold)
        rest = np.flatnonzero(folds != fold)
        if not len(rest):
            raise ValueError("the examples are too few to hold any back")
        linear[held], kernel[held], _ = data.scored(data.head(rest, chosen_settings), held)
    told(len(present), len(present) + 1)
    told_by, count = _foreseen(data.truth, folds), len(data.intents)
    share, temperature = _balance(
        linear[told_by, :count], kernel[told_by, :count], data.truth[told_by], chosen_settings.shares
    )
    scores = linear + np.float32(share) * kernel
    sure = confidence(scores, has_unknown=data.has_unknown)
    threshold = float(np.quantile(sure[told_by], chosen_settings.rejected))
    predictions = _predictions(data.intents, data.truth, scores, data.has_unknown, temperature, threshold)
    evidence = measured(predictions) | {"advice": _advice(examples, data.intents, chosen_settings)}
    steering = {"share": share, "temperature": temperature, "threshold": threshold, "evidence": evidence}
    head = data.head(np.arange(len(examples)), chosen_settings, steering)
    told(len(present) + 1, len(present) + 1)
    return Learned(head, predictions, evidence)


def learn_plainly(examples: Sequence[Example], vectors: Floats, settings: Settings | None = None) -> IntentHead:
    """A head alone, six times as fast: of the settings' share, uncalibrated, and rejecting nothing."""
    data = _Data(examples, vectors)
    return data.head(np.arange(len(examples)), settings or Settings())


def measured(predictions: Predictions) -> dict[str, Any]:
    """The figures of predictions: shares from 0 to 1, None for what there are no queries to tell by.

    `accuracy` is that of the likeliest intent among known queries, accepted or not; per intent, precision and
    recall are those of accepted queries, so that an unknown one which was accepted costs precision.
    """
    p = predictions
    known = p.truth >= 0
    right = p.taken == p.truth
    each: dict[str, Any] = {}
    for number, name in enumerate(p.intents):
        asked, given = p.truth == number, (p.taken == number) & p.accepted
        hits = int((asked & given).sum())
        each[name] = {
            "examples": int(asked.sum()),
            "precision": round(hits / int(given.sum()), 4) if given.any() else None,
            "recall": round(hits / int(asked.sum()), 4) if asked.any() else None,
        }
    wrong = np.flatnonzero(known & ~right)
    pairs = Counter((p.intents[p.truth[place]], p.intents[p.taken[place]]) for place in wrong)
    return {
        "queries": int(known.sum()),
        "accuracy": round(float(right[known].mean()), 5),
        "accuracy_of_accepted": round(float(right[p.accepted].mean()), 5) if p.accepted.any() else None,
        "rejected": round(float(1 - p.accepted[known].mean()), 5),
        "unknown_queries": int((~known).sum()),
        "unknown_caught": None if known.all() else round(float(1 - p.accepted[~known].mean()), 5),
        "calibration_error": round(
            calibration_error(p.probability[known].astype(float), right[known].astype(float)), 5
        ),
        "confused": [
            {"intent": intent, "taken_for": other, "times": times}
            for (intent, other), times in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:_CONFUSIONS]
        ],
        "intents": each,
    }


def judge(head: IntentHead, examples: Sequence[Example], vectors: Floats) -> Predictions:
    """What a head says of examples that it did not learn from; those of intents that it has not are unknown."""
    numbers = {name: number for number, name in enumerate(head.intents)}
    rows = [head.scores(example.text, vector) for example, vector in zip(examples, vectors, strict=True)]
    scores = np.array(rows, np.float32)
    truth = np.array([numbers.get(example.intent, -1) for example in examples], np.intp)
    return _predictions(head.intents, truth, scores, head.has_unknown, head.temperature, head.threshold)


def _predictions(
    intents: tuple[str, ...],
    truth: NDArray[np.intp],
    scores: Floats,
    has_unknown: bool,
    temperature: float,
    threshold: float,
) -> Predictions:
    sure = confidence(scores, has_unknown=has_unknown)
    chances = probabilities(scores[:, : len(intents)], temperature)
    return Predictions(intents, truth, chances.argmax(axis=1), chances.max(axis=1), sure, sure >= threshold)


class _Data:
    """Examples as numbers: what does not change from head to head."""

    def __init__(self, examples: Sequence[Example], vectors: Floats) -> None:
        if vectors.ndim != 2 or len(vectors) != len(examples):
            raise ValueError(f"{len(examples)} examples need as many vectors, not {vectors.shape}")
        self.examples = examples
        self.intents = tuple(sorted({example.intent for example in examples} - {UNKNOWN}))
        if len(self.intents) < 2:
            raise ValueError("examples of two intents or more are needed, beside those of unknown")
        numbers = {name: number for number, name in enumerate(self.intents)}
        self.truth = np.array([numbers.get(example.intent, -1) for example in examples], np.intp)
        self.has_unknown = bool((self.truth < 0).any())
        self.vectors = unit(vectors)
        self.texts = Texts(
            [word_grams(example.text) for example in examples],
            [character_grams(example.text) for example in examples],
        )

    def head(
        self, places: NDArray[np.intp], settings: Settings, steering: Mapping[str, Any] | None = None
    ) -> IntentHead:
        """Of some of the examples."""
        classes = np.where(self.truth < 0, len(self.intents), self.truth)[places]
        weights = fit(
            self.texts.at(places), self.vectors[places], classes, len(self.intents) + self.has_unknown, settings
        )
        kept = places[chosen(classes, settings.kept)]
        card = {
            "intents": list(self.intents),
            "has_unknown": self.has_unknown,
            "examples": [self.examples[place].name for place in kept],
            "scale": list(settings.scale),
            "sharpness": settings.sharpness,
            "share": settings.share,
            "temperature": 1.0,
            "threshold": -1e30,
            **(steering or {}),
        }
        return IntentHead(weights, card)

    def scored(self, head: IntentHead, places: NDArray[np.intp]) -> tuple[Floats, Floats, Floats]:
        """The scores of both members, and cosines, of some of the examples."""
        rows = [head.members(self.examples[place].text, self.vectors[place]) for place in places]
        linear, kernel, near = (np.array(some) for some in zip(*rows, strict=True))
        return linear, kernel, near


def _foreseen(truth: NDArray[np.intp], folds: NDArray[np.intp]) -> NDArray[np.intp]:
    """Places of known examples whose intent is in another fold too: no head could know the others'.

    Raises ValueError where there are none.
    """
    where: dict[int, set[int]] = {}
    for intent, fold in zip(truth.tolist(), folds.tolist(), strict=True):
        where.setdefault(intent, set()).add(fold)
    places = np.array([place for place, intent in enumerate(truth.tolist()) if len(where[intent]) > 1], np.intp)
    places = places[truth[places] >= 0]
    if not len(places):
        raise ValueError("some intent needs two examples or more")
    return places


def _balance(
    linear: Floats, kernel: Floats, truth: NDArray[np.intp], shares: Sequence[float]
) -> tuple[float, float]:
    """The share and the temperature under which the intents of known queries are the most likely."""
    rows = np.arange(len(truth))
    best = (np.inf, shares[0], 1.0)
    for share in shares:
        scores = linear + np.float32(share) * kernel
        for temperature in _TEMPERATURES.tolist():
            given = probabilities(scores, temperature)[rows, truth]
            best = min(best, (float(-np.log(np.maximum(given, 1e-12)).mean()), share, temperature))
    return best[1], best[2]


def _advice(examples: Sequence[Example], intents: Sequence[str], settings: Settings) -> list[str]:
    counts = Counter(example.intent for example in examples)
    advice = [
        f"{name} has {counts[name]} examples; give at least {settings.advised}."
        for name in intents
        if counts[name] < settings.advised
    ]
    if not counts[UNKNOWN]:
        advice.append(f"No example is {UNKNOWN!r}: with some, more queries that have no intent here are noticed.")
    return advice


def _digest(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
