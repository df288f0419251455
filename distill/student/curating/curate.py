"""From mined traffic to what a student learns from and is judged by: parts of questions with confirmed answers.

The non-obvious decision: an example is a question of some meaning, and its weight is how many requests asked it.
Only what nobody answered well is asked of the teacher, the most frequent first. Every request that was read is
either in a weight or among what was dropped, by reason: `kept` and `dropped` of `data.json` add up to `read`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from contracts.money import ZERO
from distill.student.child import StageFailed
from distill.student.curating.data_card import DataFacts, Judging, Lesson, data_card
from distill.student.curating.mined import MinedTraffic, read_mined, text_of
from distill.student.curating.parting import PARTS, Part, Posed, grouped, placed, texts_of, vectors_of
from distill.student.curating.passing import FEWEST, Privacy, alone, unfit
from distill.student.curating.settings import CurateSettings
from distill.student.curating.sifting import (
    Bundle,
    Fates,
    asked_of,
    bundled,
    cases_of,
    find_answer,
    intents_of,
    settle,
    usable,
)
from distill.student.curating.unknown import UNKNOWN_FILE, Unknown
from distill.student.examples import TEST, TRAIN, TUNE, Example, write_examples
from distill.student.judging import Claim, Judge, Verdicts
from distill.student.mining.mine import INTENTS
from distill.student.running import Tell
from distill.student.teacher import Asked, Teacher
from evals.suite import Suite
from system.files import replace_file

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

DATA, CARD = "data.json", "data-card.md"
LAYOUT = 2
"""Of what is written here: raised when the same traffic would come out in other bytes."""
_FILES: Mapping[Part, str] = {"train": TRAIN, "tune": TUNE, "test": TEST}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    """What was written to `folder`."""

    folder: Path
    facts: DataFacts


def curate(
    mined: Path,
    settings: CurateSettings,
    *,
    encode: Callable[[Sequence[str]], Vectors],
    teacher: Teacher | None,
    suite: Suite | None,
    folder: Path,
    tell: Tell,
    judge: Judge | None = None,
) -> Curated:
    """Write the parts, `data.json` and the data card. The same of what mining left gives the same bytes.

    `suite`: its cases are tuned on and tested on, and never learned. `judge` is asked of answers that nobody was
    content with. Raises StageFailed where nothing is left to learn from, OSError, ValueError where what mining left
    cannot be read, and what `Teacher.answers` raises.
    """
    traffic = read_mined(mined)
    privacy = Privacy(settings.regions, settings.keep)
    fates = Fates()
    bundles = _bundles(traffic, suite, settings, privacy, encode, tell, fates)
    picked = [bundle for bundle in bundles if bundle.intent in traffic.picked]
    for bundle in picked:
        settle(bundle, privacy.found, fates, least_score=settings.least_score, alike=settings.least_agreement)
    lesson = _teach(picked, settings, teacher, privacy, fates, tell)
    verdicts = Verdicts() if judge is None else judge.verdicts(_claims(picked), tell)
    passed = list(_passed(picked, settings, verdicts, fates))
    examples = {part: [_example(one) for one in passed if one.part == part] for part in PARTS}
    examples["train"] = _balanced(examples["train"], settings.most_per_intent, fates)
    if not examples["train"]:
        raise StageFailed(_why_nothing(traffic, fates))
    unknown = [_unknown(one, settings, privacy) for one in bundles if one.intent not in traffic.picked]
    for part, file in _FILES.items():
        write_examples(folder / file, examples[part])
    write_examples(folder / UNKNOWN_FILE, unknown)
    facts = DataFacts.of(
        traffic,
        examples,
        unknown,
        fates,
        lesson,
        Judging.of(verdicts, judge),
        suite=suite,
        settings=settings.model_dump(mode="json"),
    )
    replace_file(folder / DATA, msgspec.json.format(msgspec.json.encode(facts), indent=1))
    replace_file(folder / CARD, data_card(facts).encode())
    return Curated(folder=folder, facts=facts)


def _bundles(
    traffic: MinedTraffic,
    suite: Suite | None,
    settings: CurateSettings,
    privacy: Privacy,
    encode: Callable[[Sequence[str]], Vectors],
    tell: Tell,
    fates: Fates,
) -> list[Bundle]:
    """Of all usable requests, of whatever intent, and of the suite's cases."""
    requests = list(usable(traffic.requests, settings.turns, privacy.found, fates))
    cases = list(cases_of(suite.cases if suite is not None else (), settings.turns, fates.skipped))
    asked = asked_of(requests)
    posed = [
        Posed(text=text_of(case.messages), talk=f"case {case.id}", intent="", lang="", case=True) for case in cases
    ]
    texts = texts_of([*posed, *asked])
    vectors = vectors_of(texts, encode, tell)
    groups = grouped(texts, vectors, settings.same, tell)
    intents = intents_of(cases, requests, traffic.intents, groups.places, vectors)
    posed = [replace(one, intent=intent) for one, intent in zip(posed, intents, strict=True)]
    places = placed(
        [*posed, *asked],
        groups,
        {"train": 1 - settings.tune - settings.test, "tune": settings.tune, "test": settings.test},
        {"tune": 1 - settings.suite_in_test, "test": settings.suite_in_test},
    )
    fates.beside_cases = sum(place.beside_case for place in places[len(cases) :])
    return bundled(cases, intents, requests, places, fates)


