"""The first stage: which intents a route's traffic has, what each is worth, and which a student should learn.

The non-obvious decision: first turns alone are looked at. They make most of a help desk's traffic, mean the same
whoever asks them, and can be told apart without a conversation's history; later turns take their conversation's
intent with them, and go to the large model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from contracts.money import ZERO
from distill.student.curating.parting import vectors_of
from distill.student.mining import plot
from distill.student.mining.clustering import UNKNOWN as NO_INTENT
from distill.student.mining.clustering import Density, labels_of
from distill.student.mining.naming import names_of, terms_of
from distill.student.mining.questions import Question, first_questions
from distill.student.mining.traffic import Traffic
from distill.student.mining.worth import Intent, Purse, Rule, figures, likeness_of, picked
from distill.student.running import Tell
from distill.student.teacher import Asked, Teacher
from evals.importing.deidentify import REGIONS
from evals.importing.lines import UNKNOWN
from evals.targets.port import Price
from router.config.values import Section
from system.files import replace_file

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

INTENTS, REQUESTS, PLOT = "intents.json", "requests.jsonl", "intents.svg"
Encode = Callable[[Sequence[str]], "Vectors"]


class MineSettings(Section):
    """What is looked for in the traffic, and which intents are worth learning."""

    labels: Literal["found", "given"] = Field(
        "found", description="`given`: the intents are those that the lines name, and none is looked for."
    )
    names: Literal["terms", "teacher"] = Field(
        "terms", description="What intents that were found are named by: telling words, or the teacher."
    )
    regions: tuple[str, ...] = Field(
        REGIONS, description="Where telephone numbers without a country code are from."
    )
    keep: tuple[str, ...] = Field(
        (), description="Texts that are no personal data, such as your own address and number."
    )
    answer_weight: float = Field(
        0.6, ge=0, le=0.9, description="How much of a question's place its answer makes; 0: the question alone."
    )
    same_answers: float = Field(
        0.8, gt=0, le=1, description="Share of common words from which two answers are the same, and so the intent."
    )
    joins: float = Field(
        0.75,
        gt=0,
        le=1,
        description="Cosine from which a question beyond `most_clustered` joins the nearest one's.",
    )
    most_clustered: PositiveInt = Field(
        4_000, le=20_000, description="Different questions that are clustered, the most asked. Memory: its square."
    )
    least_requests: PositiveInt = Field(5, description="Requests that make an intent worth learning.")
    least_distinct: int = Field(3, ge=2, description="Different questions that make an intent.")
    least_agreement: float = Field(
        0.8, ge=0, le=1, description="How far the teacher's answers must say the same; 0: they need not be known."
    )
    least_likeness: float = Field(
        0.1,
        ge=0,
        le=1,
        description="How much nearer an intent's questions are to each other than any two, from none to equal. "
        "Below, it is what is answered to all that nobody knows.",
    )
    most_intents: PositiveInt = Field(100, description="Intents to pick at most, the most worth first.")
    share: float = Field(1.0, gt=0, le=1, description="Share of the spend after which no more are picked.")


class Mined(Struct, frozen=True, kw_only=True):
    """What came of it; `counts` are those of requests, first turns, questions and their answers. `usd` is what the
    teacher took for these, this time or earlier.
    """

    folder: Path
    intents: Sequence[Intent]
    counts: Mapping[str, int]
    usd: Decimal

    @property
    def picked(self) -> list[Intent]:
        return [one for one in self.intents if one.picked]


def mine(
    requests: Traffic,
    settings: MineSettings,
    *,
    encode: Encode,
    teacher: Teacher | None,
    folder: Path,
    tell: Tell,
    teacher_price: Price | None = None,
    student_price: Price | None = None,
) -> Mined:
    """Writes `intents.json`, `requests.jsonl` and `intents.svg` into `folder`; the same for the same traffic.

    A `teacher` is asked what it would answer where nobody knows. Prices estimate what was spent where the traffic
    does not tell, and what a student would take. Raises what a teacher raises, and OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    questions = first_questions(requests.requests)
    known = sum(bool(question.answer) for question in questions)
    lessons = None if teacher is None else _Lessons(teacher, tell)
    if lessons is not None:
        _ask(questions, lessons)
    asked = vectors_of([question.text for question in questions], encode, tell)
    answers = list(dict.fromkeys(question.answer for question in questions if question.answer))
    answered = dict(zip(answers, vectors_of(answers, encode, tell), strict=True))
    names, terms = _named(questions, _labels(questions, asked, answered, settings, tell), settings, lessons)
    intents = _intents(questions, asked, answered, names, Purse(teacher_price, student_price))
    intents = [replace(one, terms=terms.get(one.intent, ())) for one in picked(intents, _rule(settings))]
    counts = {
        "requests": len(requests.requests),
        "first turns": sum(question.times for question in questions),
        "different questions": len(questions),
        "answers in the traffic": known,
        "answers of the teacher": sum(bool(question.answer) for question in questions) - known,
        "without an answer": sum(not question.answer for question in questions),
    }
    mined = Mined(folder=folder, intents=intents, counts=counts, usd=ZERO if lessons is None else lessons.usd)
    _write(mined, requests, settings, questions, names)
    return mined


class _Lessons:
    """What the teacher is asked here, and the dollars that it took, this time or earlier."""

    def __init__(self, teacher: Teacher, tell: Tell) -> None:
        self._teacher, self._tell = teacher, tell
        self.usd = ZERO

    def answers(self, asked: Sequence[Asked]) -> Mapping[str, str]:
        told = self._teacher.answers(asked, self._tell)
        self.usd += sum((taught.cost for taught in told.values()), ZERO)
        return {id_: taught.answer for id_, taught in told.items()}


