"""What an answer's text says of its worth: faults of form, its shape, and whether it agrees with another answer.

The non-obvious decision: agreement is a number and not a yes or no. Two answers may differ in nothing but a unit, a
quotation mark or a fraction (equal), in case or spaces (nearly equal: for code that is a difference), or in a few
words; what each is worth, labels say. Of any text no more than the first few thousand characters are looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from math import isclose, isfinite, log1p
from zlib import crc32

import msgspec

MOST_CHARACTERS = 4_000
MOST_QUESTION = 8_000
MOST_JSON = 1 << 20
"""Characters of an answer, a question and a JSON answer that are looked at."""

NEARLY = 0.95
"""Agreement of answers that differ in case or spaces alone."""
_WORDS_APART = 0.9
"""Agreement of answers with the same words in another order."""

FAULTS = ("empty", "cut", "refusal", "unsure", "repeats_question", "loops", "invalid_json", "other_script")

SHAPE = (
    "answer_characters",
    "answer_words",
    "answer_lines",
    "answer_commas",
    "answer_stops",
    "answer_digits",
    "answer_capitals",
    "answer_quotes",
    "answer_word_length",
    "answer_ends",
)

CHOICE = (
    "options",
    "chosen_length",
    "chosen_length_rank",
    "chosen_value_rank",
    "chosen_value_edge",
    "chosen_overlap",
)
"""How a chosen option stands among the others: who does not know picks the extreme value, or the odd one out."""

_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[^\W_]+|[^\w\s]")
_BOXED = re.compile(r"\\boxed\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_MARK = re.compile(r"(?:####|\banswer[ \t]*(?:is|:)[ \t]*:?)[ \t]*(?=\S)", re.IGNORECASE)
_NUMBER = re.compile(r"([-+]?(?:\d[\d,]*\.?\d*|\.\d+))(?:\s*(?:%|°|[^\W\d_][^\W\d_/.]{0,14}\.?)){0,2}")
_FRACTION = re.compile(r"([-+]?\d{1,15})\s*/\s*(\d{1,15})")
_CHOICE = re.compile(r"\(?([A-Za-z])(?:[.):]+(?:\s.*)?)?", re.DOTALL)
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\{([^{}]{1,40})\}\{([^{}]{1,40})\}")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|mbox)\{([^{}]{0,80})\}")
_OPTION = re.compile(r"^[ \t]*\(?([A-Z])[.):][ \t]+(\S.*)$", re.MULTILINE)
_VALUE = re.compile(r"[-+]?\d[\d,]{0,20}\.?\d{0,20}")
_FENCE = re.compile(r"\A\s*```\w*\s*(.*?)\s*```\s*\Z", re.DOTALL)
_REFUSAL = re.compile(
    r"\b(?:i(?:'m| am) sorry|i apologi[sz]e|as an ai|i(?: can(?:no|')t|'m unable to| am unable to|'m not able to)"
    r"|es tut mir leid|ich kann (?:dir|ihnen|das|diese)\b.{0,40}\bnicht"
    r"|je suis désolé|je ne peux pas|lo siento|no puedo|sinto muito|não posso|mi dispiace|non posso)",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:not (?:explicitly |specifically |clearly )?(?:mention|provided|stated|specified|known|sure|possible to)"
    r"|no (?:mention|information)|does(?: not|n't) (?:mention|state|specify|provide|say)"
    r"|cannot be determined|can(?:no|')t (?:determine|answer)|unanswerable|unclear|i don't know"
    r"|nicht (?:erwähnt|angegeben|bekannt)|weiß (?:es )?nicht|pas (?:mentionné|précisé)|no se menciona)",
    re.IGNORECASE,
)
_REFUSES_EARLY = 200
"""A refusal opens an answer; further on, the same words are quoted or told."""
_REPEATED = 0.9
"""Agreement of the words of answer and question from which on the one repeats the other."""
_SCRIPTS_APART = 0.8
"""Difference between the shares of letters that are not Latin."""
_LOOPED = (12, 0.35)
"""From so many words on, an answer with a smaller share of different runs of three words goes in circles."""


def final(answer: str) -> str:
    """What an answer comes down to: what is boxed or marked as the answer, or else all of it."""
    text = answer[:MOST_CHARACTERS].strip()
    boxed = _BOXED.findall(text)
    if boxed:
        return str(boxed[-1]).strip()
    marks = [mark.end() for mark in _MARK.finditer(text)]
    return text[marks[-1] :].split("\n", 1)[0].strip() if marks else text


def agreement(one: str, other: str) -> float:
    """How far two answers say the same, 0..1: 1 for the same number, choice or text, else by their words."""
    first, second = final(one), final(other)
    if not first or not second:
        return 0.0
    if first == second:
        return 1.0
    first, second = _plain(first), _plain(second)
    numbers = _number(first), _number(second)
    if numbers[0] is not None and numbers[1] is not None:
        return float(isclose(numbers[0], numbers[1], rel_tol=1e-6, abs_tol=1e-12))
    letters = _CHOICE.fullmatch(first), _CHOICE.fullmatch(second)
    if letters[0] and letters[1]:
        return float(letters[0][1].upper() == letters[1][1].upper())
    if first == second:
        return 1.0
    folded = first.casefold(), second.casefold()
    if "".join(folded[0].split()) == "".join(folded[1].split()):
        return NEARLY
    words = Counter(_WORD.findall(folded[0])), Counter(_WORD.findall(folded[1]))
    total = words[0].total() + words[1].total()
    return _WORDS_APART * 2 * (words[0] & words[1]).total() / total if total else 0.0


def faults(
    answer: str, *, question: str = "", finish: str | None = None, wants_json: bool = False
) -> tuple[str, ...]:
    """Which of `FAULTS` an answer has. `finish`: the upstream's finish_reason."""
    text = answer[:MOST_CHARACTERS].strip()
    if not text:
        return ("empty",) if finish != "length" else ("empty", "cut")
    asked = question[:MOST_QUESTION]
    found = {
        "cut": finish in ("length", "max_tokens"),
        "refusal": bool(_REFUSAL.search(text[:_REFUSES_EARLY])),
        "unsure": bool(_UNSURE.search(text)),
        "repeats_question": _repeats(text, asked),
        "loops": _loops(text),
        "invalid_json": wants_json and not _is_json(answer),
        "other_script": _scripts_differ(text, asked),
    }
    return tuple(name for name in FAULTS if found.get(name))


