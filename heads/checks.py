"""Judges the answer of a cheap model: how probable it is good enough, and what the strong model would add to it.

The non-obvious decision: two scores. Whether an answer is good says little where the strong model fails as well, so
that beside the probability stands the expected gain, learned from labels of both, by which to escalate. Each is a
linear score and trees over one row of signals; a task's own calibration bends that of all tasks only as far as its
labels carry (see `distill.additive`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from heads.additive import Additive, Calibration, filled, standardised
from heads.answers import FAULTS, grams
from heads.artefact import Artefact, dumps, read, version_of
from heads.signals import FORM, GROUPS, NAMES, Signals
from heads.trees import Trees

KIND = "answer checks"
BUCKETS = 1 << 13
"""Of the words of answers and what they are worth, in each task and in all."""
TASK = ("task_good", "task_gain", "length_against_task")
WORDING = ("wording_good", "wording_gain")
COLUMNS: tuple[str, ...] = (*NAMES, *TASK, *WORDING)
"""What the scores are made of."""
HOPELESS = 0.02
"""No answer that is empty, or is not the JSON that was asked for, is called better."""
MOST_REASONS = 3
LEAST_REASON = 0.1
"""How many groups of signals are given as reasons, and the log odds that each must weigh."""

_GROUPS = {**GROUPS, "the answer's wording": WORDING}
_OF_GROUP = {
    name: np.array([COLUMNS.index(column) for column in columns], np.intp) for name, columns in _GROUPS.items()
}
_FAULTS = [COLUMNS.index(name) for name in FAULTS]
_HOPELESS = [COLUMNS.index(name) for name in ("empty", "invalid_json")]
_LENGTHS = [COLUMNS.index(name) for name in ("characters", "answer_tokens")]

_DEFAULT: dict[str, tuple[float, float, float]] = {
    "mean_logp": (-0.25, 0.2, 0.35),
    "entropy": (0.5, 0.35, -0.15),
    "second_agrees": (0.5, 0.5, 0.8),
    "third_agrees": (0.5, 0.5, 0.6),
    "others_agree": (0.5, 0.5, -0.1),
    "vote_share": (0.7, 0.3, 0.6),
    "self_check": (0.5, 0.3, 0.2),
    "forecast_good": (0.5, 0.25, 0.8),
    "cut": (0.0, 1.0, -1.0),
    "refusal": (0.0, 1.0, -1.0),
    "unsure": (0.0, 1.0, -0.3),
    "loops": (0.0, 1.0, -1.0),
    "repeats_question": (0.0, 1.0, -0.7),
    "other_script": (0.0, 1.0, -0.7),
}
"""What is usual, how much it varies, and what a deviation by so much is worth in log odds, before any label.

