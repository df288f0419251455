"""What in a question's words keeps it out of the cache: personal data, and things that change from hour to hour.

The non-obvious decision: patterns, not a model. A refusal costs one answer at full price, so they may be broad; and
whoever reads the reason can see why. Every pattern takes time linear in the text, whatever a client sends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

LONGEST_TEXT = 256 * 1024
"""Characters that are looked through; a longer text is refused, unread."""

_PERSONAL = {
    "an e-mail address": re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++\.\w"),
    "a long number": re.compile(r"(?<!\d)\d(?:[ .()/-]{0,2}+\d){8}"),  # of a phone, a card, an account, a person
    "an account number": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3}"),
    "a name": re.compile(r"\bmy (?:full |last |first |maiden )?name is\b", re.IGNORECASE),
    "a date of birth": re.compile(r"\b(?:born on|date of birth|birthday is)\b", re.IGNORECASE),
}


def refuse_text(text: str, *, personal: bool, live: Sequence[str]) -> str:
    """Why a question of these words is kept out, or "" where it is not. `live` are whole words or phrases."""
    if not (personal or live):
        return ""
    if len(text) > LONGEST_TEXT:
        return "the text is too long to be looked through"
    if personal:
        for what, pattern in _PERSONAL.items():
            if pattern.search(text):
                return f"the question holds {what}"
    if live:
        found = phrases(tuple(live)).search(text)
        if found:
            return f"the answer may change: '{' '.join(found[0].lower().split())}'"
    return ""


@lru_cache(maxsize=256)
def phrases(words: tuple[str, ...]) -> re.Pattern[str]:
    """Finds any of these as whole words, in capitals or not, with any space between them."""
    patterns = (r"\s+".join(map(re.escape, word.split())) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)
