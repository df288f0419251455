"""What to search for: the last turn of a conversation, with what was said before it where it cannot stand alone.

Whether it can is a rule of three: it has hardly any words of its own, it points at something (*it*, *these*), or it
goes on with words that its user said before. The non-obvious decision: nothing is put into the mouth of the user.
The turn is searched as it came, and what was said before weighs less the longer ago; so a turn that was held for
dependent and changes the subject is still found by its own words. The answer before it says what *it* is: its
rarest words count too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from contracts.retrieval import Turn
from rag.ports import WordCounts
from rag.retrieval.tuned import tuned
from rag.retrieval.words import words_of

_MOST_CHARACTERS = 8_000
"""Of one turn; what comes after is not read."""
MOST_WORDS = 64
"""Different words of a turn that are searched for: its rarest."""
_POINTS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|these|those|he|she|him|her|his|hers|such|above|previous|latter|else"
    r"|another|again|instead"
    r"|dies|diese[mnrs]?|davon|damit|dafür|darüber|dazu|dabei|dort|ihn|ihm|cela|ça|celui|celle|ceux|elles?|ils"
    r"|ello|ellos|ellas|eso|esto|esso|essa|questo|questa|quello|quella|isso|isto|eles|elas|daarvan|daarmee|ervan)\b",
    re.IGNORECASE,
)


class Wanted(Struct, frozen=True, kw_only=True):
    """What is searched for. `texts` are compared by meaning: the question, and where it cannot stand alone the turn
    before together with it. `asked` are the question's words; of `said` and `answered`, `weights` makes more."""

    question: str
    texts: tuple[str, ...]
    asked: tuple[str, ...]
    said: Mapping[str, float] = {}
    answered: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """All that `weights` wants to know the rarity of."""
        return tuple(dict.fromkeys((*self.asked, *self.said, *self.answered)))


def wanted(turns: Sequence[Turn], *, history: bool = True) -> Wanted:
    """Of the last of `turns`, and with `history` of those before it where it needs them."""
    question = turns[-1].text
    before = [turn.text for turn in turns[:-1] if turn.role == "user"]
    if history and before and not stands_alone(question, before):
        return with_history(turns)
    return Wanted(question=question, texts=(question,), asked=_distinct(question))


def with_history(turns: Sequence[Turn]) -> Wanted:
    """Of the last of `turns` together with those before it, whether it needs them or not."""
    history = tuned().history
    question = turns[-1].text
    before = [turn.text for turn in turns[:-1] if turn.role == "user"]
    said: dict[str, float] = {}
    for back, text in enumerate(reversed(before[-history.turns :])):
        for word in _distinct(text):
            said.setdefault(word, history.said * history.fades**back)
    answers = [turn.text for turn in turns[:-1] if turn.role == "assistant"]
    return Wanted(
        question=question,
        texts=(question, *(f"{text[:_MOST_CHARACTERS]} {question}" for text in before[-1:])),
        asked=_distinct(question),
        said=said,
        answered=_distinct(answers[-1]) if answers else (),
    )


def stands_alone(question: str, before: Sequence[str]) -> bool:
    """Whether `question` can be searched for without what its user said `before`."""
    history = tuned().history
    own = set(_distinct(question))
    if len(own) <= history.few_words or _POINTS.search(question[:_MOST_CHARACTERS]):
        return False
    known = {word for text in before for word in _distinct(text)}
    return len(own & known) < history.goes_on * len(own)


def rewritten(turns: Sequence[Turn]) -> str | None:
    """The last turn with the one before it, where it cannot stand alone; None where it can."""
    texts = wanted(turns).texts
    return texts[-1] if len(texts) > 1 else None


def weights(want: Wanted, counts: WordCounts) -> tuple[dict[str, float], dict[str, float]]:
    """Words of the question, each with weight one, and of what was said before, with less. Both without words that
    no chunk has."""

    def rarest(words: Sequence[str], most: int) -> list[str]:
        there = [word for word in words if counts.having.get(word)]
        return sorted(there, key=lambda word: counts.having[word])[:most]

    history = tuned().history
    asked = dict.fromkeys(rarest(want.asked, MOST_WORDS), 1.0)
    spoken = dict.fromkeys(rarest(want.answered, history.most_answered), history.answered)
    for word in rarest(tuple(want.said), MOST_WORDS):
        spoken[word] = max(want.said[word], spoken.get(word, 0.0))
    return asked, {word: weight for word, weight in spoken.items() if word not in asked}


def _distinct(text: str) -> tuple[str, ...]:
    """Its words, each once, in order."""
    return tuple(dict.fromkeys(words_of(text[:_MOST_CHARACTERS])))