def shape(answer: str) -> list[float]:
    """The figures named `SHAPE`: logarithms of counts, shares, a mean and a flag."""
    text = answer[:MOST_CHARACTERS].strip()
    words = _WORD.findall(text)
    size = max(1, len(text))
    return [
        log1p(len(text)),
        log1p(len(words)),
        log1p(text.count("\n")),
        log1p(text.count(",")),
        log1p(text.count(".")),
        sum(letter.isdigit() for letter in text) / size,
        sum(letter.isupper() for letter in text) / size,
        log1p(text.count('"') + text.count("'")),
        sum(map(len, words)) / max(1, len(words)),
        float(text.endswith((".", "!", "?", "。"))),
    ]


def choice(question: str, answer: str) -> list[float]:
    """The figures named `CHOICE`; NaN where the question has no options or the answer chooses none of them."""
    nan = float("nan")
    options = dict(_OPTION.findall(question[:MOST_QUESTION]))
    letter = _CHOICE.fullmatch(_plain(final(answer))) if len(options) > 1 else None
    name = letter[1].upper() if letter else ""
    if name not in options:
        return [float(len(options)), nan, nan, nan, nan, nan]
    chosen = options[name]
    lengths = [len(text) for text in options.values()]
    values = [_first_value(text) for text in options.values()]
    rank = edge = nan
    known = [value for value in values if value is not None]
    if len(known) == len(options):
        mine = _first_value(chosen)
        rank = sum(value < mine for value in known if mine is not None) / (len(known) - 1)
        edge = abs(rank - 0.5)
    words = [set(_TOKEN.findall(text.casefold())) for text in options.values()]
    own = set(_TOKEN.findall(chosen.casefold()))
    shared = sum(len(own & other) / max(1, len(own | other)) for other in words) - 1
    return [
        float(len(options)),
        len(chosen) * len(lengths) / sum(lengths),
        sum(length < len(chosen) for length in lengths) / (len(lengths) - 1),
        rank,
        edge,
        shared / (len(options) - 1),
    ]


