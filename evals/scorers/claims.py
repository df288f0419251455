"""What a text claims, sentence by sentence, as far as that can be told without understanding it.

The non-obvious decision: what makes a sentence wrong is rarely most of its words. Numbers, dates, addresses and
names are therefore kept apart from the words: of words a share has to be found elsewhere, of these every one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Set
from dataclasses import dataclass
from itertools import groupby, pairwise

from evals.scorers.normalised import unaccented
from evals.scorers.wording import (
    AMBIGUOUS,
    CALENDAR,
    COURTESY,
    FUNCTION_WORDS,
    NEGATIONS,
    REFUSAL,
    SPELLED,
    UNANSWERED,
    UNITS,
)

_SHORTEST = 3
"""Letters of a word that says something by itself; shorter ones are function words nearly always."""
_ALIKE = 0.6
"""Share of the longer word that two forms of one word begin with alike ("return", "returned")."""
_STEM = 4
"""Letters that they begin with alike at least."""
_PLURAL = "s"

_CITED = re.compile(r"[\[【]\s*([\w.:-]+(?:\s*[,;]\s*[\w.:-]+)*)\s*[\]】](?!\()")
_LINK = re.compile(r"\[([^\[\]]{0,200})\]\(([^()\s]{1,500})\)")
_MARKDOWN = re.compile(r"\*\*|__|`+|^#+\s+", re.MULTILINE)
_BULLET = re.compile(r"^[ \t]*(?:[-*•>]+|\d{1,2}[.)])[ \t]+", re.MULTILINE)
_END = re.compile(
    r"((?<![.!?…])[.!?…]{1,8}[\"'”’)]{0,4}(?:\s*[\[【][^\]】]{1,40}[\]】]){0,8})\s+"
    r"|([。！？]+)\s*|\n+"
)
_ABBREVIATED = re.compile(
    r"(?:(?:^|[\s.(])[^\W\d_]|\b(?i:mr|mrs|ms|dr|prof|st|sr|sra|dra|vs|etc|approx|aprox|inc|ltd|fig|pp|art|tel|ext|max|min|"
    r"núm|pág|ud|uds|bzw|ca))\.$"
)
_LONGEST_ABBREVIATION = 12
_NUMBERED = re.compile(r"\b(?i:no|nos|nr|vol|ch|sec)\.$")
_BEFORE_MARK = re.compile(r"\s([.,;!?])")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(
    r"(?:https?://|www\.)[^\s<>()\"'”]+|(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.[a-z]{2,12}\b(?:/[^\s<>()\"'”]*)?",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_NUMBER = re.compile(
    r"(?<![A-Za-z\u00c0-\u024f\d])(?<!\d[.,:])([$€£¥₹]?)\s?(\d+(?:[.,:'’\u00a0\u202f]\d+)*)(?:st|nd|rd|th|º|ª)?\s?([%$€£¥₹]|[^\W\d_]+(?:\s+ciento)?)?"
)
_GROUPED = re.compile(r"\d{1,3}(?:[.,'’\u00a0\u202f]\d{3})+")
_OPENING = re.compile(r"[:;!?]\s|[-–—]\s")
_NUMERO = re.compile(r"\bno\.(?=\s?\d)", re.IGNORECASE)
_NOT = re.compile(r"n['’]t\b")
_POSSESSIVE = re.compile(r"['’](?:s|re|ve|ll|d|m)\b", re.IGNORECASE)
_YES_NO = re.compile(r"^\W*(?:yes|no|sí|si|oui|non|ja|nein)\s*[,;:]\s+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence. `figures` are numbers with their units, dates, addresses and identifiers; all in one spelling.

    `words` say something by themselves; `every` are all its words, and `names` those that look like a name.
    `cited` are the marks in brackets, as they are written.
    """

    text: str
    words: tuple[str, ...]
    every: frozenset[str]
    names: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    negated: bool
    cited: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """It claims nothing: a question, a greeting, an offer or a refusal."""
        if self.text.rstrip("\"'”’) ").endswith(("?", "？")):
            return True
        if self.figures:
            return False
        return self.text.endswith((":", "：")) or self.refuses or self.courteous

    @property
    def refuses(self) -> bool:
        """It says that the speaker cannot answer, or that nothing was found."""
        return bool(REFUSAL.search(self.text) or UNANSWERED.search(self.text))

    @property
    def courteous(self) -> bool:
        """A greeting, thanks or an offer, and nothing else."""
        return all(word in COURTESY for word in self.words)


def claims_in(text: str) -> list[Claim]:
    """Its sentences, the empty ones too."""
    return [claim for sentence in sentences(text) if (claim := _claim(sentence)).text]


def sentences(text: str) -> Iterator[str]:
    """`text` in sentences and lines, in any script; a mark such as [1] after a full stop is its sentence's."""
    plain = _MARKDOWN.sub("", _BULLET.sub("", _LINK.sub(r"\1 \2", text))).replace("|", " ")
    start = 0
    for end in _END.finditer(plain):
        said = plain[start : end.end()].rstrip()
        following = plain[end.end() : end.end() + 1]
        if end[1] and end[1].startswith(".") and _goes_on(said, following):
            continue
        yield said
        start = end.end()
    yield plain[start:].rstrip()


