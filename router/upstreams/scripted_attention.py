"""How an `attentive` model answers: as well as its system prompt tells it to, and demonstrations show it.

The prompt is cut into sentences and these into clauses, and each is compared with the wordings of every instruction
on file. The non-obvious decision: how much one resembles an instruction is the share of questions on which the
model obeys it, always the same ones. So a clearer wording is worth a little more, an instruction added is worth its
own questions, and no single word turns anything on or off: what a prompt optimiser needs in order to climb.

A sentence that forbids is only compared with wordings that forbid: "never give prices" asks for none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args
from zlib import crc32

from router.upstreams.scripted_demonstrations import (
    KNOWN,
    Exchange,
    Habits,
    contact_in,
    habits,
    sentences_of,
    split,
    vague,
)
from router.upstreams.scripted_instructions import INSTRUCTIONS, OTHER, PHRASES, Instruction
from router.upstreams.scripted_knowledge import Entry, Knowledge

_FAINT, _CLEAR = 0.22, 0.45
"""Resemblance below which an instruction is not there, and from which on it is always obeyed."""
_SENTENCES = 3
"""Where a prompt asks for brevity and names no number."""
_WIDEST = 3
"""Clauses that are compared together."""
_FRAGMENT = 4
"""Words that clauses need to be compared without the rest of their sentence: "periods or limits" says nothing."""
_MAX_LETTERS = 20_000
"""Of a prompt: a longer one is cut."""

_BULLET = re.compile(r"\n\s*(?:[-*•]|\d+[.)])\s+|\n\s*\n|\n#+\s")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+")
_CLAUSE = re.compile(r"[,:;]\s+|\s+(?:and|but|then)\s+|\s[–—-]\s")
_CONDITION = re.compile(r"(?:and |or |but )?(?:if|when|whenever|where|unless|while|for|in case|once)\b", re.I)
_FORBIDS = re.compile(
    r"""^(?:(?:please|but|and|or|also|then|you|always|must|should|may|shall|are|to|it|is)\s+)*
        (?:never|not|don['’]?t|do\s+not|cannot|can['’]?t|mustn['’]?t|needn['’]?t|avoid|refrain|without|no|
           under\s+no\s+circumstances)\b
      | \b(?:must|should|may|shall|need|are|is|to)\s+(?:not|never)\b
      | \bno\s+need\b | \bunnecessary\b
      | ^(?:\w+\s+)?\w+\s+(?:no|nothing|neither)\b(?!\s+more)""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERS = {"one": 1, "single": 1, "two": 2, "couple": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_NUMBER = re.compile(rf"\b(?:{'|'.join(_NUMBERS)}|\d{{1,2}})\b", re.IGNORECASE)
_FIGURE = re.compile(r"\S*\d(?:\S*[^\s.,;:!?)])?")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Attention:
    """What a prompt asks for or shows: of each instruction the share of questions on which it is obeyed, 0 to 1."""

    shares: Mapping[Instruction, float]
    contact: str
    """The address or number that the prompt names, or empty."""
    sentences: int
    """How long an answer may be where `brevity` is obeyed."""

    def obeys(self, instruction: Instruction, question: str) -> bool:
        lot = crc32(f"{instruction}\n{question}".encode()) / 2**32
        return lot < self.shares[instruction]

    def shown(self, picked_up: Habits) -> Attention:
        """With habits added: what either of them leaves out is left out by both, as if they were independent."""
        shares = {name: 1 - (1 - share) * (1 - picked_up.shares[name]) for name, share in self.shares.items()}
        sentences = self.sentences if self.shares["brevity"] else picked_up.sentences
        return Attention(shares, self.contact or picked_up.contact, sentences)


def attended(
    prompt: str, exchanges: Sequence[Exchange], question: str, knowledge: Knowledge, known: float = 1.0
) -> tuple[str, float]:
    """The answer to `question` under `prompt`, after `exchanges`; and how well what is known fits, 0 to 1.

    `known` is the share of the entries that the model knows.
    """
    examples, before = split(exchanges, question)
    told = attention(prompt).shown(habits(examples, knowledge, known)) if examples else attention(prompt)
    turns = [*(exchange.user for exchange in before), question]
    language = knowledge.language_of(question)
    if told.obeys("language", question):
        found = knowledge.find(turns, known)
    else:
        language = knowledge.home_language
        found = knowledge.find(turns, known, language)
    fit = 0.0 if found is None else found[1]
    words = PHRASES.get(language, PHRASES["en"])
    if not before and told.obeys("question", question) and vague(question):
        return words["question"], fit
    if found is None or fit < KNOWN:
        return _at_a_loss(told, question, words), fit
    answer = found[0].answer
    if not told.obeys("exactness", question):
        answer = _FIGURE.sub(words["figure"], answer)
    if told.obeys("brevity", question):
        answer = " ".join(sentences_of(answer)[: told.sentences])
    return answer, fit


@lru_cache(maxsize=256)
def attention(prompt: str) -> Attention:
    """What `prompt` asks for. Costs milliseconds the first time."""
    best: dict[str, tuple[float, str]] = dict.fromkeys(map(str, INSTRUCTIONS), (0.0, ""))
    for unit, forbids in _units(prompt[:_MAX_LETTERS]):
        fits = _wordings(forbids).fits(unit)
        name = max(fits, key=fits.__getitem__)
        if name in best and fits[name] > best[name][0]:
            best[name] = (fits[name], unit)
    numbers = [_NUMBERS.get(found.lower()) or int(found) for found in _NUMBER.findall(best["brevity"][1])]
    return Attention(
        shares={name: _share(best[name][0]) for name in get_args(Instruction)},
        contact=contact_in(prompt),
        sentences=max(1, max(numbers, default=_SENTENCES)),
    )


def _share(fit: float) -> float:
    return min(1.0, max(0.0, (fit - _FAINT) / (_CLEAR - _FAINT)))


@lru_cache(maxsize=2)
def _wordings(forbids: bool) -> Knowledge:
    """Those that forbid something, or those that ask for something."""
    rows = [*INSTRUCTIONS.items(), ("other", OTHER)]
    return Knowledge(
        [
            Entry(name, tuple(text for text in texts if _forbidden(_CLAUSE.split(text)) == forbids), "")
            for name, texts in rows
        ]
    )


def _units(prompt: str) -> Iterator[tuple[str, bool]]:
    """Sentences and runs of their clauses, each with whether it forbids; none that does both."""
    for part in _BULLET.split(f"\n{prompt}"):
        for sentence in _SENTENCE.split(" ".join(part.split())):
            clauses = [clause for clause in _CLAUSE.split(sentence) if clause.strip()]
            yield from _unit(sentence, clauses)
            for width in range(1, _WIDEST + 1):
                for start in range(len(clauses) - width + 1):
                    run = clauses[start : start + width]
                    if len(_WORD.findall(" ".join(run))) >= _FRAGMENT:
                        yield from _unit(" ".join(run), run)


def _unit(text: str, clauses: Sequence[str]) -> Iterator[tuple[str, bool]]:
    says = [clause for clause in clauses if not _CONDITION.match(clause)]
    forbids = [bool(_FORBIDS.search(clause)) for clause in says]
    if says and (all(forbids) or not any(forbids)):
        yield text, all(forbids)


def _forbidden(clauses: Sequence[str]) -> bool:
    return any(_FORBIDS.search(clause) for clause in clauses if not _CONDITION.match(clause))


def _at_a_loss(told: Attention, question: str, words: Mapping[str, str]) -> str:
    if not told.obeys("refusal", question):
        return words["guess"]
    return (
        f"{words['refusal']} {words['contact'].format(contact=told.contact)}" if told.contact else words["refusal"]
    )