def _teach(
    picked: Sequence[Bundle],
    settings: CurateSettings,
    teacher: Teacher | None,
    privacy: Privacy,
    fates: Fates,
    tell: Tell,
) -> Lesson:
    """Have answered what lacks an answer: what the suite asks, and then what most requests ask."""
    if teacher is None:
        return Lesson()
    lacking = [one for one in picked if settings.ask == "all" or not one.answer]
    lacking.sort(key=lambda one: (one.case is None, -len(one.requests), one.id))
    told = teacher.answers([Asked(one.id, one.messages) for one in lacking], tell)
    for one in lacking:
        taught = told.get(one.id)
        if taught is None:
            continue
        reason = unfit(taught.answer, one.question, privacy.found)
        if reason:
            fates.failed[f"of the teacher's: {reason}"] += 1
        else:
            one.answer, one.source = taught.answer, "teacher"
    return Lesson(
        teacher=teacher.name,
        asked=len(lacking),
        answered=len(told),
        left_out=teacher.left_out,
        usd=sum((taught.cost for taught in told.values()), ZERO),
    )


def _claims(picked: Sequence[Bundle]) -> list[Claim]:
    """That the answers are right, those to what most requests ask first."""
    some = [one for one in picked if one.case is None and one.answer and one.source != "feedback"]
    some.sort(key=lambda one: (-len(one.requests), one.id))
    return [Claim(id=one.id, messages=one.messages, answer=one.answer) for one in some]


def _passed(
    picked: Sequence[Bundle], settings: CurateSettings, verdicts: Verdicts, fates: Fates
) -> Iterator[Bundle]:
    """Those whose answer something speaks for, which `source` says; the suite's cases as they are."""
    lonely, few = _lonely(picked, settings)
    for one in picked:
        if one.case is not None:
            one.answer = one.answer or str(one.case.expected.get("reference") or "")
            one.source = "suite"
            yield one
            continue
        if not one.answer:
            fates.drop(one, "without a good answer")
            continue
        judged = verdicts.found.get(one.id)
        if judged is False:
            fates.drop(one, "a judge found the answer bad")
        elif judged is None and one.id in lonely and one.source != "feedback":
            if one.part == "train":
                fates.drop(one, "an answer like few others of its intent")
                continue
            # To leave it out would be to test with what is easy: who asks this gets the teacher's answer today.
            one.source = "unlike others of its intent, not learned"
            yield one
        else:
            own = "few to compare with" if (one.intent, one.lang) in few else "like others of its intent"
            one.source = "judge" if judged is not None else one.source or own
            yield one


def _lonely(picked: Sequence[Bundle], settings: CurateSettings) -> tuple[set[str], set[tuple[str, str]]]:
    """Bundles whose answers are alone in their intent and language; and which of these have too few to tell."""
    strata: defaultdict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for one in picked:
        if one.answer and one.case is None:
            strata[one.intent, one.lang][one.id] = one.answer
    found = [alone(answers, settings.least_agreement, settings.least_company) for answers in strata.values()]
    return set().union(*found), {stratum for stratum, answers in strata.items() if len(answers) < FEWEST}


def _balanced(examples: Sequence[Example], most: int, fates: Fates) -> list[Example]:
    """The most asked of each intent."""
    often: Counter[str] = Counter()
    kept = set()
    for one in sorted(examples, key=lambda one: (-one.weight, one.id)):
        often[one.intent] += 1
        if often[one.intent] <= most:
            kept.add(one.id)
        else:
            fates.dropped["beyond the most of its intent"] += int(one.weight)
    return [one for one in examples if one.id in kept]


def _example(one: Bundle) -> Example:
    return Example(
        id=one.id,
        intent=one.intent,
        messages=one.messages,
        answer=one.answer,
        group=one.group,
        lang=one.lang,
        weight=float(len(one.requests)),
        source=one.source,
        expected=one.case.expected if one.case is not None else {},
    )


def _unknown(one: Bundle, settings: CurateSettings, privacy: Privacy) -> Unknown:
    find_answer(one, privacy.found, Counter(), settings.least_score)
    return Unknown(
        id=one.id,
        intent=one.intent,
        messages=one.messages,
        part=one.part,
        group=one.group,
        answer=one.answer,
        lang=one.lang,
        weight=float(len(one.requests)),
        source="suite" if one.case is not None else one.source,
        expected=one.case.expected if one.case is not None else {},
    )


def _why_nothing(traffic: MinedTraffic, fates: Fates) -> str:
    if not traffic.picked:
        return (
            f"Mining picked no intent, and {INTENTS} says of each why not: give more traffic, or lower what `mine` "
            "asks of an intent."
        )
    told = "; ".join(f"{count:,}: {reason}" for reason, count in fates.dropped.most_common())
    return (
        f"Nothing is left to learn from. Of {len(traffic.requests):,} requests were dropped {told or 'none'}. "
        "Where answers are missing, name a `teacher` that gives them, or let Weir write answers down."
    )
