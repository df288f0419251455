"""What a query's text says of its difficulty, without understanding it: counts of what stands in it.

The non-obvious decision: there are two views, since each finds what the other misses. Some forty counts say how
long and of what kind a query is and carry over to queries of a kind never seen; words and pairs of words, hashed,
say what it is about, and count only where such words were learned from. Both look at the first few thousand
characters.
"""

from __future__ import annotations

import math
import re
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

MOST_CHARACTERS = 3000
"""Of a query that are looked at: what is read in about a millisecond."""
BUCKETS = 1 << 15

_WORD = re.compile(r"[^\W\d_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"(?:^|[\n(])\s?\(?([A-Ja-j])[.):] ?", re.MULTILINE)
_SENTENCE = re.compile(r"[.!?](?:\s|$)")
_TERM = re.compile(r"\w+|[^\w\s]")
_MOST_OPTIONS = 12
_LONG_WORD = 8

_WORDS_OF = {
    "denials": "not no never none except cannot without false incorrect least",
    "comparisons": "more less most than greater fewer larger smaller same each every per total percent times half "
    "twice",
    "truths": "true false yes no valid invalid",
    "logic": "if then and or all some only because therefore suppose assume given such",
    "tasks": "write create generate make give list explain describe design implement suggest rewrite summarize "
    "summarise translate tell help",
    "asks": "what which who whom whose when where",
    "how": "how",
    "why": "why",
    "sums": "calculate compute find determine solve evaluate prove estimate probability average sum area value",
    "persons": "i you my me your we our he she his her they their",
    "units": "kg cm km mm hz mol ml kj pa atm hour hours minute minutes day days year years dollar dollars mile "
    "miles",
    "code_words": "def return import print class for while int assert function lambda null const var",
}
_PATTERNS = {
    "maths": re.compile(r"[=+*/^<>≤≥±√∑∫π]"),
    "latex": re.compile(r"\\[a-zA-Z]+|\$"),
    "code_marks": re.compile(r"[{};]|\(\)|=="),
    "quotes": re.compile(r"[\"'“”‘’`]"),
    "brackets": re.compile(r"[\[\](){}]"),
    "commas": re.compile(r","),
    "questions": re.compile(r"\?"),
    "lines": re.compile(r"\n"),
    "colons": re.compile(r":"),
    "blanks": re.compile(r"_{2,}|\.{3}"),
    "signs": re.compile(r"[%°€£¥]"),
}
_LISTED = {
    word: [place for place, words in enumerate(_WORDS_OF.values()) if word in words.split()]
    for word in " ".join(_WORDS_OF.values()).split()
}

NAMES = (
    *("characters", "words", "word_length", "digits", "numbers", "longest_number", "upper", "capitals", "foreign"),
    *(
        "options",
        "sentences",
        "longest_line",
        "distinct",
        "starts_upper",
        "ends_asking",
        "ends_colon",
        "long_words",
    ),
    *("longest_word", *_WORDS_OF, *_PATTERNS),
)
"""The columns of `features`, in order."""


def features(text: str) -> NDArray[np.float32]:
    """(NAMES,), all finite: counts as log(1 + count), shares 0..1, yes and no as 1 and 0."""
    text = text[:MOST_CHARACTERS]
    words = _WORD.findall(text)
    lower = [word.lower() for word in words]
    numbers = _NUMBER.findall(text)
    bare = text.strip()
    size, many = len(text) + 1, len(words) + 1
    row = [
        math.log(size),
        math.log(many),
        sum(map(len, words)) / many,
        sum(map(len, numbers)) / size,
        math.log1p(len(numbers)),
        math.log1p(max(map(len, numbers), default=0)),
        sum(map(str.isupper, text)) / size,
        sum(word[0].isupper() for word in words[1:]) / many,
        0.0 if text.isascii() else sum(not sign.isascii() for sign in text) / size,
        float(min(_MOST_OPTIONS, len(set(_OPTION.findall(text))))),
        math.log1p(len(_SENTENCE.findall(text))),
        math.log1p(max(map(len, text.split("\n")))),
        len(set(lower)) / many,
        float(bare[:1].isupper()),
        float(bare.endswith("?")),
        float(bare.endswith(":")),
        sum(len(word) > _LONG_WORD for word in words) / many,
        math.log1p(max(map(len, words), default=0)),
    ]
    listed = [0] * len(_WORDS_OF)
    for word in lower:
        for place in _LISTED.get(word, ()):
            listed[place] += 1
    row += [math.log1p(count) for count in listed]
    row += [math.log1p(len(pattern.findall(text))) for pattern in _PATTERNS.values()]
    return np.array(row, np.float32)


def terms(text: str) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The buckets of its words, marks and pairs of them, each once and ascending, with log(1 + count) of each."""
    found = [term.encode("utf-8", "replace") for term in _TERM.findall(text[:MOST_CHARACTERS].lower())]
    hashed = [crc32(term) for term in found]
    # A pair's hash goes on from its first word's: no new bytes are put together.
    hashed += [crc32(b" " + second, first) for first, second in zip(hashed, found[1:], strict=False)]
    buckets, counts = np.unique(np.array(hashed, np.int64) % BUCKETS, return_counts=True)
    return buckets.astype(np.intp), np.log1p(counts).astype(np.float32)
