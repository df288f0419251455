"""The verdict on one variant of a student: the test questions, once, under what was chosen on others.

The non-obvious decision: the whole is judged, and not the student. Who asks gets an answer from the student or from
its teacher; what counts is whether they are worse off than with the teacher alone, in all and in each intent and
language, the questions included that slipped through to a student who should never have seen them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from distill.student.gating.deciding import Chosen
from distill.student.gating.settings import GateSettings
from distill.student.gating.trial import Mask, Trial
from distill.student.gating.weighing import change_of, mean, needed, rate, worth
from evals.gating.bounds import Bound, exactly
from evals.gating.verdict import Check
from evals.statistics.clusters import count
from evals.statistics.holm import holm
from evals.statistics.interval import Interval
from evals.statistics.resampling import DRAWS
from evals.verdicts import LEAST_CLUSTERS

_SEGMENT_DRAWS = 1_999
_MOST_POINTS = 100
"""Of the curve over the confidence."""


class Segment(Struct, frozen=True, kw_only=True):
    """Questions of one intent or language. `change` is the whole's score less the teacher's.

    `p_worse` is how likely so great a fall is where it is not beyond what is allowed, for one of so many segments;
    None where there are too few groups of questions to say.
    """

    name: str
    questions: int
    delivered: int
    change: Interval
    p_worse: float | None = None


class OfIntent(Struct, frozen=True, kw_only=True):
    """An intent in the test. Scores are means over its delivered questions, None where there are none."""

    intent: str
    share: float
    questions: int
    delivered: int
    student: float | None = None
    teacher: float | None = None
    agreement: float | None = None


class Figures(Struct, frozen=True, kw_only=True):
    """Shares of the traffic and scores from 0 to 1, by the test questions, which are `worth` so many groups.

    `quality` is the whole's score, `change` what it is above the teacher's. `wrong` are delivered answers that are
    worse than the teacher's. `leak` is how many of the questions that the student may not answer it answers all the
    same, and `leak_good` the share of these answers that is as good as the teacher's. `curve` has a point for each
    confidence: what is delivered then, and what of it is worse than the teacher's. `untested` is the share of the
    traffic that no test question stands for: nothing of it counts as delivered.
    """

    questions: int
    groups: int
    worth: float
    delivered: int
    quality: Interval
    teacher: float
    change: Interval
    share: Interval
    wrong: Interval | None
    leak: Interval | None
    leak_good: float | None
    agreement: float | None
    measures: Mapping[str, int]
    intents: tuple[OfIntent, ...]
    segments: tuple[Segment, ...]
    curve: tuple[tuple[float, float], ...]
    untested: float


class Judged(Struct, frozen=True, kw_only=True):
    """`checks` with the failed ones first."""

    passed: bool
    checks: tuple[Check, ...]
    figures: Figures

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each check, those that failed first."""
        return tuple(
            f"{'held' if one.passed else 'failed'}: {one.name}: {one.figure}, {one.limit}"
            + (f" ({one.why})" if one.why and not one.passed else "")
            for one in self.checks
        )


def judged(test: Trial, chosen: Chosen, settings: GateSettings) -> Judged:
    """The same questions and seed give the same verdict. ValueError where there are no questions."""
    if not len(test.examples):
        raise ValueError("there are no test questions: curate more of the traffic, or give a suite")
    delivered = test.delivered(chosen.intents, chosen.least_good)
    figures = _figures(test, chosen, delivered, settings)
    checks = sorted(_checks(test, chosen, figures, settings), key=lambda check: check.passed)
    return Judged(passed=all(check.passed for check in checks), checks=tuple(checks), figures=figures)


