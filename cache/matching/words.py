"""The words of a question as the verifier sees them: cut, brought to one form, and weighed.

The non-obvious decision: a word is looked up once and then remembered with all that is known of it (its kind, its
weight, its place in the table of meanings). Judging a stored question takes a hundred microseconds of plain Python,
and most of it would otherwise be spent on finding out the same things about "the" again.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

LONGEST_WORD = 40
BUCKETS = 1 << 14
"""Of the tables that weigh words: small enough to ship, and rare words may share a bucket."""


class Kind(Enum):
    """What a word is for. A CODE has letters and digits; a ROLE says what the next word is to the others."""

    CONTENT = 0
    STOP = 1
    FILLER = 2
    ROLE = 3
    DENIAL = 4
    QUESTION = 5
    NUMBER = 6
    DATE = 7
    CODE = 8
    SYMBOL = 9


PLAIN = frozenset({Kind.STOP, Kind.FILLER, Kind.ROLE, Kind.DENIAL, Kind.QUESTION, Kind.SYMBOL})
"""Words that say how something is asked rather than what is asked for."""

_TOKEN = re.compile(
    r"\d+(?:[.,:/]\d+)+"  # 1,000 10:30 3.5 11/24
    r"|[぀-ヿ㐀-鿿]"  # scripts without spaces, a character each
    r"|[^\W_]+(?:['’][^\W\d_]+)*"
    r"|[+#%$€£=<>*^&@]"
)
_PLAIN_NUMBER = re.compile(r"[\d.,:/]+(?:st|nd|rd|th)?")
_DIGITS = re.compile(r"\d")
_QUANTITY = re.compile(r"(\d+)([a-z]{1,3})")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_STOP = _set(
    "a an the this that these those there here it its he she they them his her their i me my mine we us our"
    " you your be is am are was were been being do does did done have has had having will would shall should"
    " can could may might must and or of in on at as so than then if for with by about into some any also just"
    " such very too up out get got let as well one ones own s t d"
)
_FILLER = _set(
    "please pls plz hi hello hey thanks thank kindly ok okay so well um uh er hmm actually sorry really"
    " simply maybe perhaps dear like want wanna need know tell give show say explain wondering wonder help"
)
_ROLE = _set(
    "from to before after under over above below between against through until till since during via without"
    " within off onto toward versus vs than except excluding including instead"
)
_DENIAL = _set("not no never none neither nor nobody nothing without cannot unable nowhere except excluding non")
_QUESTION = _set("what which who whom whose when where why how")
_DATE = _set(
    "monday tuesday wednesday thursday friday saturday sunday weekend weekday january february april june"
    " july august september october november december jan feb apr jun jul aug sep sept oct nov dec today"
    " tomorrow yesterday tonight morning afternoon evening noon midnight spring summer autumn winter"
)
_UNITS = _set("am pm k m b km cm mm kg g mg mb gb tb kb hz mph kw ml l ft lb lbs oz th st nd rd s h min hr hrs")
_CONTRACTED = {"ve": "have", "ll": "will", "re": "are", "m": "am", "d": "would"}
_COUNTED = (
    "zero two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen twenty"
)
_SAME = {word: str(number + (number > 0)) for number, word in enumerate(_COUNTED.split())} | {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th", "thirty": "30", "forty": "40",
    "fifty": "50", "hundred": "100", "thousand": "1000", "million": "1000000", "dollars": "$", "dollar": "$",
    "usd": "$", "euros": "€", "euro": "€", "eur": "€", "pounds": "£", "percent": "%", "vs": "versus",
    "whats": "what", "hows": "how", "wheres": "where", "whos": "who", "im": "i", "u": "you", "ur": "your",
    "dont": "not", "doesnt": "not", "didnt": "not", "cant": "not", "wont": "not", "isnt": "not", "arent": "not",
    "jan": "january", "feb": "february", "apr": "april", "jun": "june", "jul": "july", "aug": "august",
    "sep": "september", "sept": "september", "oct": "october", "nov": "november", "dec": "december",
    "mins": "minute", "min": "minute", "hr": "hour", "hrs": "hour",
}  # fmt: skip
_ENDINGS = (
    ("'s", "", 1), ("ies", "y", 3), ("sses", "ss", 1), ("ches", "ch", 1), ("shes", "sh", 1), ("xes", "x", 1),
    ("ing", "", 3), ("ied", "y", 2), ("ed", "", 3), ("ly", "", 4), ("s", "", 3), ("e", "", 3),
)  # fmt: skip
_NO_PLURAL = ("ss", "us", "is")


class Word(NamedTuple):
    """One word, and all that is known of it."""

    stem: str
    """Its one form: small letters, no ending, numbers in digits."""
    kind: Kind
    plain: bool
    """Whether its kind is one that says how things are asked rather than what is asked for."""
    capital: bool
    weight: float
    """How rare it is among the questions that the verifier learned from (idf)."""
    rarity: float
    """How rare it is in the language: 0 the commonest, 1 not in the table of meanings."""
    row: int
    """Its row in the table of meanings, -1: none."""
    grams: tuple[int, ...]
    """Its runs of three characters, the ends included, as numbers."""
    harm: float
    """How much less likely one answer serves two questions where only one has this word: learned log odds."""


class Lexicon:
    """What is known of words: `weights` and `harms` by bucket; `meanings`, a row of length 1 for each of `names`.

    `names` are sorted from common to rare. Remembers up to `most` words.
    """

    def __init__(
        self,
        weights: NDArray[np.float32],
        harms: NDArray[np.float32],
        names: list[str],
        meanings: NDArray[np.float32],
        *,
        most: int = 20_000,
    ) -> None:
        self.meanings = np.vstack([meanings, np.zeros((1, meanings.shape[1]))]).astype(np.float32)
        """The last row, which -1 finds, is of words without a meaning: near to none."""
        self._weights: list[float] = weights.tolist()
        self._harms: list[float] = harms.tolist()
        self._rows = {name: row for row, name in enumerate(names)}
        self._known: dict[str, tuple[Word, ...]] = {}
        self._most = most

    def words(self, text: str) -> list[Word]:
        """The words of `text`, in order."""
        known = self._known
        found: list[Word] = []
        for token in _TOKEN.findall(text):
            words = known.get(token)
            found += self._learn(token) if words is None else words
        return found

    def _learn(self, token: str) -> tuple[Word, ...]:
        words = tuple(self._word(part, token[0].isupper()) for part in parts(token[:LONGEST_WORD]))
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[token[:LONGEST_WORD]] = words
        return words

    def _word(self, part: str, capital: bool) -> Word:
        stem, kind = stem_of(part), kind_of(part)
        row = self._rows.get(part, -1)
        place = bucket(stem)
        return Word(
            stem,
            kind,
            kind in PLAIN,
            capital,
            self._weights[place],
            1.0 if row < 0 else row / len(self._rows),
            row,
            grams_of(stem),
            self._harms[place],
        )


def grams_of(stem: str) -> tuple[int, ...]:
    """The runs of three characters of a word with its ends."""
    ended = f" {stem} "
    return tuple(crc32(ended[start : start + 3].encode(errors="replace")) for start in range(len(stem)))


def bucket(stem: str) -> int:
    """Where the tables hold a word."""
    return crc32(stem.encode(errors="replace")) % BUCKETS


def parts(token: str) -> list[str]:
    """A token as one or more plain words: don't is do and not, 10pm is 10 and pm."""
    word = token.lower().replace("’", "'")
    if "'" in word:
        head, _, tail = word.partition("'")
        if tail == "t":
            head = {"ca": "can", "can": "can", "wo": "will", "won": "will"}.get(head, head.removesuffix("n"))
            return [head, "not"] if head else ["not"]
        if tail == "s":
            return [head, "is"] if head in _QUESTION or head in ("that", "it", "there") else [head]
        return [head, _CONTRACTED.get(tail, tail)]
    if word in _CONTRACTED and len(word) > 1:
        return [_CONTRACTED[word]]
    if word == "cannot":
        return ["can", "not"]
    if _DIGITS.search(word):
        quantity = _QUANTITY.fullmatch(word)
        if quantity and quantity[2] in _UNITS and quantity[2] not in ("st", "nd", "rd", "th"):
            return [quantity[1], _SAME.get(quantity[2], quantity[2])]
        return [word.replace(",", "")]
    return [_SAME.get(word, word)]


