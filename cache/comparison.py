"""Whether two answers say the same, as far as their words tell: how near lookups and audits get their labels.

The non-obvious decision: it may say that it does not know. Two answers with other numbers or names differ, two with
nearly the same words agree; for what is between, a judge is asked where one is configured, and where none is the
answers count as different. The bound on wrong hits is kept either way; what it costs is hits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SENTENCE_START = re.compile(r"(?:^|[.!?:\n*#-]\s*)$")
_DENIALS = frozenset({"no", "not", "never", "none", "neither", "nor", "without", "cannot", "unable"})
_LONGEST = 20_000
"""Characters of each answer that are compared."""


def words_of(body: bytes) -> str:
    """What a stored answer says: its content, of all choices; the whole body where it is no chat or completion."""
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list):
        return body.decode(errors="replace")
    return "\n".join(_content(choice) for choice in choices if isinstance(choice, dict))


def same_answer(one: str, other: str, *, same_words: float) -> bool | None:
    """True where they say the same, False where they do not, None where their words do not tell.

    `same_words`: the share of common words, counted as Dice does, from which two answers agree.
    """
    one, other = _normal(one), _normal(other)
    if one == other:
        return True
    if Counter(_NUMBER.findall(one)) != Counter(_NUMBER.findall(other)) or _names(one) != _names(other):
        return False
    words, others = Counter(_WORD.findall(one.lower())), Counter(_WORD.findall(other.lower()))
    if _denials(words) != _denials(others):
        return False
    both = words.total() + others.total()
    return True if both and 2 * (words & others).total() / both >= same_words else None


def _content(choice: Mapping[str, Any]) -> str:
    message = choice.get("message")
    said = message.get("content") if isinstance(message, dict) else choice.get("text")
    return said if isinstance(said, str) else ""


def _normal(text: str) -> str:
    return " ".join(text[:_LONGEST].split())


def _names(text: str) -> set[str]:
    """Words that begin with a capital where no sentence begins, in small letters."""
    return {
        match[0].lower()
        for match in _WORD.finditer(text)
        if match[0][0].isupper()
        and len(match[0]) > 1
        and not _SENTENCE_START.search(text[max(0, match.start() - 4) : match.start()])
    }


def _denials(words: Counter[str]) -> int:
    """How often something is denied, odd or even."""
    return sum(count for word, count in words.items() if word in _DENIALS or word.endswith(("n't", "n’t"))) % 2