def curve_of(trial: Trial, intents: tuple[str, ...]) -> tuple[tuple[float, float], ...]:
    """What is delivered of `intents`, and what of that is worse than the teacher's; the strictest first."""
    allowed = trial.delivered(intents, -np.inf)
    levels = np.unique(trial.sure[allowed])[::-1]
    if len(levels) > _MOST_POINTS:
        levels = levels[np.unique(np.linspace(0, len(levels) - 1, _MOST_POINTS).round().astype(int))]
    masks = [allowed & (trial.sure >= level) for level in levels]
    worse = 1 - trial.as_good
    tested = 1 - trial.untested
    return tuple(
        (tested * float(trial.weights[mask].sum()), mean(worse[mask], trial.weights[mask])) for mask in masks
    )


def _figures(test: Trial, chosen: Chosen, delivered: Mask, settings: GateSettings) -> Figures:
    level, weights = settings.level, test.weights
    whole = np.where(delivered, test.student, test.teacher)
    kept = ~np.isin(np.array(test.strata, dtype=object).astype(str), [*chosen.intents])
    quality = rate(whole, weights, test.units, level) or Interval(0.0, 0.0, 1.0)
    leaked = kept & delivered
    return Figures(
        questions=len(test.examples),
        groups=count(test.units),
        worth=worth(weights, test.units),
        delivered=int(delivered.sum()),
        quality=quality,
        teacher=mean(test.teacher, weights),
        change=_change(test, delivered, np.ones(len(weights), bool), settings, DRAWS)[0],
        share=_share(test, delivered, level),
        wrong=rate(1 - test.as_good[delivered], weights[delivered], test.units[delivered], level),
        leak=rate(leaked[kept].astype(float), weights[kept], test.units[kept], level),
        leak_good=float(test.as_good[leaked].mean()) if leaked.any() else None,
        agreement=_agreement(test, delivered),
        measures=_measures(test),
        intents=tuple(_of_intent(test, intent, delivered) for intent in sorted(set(test.strata))),
        segments=_segments(test, delivered, settings),
        curve=curve_of(test, chosen.intents),
        untested=test.untested,
    )


def _share(test: Trial, delivered: Mask, level: float) -> Interval:
    """Of all the traffic. What was not tested is not answered, but for what slips through unseen."""
    found = rate(delivered.astype(float), test.weights, test.units, level) or Interval(0.0, 0.0, 1.0)
    tested = 1 - test.untested
    return Interval(tested * found.value, tested * found.low, tested * found.high + test.untested)


def _change(
    test: Trial, delivered: Mask, part: Mask, settings: GateSettings, draws: int
) -> tuple[Interval, float | None]:
    """What the questions of `part` gain or lose, and how likely so much is where no more than allowed is lost."""
    changes = np.where(delivered, test.change, 0.0)[part]
    weights, (_, units) = test.weights[part], np.unique(test.units[part], return_inverse=True)
    if not weights.any():
        weights = np.ones(len(weights))
    change, found = change_of(changes, weights, units, settings.level, seed=settings.seed, draws=draws)
    return change, found.p_below(-settings.most_fall) if count(units) >= LEAST_CLUSTERS else None


def _segments(test: Trial, delivered: Mask, settings: GateSettings) -> tuple[Segment, ...]:
    """Intents and languages that the student answers any question of; the others are as they were."""
    strata = np.array(test.strata, dtype=object)
    langs = np.array([one.lang for one in test.examples], dtype=object)
    parts = {f"intent {name}": strata == name for name in sorted(set(test.strata))}
    parts |= {f"lang {name}": langs == name for name in sorted({*langs}) if name}
    found = [
        (name, part, *_change(test, delivered, part, settings, _SEGMENT_DRAWS))
        for name, part in parts.items()
        if delivered[part].any()
    ]
    told = [place for place, (_, _, _, p) in enumerate(found) if p is not None]
    corrected = dict(zip(told, holm([found[place][3] or 0.0 for place in told]), strict=True))
    return tuple(
        Segment(
            name=name,
            questions=int(part.sum()),
            delivered=int(delivered[part].sum()),
            change=change,
            p_worse=corrected.get(place),
        )
        for place, (name, part, change, _) in enumerate(found)
    )


