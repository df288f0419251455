"""Which language an entry of the knowledge file, or a message, is in: told from the file itself.

Entries whose ids differ only in a last part of two letters, such as `returns.en` and `returns.es`, are the same
answer in several languages. Their words tell the language of everything else, in whatever languages a file has.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

_ID = re.compile(r"(.+)\.([a-z]{2})")
_WORD = re.compile(r"\w+")
_ENGLISH = "en"


class Languages:
    """Made of each entry's id and words. `entries` has the language of each, empty where ids name none."""

    def __init__(self, entries: Sequence[tuple[str, str]]) -> None:
        named = _named([name for name, _ in entries])
        self._words: dict[str, Counter[str]] = {language: Counter() for language in sorted(set(named) - {""})}
        for language, (_, text) in zip(named, entries, strict=True):
            if language:
                self._words[language].update(_words(text))
        self._totals = {language: words.total() for language, words in self._words.items()}
        self._size = len(set().union(*self._words.values()))
        self.home = _ENGLISH if _ENGLISH in self._words else next(iter(self._words), "")
        self.of = lru_cache(maxsize=2048)(self._of)
        self.entries = tuple(language or self._of(text) for language, (_, text) in zip(named, entries, strict=True))

    def _of(self, text: str) -> str:
        """Naive Bayes over the words that are known, each counted once more than it was seen; else `home`."""
        words = [word for word in _words(text) if any(word in known for known in self._words.values())]
        if len(self._words) < 2 or not words:
            return self.home
        likely = {language: sum(self._likely(word, language) for word in words) for language in self._words}
        best = max(likely.values())
        return self.home if likely[self.home] == best else max(likely, key=likely.__getitem__)

    def _likely(self, word: str, language: str) -> float:
        return math.log((self._words[language][word] + 1) / (self._totals[language] + self._size))


def _named(ids: Sequence[str]) -> list[str]:
    """The language that each id names, where a sibling names another one."""
    siblings: defaultdict[str, set[str]] = defaultdict(set)
    found = [_ID.fullmatch(name) for name in ids]
    for match in found:
        if match:
            siblings[match[1]].add(match[2])
    return [match[2] if match and len(siblings[match[1]]) > 1 else "" for match in found]


def _words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if not word.isdigit()]
