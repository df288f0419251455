"""The gate: what a student may answer, chosen on the tuning questions, and whether that holds on the test ones.

The non-obvious decision: intents, confidence and heads are chosen once, with the variant that has most bits, and
the variants of an engine are judged under them from the largest down, until one fails. So none passes since it was
one of many that were tried, and the smallest that passed is as good as its table says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from contracts.students import LAYOUT, Student, Variant
from distill.student.answering.answers import Answered, answers_of
from distill.student.child import StageFailed
from distill.student.compressing.compress import Compressed, read_compressed
from distill.student.compressing.settings import EngineSettings
from distill.student.examples import Example
from distill.student.gating.deciding import Chosen, Design, choose
from distill.student.gating.gated import Gated, OfVariant, write_student
from distill.student.gating.heads import ChecksLearned, Guess, IntentsLearned, checks_of, intents_of, with_guess
from distill.student.gating.marking import Marker
from distill.student.gating.parts import Parts, read_parts
from distill.student.gating.report import write_report
from distill.student.gating.settings import GateSettings
from distill.student.gating.trial import NOT_KNOWN, Mark, Trial
from distill.student.gating.usual import usual_answers
from distill.student.gating.verdict import Judged, curve_of, judged, refused_for
from distill.student.judging import Judge
from distill.student.running import Tell
from distill.student.teacher import Asked, Teacher
from evals.statistics.clusters import Row
from evals.suite import Suite

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

ANSWERS = "answers"
"""The folder of what each variant answered."""
Engine = Callable[[Path, Variant, Sequence[Example], Path], Answered]
"""Asks a variant, whose files are in the folder, some questions; what the file has already is not asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Whose student it is: the route, the tenant or "" for all, the teacher's name and the encoder's version."""

    route: str
    owner: str
    teacher: str
    encoder: str


def gate(
    curated: Path,
    compressed: Path,
    settings: GateSettings,
    *,
    encode: Callable[[Sequence[str]], Vectors],
    about: About,
    teacher: Teacher | None,
    suite: Suite | None,
    engines: EngineSettings,
    folder: Path,
    tell: Tell,
    judge: Judge | None = None,
) -> Gated:
    """What curating and compressing left in their folders, judged. See `gate_with`."""

    def engine(model: Path, variant: Variant, examples: Sequence[Example], file: Path) -> Answered:
        return answers_of(
            model, variant, examples, most_tokens=settings.answer_tokens, engines=engines, file=file, tell=tell
        )

    return gate_with(
        engine,
        read_parts(curated),
        read_compressed(compressed),
        settings,
        encode=encode,
        about=about,
        teacher=teacher,
        marker=Marker(suite, encode, same_words=settings.same_words, judge=judge, tell=tell),
        folder=folder,
        tell=tell,
    )


def gate_with(
    engine: Engine,
    parts: Parts,
    compressed: Compressed,
    settings: GateSettings,
    *,
    encode: Callable[[Sequence[str]], Vectors],
    about: About,
    teacher: Teacher | None,
    marker: Marker,
    folder: Path,
    tell: Tell,
) -> Gated:
    """The verdict, which is written to `folder` with the student, a report and a plot.

    The teacher is asked, within its cap, what it answers where no answer of its is known; without one, what the
    student says there counts as wrong. The same parts and answers give the same files. Raises StageFailed, with
    advice, where there is nothing to judge, and OSError.
    """
    if not compressed.made:
        raise StageFailed("No variant of the weights was made: name one in `compress.variants` that can be.")
    usual = usual_answers(parts.train)
    intents = _intents(parts, usual, encode, tell)
    (folder / ANSWERS).mkdir(parents=True, exist_ok=True)
    asking = _Asking(engine, parts, compressed, intents.guesses, marker, folder / ANSWERS)
    asking.teach(teacher, tell)
    order = sorted(compressed.variants, key=lambda one: (one.engine, -one.bytes, one.name))
    checks, tune = asking.tuned(max(order, key=lambda one: (one.adapter, one.bytes)))
    chosen = choose(tune, settings, asking.design)
    verdicts = [
        each
        for _, variants in groupby(order, key=lambda one: one.engine)
        for each in _judged(list(variants), asking, checks, chosen, settings)
    ]
    gated = Gated(
        passed=any(one.judged.passed for one in verdicts),
        student=_student(verdicts, chosen, usual, settings, about),
        chosen=chosen,
        variants=tuple(verdicts),
        not_made={one.name: one.reason for one in compressed.refused},
        check=checks.how,
        taught=len(asking.taught),
        tune_curve=curve_of(tune, chosen.intents),
        settings=settings.model_dump(mode="json"),
    )
    write_student(gated, intents.head, checks.head, compressed, folder)
    write_report(gated, folder)
    return gated


def _intents(
    parts: Parts,
    usual: Mapping[str, tuple[str, ...]],
    encode: Callable[[Sequence[str]], Vectors],
    tell: Tell,
) -> IntentsLearned:
    try:
        return intents_of(
            parts.learned,
            parts.test,
            parts.known,
            usual,
            encode,
            lambda done, of: tell("learning intents", done, of),
        )
    except ValueError as error:
        raise StageFailed(f"The intents cannot be told apart: {error}. Curate more of the traffic.") from error


class _Asking:
    """What the variants are asked: the questions that have an intent of the student's, or are taken for one."""

    def __init__(
        self,
        engine: Engine,
        parts: Parts,
        compressed: Compressed,
        guesses: Mapping[str, Guess],
        marker: Marker,
        folder: Path,
    ) -> None:
        self._engine = engine
        self._parts = parts
        self._compressed = compressed
        self._guesses = guesses
        self._marker = marker
        self._folder = folder
        self._wanted = {
            one.id for one in (*parts.tune, *parts.test) if self._reached(one) or one.intent in parts.known
        }
        self.taught: Mapping[str, str] = {}

    def teach(self, teacher: Teacher | None, tell: Tell) -> None:
        """Ask the teacher what it answers where that is not known."""
        missing = [
            one for one in (*self._parts.tune, *self._parts.test) if one.id in self._wanted and not one.answer
        ]
        if teacher is not None and missing:
            said = teacher.answers([Asked(one.id, one.messages) for one in missing], tell)
            self.taught = {name: one.answer for name, one in said.items()}

    def tuned(self, variant: Variant) -> tuple[ChecksLearned, Trial]:
        """The head for answers, and the tuning questions as it sees them."""
        rows = self._parts.tune
        answered = self._answered(variant, rows, "tune")
        marks = self._marker.marks(rows, answered.texts, self.taught)
        places = [place for place, one in enumerate(rows) if self._reached(one) and one.id in answered.signals]
        if not places:
            raise StageFailed(
                "No tuning question is taken for an intent of the student's: curate more of the traffic."
            )
        checks = checks_of(
            [rows[place] for place in places],
            answered.signals,
            [marks[place].student for place in places],
            self._guesses,
        )
        sure = np.array([checks.sure.get(one.id, 0.0) for one in rows])
        return checks, self._trial(rows, sure, marks)

    @property
    def design(self) -> Design:
        """Of the test, as it is known before any answer."""
        rows = self._parts.test
        return Design.of(self._trial(rows, np.zeros(len(rows)), [NOT_KNOWN] * len(rows)))

    def tested(self, variant: Variant, checks: ChecksLearned) -> tuple[Answered, Trial]:
        """What a variant answered to the test questions, and that as the head for answers sees it."""
        rows = self._parts.test
        answered = self._answered(variant, rows, "test")
        sure = np.zeros(len(rows))
        for place, one in enumerate(rows):
            if self._reached(one) and one.id in answered.signals:
                guess = self._guesses[one.id]
                sure[place] = checks.head.judge(with_guess(answered.signals[one.id], guess), guess.intent).good
        return answered, self._trial(rows, sure, self._marker.marks(rows, answered.texts, self.taught))

    def _reached(self, one: Example) -> bool:
        """Whether the question gets to the student, as far as its intent goes."""
        return self._guesses[one.id].intent in self._parts.known

    def _answered(self, variant: Variant, rows: Sequence[Example], part: str) -> Answered:
        asked = [one for one in rows if one.id in self._wanted]
        file = self._folder / f"{variant.name}.{part}.jsonl"
        return self._engine(self._compressed.folder_of(variant), variant, asked, file)

    def _trial(self, rows: Sequence[Example], sure: Row, marks: Sequence[Mark]) -> Trial:
        return Trial(
            examples=rows,
            taken=[self._guesses[one.id].intent for one in rows],
            sure=sure,
            marks=marks,
            known=self._parts.known,
            shares=self._parts.shares,
        )


