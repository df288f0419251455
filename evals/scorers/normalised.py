"""`normalised`: as `exact`, but case, accents, punctuation and runs of blanks do not count.

The non-obvious decision: nothing is turned into ASCII. Only the accents that Latin, Greek and Cyrillic letters
carry are taken off, so that Chinese, Arabic, Hindi and the marks that tell Japanese syllables apart survive. A sign
that changes what is meant stays: of a number ("3.5", "-5", "20%"), a currency, "C#", "C++".
"""

from __future__ import annotations

import re
import unicodedata
from typing import ClassVar, Literal

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.exact import accepted, lacks_answer, quoted
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_ACCENTS = re.compile("[\u0300-\u036f]")
"""Combining Diacritical Marks; other scripts have theirs elsewhere."""
_APOSTROPHE = re.compile(r"(?<=[^\W\d_])['’ʼ](?=[^\W\d_])")
_MINUS = re.compile(r"(?<![\w)\]])[-−–](?=[.,]?\d)")
_MEANT = "%‰#&@"
"""Punctuation by Unicode's classes that is part of what is said."""
_KEPT_MINUS = "−"


class NormalisedSettings(Settings):
    kind: Literal["normalised"] = "normalised"


class Normalised:
    kind: ClassVar[str] = "normalised"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: NormalisedSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)

    def lacks(self, case: Case) -> str:
        missing = lacks_answer(case)
        if not missing and not all(map(normalise, accepted(case))):
            raise ValueError("expected.answer: is nothing but punctuation, which does not count here")
        return missing

    async def score(self, case: Case, answer: Answer) -> Score:
        right = accepted(case)
        if normalise(answer.text) in map(normalise, right):
            return Score(value=1)
        return Score(value=0, why=f"says {quoted(answer.text)}, not {quoted(right[0])}")


def normalise(text: str) -> str:
    """`text` without what does not count; normalising it again changes nothing."""
    bare = _APOSTROPHE.sub("", unaccented(text))
    signed = _MINUS.sub(_KEPT_MINUS, bare)
    return " ".join("".join(_kept(signed, place) for place in range(len(signed))).split())


def unaccented(text: str) -> str:
    """`text` in lower case, compatible forms made one, and without accents of Latin, Greek and Cyrillic letters."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)))


def _kept(text: str, place: int) -> str:
    sign = text[place]
    kind = unicodedata.category(sign)
    if not kind.startswith("P") and kind not in ("Sk", "Cf"):
        return sign
    if sign in _MEANT:
        return sign
    within = text[max(place - 1, 0) : place + 2]
    return sign if len(within) == 3 and within[0].isdigit() and within[2].isdigit() else " "