def _ask(questions: Sequence[Question], lessons: _Lessons) -> None:
    """What is asked most comes first, since a cap may leave the rest without."""
    missing = sorted((one for one in questions if not one.answer), key=lambda one: -one.times)
    told = lessons.answers([Asked(one.requests[0].id, one.messages) for one in missing])
    for one in missing:
        one.answer = told.get(one.requests[0].id, "")


def _labels(
    questions: Sequence[Question],
    asked: Vectors,
    answered: Mapping[str, NDArray[np.float32]],
    settings: MineSettings,
    tell: Tell,
) -> list[int]:
    """Of each question the number of its intent, found or given."""
    if settings.labels == "given":
        numbers = {UNKNOWN: NO_INTENT}
        return [numbers.setdefault(question.given, len(numbers)) for question in questions]
    tell("finding intents", 0, 0)
    density = Density(
        least=settings.least_distinct,
        answer_weight=settings.answer_weight,
        same=settings.same_answers,
        most=settings.most_clustered,
        joins=settings.joins,
    )
    answers, times = [one.answer for one in questions], [one.times for one in questions]
    return [int(label) for label in labels_of(asked, answered, answers, times, density)]


def _named(
    questions: Sequence[Question],
    labels: Sequence[int],
    settings: MineSettings,
    lessons: _Lessons | None,
) -> tuple[list[str], Mapping[str, Sequence[str]]]:
    """Of each question the name of its intent, and of each intent the terms that set it apart."""
    groups: defaultdict[int, list[Question]] = defaultdict(list)
    for question, label in zip(questions, labels, strict=True):
        if label != NO_INTENT:
            groups[label].append(question)
    often = [sorted(group, key=lambda one: -one.times) for group in groups.values()]
    texts = [[question.text for question in group] for group in often]
    terms = terms_of(texts)
    if settings.labels == "given":
        names = [group[0].given for group in often]
    else:
        ask = lessons if settings.names == "teacher" else None
        names = names_of(texts, terms, None if ask is None else lambda prompts: _prompted(ask, prompts))
    by_label = {NO_INTENT: UNKNOWN} | dict(zip(groups, names, strict=True))
    return [by_label[label] for label in labels], dict(zip(names, terms, strict=True))


def _prompted(lessons: _Lessons, prompts: Sequence[str]) -> list[str]:
    ids = [blake2b(prompt.encode(errors="replace"), digest_size=8).hexdigest() for prompt in prompts]
    asked = [Asked(id_, ({"role": "user", "content": prompt},)) for id_, prompt in zip(ids, prompts, strict=True)]
    told = lessons.answers(asked)
    return [told.get(id_, "") for id_ in ids]


def _intents(
    questions: Sequence[Question],
    asked: Vectors,
    answered: Mapping[str, NDArray[np.float32]],
    names: Sequence[str],
    purse: Purse,
) -> list[Intent]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    total, usual = sum(question.times for question in questions), likeness_of(asked)
    return [
        figures(
            name,
            [questions[place] for place in found],
            asked[found],
            answered,
            purse,
            first_turns=total,
            usual=usual,
        )
        for name, found in places.items()
    ]


def _rule(settings: MineSettings) -> Rule:
    return Rule(
        least_requests=settings.least_requests,
        least_distinct=settings.least_distinct,
        least_agreement=settings.least_agreement,
        # Intents that somebody else named are vouched for, and may be in several languages.
        least_likeness=settings.least_likeness if settings.labels == "found" else 0.0,
        most_intents=settings.most_intents,
        share=settings.share,
    )


def _write(
    mined: Mined, traffic: Traffic, settings: MineSettings, questions: Sequence[Question], names: Sequence[str]
) -> None:
    folder = mined.folder
    of_talk: dict[tuple[str, str], str] = {}
    of_request: dict[str, tuple[str, str]] = {}
    for question, name in zip(questions, names, strict=True):
        for one in question.requests:
            of_talk.setdefault((one.tenant, one.conversation), name)
            of_request[one.id] = (name, one.answer or question.answer)
    lines = []
    for one in traffic.requests:
        other = of_talk.get((one.tenant, one.conversation), UNKNOWN), one.answer
        name, answer = of_request.get(one.id, other)
        lines.append(msgspec.json.encode(replace(one, intent=name, answer=answer)) + b"\n")
    replace_file(folder / REQUESTS, b"".join(lines))
    told = _told(traffic, settings, mined) | {"intents": mined.intents}
    replace_file(folder / INTENTS, msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")
    replace_file(folder / PLOT, plot.svg(mined.intents, title=f"Route {traffic.route}").encode())


def _told(traffic: Traffic, settings: MineSettings, mined: Mined) -> dict[str, Any]:
    days = [one.day for one in traffic.requests if one.day]
    return {
        "route": traffic.route,
        "owner": traffic.owner,
        "settings": settings.model_dump(mode="json"),
        "sources": traffic.sources,
        "period": {"first": min(days, default=""), "last": max(days, default="")},
        "tenants": traffic.tenants,
        "langs": dict(sorted(Counter(one.lang for one in traffic.requests).items())),
        "counts": mined.counts,
        "teacher_usd": mined.usd,
        "left_out": traffic.left_out,
        "without_consent": traffic.without_consent,
        "hidden": traffic.hidden,
    }
