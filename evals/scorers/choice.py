"""`choice`: a good answer picks `expected.choice`, a letter or the text of one of `expected.options`.

The ways of picking are tried from the plainest to the vaguest: the letter alone, "the answer is B", an answer that
begins with "B)", "(B)" or "**B**" somewhere, the text of an option, a lone capital. The first that finds anything
decides, and if it finds two letters, the answer picks none and scores 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from string import ascii_uppercase
from typing import Any, ClassVar, Literal

from evals.cases import Case
from evals.records import Answer, Score
from evals.scorers.exact import quoted
from evals.scorers.normalised import normalise
from evals.scorers.port import Instruments, Settings

_REVISION = 1
_LABEL = re.compile(r"^\s*\(?([A-Za-z])[).:]\s+")
_ALONE = re.compile(r"^[\W_]*([A-Za-z])[\W_]*$")
_OPENS = r"[*_`\"'“(\[]*"
_CAPITAL = r"([A-Z])(?![\w'’])"
_LETTER = _CAPITAL + r"(?!(?<=A)\s+(?!because|since|as|and|or|but|porque|ya|y|o|pero)[a-z])"
"""A capital by itself, unless it is the article of what follows."""
_OR = r"(?:\W{0,3}\s(?:or|and|o|y)\s\W{0,3}([A-Z])(?![\w'’]))?"
_STATED = re.compile(
    r"(?:(?i:\b(?:answer|choice|option|respuesta|opci[oó]n)(?:\s+correct[ao]?)?"
    r"(?:\s+(?:is|would\s+be|must\s+be|es|ser[ií]a)\b|\s*[:=])|\b(?:choose|pick|select|elijo|escojo)\b)[\s:]*"
    r"(?i:(?:the|la|letter|letra|option|opci[oó]n)\s+){0,3}|####\s*|\\boxed\{\s*(?:\\text\{)?)"
    rf"(?:{_OPENS}{_LETTER}{_OR}|[*_`\"'“]*[(\[]([a-z])[)\]])"
    rf"|(?<![\w'’]){_CAPITAL}\W{{0,3}}\s(?i:(?:is|es)\s(?:the\s|la\s)?(?:most\s|only\s|más\s)?"
    r"(?:correct|right|best|answer|correcta|respuesta))\b"
)
_DENIED = re.compile(
    r"(?:(?i:\bnot|\bneither|n['’]t(?:\s+be)?|\bno\s+es|\bnor|\bni)\s+(?i:la\s+|option\s+|opci[oó]n\s+)?\W{0,3})[A-Z]\b"
)
_LINE = re.compile(r"(?m)^[ \t>*_`#-]*(?:\(([A-Za-z])\)|([A-Z])(?:[).:]|[ \t]*$|[ \t]+[-–—][ \t])|\*\*([A-Z])\*\*)")
_SPOKEN_OF = re.compile(r"\s*(?:is|isn|was|are|can|cannot|could|would|es|no|son)\b")
"""What follows a letter that the answer says something of, rather than picks."""
_MARKED = re.compile(r"\(([A-Za-z])\)|\[([A-Z])\]|\*\*\(?([A-Z])\b[).:]?[^*\n]*\*\*")
_BARE = re.compile(
    r"(?<![\w'’])(?:([A-Z])(?![\w'’]|\s+[a-z])"
    r"|([A-Z])\s+(?:or|o)\s+([A-Z])(?!\w)|([A-Z])\s+(?:and|y)\s+([A-Z])(?![\w'’]|\s+[a-z]))"
)
_PRONOUN = "I"


class ChoiceSettings(Settings):
    kind: Literal["choice"] = "choice"


class Choice:
    kind: ClassVar[str] = "choice"
    model: str = ""
    binary: bool = True

    def __init__(self, settings: ChoiceSettings, instruments: Instruments) -> None:
        self.name = settings.called
        self.version = settings.version(_REVISION)

    def lacks(self, case: Case) -> str:
        if "choice" not in case.expected:
            return "`expected.choice`"
        _right(case)
        return ""

    async def score(self, case: Case, answer: Answer) -> Score:
        options, right = _options(case), _right(case)
        found = chosen(answer.text, options)
        if found == {right}:
            return Score(value=1)
        if not found:
            return Score(value=0, why=f"picks none: {quoted(answer.text)}")
        if len(found) > 1:
            return Score(value=0, why=f"does not tell which: {', '.join(sorted(found))}")
        return Score(value=0, why=f"picks {found.pop()}, not {right}")


def chosen(text: str, options: Sequence[str] = ()) -> set[str]:
    """The letters that an answer picks: one where it is clear, several where it is not, none where it picks none.

    `options` are the texts behind the letters from A on; without them any letter is one.
    """
    letters = set(ascii_uppercase[: len(options)] if options else ascii_uppercase)
    text = _DENIED.sub(" ", text)
    ways: tuple[Callable[[], set[str]], ...] = (
        lambda: _found(_ALONE, text),
        lambda: {letter for letter, option in _lettered(options) if normalise(text) == normalise(option)},
        lambda: _found(_STATED, text),
        lambda: _heading(text),
        lambda: _found(_MARKED, text) | _found(_LINE, text),
        lambda: _named(text, options),
        lambda: _found(_BARE, text) - {_PRONOUN},
    )
    return next((found for way in ways if (found := way() & letters)), set())


def _found(pattern: re.Pattern[str], text: str) -> set[str]:
    return {letter.upper() for match in pattern.finditer(text) for letter in match.groups() if letter}


def _heading(text: str) -> set[str]:
    """The letter that the answer begins with, and any that other lines of it do; none if it is only spoken of."""
    begun = text.lstrip()
    first = _LINE.match(begun)
    return _found(_LINE, text) if first and not _SPOKEN_OF.match(begun, first.end()) else set()


def _named(text: str, options: Sequence[str]) -> set[str]:
    """Options whose text occurs, but for one that only occurs inside a longer one ("York" in "New York")."""
    plain = f" {normalise(text)} "
    found = set()
    for letter, option in sorted(_lettered(options), key=lambda pair: -len(pair[1])):
        wanted = f" {normalise(option)} "
        if wanted.strip() and wanted in plain:
            found.add(letter)
            plain = plain.replace(wanted, " | ")
    return found


def _lettered(options: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(ascii_uppercase, options, strict=False))


def _options(case: Case) -> list[str]:
    """The texts of the options, without a label such as "B) ". Raises ValueError."""
    options = case.expected.get("options", [])
    if not isinstance(options, list) or not all(isinstance(one, str) and one.strip() for one in options):
        raise ValueError("expected.options: must be a list of texts, and none of them empty")
    if len(options) > len(ascii_uppercase) or len(options) == 1:
        raise ValueError(f"expected.options: must be 2 to {len(ascii_uppercase)}")
    labels = [label[1].upper() if (label := _LABEL.match(one)) else "" for one in options]
    labelled = labels == list(ascii_uppercase[: len(options)])
    return [_LABEL.sub("", one) if labelled else one for one in options]


def _right(case: Case) -> str:
    """The letter of `expected.choice`. Raises ValueError."""
    options, choice = _options(case), case.expected["choice"]
    letters = ascii_uppercase[: len(options)] if options else ascii_uppercase
    said: Any = choice.strip() if isinstance(choice, str) else ""
    meant = {said.upper()} & set(letters)
    meant |= {letter for letter, option in _lettered(options) if said and normalise(option) == normalise(said)}
    if len(meant) > 1:
        raise ValueError(f"expected.choice: {choice!r} could be any of {', '.join(sorted(meant))}")
    if not meant:
        wanted = f"a letter up to {letters[-1]}, or the text of one of expected.options"
        raise ValueError(f"expected.choice: {choice!r} is not {wanted}")
    return str(meant.pop())
