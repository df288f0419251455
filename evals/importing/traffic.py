"""Production traffic, made into a suite that stays as it is.

The non-obvious decision: what tells who somebody is goes first, before anything is compared. "Where is order 4711?"
and "where is order 4712?" are then one question, and nothing that was hidden can come back through an id or a
cluster's name, which are hashes of what is left.

The same lines, settings and seed give the same bytes.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from evals.cases import Case, canonical
from evals.importing import alike
from evals.importing.deidentify import REGIONS, Cover
from evals.importing.draft import Draft, Unusable
from evals.importing.lines import Reading, Request
from evals.importing.strata import allot

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

RUBRIC = (
    "The answer does what the user's last message asks for, directly and for this conversation, claims nothing that"
    " the conversation contradicts, and says so where it cannot help."
)
_ENCODED_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`least` cases of each intent, as far as there are any. `judge` is a model that judges; without one, only
    questions whose answer is known become cases. `same` and `resembling` are cosines, see `alike`."""

    cases: int = 300
    least: int = 3
    seed: int = 0
    same: float = alike.SAME
    resembling: float = alike.RESEMBLING
    regions: tuple[str, ...] = REGIONS
    keep: tuple[str, ...] = ()
    judge: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """`asked`: conversations; `kept`: different questions that can be judged; `drawn`: cases."""

    intent: str
    asked: int
    kept: int
    drawn: int


@dataclass(slots=True)
class _Asked:
    """A request without what tells who it is from."""

    request: Request
    id: str
    text: str
    hidden: Mapping[str, int]
    marks: alike.Marks
    times: int = 1
    cluster: str = field(default="")

    @property
    def scope(self) -> tuple[str, ...]:
        """Only what was asked of the same route, by the same tenant and under the same instructions is the same."""
        said = [str(turn.get("content")) for turn in self.request.messages if turn["role"] == "system"]
        return (self.request.tenant, self.request.route, *said)


def draft_of(
    reading: Reading,
    wanted: Wanted,
    encode: Callable[[Sequence[str]], Vectors] | None,
    *,
    name: str,
    step: Callable[[str, int, int], object] | None = None,
) -> tuple[Draft, list[Stratum]]:
    """The suite, and what came of each stratum. Raises Unusable where nothing is left.

    Without `encode` only questions that are equal but for case and signs are one, and each is a cluster of its own.
    `step` is told what is done, how far, and of how many.
    """
    tell = step or (lambda *_: None)
    one_each = _one_of_each_conversation(_with_answers(reading.requests), wanted)
    asked = []
    for place, request in enumerate(one_each):
        asked.append(_covered(request, wanted))
        tell("hiding who asked", place + 1, len(one_each))
    # Those with an answer first: one of them then stands for its group.
    asked.sort(key=lambda one: (not one.request.answer, one.request.day, one.id))
    kept = _different(asked, wanted, encode, tell)
    able = [one for one in kept if one.request.answer or wanted.judge]
    drawn, strata = _drawn(asked, able, wanted)
    if not drawn:
        raise Unusable(_why_nothing(reading, asked))
    counts = {
        "requests": len(reading.requests),
        "conversations": len(asked),
        "different questions": len(kept),
        "without an answer": len(kept) - len(able),
        "cases": len(drawn),
        "clusters": len({one.cluster for one in drawn}),
    }
    return _draft(reading, wanted, drawn, strata, counts, name, by_meaning=encode is not None), strata


def _with_answers(requests: Sequence[Request]) -> list[Request]:
    """What was answered to somebody is the answer to whoever asked the same, word by word."""

    def said(request: Request) -> tuple[str, str, bytes]:
        return request.tenant, request.route, canonical([request.messages, request.tools])

    known: dict[tuple[str, str, bytes], str] = {}
    for request in requests:
        if request.answer:
            known.setdefault(said(request), request.answer)
    return [one if one.answer else replace(one, answer=known.get(said(one), "")) for one in requests]


def _one_of_each_conversation(requests: Sequence[Request], wanted: Wanted) -> list[Request]:
    """By lot, among the turns whose answer is known if there are any: its turns are not independent."""
    talks: dict[tuple[str, str], list[Request]] = defaultdict(list)
    for request in requests:
        talks[request.tenant, request.conversation].append(request)
    found = []
    for talk, turns in sorted(talks.items()):
        known = [turn for turn in turns if turn.answer] or turns
        found.append(_lot(wanted.seed, *talk).choice(known))
    return found


def _lot(seed: int, *about: str) -> random.Random:
    """Chance that depends on what it is about, and not on what was drawn before."""
    return random.Random(canonical([seed, *about]))  # noqa: S311 - no secret depends on it


def _covered(request: Request, wanted: Wanted) -> _Asked:
    cover = Cover(wanted.regions, frozenset(text.casefold() for text in wanted.keep))
    about = {"intent": request.intent, "route": request.route, "lang": request.lang}
    parts = [request.messages, request.answer, request.tools, about]
    cover.learn(parts)
    messages, answer, tools, about = (cover.hide(part) for part in parts)
    clear = replace(request, messages=messages, answer=answer, tools=tools, **about)
    # The last turn first, since an encoder reads the beginning of a long text alone.
    said = [str(turn.get("content") or "") for turn in reversed(clear.messages) if turn["role"] == "user"]
    content = canonical([clear.tenant, clear.route, clear.messages, clear.tools])
    text = "\n".join(said)
    id_ = blake2b(content, digest_size=8).hexdigest()
    return _Asked(clear, id_, text, dict(cover.counts), alike.Marks.of(text))


