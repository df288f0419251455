"""How a scripted model answers from passages: with sentences of them that share many rare words with the question.

It reads the block of numbered passages that a Weir puts at the end of a prompt's instructions (the form is that of
`router.grounding.contract`), and says nothing that does not stand there word by word. The non-obvious decision: by
the same measure it knows when they hold no answer, so that floors, refusals and citations can be tried without any
real model.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

Citing = Literal["rightly", "astray", "nothing"]
"""`astray`: by a number that no passage has."""

NOT_FOUND = "I did not find this in the documents."
_BLOCK = re.compile(r"<passages>\n(.*?)</passages>\s*\Z", re.DOTALL)
_PASSAGE = re.compile(
    r'<passage number="(\d+)"(?:[^>\n]*? section="([^">\n]*)")?[^>\n]*>\n(.*?)\n</passage>', re.DOTALL
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[\"'(¿¡]?[A-Z\d¿¡ÁÉÍÓÚÑ])|\n+")
_HEADING = re.compile(r"^#.*$|^[\s|:-]+$", re.MULTILINE)
_MARKUP = re.compile(r"^(?:[-*•>]|\d{1,2}[.)])\s+|\*\*|`|\[([^\]\n]*)\]\([^)\n]*\)", re.MULTILINE)
_WORD = re.compile(r"\w+")
_STEM = 4
"""Letters by which words are compared: enough to tell most apart, and forms of one word not."""
_LEAST = 0.2
"""Share of a question's words, by their rarity, that a passage must have; below it nothing was found."""
_SURROUNDINGS = 1.0
"""Weight of a sentence's passage beside the sentence itself."""
_FURTHER_DOWN = 0.8
"""Of a passage beside the one before it: those that a Weir found better come first."""
_SECOND = 0.8
"""A second sentence is said with the first where it is worth so much of that."""
_COMMON = 0.1
"""What the commonest word is worth, so that none is worth nothing."""
_SHORTEST = 3
"""Words of a sentence that says something."""
_SHORT_TURN = 4
"""Words of a turn that is looked up together with the one before it."""


@dataclass(frozen=True, slots=True)
class _Passage:
    number: str
    stems: frozenset[str]
    sentences: tuple[tuple[str, frozenset[str]], ...]


class Passages:
    """Those of one prompt, in its order."""

    def __init__(self, block: str) -> None:
        self._passages = [_passage(*found) for found in _PASSAGE.findall(block)]

    def answer(self, turns: Sequence[str], asked: Sequence[str], citing: Citing = "rightly") -> str:
        """What they say to the last of the user's `turns`: one or two sentences, each with its citation.

        `asked` are questions of many kinds, by which it is told which words are common in questions.
        """
        question = turns[-1] if turns else ""
        if len(question.split()) < _SHORT_TURN:
            question = " ".join(turns[-2:])
        rarity = _rarities([sentence for passage in self._passages for _, sentence in passage.sentences], asked)
        wanted = {stem: rarity(stem) for stem in _stems(question)}
        worth: dict[tuple[int, int], float] = {}
        for place, passage in enumerate(self._passages):
            around = _share(wanted, passage.stems)
            if around < _LEAST:
                continue
            for line, (_, stems) in enumerate(passage.sentences):
                value = _share(wanted, stems) + _SURROUNDINGS * around
                worth[place, line] = value * _FURTHER_DOWN**place
        best = sorted(worth, key=lambda at: (-worth[at], at))[:2]
        said = [at for at in best if worth[at] >= _SECOND * worth[best[0]]]
        return " ".join(self._cited(*at, citing) for at in sorted(said)) or NOT_FOUND

    def _cited(self, place: int, line: int, citing: Citing) -> str:
        passage = self._passages[place]
        text = passage.sentences[line][0]
        if citing == "nothing":
            return text
        number = passage.number if citing == "rightly" else len(self._passages) + 1
        ending = text[-1] if text[-1] in ".!?" else "."
        return f"{text.removesuffix(ending)} [{number}]{ending}"


def passages_in(prompt: str) -> Passages | None:
    """Those at the end of a system prompt; None where it has no such block."""
    block = _BLOCK.search(prompt)
    return _read(block[1]) if block else None


@lru_cache(maxsize=64)
def _read(block: str) -> Passages:
    return Passages(block)


def _passage(number: str, section: str, text: str) -> _Passage:
    plain = _MARKUP.sub(lambda mark: mark[1] or "", _HEADING.sub("", text))
    lines = (" ".join(part.replace("|", " ").split()) for part in _SENTENCE.split(plain))
    sentences = tuple((line, _stems(line)) for line in lines if len(line.split()) >= _SHORTEST)
    return _Passage(number, _stems(f"{section} {text}"), sentences)


def _stems(text: str) -> frozenset[str]:
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return frozenset(word[:_STEM] for word in _WORD.findall(plain))


@dataclass(frozen=True, slots=True)
class _Rarity:
    """Inverse document frequency, log((1 + N) / (1 + df)): the lower one of that in sentences and in questions."""

    seen: tuple[Mapping[str, int], ...]
    sizes: tuple[int, ...]

    def __call__(self, stem: str) -> float:
        each = zip(self.seen, self.sizes, strict=True)
        rare = (math.log((1 + size) / (1 + seen.get(stem, 0))) for seen, size in each if size)
        return min(rare, default=0.0) + _COMMON


def _rarities(sentences: Collection[frozenset[str]], asked: Sequence[str]) -> _Rarity:
    return _Rarity((_counted(sentences), _asked(tuple(asked))), (len(sentences), len(asked)))


@lru_cache(maxsize=8)
def _asked(asked: tuple[str, ...]) -> Mapping[str, int]:
    return _counted(map(_stems, asked))


def _counted(texts: Iterable[frozenset[str]]) -> Mapping[str, int]:
    return Counter(stem for stems in texts for stem in stems)


def _share(wanted: Mapping[str, float], stems: Collection[str]) -> float:
    whole = sum(wanted.values())
    return sum(weight for stem, weight in wanted.items() if stem in stems) / whole if whole else 0.0
