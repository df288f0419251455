"""Learns from labelled answers to judge an answer: cross-fitted, calibrated in each task, deterministic.

The non-obvious decision: some rows are learned twice, the second time with groups of signals taken out at random.
Signals come and go while a gateway runs (an upstream without log-probabilities, a second model that is down), and a
head that never saw one missing takes its absence for the worst news.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.additive import Rows, Scale, calibrate, fit, word_matrix, word_worth
from evals.curves import apgr, bootstrap, calibration_error
from heads.additive import Additive, Calibration, filled, standardised
from heads.answers import grams
from heads.checks import BUCKETS, COLUMNS, TASK, WORDING, CheckHead, task_columns
from heads.signals import GROUPS, NAMES, Signals

LEAST = 100
"""Labels to learn from."""

_CHARACTERS = NAMES.index("characters")
_LENGTH = TASK.index("length_against_task")
_OUT = [
    np.array([COLUMNS.index(name) for name in columns], np.intp) for columns in (*GROUPS.values(), WORDING, TASK)
]


class Example(Struct, frozen=True, kw_only=True):
    """A labelled answer. `good` is its score 0..1, `strong` that of the strong model's answer, if it is known.

    Examples of one `group` (by default the question, or else the answer) are learned from, or judged, together.
    """

    signals: Signals
    good: float
    task: str = ""
    strong: float | None = None
    weight: float = 1.0
    group: str = ""


class Settings(Struct, frozen=True, kw_only=True):
    """How it is learned.

    Tried on the dev part of the routing data: a copy of each row with half of its groups of signals taken out, at a
    quarter of the weight, costs no APGR where nothing is missing (it gains .000 to .003).
    """

    folds: int = 5
    taken_out: float = 0.5
    taken_out_weight: float = 0.25
    task_labels: int = 50
    """Labels from which on trees may tell a task from others; with fewer it has its calibration alone."""


class Learned(Struct, frozen=True):
    """A head, and what models said of each example that had not seen its group."""

    head: CheckHead
    good: Rows
    gain: Rows | None
    evidence: dict[str, Any]

    @property
    def scores(self) -> Rows:
        """The higher, the sooner to escalate."""
        return 1 - self.good if self.gain is None else self.gain


def read(path: Path) -> list[Example]:
    """Read examples, one JSON object a line. Raises ValueError that names the line at fault, OSError."""
    decoder = msgspec.json.Decoder(Example)
    examples = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            examples.append(_checked(decoder.decode(line)))
        except (msgspec.DecodeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    return examples


def learn(
    examples: Sequence[Example],
    *,
    settings: Settings | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Learned:
    """Learn from `LEAST` examples or more, good and bad ones; ValueError with fewer. The same head for the same.

    The gain is learned where `LEAST` of them have the strong model's score.
    """
    chosen = settings or Settings()
    if len(examples) < LEAST or len({_checked(one).good >= 0.5 for one in examples}) < 2:
        raise ValueError(f"{LEAST} labels are needed, of good and of bad answers; there are {len(examples)}")
    table = _Table(examples, chosen)
    words = _Words(table, progress)
    good, gain = np.zeros(len(examples)), np.zeros(len(examples))
    for fold in table.present:
        progress(f"fold {fold + 1} of {chosen.folds}")
        rest, judged = np.flatnonzero(table.folds != fold), np.flatnonzero(table.folds == fold)
        part = _Part(table, words, rest, fold, chosen)
        rows = table.columns(judged, part.means, words.worth(judged, fold, fold))
        good[judged], gain[judged] = part.scores(rows)
    progress("all")
    final = _Part(table, words, np.arange(len(examples)), None, chosen)
    calibration = calibrate(good, table.good, table.weights, table.places, len(table.tasks))
    evidence = _evidence(table, _honest(table, good), gain)
    head = CheckHead(
        centre=final.scale.centre,
        scale=final.scale.spread,
        good=final.good,
        gain=final.gain,
        tasks=table.tasks,
        task_means=final.means,
        wording=words.all,
        calibration=calibration,
        card={**(provenance or {}), "evidence": evidence, "settings": msgspec.structs.asdict(chosen)},
    )
    return Learned(head, _honest(table, good), gain if table.has_gain else None, evidence)


class _Table:
    """Examples as arrays. Tasks are numbered from 1; 0 is any other."""

    def __init__(self, examples: Sequence[Example], settings: Settings) -> None:
        self.settings = settings
        self.tasks = sorted({one.task for one in examples if one.task})
        numbers = {task: number for number, task in enumerate(self.tasks, 1)}
        self.places = np.array([numbers.get(one.task, 0) for one in examples], np.intp)
        self.rows = np.array([one.signals.row() for one in examples], np.float64)
        self.good = np.array([one.good for one in examples])
        self.strong = np.array([np.nan if one.strong is None else one.strong for one in examples])
        self.weights = np.array([one.weight for one in examples])
        self.folds = np.array([_fold(one, place, settings.folds) for place, one in enumerate(examples)])
        self.present: list[int] = np.unique(self.folds).tolist()
        if len(self.present) < 2:
            raise ValueError("the examples are all of one group")
        self.has_gain = int((~np.isnan(self.strong)).sum()) >= LEAST
        answers = [(one.signals.answer, one.task) for one in examples]
        self.texts = [grams(answer, BUCKETS, task) if answer is not None else [] for answer, task in answers]
        self.has_answer = np.array([answer is not None for answer, _ in answers])

    def means(self, places: NDArray[np.intp]) -> Rows:
        """What is usual in each task, by `places` alone: (tasks + 1, TASK); of tasks with few labels only a
        length."""
        targets = np.column_stack(
            [self.good[places], self.strong[places] - self.good[places], self.rows[places, _CHARACTERS]]
        )
        means = np.full((len(self.tasks) + 1, len(TASK)), np.nan)
        for column in range(len(TASK)):
            known = ~np.isnan(targets[:, column])
            values, of = targets[known, column], self.places[places][known]
            sums, counts = np.bincount(of, values, len(means)), np.bincount(of, minlength=len(means))
            if column == _LENGTH and known.any():
                means[:, column] = values.mean()
            enough = counts >= self.settings.task_labels
            enough[0] = False
            means[enough, column] = sums[enough] / counts[enough]
        return means

    def columns(self, places: NDArray[np.intp], means: Rows, worth: Rows) -> Rows:
        own = np.where(self.has_answer[places, None], worth, np.nan)
        return np.hstack([self.rows[places], task_columns(self.rows[places], means, self.places[places]), own])


class _Words:
    """What words are worth, learned without each two folds, so that no row is judged by its own label."""

    def __init__(self, table: _Table, progress: Callable[[str], object]) -> None:
        self._table = table
        self._matrix = word_matrix(table.texts, BUCKETS)
        self.all: Rows | None = None
        self._without: dict[tuple[int, int], Rows] = {}
        if not any(table.texts):
            return
        progress("words")
        self.all = self._learned(np.arange(len(table.good)))
        for pair in combinations_with_replacement(table.present, 2):
            self._without[pair] = self._learned(np.flatnonzero(~np.isin(table.folds, pair)))

    def worth(self, places: NDArray[np.intp], fold: int, other: int) -> Rows:
        """Of the answers at `places`, by words learned without both folds: (places, WORDING)."""
        weights = self._without.get((min(fold, other), max(fold, other)))
        if weights is None:
            return np.full((len(places), len(WORDING)), np.nan)
        worth: Rows = self._matrix[places] @ weights.T
        return worth

    def _learned(self, places: NDArray[np.intp]) -> Rows:
        table = self._table
        worth = np.zeros((len(WORDING), BUCKETS))
        places = places[table.has_answer[places]]
        gains = places[~np.isnan(table.strong[places])]
        for at, (some, labels) in enumerate(((places, table.good), (gains, table.strong - table.good))):
            if len(some):
                texts = [table.texts[place] for place in some]
                worth[at] = word_worth(texts, labels[some], table.weights[some], BUCKETS)
        return worth


class _Part:
    """What is learned of some examples: all but those of a fold, or all."""

    def __init__(
        self, table: _Table, words: _Words, places: NDArray[np.intp], out: int | None, settings: Settings
    ) -> None:
        self.means = table.means(places)
        worth = np.full((len(places), len(WORDING)), np.nan)
        for fold in table.present:
            own = table.folds[places] == fold
            worth[own] = words.worth(places[own], fold, fold if out is None else out)
        rows = table.columns(places, self.means, worth)
        self.scale = Scale.of(rows)
        draw = np.random.default_rng(len(places))
        fewer = _taken_out(rows, draw, settings.taken_out)
        both = np.vstack([rows, fewer])
        self.good = self._fit(table, settings, places, both, table.good, odds=True)
        self.gain: Additive | None = None
        if table.has_gain:
            self.gain = self._fit(table, settings, places, both, table.strong - table.good, odds=False)

    def _fit(
        self,
        table: _Table,
        settings: Settings,
        places: NDArray[np.intp],
        both: Rows,
        labels: Rows,
        *,
        odds: bool,
    ) -> Additive:
        known = np.tile(~np.isnan(labels[places]), 2)
        weights = np.concatenate([table.weights[places], table.weights[places] * settings.taken_out_weight])
        wanted = np.tile(labels[places], 2)
        return fit(both[known], wanted[known], weights[known], self.scale, odds=odds)

    def scores(self, rows: Rows) -> tuple[Rows, Rows]:
        seen = standardised(rows, self.scale.centre, self.scale.spread), filled(rows)
        return self.good.of(*seen), np.zeros(len(rows)) if self.gain is None else self.gain.of(*seen)


def _taken_out(rows: Rows, draw: np.random.Generator, share: float) -> Rows:
    """Rows without some groups of signals each."""
    fewer = rows.copy()
    for columns in _OUT:
        fewer[np.ix_(draw.random(len(rows)) < share, columns)] = np.nan
    return fewer


def _honest(table: _Table, odds: Rows) -> Rows:
    """Probabilities by calibrations that saw neither the fold's labels nor models learned from them."""
    good = np.zeros(len(odds))
    for fold in table.present:
        rest, judged = table.folds != fold, table.folds == fold
        calibration: Calibration = calibrate(
            odds[rest], table.good[rest], table.weights[rest], table.places[rest], len(table.tasks)
        )
        good[judged] = calibration.of(odds[judged], table.places[judged])
    return good


