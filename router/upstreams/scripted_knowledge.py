"""What the scripted upstream knows: answers looked up by how much a question resembles the ones on file.

The resemblance is a cosine over words and over the letter triples inside them, each weighted by its rarity
(idf), so that inflections, compounds and typos still meet, in any language written with letters. Words that
stand in no question on file count against a match: that is what keeps strangers below the threshold.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nlargest
from pathlib import Path
from typing import Any
from zlib import crc32

import orjson

from router.upstreams.scripted_languages import Languages

_WORD = re.compile(r"\w+")
_TRIPLE_WEIGHT = 0.7
"""Of one letter triple against a whole word of the same rarity."""
_SUPPORT = 3
_SUPPORT_WEIGHT = 0.6
"""Share of an entry's `_SUPPORT` best questions, on average, against its single best one: an answer that many
questions on file lead to is believed before one that a single chance resemblance leads to."""
_CONTEXT_WEIGHT = 0.2
"""Of the turn before the last one; each turn further back counts half as much."""
_THRESHOLD = 0.28
"""On the example business 6 in 10 held-out phrasings come above it rightly, 1 in 9 wrongly, no stray one does."""
_CONTEXT_TURNS = 3
_RARITY_FLOOR = 1.0
_MAX_LETTERS = 2000
"""Of a message: a longer one is cut, so that a lookup stays cheap."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer and the questions it answers."""

    id: str
    questions: tuple[str, ...]
    answer: str


class Knowledge:
    """Entries, indexed once. Looking one up costs well under a millisecond for hundreds of questions."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._entries = tuple(entries)
        texts = [
            (_features(question), index) for index, entry in enumerate(entries) for question in entry.questions
        ]
        self._unseen = math.log(1 + len(texts)) + _RARITY_FLOOR
        self._rarity = _rarities((features for features, _ in texts), len(texts))
        self._questions: Mapping[str, list[tuple[int, float]]] = _postings(
            self._unit(features) for features, _ in texts
        )
        self._asked = tuple(question for entry in entries for question in entry.questions)
        self._owner = [index for _, index in texts]
        self._chances = [crc32(entry.id.encode()) / 2**32 for entry in entries]
        """Who knows a share of the entries knows those below it."""
        self._scores = lru_cache(maxsize=2048)(self._score)
        self._languages = Languages([(e.id, " ".join((*e.questions, e.answer))) for e in entries])

    @classmethod
    def load(cls, path: Path) -> Knowledge:
        """Read JSONL of {"id", "questions": [...], "answer"}. Raises OSError, or ValueError that names the line."""
        entries = []
        for number, line in enumerate(path.read_bytes().splitlines(), 1):
            if line.strip():
                entries.append(_entry(line, f"{path}:{number}"))
        return cls(entries)

    def answer(self, turns: Sequence[str]) -> str | None:
        """The answer to the last of the user's `turns`, the earlier ones as context; None where none fits."""
        best = self._best(turns, 1.0)
        return self._entries[best[0]].answer if best is not None and best[1] >= _THRESHOLD else None

    def guess(self, turns: Sequence[str], known: float) -> tuple[str, float]:
        """What one says who knows a share of the entries, the nearest of them; and how well it fits, 0..1."""
        best = self._best(turns, known)
        return (self._entries[best[0]].answer, best[1]) if best is not None else ("", 0.0)

    @property
    def questions(self) -> tuple[str, ...]:
        """All on file."""
        return self._asked

    @property
    def home_language(self) -> str:
        """English where the file has it; empty where its ids name no languages."""
        return self._languages.home

    def language_of(self, text: str) -> str:
        """The one of the file's languages that `text` is in; empty where its ids name none."""
        return self._languages.of(text)

    def find(self, turns: Sequence[str], known: float = 1.0, language: str = "") -> tuple[Entry, float] | None:
        """As `guess`, but the entry, and of those in one `language` alone where one is named."""
        best = self._best(turns, known, language)
        return (self._entries[best[0]], best[1]) if best is not None else None

    def fits(self, text: str) -> dict[str, float]:
        """How well each entry fits `text`, 0..1, by its id."""
        return {entry.id: score for entry, score in zip(self._entries, self._scores(text), strict=True)}

    def _best(self, turns: Sequence[str], known: float, language: str = "") -> tuple[int, float] | None:
        """The entry that fits best, and how well; None where there is none, or no question."""
        places = [place for place in range(len(self._entries)) if self._chances[place] < known]
        if language:
            places = [place for place in places if self._languages.entries[place] == language]
        if not turns or not places:
            return None
        totals = list(self._scores(turns[-1]))
        weight = _CONTEXT_WEIGHT
        for turn in turns[-2 : -2 - _CONTEXT_TURNS : -1]:
            for index, score in enumerate(self._scores(turn)):
                totals[index] += weight * score
            weight /= 2
        best = max(places, key=totals.__getitem__)
        return best, min(1.0, totals[best])

    def _score(self, text: str) -> tuple[float, ...]:
        """How well each entry matches `text`, from 0 to 1."""
        found: list[list[float]] = [[] for _ in self._entries]
        for question, cosine in _cosines(self._unit(_features(text)), self._questions).items():
            found[self._owner[question]].append(cosine)
        return tuple(map(_belief, found))

    def _unit(self, features: Iterable[str]) -> dict[str, float]:
        weights: dict[str, float] = {}
        for feature in features:
            is_word = feature[0] == " "
            rarity = self._rarity.get(feature, self._unseen if is_word else 0.0)
            weights[feature] = rarity if is_word else rarity * _TRIPLE_WEIGHT
        return _normed(weights)