def _of_intent(test: Trial, intent: str, delivered: Mask) -> OfIntent:
    part = np.array(test.strata, dtype=object) == intent
    given = part & delivered
    return OfIntent(
        intent=intent,
        share=(1 - test.untested) * float(test.weights[part].sum()),
        questions=int(part.sum()),
        delivered=int(given.sum()),
        student=float(test.student[given].mean()) if given.any() else None,
        teacher=float(test.teacher[given].mean()) if given.any() else None,
        agreement=_agreement(test, given),
    )


def _agreement(test: Trial, part: Mask) -> float | None:
    found = [test.marks[place].agreement for place in np.flatnonzero(part).tolist()]
    known = [one for one in found if one is not None]
    return float(np.mean(known)) if known else None


def _measures(test: Trial) -> dict[str, int]:
    """Of the questions that get to the student, as far as their intents go."""
    names = [mark.measure for mark, taken in zip(test.marks, test.taken, strict=True) if taken in test.known]
    return {name: names.count(name) for name in sorted(set(names))}


def _checks(test: Trial, chosen: Chosen, figures: Figures, settings: GateSettings) -> Iterator[Check]:
    yield Bound(rule="intents", unit="cases", side="at least", limit=1).check(exactly(len(chosen.intents)))
    yield _quality(figures, settings)
    yield Bound(rule="share", unit="share", side="at least", limit=settings.least_share, sure=True).check(
        figures.share
    )
    wrong = Bound(rule="delivered", unit="share", side="at most", limit=settings.most_wrong, about="worse answers")
    yield wrong.untold("Nothing is delivered.") if figures.wrong is None else wrong.check(figures.wrong)
    yield from _kept_away(test, chosen, figures, settings)
    yield from _falls(figures, settings)


def _quality(figures: Figures, settings: GateSettings) -> Check:
    bound = Bound(rule="quality", unit="points", side="at least", limit=-settings.margin, sure=True)
    check, least = bound.check(figures.change), needed(settings.margin, settings.level)
    if check.passed or figures.worth >= least:
        return check
    why = (
        f"Weighed by the traffic the test is worth {figures.worth:.0f} questions; {least} prove such a margin where"
        " no answer is worse. Curate more for the test, or set a `margin` that the business can bear."
    )
    return replace(check, why=why)


def _kept_away(test: Trial, chosen: Chosen, figures: Figures, settings: GateSettings) -> Iterator[Check]:
    """Of questions that the student may not answer; without any such traffic there is nothing to ask for."""
    if not any(share > 0 for stratum, share in test.shares.items() if stratum not in chosen.intents):
        return
    bound = Bound(rule="kept away", unit="share", side="at most", limit=settings.most_leak, about="other questions")
    if figures.leak is None:
        yield bound.untold("The test has none of the questions that are to be kept away. Curate some of them.")
    else:
        yield bound.check(figures.leak)


def _falls(figures: Figures, settings: GateSettings) -> Iterator[Check]:
    """By the estimate where a segment has questions enough, else where the fall is sure."""
    alpha = (1 - settings.level) / 2
    for one in figures.segments:
        bound = Bound(
            rule="segments",
            unit="points",
            side="at least",
            limit=-settings.most_fall,
            about=one.name,
            segment=one.name,
        )
        if one.questions >= settings.least_segment:
            yield bound.check(one.change)
        elif one.p_worse is not None and one.p_worse <= alpha:
            yield bound.said(one.change, False, f"It falls by more for sure (p = {one.p_worse:.3f}).")


def refused_for(judged: Judged, why: str) -> Judged:
    """The same, refused for a reason that is not in its figures."""
    check = Bound(rule="larger variant", unit="cases", side="at least", limit=1).said(exactly(0), False, why)
    return replace(judged, passed=False, checks=(check, *judged.checks))