def stem_of(word: str) -> str:
    """A word without its ending: flights is flight, leaving is leav as leave is. Short words stay."""
    if word.isdigit():
        return word.lstrip("0") or "0"
    if len(word) < 4 or not word.replace("'", "").isalpha() or kind_of(word) is not Kind.CONTENT:
        return word
    for ending, instead, least in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= least:
            if ending == "s" and word.endswith(_NO_PLURAL):
                continue
            word = word[: len(word) - len(ending)] + instead
            if ending in ("ing", "ed") and len(word) > 3 and word[-1] == word[-2] and word[-1] not in "ls":
                return word[:-1]
            return word.removesuffix("e") if ending == "s" and len(word) > 3 else word
    return word


def respelled(one: str, other: str) -> bool:
    """Whether two words differ as a slip of the pen does: a letter more, less, other, or two in the wrong order."""
    longer, shorter = len(one), len(other)
    if longer < 4 or shorter < 4 or not -2 < longer - shorter < 2:
        return False
    least = min(longer, shorter)
    start = 0
    while start < least and one[start] == other[start]:
        start += 1
    end = 0
    while end < least - start and one[longer - 1 - end] == other[shorter - 1 - end]:
        end += 1
    left, right = one[start : longer - end], other[start : shorter - end]
    return max(len(left), len(right)) <= 1 or (len(left) == len(right) == 2 and left == right[::-1])


def kind_of(word: str) -> Kind:
    """Its kind, by our own lists."""
    for words, kind in _KINDS:
        if word in words:
            return kind
    if _DIGITS.search(word):
        return Kind.NUMBER if _PLAIN_NUMBER.fullmatch(word) else Kind.CODE
    return Kind.CONTENT if word[:1].isalnum() else Kind.SYMBOL


_KINDS = (
    (_DENIAL, Kind.DENIAL),
    (_ROLE, Kind.ROLE),
    (_QUESTION, Kind.QUESTION),
    (_DATE, Kind.DATE),
    (_FILLER, Kind.FILLER),
    (_STOP, Kind.STOP),
)
