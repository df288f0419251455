"""The words that a chunk is found by and that a question is made of: one rule for both.

Lower case, without accents, without stop words, by their English stem (Porter 2, of snowballstemmer). A run of
Chinese, Japanese, Thai or their like, which write no spaces, counts as its pairs of characters. The non-obvious
decision: what this makes of a text is stored with each chunk, so `RULE` is raised with any change of it, and texts
are then read anew.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from itertools import pairwise
from threading import local

from snowballstemmer.english_stemmer import EnglishStemmer

from rag.retrieval.stop_words import STOP_WORDS

RULE = "1"
"""Version of the rule. Words of different versions do not find each other."""

_LONGEST = 64
"""Characters of a word; the rest of a longer one is not looked at."""
_LONGEST_STEMMED = 32
_NO_SPACES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"([{_NO_SPACES}]+)|[^\W_{_NO_SPACES}]+")
_UNSPACED = re.compile(f"[{_NO_SPACES}]")
_SPACED_WORD = re.compile(r"[^\W_]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_ACCENTS = re.compile("[\u0300-\u036f]")
_KNOWN_STEMS = 1 << 16
_thread = local()  # a stemmer keeps the word that it is at


def words_of(text: str) -> list[str]:
    """In the order of the text, as often as they are in it."""
    return [_stem(run) for run in _runs(text)]


def matching(text: str, wanted: Collection[str]) -> list[str]:
    """`words_of`, with "" for each that is not `wanted`: quicker, since hardly any need to be brought to their
    stem.

    A word begins with the letters that its stem begins with. Three do not (*dying*, *lying*, *tying*): they are ""
    for *die*, *lie* and *tie*.
    """
    beginnings = {word[:2] for word in wanted}
    found: list[str] = []
    for run in _runs(text):
        word = _stem(run) if run[:2] in beginnings or not run.isascii() else ""
        found.append(word if word in wanted else "")
    return found


def counted(text: str) -> dict[str, int]:
    """How often each word is in a chunk's text."""
    return dict(Counter(words_of(text)))


def weighted(text: str) -> dict[str, float]:
    """The words of a question, each with the weight one. Empty where there are none but stop words."""
    return dict.fromkeys(words_of(text), 1.0)


def _runs(text: str) -> list[str]:
    """Words as they are written, in lower case, without stop words; pairs of characters where there are no
    spaces."""
    if text.isascii():
        return [run for run in _ASCII_WORD.findall(text.lower()) if run not in STOP_WORDS]
    plain = unicodedata.normalize("NFKC", text).casefold()
    if not _UNSPACED.search(plain):
        return [run for run in _SPACED_WORD.findall(plain) if run not in STOP_WORDS]
    runs: list[str] = []
    for match in _WORD.finditer(plain):
        run = match[0]
        if match[1] is None:
            if run not in STOP_WORDS:
                runs.append(run)
        elif len(run) == 1:
            runs.append(run)
        else:
            runs.extend(first + second for first, second in pairwise(run))
    return runs


@lru_cache(_KNOWN_STEMS)
def _stem(word: str) -> str:
    """`word` is in lower case; it loses its accents too. What is longer or in other letters stays as it is."""
    word = word[:_LONGEST]
    if not word.isascii():
        word = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", word)))
    if len(word) > _LONGEST_STEMMED or not word.isascii():
        return word
    stemmer = getattr(_thread, "stemmer", None)
    if stemmer is None:
        stemmer = _thread.stemmer = EnglishStemmer()
    return str(stemmer.stemWord(word))
