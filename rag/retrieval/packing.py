"""Which passages are worth their tokens.

The non-obvious decision: a passage is worth the probability that it helps, per token, less what its words repeat of
those already taken; and what is hardly probable to help is left out though there is room, since every later turn of
the conversation pays for it again.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from contracts.retrieval import Passage
from rag.retrieval.tuned import tuned
from rag.retrieval.words import words_of

_PER_PASSAGE = 12
"""Tokens around each: its number, its file's name and its date."""


def packed(passages: Sequence[Passage], token_budget: int, most: int) -> tuple[Passage, ...]:
    """At most `most` of `passages`, of `token_budget` tokens together, the best first by `score`, which is a
    probability. Those of a document that overlap become one, whose score is the better one's.

    Empty where not even one fits.
    """
    bar = tuned().worth
    left = [passage for passage in passages if passage.tokens + _PER_PASSAGE <= token_budget]
    words = {id(passage): frozenset(words_of(passage.text)) for passage in left}
    best = max((passage.score for passage in left), default=0.0)
    taken: list[Passage] = []
    known: set[str] = set()
    tokens = 0

    def worth(passage: Passage) -> float:
        own = words[id(passage)]
        return passage.score * (1 - len(own & known) / len(own) if own else 0.0)

    while left and len(taken) < most:
        chosen = max(left, key=lambda passage: worth(passage) / max(1, passage.tokens) ** bar.ease)
        left.remove(chosen)
        if worth(chosen) < bar.least and not (not taken and chosen.score == best):
            break
        taken.append(chosen)
        known |= words[id(chosen)]
        tokens += chosen.tokens + _PER_PASSAGE
        left = [passage for passage in left if tokens + passage.tokens + _PER_PASSAGE <= token_budget]
    return tuple(sorted(joined(taken), key=lambda passage: -passage.score))


def joined(passages: Sequence[Passage]) -> list[Passage]:
    """With one passage for those of a document that overlap."""
    done: list[Passage] = []
    for passage in sorted(passages, key=lambda each: (each.basis, each.start, each.end)):
        last = done[-1] if done else None
        if last is None or last.basis != passage.basis or passage.start >= last.end:
            done.append(passage)
            continue
        new = max(0, passage.end - last.end)
        share = new / max(1, passage.end - passage.start)
        text = last.text + (passage.text[-new:] if new else "")
        done[-1] = replace(
            last if last.score >= passage.score else passage,
            start=last.start,
            end=max(last.end, passage.end),
            text=text,
            context=last.context,
            tokens=last.tokens + round(passage.tokens * share),
        )
    return done