Chosen below what labels give on the routing data: an 8B model that agrees with another small one is right in 66 %
(MMLU-Pro) to 92 % (ZeroEval) of cases, else in 19 % to 28 %; 0.2 nats of mean log-probability are worth 0.1 to 1.1
of log odds within a task, 0.3 of a self-check 0.1 to 0.4. Faults are guesses.
"""
_DEFAULT_ODDS = -0.4
_DEFAULT_DEVIATION = 0.25


class Checked(Struct, frozen=True):
    """A judgement. `good`: calibrated probability that the answer is good enough.

    `deviation`: the standard error of `good` that the number of labels behind its calibration leaves.
    `gain`: by how much (-1..1) a strong model's answer is expected to score higher; None where none was learned.
    `reasons`: what weighed most, in words, the weightiest first.
    """

    good: float
    deviation: float
    gain: float | None
    reasons: tuple[str, ...]

    @property
    def score(self) -> float:
        """The higher, the sooner to escalate."""
        return 1 - self.good if self.gain is None else self.gain


class CheckHead:
    """What was learned of answers. Immutable, and may be shared by threads."""

    def __init__(
        self,
        *,
        centre: NDArray[np.float64],
        scale: NDArray[np.float64],
        good: Additive,
        gain: Additive | None,
        tasks: Sequence[str],
        task_means: NDArray[np.float64],
        wording: NDArray[np.floating[Any]] | None,
        calibration: Calibration,
        card: Mapping[str, Any],
    ) -> None:
        known = len(tasks) + 1
        shapes: list[tuple[NDArray[Any], tuple[int, ...]]] = [(centre, (len(COLUMNS),)), (scale, (len(COLUMNS),))]
        shapes += [(task_means, (known, len(TASK)))]
        shapes += [(calibration.values, (known, 2)), (calibration.covariance, (known, 2, 2))]
        shapes += [(part.weights, (len(COLUMNS) + 1,)) for part in (good, gain) if part]
        shapes += [(wording, (len(WORDING), BUCKETS))] if wording is not None else []
        most = max((part.trees.features for part in (good, gain) if part and part.trees), default=0)
        if any(array.shape != shape for array, shape in shapes) or most > len(COLUMNS):
            raise ValueError("the arrays of the checks do not fit this version")
        self.tasks = tuple(tasks)
        self.card = {**card, "columns": list(COLUMNS), "tasks": list(tasks)}
        self.centre, self.scale, self.good, self.gain = centre, scale, good, gain
        self.task_means, self.calibration = task_means, calibration
        self.wording = None if wording is None else np.asarray(wording, np.float16)
        self._weights = None if self.wording is None else self.wording.astype(np.float64)
        self._places = {task: place for place, task in enumerate(self.tasks, 1)}
        self._version = ""

    @property
    def version(self) -> str:
        """The hash of the file that it is, or would be."""
        self._version = self._version or version_of(self.dumps())
        return self._version

    def judge(self, signals: Signals, task: str = "") -> Checked:
        """Judge one answer, in bounded time; a task that was not learned is judged as all together are."""
        place = self._places.get(task, 0)
        row = self.rows([signals], [task])
        odds, parts = self._weighed(row[0], place)
        good = float(self.calibration.of(np.array([odds]), np.array([place]))[0])
        deviation = self.calibration.deviation(odds, good, place)
        if row[0, _HOPELESS].max(initial=0) > 0:  # NaN compares as no fault
            good = min(good, HOPELESS)
        gain = None if self.gain is None else float(np.clip(self.gain.of(*self.seen(row))[0], -1, 1))
        return Checked(good, deviation, gain, parts)

    def rows(self, signals: Sequence[Signals], tasks: Sequence[str]) -> NDArray[np.float64]:
        """The columns of answers (answers, columns), NaN for what is not known."""
        places = np.array([self._places.get(task, 0) for task in tasks], np.intp)
        rows = np.array([one.row() for one in signals], np.float64).reshape(len(signals), len(NAMES))
        worth = np.array([self._worth(one, task) for one, task in zip(signals, tasks, strict=True)])
        return np.hstack([rows, task_columns(rows, self.task_means, places), worth.reshape(len(signals), 2)])

    def seen(self, rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Rows as the two members of a score take them."""
        return standardised(rows, self.centre, self.scale), filled(rows)

    def _worth(self, signals: Signals, task: str) -> NDArray[np.float64]:
        if self._weights is None or signals.answer is None:
            return np.full(len(WORDING), np.nan)
        buckets = grams(signals.answer, BUCKETS, task)
        worth: NDArray[np.float64] = self._weights[:, buckets].sum(axis=1) / sqrt(max(1, len(buckets)))
        return worth

    def _weighed(self, row: NDArray[np.float64], place: int) -> tuple[float, tuple[str, ...]]:
        """The log odds, and what they would lack without each group of signals, in words."""
        known = [name for name, columns in _OF_GROUP.items() if not np.isnan(row[columns]).all()]
        rows = np.tile(row, (1 + len(known), 1))
        for place_of, name in enumerate(known, 1):
            columns = _OF_GROUP[name]
            rows[place_of, columns] = np.where(np.isnan(row[columns]), np.nan, self.centre[columns])
        odds = self.good.of(*self.seen(rows))
        slope = float(self.calibration.values[place, 0])
        weighed = zip((slope * (odds[0] - odds[1:])).tolist(), known, strict=True)
        weightiest = sorted(weighed, key=lambda one: -abs(one[0]))[:MOST_REASONS]
        faults = [name.replace("_", " ") for name, at in zip(FAULTS, _FAULTS, strict=True) if row[at] > 0]
        return float(odds[0]), tuple(
            _reason(name, weight, faults) for weight, name in weightiest if abs(weight) >= LEAST_REASON
        )

    def dumps(self) -> bytes:
        """The head as an artefact; the same bytes for the same head."""
        arrays: dict[str, NDArray[Any]] = {
            "centre": self.centre,
            "scale": self.scale,
            "task_means": self.task_means,
            "calibration": self.calibration.values,
            "covariance": self.calibration.covariance,
        }
        if self.wording is not None:
            arrays["wording"] = self.wording
        for name, part in (("good", self.good), ("gain", self.gain)):
            if part:
                arrays[f"{name}.weights"] = part.weights
                trees = part.trees.arrays() if part.trees else {}
                arrays |= {f"{name}.trees.{key}": array for key, array in trees.items()}
        return dumps(KIND, arrays, self.card)

    def write(self, path: Path) -> str:
        """Write the file, and return its version."""
        path.write_bytes(self.dumps())
        return self.version

    @classmethod
    def read(cls, path: Path) -> CheckHead:
        """Read the file; ValueError where it is none of this kind, or of other columns than this version has."""
        return cls.of(read(path, KIND))

    @classmethod
    def of(cls, artefact: Artefact) -> CheckHead:
        """From an artefact; ValueError as `read`."""
        arrays, card = artefact.arrays, artefact.card
        if card.get("columns") != list(COLUMNS):
            raise ValueError("the checks were learned of other signals than this version has")
        try:
            good = _additive(arrays, "good")
            if good is None:
                raise ValueError("the file has no scores in it")
            return cls(
                centre=arrays["centre"],
                scale=arrays["scale"],
                good=good,
                gain=_additive(arrays, "gain"),
                tasks=[str(task) for task in card["tasks"]],
                task_means=arrays["task_means"],
                wording=arrays.get("wording"),
                calibration=Calibration(arrays["calibration"], arrays["covariance"]),
                card={key: value for key, value in card.items() if key != "kind"},
            )
        except (KeyError, TypeError) as error:
            raise ValueError("an array of the checks is missing") from error

    @classmethod
    def default(cls) -> CheckHead:
        """Before any label: a cautious guess from what is documented at `_DEFAULT`; it expects 40 % to be good."""
        columns = len(COLUMNS)
        centre, scale, weights = np.zeros(columns), np.ones(columns), np.zeros(columns + 1)
        weights[-1] = _DEFAULT_ODDS
        for name, (usual, spread, worth) in _DEFAULT.items():
            at = COLUMNS.index(name)
            centre[at], scale[at], weights[at] = usual, spread, worth
        return cls(
            centre=centre,
            scale=scale,
            good=Additive(weights),
            gain=None,
            tasks=(),
            task_means=np.full((1, len(TASK)), np.nan),
            wording=None,
            calibration=Calibration(
                np.array([[1.0, 0.0]]), np.array([[[0.0, 0.0], [0.0, (_DEFAULT_DEVIATION / 0.25) ** 2]]])
            ),
            card={"default": True},
        )


def task_columns(
    rows: NDArray[np.float64], means: NDArray[np.float64], places: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The columns `TASK` of rows of `NAMES`: what is usual in a task, and the length (log) against it."""
    own = means[places]
    lengths = rows[:, _LENGTHS]
    length = np.where(np.isnan(lengths[:, 0]), lengths[:, 1], lengths[:, 0])
    return np.column_stack([own[:, 0], own[:, 1], length - own[:, 2]])


def _reason(name: str, weight: float, faults: Sequence[str]) -> str:
    found = f" ({', '.join(faults)})" if faults and name == FORM else ""
    return f"{'for' if weight > 0 else 'against'} it: {name}{found}"


def _additive(arrays: Mapping[str, NDArray[Any]], name: str) -> Additive | None:
    if f"{name}.weights" not in arrays:
        return None
    start = f"{name}.trees."
    trees = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
    return Additive(arrays[f"{name}.weights"], Trees(**trees) if trees else None)