def _entry(line: bytes, where: str) -> Entry:
    try:
        data: Any = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError(f"{where}: not an object")  # noqa: TRY004 - a file's content, not a caller's mistake
    questions, answer = data.get("questions"), data.get("answer")
    if not isinstance(questions, list) or not questions or not all(isinstance(q, str) for q in questions):
        raise ValueError(f"{where}: 'questions' must be a non-empty array of strings")
    if not isinstance(answer, str) or not answer:
        raise ValueError(f"{where}: 'answer' must be a string")
    return Entry(str(data.get("id", "")), tuple(questions), answer)


def _features(text: str) -> frozenset[str]:
    """Words (with a leading blank) and letter triples of `text`, without accents and case."""
    plain = "".join(
        c for c in unicodedata.normalize("NFKD", text[:_MAX_LETTERS].casefold()) if not unicodedata.combining(c)
    )
    return frozenset(_parts(_WORD.findall(plain)))


def _parts(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield f" {word}"
        fenced = f"_{word[:40]}_"
        for start in range(len(fenced) - 2):
            yield fenced[start : start + 3]


def _belief(cosines: list[float]) -> float:
    best = nlargest(_SUPPORT, cosines)
    if not best:
        return 0.0
    return (1 - _SUPPORT_WEIGHT) * best[0] + _SUPPORT_WEIGHT * sum(best) / _SUPPORT


def _rarities(texts: Iterable[frozenset[str]], count: int) -> dict[str, float]:
    """Inverse document frequency, log((1 + N) / (1 + df)), and a little more so that none is zero."""
    seen: Counter[str] = Counter()
    for features in texts:
        seen.update(features)
    return {feature: math.log((1 + count) / (1 + df)) + _RARITY_FLOOR for feature, df in seen.items()}


def _normed(weights: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1.0
    return {feature: weight / length for feature, weight in weights.items()}


def _postings(vectors: Iterable[Mapping[str, float]]) -> Mapping[str, list[tuple[int, float]]]:
    index: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
    for number, vector in enumerate(vectors):
        for feature, weight in vector.items():
            index[feature].append((number, weight))
    return index


def _cosines(vector: Mapping[str, float], postings: Mapping[str, list[tuple[int, float]]]) -> dict[int, float]:
    sums: defaultdict[int, float] = defaultdict(float)
    for feature, weight in vector.items():
        for number, other in postings.get(feature, ()):
            sums[number] += weight * other
    return sums
