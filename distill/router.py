"""A route's router from its traffic: quality, intents and answer checks, as far as there are labels for each.

The non-obvious decision: whatever there are too few labels for is left out and said so, and the rest is learned. A
route may begin with intents alone, from a list of examples, before a single answer was ever scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill import checks, intents, quality
from distill.gate import NO_GAP, Measured, as_rows
from distill.outcomes import Outcome, OutcomeFault
from distill.traffic import Traffic
from evals.curves import apgr, bootstrap, calibration_error
from heads.checks import CheckHead
from heads.prior import Prior
from router.choice.shelf import CHECK, INTENTS, QUALITY, USUAL

Row = NDArray[np.float64]

_BIN, _BINS = 50, 15
"""Queries in a bin of calibration at least, and bins at most."""
_DRAWS = 200
_USUAL = 256
Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Vectors (texts, dimensions) of texts."""


class Lesson(Struct, frozen=True, kw_only=True):
    """What a route learns from. `owner`: a tenant, or "" for everyone; `reference` and `candidates` are models."""

    route: str
    owner: str
    reference: str
    candidates: Sequence[str]
    traffic: Traffic
    examples: Sequence[intents.Example] = ()
    encoder: str = ""
    """The version of what makes the vectors."""


class Router(Struct, frozen=True, kw_only=True):
    """What was learned: the files of an artefact, its card, and the figures behind it. `left_out` says what was not
    learned, and why.
    """

    files: Mapping[str, bytes]
    card: Mapping[str, Any]
    evidence: Sequence[Measured]
    left_out: Mapping[str, str]