def grams(answer: str, buckets: int, task: str = "") -> list[int]:
    """The buckets of the words and pairs of words of an answer, each once, as such and as they are in `task`."""
    words = [word[:40] for word in _TOKEN.findall(answer[:MOST_CHARACTERS].casefold())]
    texts = {*words, *(f"{one} {two}" for one, two in pairwise(words))}
    if words:
        texts |= {"<first> " + words[0], "<first> " + " ".join(words[:2])}
    keys = [f"{prefix}{text}" for text in sorted(texts) for prefix in ("", f"{task}\x00")]
    return [crc32(key.encode(errors="replace")) % buckets for key in keys]


def _plain(text: str) -> str:
    """Without what says nothing: quotation marks, mark-up, LaTeX's commands, a closing stop."""
    text = _LATEX_TEXT.sub(r"\1", _LATEX_FRACTION.sub(r"\1/\2", text))
    text = text.replace("\\left", "").replace("\\right", "").replace("\\!", "").replace("\\", "")
    text = text.strip().strip("`*$").strip().rstrip(".").strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1]
    text = re.sub(r"\bu(?=['\"])", "", text).replace('"', "'")
    return " ".join(text.replace("$", "").split())


def _number(text: str) -> float | None:
    """The number that a text is, a unit after it or not; digits that begin with a nought are no number."""
    fraction = _FRACTION.fullmatch(text)
    if fraction:
        return int(fraction[1]) / int(fraction[2]) if int(fraction[2]) else None
    found = _NUMBER.fullmatch(text)
    if not found:
        return None
    digits = found[1].replace(",", "")
    if len(digits) > 40 or re.match(r"[-+]?0\d", digits):
        return None
    return float(digits)


def _first_value(text: str) -> float | None:
    found = _VALUE.search(text)
    value = float(found[0].replace(",", "")) if found else None
    return value if value is None or isfinite(value) else None


def _repeats(text: str, asked: str) -> bool:
    words = Counter(_WORD.findall(text.casefold()))
    question = Counter(_WORD.findall(asked.casefold()))
    few = min(words.total(), question.total())
    return few > 4 and 2 * (words & question).total() / (words.total() + question.total()) > _REPEATED


def _loops(text: str) -> bool:
    words = _WORD.findall(text.casefold())
    runs = {tuple(words[place : place + 3]) for place in range(len(words) - 2)}
    return len(words) > _LOOPED[0] and len(runs) < _LOOPED[1] * len(words)


def _is_json(answer: str) -> bool:
    fenced = _FENCE.match(answer[:MOST_JSON])
    try:
        msgspec.json.decode((fenced[1] if fenced else answer[:MOST_JSON]).encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def _scripts_differ(text: str, asked: str) -> bool:
    """Whether the letters of the answer are mostly of another alphabet than those of the question."""
    one, other = _foreign(text), _foreign(asked)
    return one is not None and other is not None and abs(one - other) > _SCRIPTS_APART


def _foreign(text: str) -> float | None:
    letters = [letter for letter in text[:1_000] if letter.isalpha()]
    return sum(letter > "\u024f" for letter in letters) / len(letters) if len(letters) > 9 else None
