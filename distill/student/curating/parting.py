"""Which part a question falls into: what is learned from, what is tuned on, and what gives the verdict.

The non-obvious decision: parts are given in the order in which questions came, and never again. Whoever asks
later what was asked before joins that question's part, and so does the rest of a conversation; where the two
disagree, the later request is left out. So traffic that is added never moves what was there, for as long as its
intents stay.

Within an intent and language the next new question falls on the golden ratio's multiples, from a place that a hash
gives. A hash of each question alone would leave one in ten intents of ten questions without any in a fifth of all.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from distill.student.running import Tell
from evals.cases import canonical
from evals.importing.alike import Marks, led_by, plain

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

Part = Literal["train", "tune", "test"]
PARTS: tuple[Part, ...] = ("train", "tune", "test")
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, less whole numbers, fill 0..1 more evenly than any other number's, from the first few on."""
_ENCODED_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """Something asked. `talk` names its conversation. A `case` of a suite is never learned from."""

    text: str
    talk: str
    intent: str
    lang: str
    case: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """`group` names the questions that mean the same; `part` None: the question and its talk are in two parts.

    `beside_case`: a suite asks the same, so its part is that of the case, and not train.
    """

    group: str
    part: Part | None
    beside_case: bool = False


Shares = Mapping[Part, float]


@dataclass(frozen=True, slots=True)
class Groups:
    """Different texts, by `plain`, in the order in which they came, and of each the name of its group."""

    places: Mapping[str, int]
    names: Sequence[str]

    def of(self, text: str) -> str:
        """A hash of the question that leads the group."""
        return self.names[self.places[plain(text)]]


def texts_of(questions: Sequence[Posed]) -> list[str]:
    """The different ones, but for case and signs, in the order in which they came."""
    found: dict[str, str] = {}
    for question in questions:
        found.setdefault(plain(question.text), question.text)
    return list(found.values())


def vectors_of(texts: Sequence[str], encode: Callable[[Sequence[str]], Vectors], tell: Tell) -> Vectors:
    """(texts, dimensions), of unit length as the encoder gives them."""
    blocks = []
    for start in range(0, len(texts), _ENCODED_AT_ONCE):
        blocks.append(encode(texts[start : start + _ENCODED_AT_ONCE]))
        tell("encoding questions", min(start + _ENCODED_AT_ONCE, len(texts)), len(texts))
    return np.vstack(blocks) if blocks else np.zeros((0, 1), np.float32)


def grouped(texts: Sequence[str], vectors: Vectors, same: float, tell: Tell) -> Groups:
    """Of texts that are different by `plain`; `same` is the cosine from which two are one, see `alike.SAME`."""
    marks = [Marks.of(text) for text in texts]

    def agree(one: int, other: int) -> bool:
        return marks[one].agree_with(marks[other])

    leaders = led_by(vectors, same, agree=agree, step=lambda done: tell("comparing questions", done, len(texts)))
    said = [plain(text) for text in texts]
    names = [hashlib.blake2b(text.encode(errors="replace"), digest_size=8).hexdigest() for text in said]
    return Groups({text: place for place, text in enumerate(said)}, [names[leader] for leader in leaders])


def placed(questions: Sequence[Posed], groups: Groups, traffic: Shares, cases: Shares) -> list[Place]:
    """Of each question, in the order in which they came; a suite's cases come before all traffic."""
    parts: dict[str, Part] = {}
    talks: dict[str, Part] = {}
    of_cases: set[str] = set()
    drawn: Counter[tuple[bool, str, str]] = Counter()
    found = []
    for question in questions:
        group = groups.of(question.text)
        if question.case:
            of_cases.add(group)
        if group not in parts:
            stratum = (question.case, question.intent, question.lang)
            shares = cases if question.case else traffic
            parts[group] = talks.get(question.talk) or _drawn(stratum, drawn[stratum], shares)
            drawn[stratum] += 1
        same = talks.setdefault(question.talk, parts[group]) == parts[group]
        found.append(Place(group, parts[group] if same else None, group in of_cases))
    return found


def _drawn(stratum: tuple[bool, str, str], number: int, shares: Shares) -> Part:
    offset = int.from_bytes(hashlib.blake2b(canonical(stratum), digest_size=6).digest(), "big") / 2**48
    point = (offset + number * _GOLDEN) % 1 * sum(shares.values())
    for part, share in shares.items():
        point -= share
        if share and point < 0:
            return part
    return max(shares, key=lambda part: shares[part])
