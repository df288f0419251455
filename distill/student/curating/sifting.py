"""From requests to bundles: those that ask the same, with the answers that may be learned from them.

The non-obvious decision: the requests of a bundle share their answers. One that was never answered, or badly,
counts for the question all the same where another was answered well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from distill.student.curating.mined import talk_of, text_of
from distill.student.curating.parting import Part, Place, Posed
from distill.student.curating.passing import central, unfit
from distill.student.mining.traffic import Request
from evals.cases import Case
from evals.importing.alike import RESEMBLING, plain
from evals.suite import ALL
from heads.answers import agreement
from heads.intents import UNKNOWN

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

_LEAST_VOTES, _LEAST_SHARE = 2, 1 / 3
"""Of a segment's cases, that name an intent for all of them. On the example's suite 180 of 228 cases find the
intent that they belong to among those that mining finds, and 2 a wrong one; each for itself, 78 and 9."""


@dataclass(slots=True)
class Bundle:
    """A question of one meaning, intent and language. `id` is that of its case, or of the first request.

    `case` is the suite's, where it asks the same. `answer` is the one that was found best, and `source` says what
    speaks for it.
    """

    id: str
    group: str
    intent: str
    lang: str
    part: Part
    messages: tuple[Mapping[str, Any], ...]
    requests: list[Request] = field(default_factory=list)
    case: Case | None = None
    answer: str = ""
    source: str = ""

    @property
    def question(self) -> str:
        return str(self.messages[-1].get("content") or "")


@dataclass(slots=True)
class Fates:
    """What became of requests. `dropped` counts them by reason, `failed` answers that did not pass by theirs."""

    asked: Counter[str] = field(default_factory=Counter)
    """Requests with a question, by intent, whatever became of them later."""
    dropped: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    hidden: Counter[str] = field(default_factory=Counter)
    """Personal data that mining had not found, by kind."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Cases of the suite that a student is never asked, by reason."""
    beside_cases: int = 0
    """Requests that ask what the suite asks, which nothing is learned from."""

    def drop(self, bundle: Bundle, reason: str) -> None:
        self.dropped[reason] += len(bundle.requests)


def asked_of(requests: Iterable[Request]) -> list[Posed]:
    return [
        Posed(text=text_of(one.messages), talk=talk_of(one), intent=one.intent, lang=one.lang) for one in requests
    ]


def usable(
    requests: Iterable[Request], turns: int, personal: Callable[[str], tuple[str, ...]], fates: Fates
) -> Iterator[Request]:
    """Those that may be looked at further."""
    for request in requests:
        if request.turn > turns:
            fates.dropped["a later turn of its conversation"] += 1
            continue
        if not request.question.strip():
            fates.dropped["without a question in text"] += 1
            continue
        fates.asked[request.intent] += 1
        if kinds := personal("\n".join(str(turn.get("content") or "") for turn in request.messages)):
            fates.hidden.update(kinds)
            fates.dropped["personal data that mining had not hidden"] += 1
        else:
            yield request


def cases_of(cases: Sequence[Case], turns: int, skipped: Counter[str]) -> Iterator[Case]:
    """Those that a student may be asked; the others are counted in `skipped`."""
    for case in cases:
        roles = [turn["role"] for turn in case.messages]
        if roles.count("user") > turns:
            skipped["a case with more turns"] += 1
        elif case.tools or case.documents or roles[-1] != "user" or not case.question.strip():
            skipped["a case with tools or documents"] += 1
        else:
            yield case


def intents_of(
    cases: Sequence[Case],
    requests: Sequence[Request],
    known: frozenset[str],
    places: Mapping[str, int],
    vectors: Vectors,
) -> list[str]:
    """Of each case: its segment where mining knows it by that name; or what its segment's nearest questions say.

    Where those of a segment do not agree, that of the case's own nearest question, if they resemble each other.
    """
    first: dict[int, str] = {}
    for request in requests:
        first.setdefault(places[plain(text_of(request.messages))], request.intent)
    rows, there = vectors[list(first)], list(first.values())
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    own: list[str] = []
    for case in cases:
        nearness = rows @ vectors[places[plain(text_of(case.messages))]]
        nearest = int(np.argmax(nearness)) if there else -1
        votes[case.segment][there[nearest] if there else UNKNOWN] += 1
        own.append(there[nearest] if there and nearness[nearest] >= RESEMBLING else UNKNOWN)
    named = {segment: segment if segment in known else _elected(segment, votes[segment]) for segment in votes}
    return [named[case.segment] or alone for case, alone in zip(cases, own, strict=True)]


def _elected(segment: str, votes: Counter[str]) -> str:
    """Empty where too few say the same."""
    intent, most = votes.most_common(1)[0]
    return intent if segment != ALL and most >= max(_LEAST_VOTES, votes.total() * _LEAST_SHARE) else ""


def bundled(
    cases: Sequence[Case],
    intents: Sequence[str],
    requests: Sequence[Request],
    places: Sequence[Place],
    fates: Fates,
) -> list[Bundle]:
    """`places` are those of the cases, whose `intents` are told, and then of the requests. Cases come first."""
    found: list[Bundle] = []
    known: dict[tuple[str, str, str], Bundle] = {}
    for case, intent, place in zip(cases, intents, places, strict=False):
        if place.part is not None:
            lang = str(case.metadata.get("lang", ""))
            bundle = Bundle(case.id, place.group, intent, lang, place.part, tuple(case.messages), case=case)
            known.setdefault((place.group, intent, lang), bundle)
            found.append(bundle)
    for request, place in zip(requests, places[len(cases) :], strict=True):
        if place.part is None:
            fates.dropped["its conversation and its question are in different parts"] += 1
            continue
        name = (place.group, request.intent, request.lang)
        if name not in known:
            known[name] = Bundle(request.id, *name, place.part, request.messages)
            found.append(known[name])
        known[name].requests.append(request)
    return found


def settle(
    bundle: Bundle, personal: Callable[[str], tuple[str, ...]], fates: Fates, *, least_score: float, alike: float
) -> None:
    """Find the bundle's answer among those of its requests; requests that were answered otherwise are dropped.

    `alike` is the agreement from which answers are the same.
    """
    passing = find_answer(bundle, personal, fates.failed, least_score)
    others = {request.id for request in passing if agreement(request.answer, bundle.answer) < alike}
    fates.dropped["answered otherwise than most who asked the same"] += len(others)
    bundle.requests = [request for request in bundle.requests if request.id not in others]


def find_answer(
    bundle: Bundle, personal: Callable[[str], tuple[str, ...]], failed: Counter[str], least_score: float
) -> list[Request]:
    """Give the bundle the most central of the answers that pass, of those that somebody was content with if there
    are any; the requests that have one that passes. `failed` counts the others by reason.
    """
    passing: list[Request] = []
    for request in bundle.requests:
        reason = _why_not(request, personal, least_score) if request.answer else ""
        if reason:
            failed[reason] += 1
        elif request.answer:
            passing.append(request)
    liked = [request for request in passing if request.score is not None]
    if told := Counter(request.answer for request in liked or passing):
        bundle.answer, bundle.source = central(told), "feedback" if liked else ""
    return passing


def _why_not(request: Request, personal: Callable[[str], tuple[str, ...]], least_score: float) -> str:
    if request.score is not None and request.score < least_score:
        return "feedback below the least score"
    return unfit(request.answer, request.question, personal)