def _evidence(table: _Table, good: Rows, gain: Rows) -> dict[str, Any]:
    """What the cross-fitted predictions are worth."""
    found: dict[str, Any] = {
        "labels": len(good),
        "good": round(float(table.good.mean()), 4),
        "calibration_error": round(calibration_error(good, table.good), 4),
        "squared_error": round(float(np.mean((good - table.good) ** 2)), 4),
        "squared_error_of_the_mean": round(float(table.good.var()), 4),
    }
    known = ~np.isnan(table.strong)
    if table.has_gain and table.strong[known].mean() > table.good[known].mean():
        recovered = bootstrap(apgr, gain[known], table.good[known], table.strong[known])
        found["apgr"] = {name: round(value, 4) for name, value in msgspec.structs.asdict(recovered).items()}
    return found


def _fold(one: Example, place: int, folds: int) -> int:
    group = one.group or one.signals.question or one.signals.answer or str(place)
    digest = blake2b(group.encode(errors="replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big") % folds


def _checked(one: Example) -> Example:
    scores = [one.good] if one.strong is None else [one.good, one.strong]
    if not all(0 <= score <= 1 for score in scores) or not 0 < one.weight < float("inf"):
        raise ValueError("a score is not between 0 and 1, or a weight is not above 0")
    return one
