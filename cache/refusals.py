"""What in a question's words keeps it out of the cache: personal data, and things that change from hour to hour.

The non-obvious decision: patterns, not a model. A refusal costs one answer at full price, so they may be broad; and
whoever reads the reason can see why. Every pattern takes time linear in the text, whatever a client sends.
"""

from __future__ import annotations

import re
from functools import lru_cache

LONGEST_TEXT = 256 * 1024
"""Characters that are looked through; a longer text is refused, unread."""

_DIGIT = re.compile(r"\d")
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++\.\w")
_NUMBERS = {
    "a long number": re.compile(r"(?<!\d)\d(?:[ .()/-]{0,2}+\d){8}"),  # of a phone, a card, an account, a person
    "an account number": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3}"),
}
_WORDS = {
    "a name": ("name is", re.compile(r"\bmy (?:full |last |first |maiden )?name is\b")),
    "a date of birth": ("birth", re.compile(r"\b(?:date of birth|birthday is)\b")),
    "a day of birth": ("born on", re.compile(r"\bborn on\b")),
}
"""In small letters: what the pattern cannot do without, and the pattern."""


def refuse_text(text: str, *, personal: bool, live: tuple[str, ...]) -> str:
    """Why a question is kept out, or "" where it is not. `live` are whole words or phrases, none of them blank.

    Nearly every question is let in, and each is looked through: a pattern is tried where a part of it is there.
    """
    if not (personal or live):
        return ""
    if len(text) > LONGEST_TEXT:
        return "the text is too long to be looked through"
    small = text.lower()
    if personal and (what := _personal(text, small)):
        return f"the question holds {what}"
    if live and any(map(small.__contains__, _beginnings(live))):
        found = phrases(live).search(text)
        if found:
            return f"the answer may change: '{' '.join(found[0].lower().split())}'"
    return ""


def _personal(text: str, small: str) -> str:
    """What a text holds of somebody's own, or ""."""
    if "@" in text and _ADDRESS.search(text):
        return "an e-mail address"
    if _DIGIT.search(text):
        for what, pattern in _NUMBERS.items():
            if pattern.search(text):
                return what
    for what, (part, pattern) in _WORDS.items():
        if part in small and pattern.search(small):
            return what
    return ""


@lru_cache(maxsize=256)
def _beginnings(live: tuple[str, ...]) -> tuple[str, ...]:
    """The first words of these phrases, each once, in small letters."""
    return tuple(dict.fromkeys(phrase.lower().split()[0] for phrase in live))


@lru_cache(maxsize=256)
def phrases(words: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of these as whole words, in capitals or not, with any space between them."""
    patterns = (r"\s+".join(map(re.escape, word.split())) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)
