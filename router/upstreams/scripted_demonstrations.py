"""What an `attentive` model picks up from answers that it is shown, and which turns it takes for its conversation.

The non-obvious decision: an answer teaches only where it differs from what the model would say untold, and the same
answer left as the model would have it unteaches that. So demonstrations of a bad prompt's bad answers do no good,
and each pair is worth less than the one before it, as a clear instruction is worth more than many examples.

Nothing in a request says where demonstrations end. A turn goes on with the exchange before it where many of its
telling words stand there: that exchange is then context and no example. Any other is an example and no context.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, get_args

from router.upstreams.scripted_instructions import EXAMPLES_OF, PHRASES, SAY_NOTHING, Instruction
from router.upstreams.scripted_knowledge import Entry, Knowledge

KNOWN = 0.22
"""How well an entry must fit to be an answer: less than for the models that cannot be told to say that they do not
know. On the example business 62 in 100 held-out questions then find theirs, and 3 in 12 without an answer find one.
"""
_UNTAUGHT = 0.75
"""What each pair that shows a habit leaves untaught, of what the pairs before it left. Chosen so that four of them
teach two thirds of what an instruction does: enough to be found by a search, and too little to make up for one.
"""
_ALIKE = 0.44
"""Resemblance from which on a sentence is a refusal, or a guess: no answer of the example business reaches it."""
_GOES_ON = 1 / 4
"""Of a turn's telling words that the exchange before it must have used. On the example business 8 in 100 pairs of a
question and somebody else's exchange share as many.
"""
_SHORT_WORDS = 7
"""A message of more words than this is no longer vague."""

_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"\+?\d[\d ()-]{6,}\d")
_END = re.compile(r"(?<=[.!?])\s+(?=[^a-z])")
_WORD = re.compile(r"\w+")
_DIGIT = re.compile(r"\d")


class Exchange(NamedTuple):
    """A turn of the user, and the assistant's answer to it; empty where it was not answered."""

    user: str
    assistant: str


@dataclass(frozen=True, slots=True)
class Habits:
    """What was picked up: each habit with the share of questions on which it is kept, 0 to 1."""

    shares: Mapping[Instruction, float]
    contact: str
    """The address or number that a refusal names, or empty."""
    sentences: int
    """Of the longest answer shown."""


def split(exchanges: Sequence[Exchange], question: str) -> tuple[Sequence[Exchange], Sequence[Exchange]]:
    """The examples among `exchanges`, and those that `question` goes on with."""
    turns = [*(exchange.user for exchange in exchanges), question]
    start = len(exchanges)
    while start and _goes_on(turns[start], exchanges[start - 1], alone=start == 1 or start < len(exchanges)):
        start -= 1
    return [exchange for exchange in exchanges[:start] if exchange.assistant], exchanges[start:]


def habits(examples: Sequence[Exchange], knowledge: Knowledge, known: float = 1.0) -> Habits:
    """What `examples` teach a model that knows a share `known` of `knowledge`."""
    signs: Counter[Instruction] = Counter()
    contact, sentences = "", 1
    for user, assistant in examples:
        signs.update(dict(_signs(user, assistant, knowledge, known)))
        if _is("refusal", assistant):
            contact = contact or contact_in(assistant)
        else:
            sentences = max(sentences, len(sentences_of(assistant)))
    shares = {name: 1 - _UNTAUGHT ** max(0, signs[name]) for name in get_args(Instruction)}
    return Habits(shares, contact, sentences)


def sentences_of(answer: str) -> list[str]:
    return _END.split(answer)


def contact_in(text: str) -> str:
    """The first e-mail address in `text`, else the first telephone number, else nothing."""
    found = _MAIL.search(text) or _PHONE.search(text)
    return found[0] if found else ""


def vague(message: str) -> bool:
    """Whether a message is short and leaves open what it is about."""
    words = _WORD.findall(message.casefold())
    return len(words) <= _SHORT_WORDS and all(word in SAY_NOTHING for word in words)


def _goes_on(turn: str, before: Exchange, *, alone: bool) -> bool:
    """Whether `turn` goes on with the exchange `before`, which is `alone` where no stranger comes before it."""
    if not before.assistant:
        return True
    telling = [word for word in _WORD.findall(turn.casefold()) if word not in SAY_NOTHING]
    if not telling:
        return alone
    heard = set(_WORD.findall(" ".join(before).casefold()))
    return sum(word in heard for word in telling) >= _GOES_ON * len(telling)


def _signs(user: str, assistant: str, knowledge: Knowledge, known: float) -> Iterator[tuple[Instruction, int]]:
    """Of each habit that the exchange bears on: 1 where it shows it, -1 where it shows the contrary."""
    spoken, answered = knowledge.language_of(user), knowledge.language_of(assistant)
    if spoken != knowledge.home_language:
        yield "language", 1 if answered == spoken else -1
    if vague(user):
        yield "question", 1 if "?" in assistant else -1
        return
    if _is("refusal", assistant) or _is("guess", assistant):
        yield "refusal", 1 if _is("refusal", assistant) else -1
        return
    found = knowledge.find([user], known, answered)
    own = found[0].answer if found is not None and found[1] >= KNOWN else ""
    if _DIGIT.search(assistant) or _DIGIT.search(own):
        yield "exactness", 1 if _DIGIT.search(assistant) else -1
    if len(sentences_of(own)) > 1:
        yield "brevity", 1 if len(sentences_of(assistant)) < len(sentences_of(own)) else -1


def _is(kind: str, answer: str) -> bool:
    """Whether a sentence of `answer` is of that kind: `refusal` or `guess`."""
    return any(_answers().fits(sentence)[kind] >= _ALIKE for sentence in sentences_of(answer))


@lru_cache(maxsize=1)
def _answers() -> Knowledge:
    own = {kind: tuple(words[kind] for words in PHRASES.values()) for kind in EXAMPLES_OF}
    return Knowledge([Entry(kind, (*texts, *own[kind]), "") for kind, texts in EXAMPLES_OF.items()])