def alike(word: str, words: Set[str]) -> bool:
    """Whether `words` has it, or another form of it: one that begins alike."""
    if word in words:
        return True
    return len(word) >= _STEM and any(_same_stem(word, other) for other in words if other[:_STEM] == word[:_STEM])


def named(name: str, words: Set[str]) -> bool:
    """Whether `words` has this name, be it in the plural."""
    return name in words or name + _PLURAL in words or name.removesuffix(_PLURAL) in words


def _same_stem(one: str, other: str) -> bool:
    shared = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    return shared >= _ALIKE * max(len(one), len(other))


def _goes_on(said: str, following: str) -> bool:
    """Whether a full stop is an abbreviation's, or is followed by what begins no sentence."""
    end = said[-_LONGEST_ABBREVIATION:]
    if _NUMBERED.search(end):
        return following.isdigit()
    return following.islower() or bool(_ABBREVIATED.search(end))


def _claim(sentence: str) -> Claim:
    cited = tuple(mark for found in _CITED.finditer(sentence) for mark in re.split(r"\s*[,;]\s*", found[1]))
    text = _BEFORE_MARK.sub(r"\1", " ".join(_CITED.sub("", sentence).split()))
    rest, figures = _figures(_NUMERO.sub("", _YES_NO.sub("", text)))
    rest = _POSSESSIVE.sub("", _NOT.sub(" not", rest))
    plain = [bare for word in _words(rest) if (bare := unaccented(word))]  # an accent by itself leaves nothing
    return Claim(
        text=text,
        words=tuple(word for word in plain if _says_something(word)),
        every=frozenset(plain),
        names=tuple(dict.fromkeys(unaccented(name) for name in _names(rest))),
        figures=tuple(dict.fromkeys(figures)),
        negated=not NEGATIONS.isdisjoint(plain),
        cited=cited,
    )


def _figures(text: str) -> tuple[str, list[tuple[str, str]]]:
    """What is left of `text`, and its figures: (what, unit), where the unit is empty or one that amounts have."""
    found: list[tuple[str, str]] = []

    def take(kind: str, what: str) -> str:
        found.append((what, kind))
        return " "

    text = _EMAIL.sub(lambda email: take("", email[0].casefold().rstrip(".")), text)
    text = _URL.sub(lambda url: take("", _address(url[0])), text)
    text = _ISO_DATE.sub(lambda day: take("", f"month {int(day[2])}") + f"{day[1]} {day[3]}", text)
    for number in _NUMBER.finditer(text):
        unit = UNITS.get(number[1] or unaccented(number[3] or ""), "")
        found.append((_plain_number(number[2]), unit))
    text = _NUMBER.sub(lambda number: f" {number[3] or ''} ", text)
    for word in _words(text):
        bare = unaccented(word)
        if any(sign.isdigit() for sign in bare):
            found.append((bare, ""))
        elif bare in SPELLED:
            found.append((SPELLED[bare], ""))
        elif bare in CALENDAR and (bare not in AMBIGUOUS or (found and word[0].isupper())):
            found.append((CALENDAR[bare], ""))
    return text, found


def _address(url: str) -> str:
    return re.sub(r"^(?:https?://)?(?:www\.)?", "", url.casefold()).rstrip("/.,;:!?")


def _plain_number(written: str) -> str:
    """One spelling of a number: "1,200" is 1200, "12,50" is 12.5, "9:00" is 9."""
    if ":" in written:
        return ":".join(part.lstrip("0") or "0" for part in written.removesuffix(":00").split(":"))
    if _GROUPED.fullmatch(written):
        written = re.sub(r"\D", "", written)
    whole, _, part = written.replace(",", ".").rpartition(".") if re.search("[.,]", written) else (written, "", "")
    part = part.rstrip("0")
    return (re.sub(r"\D", "", whole).lstrip("0") or "0") + (f".{part}" if part else "")


def _words(text: str) -> Iterator[str]:
    """Runs of letters, their marks and digits; where a script has no blanks, each two neighbouring signs."""
    for word, signs in groupby(text, lambda sign: sign.isalnum() or unicodedata.category(sign).startswith("M")):
        if word:
            for unspaced, run in groupby(signs, _unspaced):
                together = "".join(run)
                if unspaced and len(together) > 1:
                    yield from (one + other for one, other in pairwise(together))
                else:
                    yield together


def _unspaced(sign: str) -> bool:
    """Of a script that is written without blanks: Thai to Burmese, kana, Han."""
    return "\u0e00" <= sign <= "\u109f" or "\u3040" <= sign <= "\u30ff" or "\u3400" <= sign <= "\u9fff"


def _says_something(word: str) -> bool:
    if _unspaced(word[0]):
        return True
    return len(word) >= _SHORTEST and word not in FUNCTION_WORDS and word not in NEGATIONS and word not in SPELLED


def _names(text: str) -> Iterator[str]:
    """Words with a capital where none has to be: not at the beginning, unless there are capitals within."""
    for part in _OPENING.split(text):
        for place, word in enumerate(_words(part)):
            inner = any(sign.isupper() for sign in word[1:])
            capital = inner or (place > 0 and word[0].isupper() and len(word) >= _SHORTEST)
            if capital and unaccented(word) not in FUNCTION_WORDS:
                yield word