def learn_router(
    lesson: Lesson,
    encode: Encode,
    *,
    prior: Prior | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Router:
    """Learn what there are labels for. Raises ValueError, saying what is missing, where that is nothing."""
    files: dict[str, bytes] = {}
    evidence: list[Measured] = []
    left_out: dict[str, str] = {}
    steps: tuple[tuple[str, Callable[[], tuple[bytes, list[Measured]]]], ...] = (
        (QUALITY, lambda: _quality(lesson, encode, prior, progress)),
        (INTENTS, lambda: _intents(lesson, encode, progress)),
        (CHECK, lambda: _checks(lesson, progress)),
    )
    for name, step in steps:
        try:
            files[name], found = step()
            evidence += found
        except (OutcomeFault, ValueError) as fault:
            left_out[name.removesuffix(".npz")] = str(fault)
    if not files:
        raise ValueError("; ".join(f"{name}: {why}" for name, why in left_out.items()))
    return Router(files=files, card=_card(lesson, evidence, left_out), evidence=evidence, left_out=left_out)


def _quality(
    lesson: Lesson, encode: Encode, prior: Prior | None, progress: Callable[[str], object]
) -> tuple[bytes, list[Measured]]:
    outcomes = [one for one in lesson.traffic.outcomes if one.model in lesson.candidates]
    labelled = {one.model for one in outcomes}
    models = tuple(model for model in lesson.candidates if model in labelled)
    if lesson.reference not in labelled or len(models) < 2:
        raise ValueError(f"scores of {lesson.reference} and of another candidate are needed")
    texts = list(dict.fromkeys(one.query for one in lesson.traffic.outcomes))
    progress(f"encoding {len(texts):,} questions")
    vectors = dict(zip(texts, encode(texts), strict=True))
    settings = quality.QualitySettings(models=models, reference=lesson.reference)
    learned = quality.learn(lesson.traffic.outcomes, vectors, settings, progress, prior=prior)
    table = _table(outcomes)
    place = {text: row for row, (_, text) in enumerate(learned.queries)}
    rows = np.array([place[text] for text in table])
    forecasts = {model: learned.qualities[rows, column] for column, model in enumerate(learned.head.models)}
    learned.head.card[USUAL] = _usual(learned.qualities)
    return _bytes(learned.head.write), _figures(table, forecasts, lesson)


def _usual(qualities: Row) -> list[list[float]]:
    """Some rows of forecasts (queries, models), spread over all: what a route may expect before it has seen any."""
    places = np.linspace(0, len(qualities) - 1, min(_USUAL, len(qualities))).astype(int)
    rows: list[list[float]] = np.round(qualities[places], 4).tolist()
    return rows


def _intents(lesson: Lesson, encode: Encode, progress: Callable[[str], object]) -> tuple[bytes, list[Measured]]:
    if not lesson.examples:
        raise ValueError("no examples of intents were given")
    progress(f"encoding {len(lesson.examples):,} examples of intents")
    vectors = encode([example.text for example in lesson.examples])
    learned = intents.learn(
        lesson.examples, vectors, progress=lambda done, of: progress(f"learning intents, {done} of {of}")
    )
    found, known = learned.evidence, int(learned.evidence["queries"])
    figures = [
        Measured(metric="intent accuracy", value=found["accuracy"], n=known),
        Measured(metric="intents: known questions turned away", value=found["rejected"], n=known),
        Measured(metric="intents: calibration error", value=found["calibration_error"], n=known),
    ]
    if found["unknown_caught"] is not None:
        caught, unknown = found["unknown_caught"], int(found["unknown_queries"])
        figures.append(Measured(metric="intents: unknown questions noticed", value=caught, n=unknown))
    return _bytes(learned.head.write), figures


def _checks(lesson: Lesson, progress: Callable[[str], object]) -> tuple[bytes, list[Measured]]:
    progress("learning to judge answers")
    examples = lesson.traffic.examples
    learned = checks.learn(examples, progress=progress)
    good = np.array([example.good for example in examples])
    guess = CheckHead.default()
    guessed = np.array([guess.judge(example.signals, example.task).good for example in examples])
    better = (guessed - good) ** 2 - (learned.good - good) ** 2
    found = bootstrap(lambda row: float(row.mean()), better)
    if found.low <= 0:
        raise ValueError(f"{len(good)} judged answers do not show yet that it is better than the guess without any")
    gained = Measured(
        metric="checks: squared error below the guess's",
        value=found.value,
        low=found.low,
        high=found.high,
        n=len(good),
    )
    return _bytes(learned.head.write), [_off("calibration error of checks", learned.good, good), gained]


def _off(metric: str, forecast: Row, scores: Row) -> Measured:
    """The calibration error; `low` is what of it chance does not make, were every forecast exactly right."""
    bins = min(_BINS, max(1, len(scores) // _BIN))
    error = calibration_error(forecast, scores, bins)
    draw = np.random.default_rng(0)
    chance = [
        calibration_error(forecast, (draw.random(len(forecast)) < forecast).astype(np.float64), bins)
        for _ in range(_DRAWS)
    ]
    low = max(0.0, error - float(np.mean(chance)))
    return Measured(metric=metric, value=round(error, 5), low=round(low, 5), n=len(scores))


def _figures(
    table: Mapping[str, Mapping[str, float]], forecasts: Mapping[str, Row], lesson: Lesson
) -> list[Measured]:
    """APGR of each cheaper candidate against the reference, where both were scored; calibration of each."""
    figures: list[Measured] = []
    scores = {
        model: np.array([row.get(model, np.nan) for row in table.values()], np.float64) for model in forecasts
    }
    strong = scores[lesson.reference]
    for model, forecast in forecasts.items():
        known = np.isfinite(scores[model])
        figures.append(_off(f"calibration error {model}", forecast[known], scores[model][known]))
        both = known & np.isfinite(strong)
        if model == lesson.reference or not both.any():
            continue
        gains = (forecasts[lesson.reference] - forecast)[both]
        try:
            found = bootstrap(apgr, gains, scores[model][both], strong[both])
        except ValueError as fault:  # there is no gap to recover
            figures.append(Measured(metric=f"{NO_GAP}{model} ({fault})", value=0.0, n=int(both.sum())))
            continue
        interval = {"value": round(found.value, 5), "low": round(found.low, 5), "high": round(found.high, 5)}
        figures.append(Measured(metric=f"apgr {model}", n=int(both.sum()), **interval))
    return figures


def _table(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """The mean score of each model, by query."""
    sums: dict[str, dict[str, list[float]]] = {}
    for one in outcomes:
        sums.setdefault(one.query, {}).setdefault(one.model, []).append(one.score)
    return {
        query: {model: sum(found) / len(found) for model, found in models.items()} for query, models in sums.items()
    }


def _card(lesson: Lesson, evidence: Sequence[Measured], left_out: Mapping[str, str]) -> dict[str, Any]:
    traffic = lesson.traffic
    return {
        "summary": f"Chooses a model for each question on route {lesson.route}.",
        "route": lesson.route,
        "owner": lesson.owner,
        "reference": lesson.reference,
        "candidates": list(lesson.candidates),
        "encoder": lesson.encoder,
        "made": datetime.now(UTC).date().isoformat(),
        "lineage": {
            "tenant": lesson.owner or "all of the route's",
            "questions": len({one.query for one in traffic.outcomes}),
            "scores": len(traffic.outcomes),
            "judged answers": len(traffic.examples),
            "examples of intents": len(lesson.examples),
            "lines that could not be read": traffic.unread,
        },
        "evidence": as_rows(evidence),
        "limits": [
            "Learned from this route's questions: of other questions it says that it does not know them.",
            "Good enough means what was scored as such; shadow calls score by likeness to the reference's answer.",
            *(f"Not learned: {name} ({why})." for name, why in left_out.items()),
        ],
    }


def _bytes(write: Callable[[Path], object]) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "head.npz"
        write(path)
        return path.read_bytes()