def _judged(
    variants: Sequence[Variant], asking: _Asking, checks: ChecksLearned, chosen: Chosen, settings: GateSettings
) -> list[OfVariant]:
    """Those of one engine, the largest first."""
    found: list[OfVariant] = []
    for variant in variants:
        answered, test = asking.tested(variant, checks)
        verdict = judged(test, chosen, settings)
        if found and not found[-1].judged.passed:
            verdict = refused_for(verdict, f"{found[-1].variant.name}, which has more bits, was refused.")
        elif found and (why := _delivers_less(found[0], verdict, settings.least_kept)):
            verdict = refused_for(verdict, why)
        found.append(
            OfVariant(
                variant=variant,
                judged=verdict,
                tokens_s=float(answered.tokens_s),
                p95_ms=float(answered.p95_ms),
                memory_mb=answered.memory_mb,
            )
        )
    return found


def _delivers_less(largest: OfVariant, judged: Judged, least: float) -> str:
    """Why a smaller variant is not worth its bytes, or "": what it cannot deliver, the teacher is paid for."""
    before, now = largest.judged.figures.share.value, judged.figures.share.value
    if now >= least * before:
        return ""
    return f"it delivers {now:.1%} where {largest.variant.name} delivers {before:.1%}, not {least:.0%} of that."


def _student(
    verdicts: Sequence[OfVariant],
    chosen: Chosen,
    usual: Mapping[str, tuple[str, ...]],
    settings: GateSettings,
    about: About,
) -> Student:
    """With the smallest variant of each engine that passed; where none did, with the largest of each engine."""
    by_engine = [list(some) for _, some in groupby(verdicts, key=lambda one: one.variant.engine)]
    passed = [[one.variant for one in some if one.judged.passed][-1:] for some in by_engine]
    kept = [variant for some in passed for variant in some] or [some[0].variant for some in by_engine]
    return Student(
        layout=LAYOUT,
        route=about.route,
        owner=about.owner,
        teacher=about.teacher,
        intents=chosen.intents,
        least_good=chosen.least_good,
        turns=settings.turns,
        most_tokens=settings.most_tokens,
        encoder=about.encoder,
        variants=tuple(kept),
        usual={intent: usual[intent] for intent in chosen.intents},
    )