def _different(
    asked: Sequence[_Asked],
    wanted: Wanted,
    encode: Callable[[Sequence[str]], Vectors] | None,
    tell: Callable[[str, int, int], object],
) -> list[_Asked]:
    """The first of each group of equal meaning, with how often it was asked and its cluster."""
    first: dict[tuple[Any, ...], _Asked] = {}
    kept: list[_Asked] = []
    for one in asked:
        same = first.setdefault((*one.scope, alike.plain(one.text)), one)
        if same is one:
            kept.append(one)
        else:
            same.times += one.times
    if encode is None:
        for one in kept:
            one.cluster = one.id
        return kept
    vectors = _vectors([one.text for one in kept], encode, tell)

    def agree(place: int, other: int) -> bool:
        one, leader = kept[place], kept[other]
        return one.scope == leader.scope and one.marks.agree_with(leader.marks)

    leaders = alike.led_by(vectors, wanted.same, agree=agree, step=lambda done: tell("comparing", done, len(kept)))
    for place, leader in enumerate(leaders):
        if leader != place:
            kept[leader].times += kept[place].times
    left = [place for place, leader in enumerate(leaders) if leader == place]
    for place, leader in zip(left, alike.led_by(vectors[left], wanted.resembling), strict=True):
        kept[place].cluster = kept[left[leader]].id
    return [kept[place] for place in left]


def _vectors(
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], Vectors],
    tell: Callable[[str, int, int], object],
) -> Vectors:
    import numpy as np

    parts = []
    for start in range(0, len(texts), _ENCODED_AT_ONCE):
        parts.append(encode(texts[start : start + _ENCODED_AT_ONCE]))
        tell("encoding", min(start + _ENCODED_AT_ONCE, len(texts)), len(texts))
    return np.vstack(parts) if parts else np.zeros((0, 1), np.float32)


def _drawn(asked: Sequence[_Asked], able: Sequence[_Asked], wanted: Wanted) -> tuple[list[_Asked], list[Stratum]]:
    often = Counter(one.request.intent for one in asked)
    there: dict[str, list[_Asked]] = {intent: [] for intent in often}
    for one in able:
        there[one.request.intent].append(one)
    given = allot(often, {intent: len(found) for intent, found in there.items()}, wanted.cases, wanted.least)
    drawn: list[_Asked] = []
    for intent, found in sorted(there.items()):
        drawn += sorted(_lot(wanted.seed, intent).sample(found, given[intent]), key=lambda one: one.id)
    strata = [
        Stratum(intent=intent, asked=often[intent], kept=len(there[intent]), drawn=given[intent])
        for intent in sorted(there, key=lambda intent: (-often[intent], intent))
    ]
    return drawn, strata


def _draft(
    reading: Reading,
    wanted: Wanted,
    drawn: Sequence[_Asked],
    strata: Sequence[Stratum],
    counts: Mapping[str, int],
    name: str,
    *,
    by_meaning: bool,
) -> Draft:
    hidden: Counter[str] = Counter()
    for one in drawn:
        hidden.update(one.hidden)
    known = any(one.request.answer for one in drawn)
    scorers: list[Mapping[str, Any]] = [{"kind": "similarity"}] if known else []
    if wanted.judge:
        scorers.insert(0, {"kind": "judge", "model": wanted.judge, "rubric": RUBRIC})
    languages = {one.request.lang for one in drawn}
    return Draft(
        name=name,
        description=f"{len(drawn)} questions from production, of {counts['conversations']} conversations.",
        scorers=scorers,
        quality=str(scorers[0]["kind"]),
        groups=("lang",) if len(languages) > 1 and "" not in languages else (),
        cases=[_case(one) for one in drawn],
        notes=_notes(counts, by_meaning=by_meaning),
        lineage={
            "from": "traffic",
            "sources": reading.sources,
            "settings": asdict(wanted) | {"encoder": by_meaning},
            "counts": counts,
            "left_out": dict(sorted(reading.counts.items())),
            "without_consent": dict(sorted(reading.tenants.items())),
            "hidden": dict(sorted(hidden.items())),
            "strata": [asdict(stratum) for stratum in strata],
        },
    )


def _notes(counts: Mapping[str, int], *, by_meaning: bool) -> list[str]:
    notes = [
        "READ THE CASES before others do: names that just stand there, addresses and the like are not found.",
        "`expected.reference` is what was answered then, right or not: `metadata.reviewed` says whether somebody\n"
        "looked. Add `expected.facts` to the cases that matter and `contains_facts` to the scorers: similarity\n"
        "does not see a wrong number.",
    ]
    if counts["without an answer"]:
        notes.append(
            f"{counts['without an answer']:,} of {counts['different questions']:,} questions were left out: "
            "nobody knows what was answered.\n"
            "With --judge MODEL a model judges answers to them; or give a log whose lines have an `answer`."
        )
    if not by_meaning:
        notes.append("There was no encoder: only questions equal but for case and signs were taken for one.")
    return notes


def _case(one: _Asked) -> Case:
    request = one.request
    told = {"tenant": request.tenant, "route": request.route, "lang": request.lang, "at": request.day}
    return Case(
        id=one.id,
        messages=tuple(request.messages),
        expected={"reference": request.answer} if request.answer else {},
        segment=request.intent,
        cluster=one.cluster,
        metadata={key: value for key, value in told.items() if value} | {"times": one.times, "reviewed": False},
        tools=tuple(request.tools),
    )


def _why_nothing(reading: Reading, asked: Sequence[_Asked]) -> str:
    if asked:
        return (
            f"None of {len(asked):,} conversations has an answer that is known, and a case needs something to be "
            "judged by: name a model that judges (--judge), or give a log with answers (--log)."
        )
    told = "; ".join(f"{count:,} {what}" for what, count in sorted(reading.counts.items()))
    return f"There are no requests to make cases of{f': {told}' if told else ''}. Is `routes.<name>.learning` set?"
