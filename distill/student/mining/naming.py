"""Names for intents that were found: what sets their questions apart, or what a model calls them.

The non-obvious decision: no list of stop words. A word counts by how many of an intent's questions have it and how
few of all (class-based TF-IDF, Grootendorst 2022, "BERTopic", section 3.4, counting questions and not words), so
that what everybody says falls away in any language.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from hashlib import blake2b
from math import log
from statistics import fmean

_WORD = re.compile(r"[^\W\d_]{3,}(?:['’][^\W\d_]+)*")
_PLACEHOLDER = re.compile(r"<[A-Z]+_\d+>")
_TERMS = 3
"""Terms in a name."""
_ONCE = 0.5
"""What a word is worth that only one of several questions has."""
_LONGEST = 40
_MOST_WORDS = 5
"""What is longer is a sentence, and no name."""
_SHOWN = 8
"""Questions that a model is shown."""

Ask = Callable[[Sequence[str]], Sequence[str]]
"""Answers to prompts, one each; empty where there is none."""


def terms_of(groups: Sequence[Sequence[str]], most: int = 8) -> list[list[str]]:
    """For each group of questions the terms that set it apart, the most telling first."""
    counts = [Counter(word for text in group for word in set(_words(text))) for group in groups]
    everywhere: Counter[str] = Counter()
    for count in counts:
        everywhere.update(count)
    average = everywhere.total() / max(1, len(groups))
    told = []
    for count, group in zip(counts, groups, strict=True):
        weights = {word: often / len(group) * log(1 + average / everywhere[word]) for word, often in count.items()}
        # What one question alone has is often a slip of the hand.
        halved = {word: weight * (1 if count[word] > 1 else _ONCE) for word, weight in weights.items()}
        told.append(sorted(halved, key=lambda word: (-halved[word], word))[:most])
    return told


def names_of(groups: Sequence[Sequence[str]], terms: Sequence[Sequence[str]], ask: Ask | None = None) -> list[str]:
    """A name for each group, of a-z, 0-9 and hyphens, no two alike: what `ask` says, or else its first `terms`."""
    said = ask([_prompt(group) for group in groups]) if ask is not None and groups else [""] * len(groups)
    names: list[str] = []
    for group, told, answer in zip(groups, terms, said, strict=True):
        name = _slug(answer.strip().strip("\"'`.")) if len(answer.split()) <= _MOST_WORDS else ""
        if not 0 < len(name) <= _LONGEST:
            name = _slug(" ".join(_in_order(told[:_TERMS], group)))[:_LONGEST].strip("-")
        # Nothing is left of a script without Latin letters.
        names.append(name or "intent-" + blake2b(group[0].encode(errors="replace"), digest_size=4).hexdigest())
    taken: set[str] = set()
    for place, name in enumerate(names):
        number, free = 2, name
        while free in taken:
            free, number = f"{name}-{number}", number + 1
        taken.add(free)
        names[place] = free
    return names


def _in_order(terms: Sequence[str], group: Sequence[str]) -> list[str]:
    """As they mostly stand in questions: `track order` reads better than `order track`."""
    places: dict[str, list[float]] = {term: [] for term in terms}
    for text in group:
        words = _words(text)
        for term in terms:
            if term in words:
                places[term].append(words.index(term) / len(words))
    return sorted(terms, key=lambda term: fmean(places[term]) if places[term] else 1.0)


def _prompt(questions: Sequence[str]) -> str:
    shown = "\n".join(f"- {text[:300]}" for text in questions[:_SHOWN])
    return (
        "What do the people want who write these? Name it in English in one to four words, as a programmer would "
        f"name a case, such as reset-password. Reply with the name alone.\n\n{shown}"
    )


def _words(text: str) -> list[str]:
    return _WORD.findall(_PLACEHOLDER.sub(" ", text).casefold())


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")
