"""`contains_facts`: a good answer states each fact of `expected.facts`, a list of texts.

A fact may be worded in several ways, written `one|another`. It never matches inside a longer word or number: "$12"
is not found in "$12.95", nor "2 years" in "12 years".
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import ClassVar, Literal

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "«": '"', "»": '"'})


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a good answer states, in any of several wordings, written `one|another`."""

    alternatives: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Fact:
        """Raises ValueError where an alternative is empty."""
        alternatives = tuple(part.strip() for part in text.split("|"))
        if not all(_plain(part) for part in alternatives):
            raise ValueError(f"a fact with an empty alternative: {text!r}")
        return cls(alternatives)

    def stated_in(self, answer: str) -> bool:
        """Whether `answer` contains one of the wordings as whole words and numbers.

        Case, accents, runs of blanks and the kind of quotation marks do not count.
        """
        plain = _plain(answer)
        return any(_stands_in(plain, _plain(part)) for part in self.alternatives)

    def __str__(self) -> str:
        return "|".join(self.alternatives)


class ContainsFactsSettings(Settings):
    kind: Literal["contains_facts"] = "contains_facts"
    share: bool = False
    """Score the share of the facts that are stated; otherwise 1 for all of them, and 0."""


class ContainsFacts:
    kind: ClassVar[str] = "contains_facts"
    model: str = ""

    def __init__(self, settings: ContainsFactsSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)
        self.binary = not settings.share

    def lacks(self, case: Case) -> str:
        if "facts" not in case.expected:
            return "`expected.facts`"
        facts = case.expected["facts"]
        if not isinstance(facts, list) or not facts or not all(isinstance(fact, str) for fact in facts):
            raise ValueError("expected.facts: must be a list of texts")
        for index, fact in enumerate(facts):
            try:
                Fact.parse(fact)
            except ValueError as error:
                raise ValueError(f"expected.facts.{index}: {error}") from error
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        facts = [Fact.parse(text) for text in case.expected["facts"]]
        missing = [str(fact) for fact in facts if not fact.stated_in(answer.text)]
        stated = 1 - len(missing) / len(facts)
        why = f"does not say: {'; '.join(missing)}" if missing else ""
        return Score(value=float(not missing) if self.binary else stated, why=why)


def _plain(text: str) -> str:
    if text.isascii():
        return " ".join(text.casefold().split())
    letters = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.casefold().split())


def _stands_in(text: str, fact: str) -> bool:
    """Whether `fact` is in `text`, and neither begins nor ends within a longer word or number."""
    at = text.find(fact)
    while at >= 0:
        end = at + len(fact)
        begins = at == 0 or not fact[0].isalnum() or not _joined(text[at - 1], text[max(0, at - 2) : at - 1])
        ends = not fact[-1].isalnum() or not _joined(text[end : end + 1], text[end + 1 : end + 2])
        if begins and ends:
            return True
        at = text.find(fact, at + 1)
    return False


def _joined(beside: str, beyond: str) -> bool:
    """Whether the sign `beside` a word or number is a part of it, as a point is with a digit `beyond` it."""
    return beside.isalnum() or beside == "_" or (beside in (".", ",") and beyond.isdecimal())
