"""What is known of a cheap model's answer when it is judged: any signal may be missing, one row holds them all.

The non-obvious decision: a missing signal is NaN in the row and nothing else. Which value stands for it is for the
head to say, which learns from rows with signals taken out what their absence means: nothing, if never there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import exp, isfinite, log, log1p, nan
from typing import Any

import msgspec
from msgspec import Struct

from heads.answers import CHOICE, FAULTS, MOST_QUESTION, SHAPE, agreement, choice, faults, shape

LOWEST_LOGP = -30.0
"""Log-probabilities below it, -inf among them, count as this much."""
MOST_TOKENS = 4_096
"""Tokens of an answer that are looked at."""

_MEASURED = (
    "mean_logp",
    "entropy",
    "margin",
    "lowest",
    "second_agrees",
    "third_agrees",
    "others_agree",
    "vote_share",
    "self_check",
    "forecast_good",
    "forecast_gain",
)
_COUNTED = ("answer_tokens", "characters", "second_characters", "third_characters")
_QUESTION = ("question_characters", "question_words", "question_digits", "question_symbols", "question_lines")

NAMES: tuple[str, ...] = (*_MEASURED, *_COUNTED, "length_ratio", *FAULTS, *SHAPE, *CHOICE, *_QUESTION)
"""What a row holds, in order. Counts are there as logarithms."""

FORM = "the answer's form"

GROUPS: dict[str, tuple[str, ...]] = {
    "token probabilities": ("mean_logp", "entropy", "margin", "lowest"),
    "a second opinion": ("second_agrees", "others_agree", "second_characters", "length_ratio"),
    "a third opinion": ("third_agrees", "third_characters"),
    "the vote of several samples": ("vote_share",),
    "the model's own check": ("self_check",),
    "the forecast before the answer": ("forecast_good", "forecast_gain"),
    "the answer's length": ("answer_tokens", "characters", "answer_characters", "answer_words"),
    FORM: (*FAULTS, *(name for name in SHAPE if name not in ("answer_characters", "answer_words"))),
    "the option it chose": CHOICE,
    "the question's text": _QUESTION,
}
"""Signals that come together, and are missing together; the names are those of `reasons`."""

_WORD = re.compile(r"[^\W_]+")


class Signals(Struct, frozen=True, kw_only=True):
    """What was measured of one answer; None is unknown.

    Log-probabilities and entropy are in nats a token; `margin` is the mean difference between the probabilities
    of the first two tokens, `lowest` the smallest probability of a chosen token. `second_agrees` and
    `third_agrees` are agreements (0..1) with other cheap models, `others_agree` that between those two;
    `vote_share` that of the samples of the same model. `self_check` is the probability that the model gave its own
    answer. `forecast_*` is what was expected before the answer was there. `question` may be cut; `finish` is the
    upstream's finish_reason.
    """

    mean_logp: float | None = None
    entropy: float | None = None
    margin: float | None = None
    lowest: float | None = None
    second_agrees: float | None = None
    third_agrees: float | None = None
    others_agree: float | None = None
    vote_share: float | None = None
    self_check: float | None = None
    forecast_good: float | None = None
    forecast_gain: float | None = None
    answer_tokens: float | None = None
    characters: float | None = None
    second_characters: float | None = None
    third_characters: float | None = None
    answer: str | None = None
    question: str | None = None
    finish: str | None = None
    wants_json: bool = False

    @classmethod
    def of_tokens(cls, logprobs: Sequence[Any] | None, **known: Any) -> Signals:
        """From `choices[0].logprobs.content` of a chat completion; whatever of it is odd is left out.

        The entropy is that of the listed alternatives, what they leave of 1 counted as one more.
        """
        chosen: list[float] = []
        entropies: list[float] = []
        margins: list[float] = []
        for token in list(logprobs or ())[:MOST_TOKENS]:
            logp = _logp(_field(token, "logprob"))
            if logp is not None:
                chosen.append(logp)
            listed = sorted((exp(other) for other in _alternatives(token)), reverse=True)
            if len(listed) > 1:
                margins.append(min(1.0, listed[0]) - min(1.0, listed[1]))
                rest = max(0.0, 1.0 - sum(listed))
                entropies.append(-sum(part * log(part) for part in (*listed, rest) if part > 0))
        measured = {
            "mean_logp": _mean(chosen),
            "entropy": _mean(entropies),
            "margin": _mean(margins),
            "lowest": exp(min(chosen)) if chosen else None,
            "answer_tokens": float(len(logprobs)) if logprobs else None,
        }
        return cls(**{**measured, **known})

    def with_opinions(self, second: str | None, third: str | None = None) -> Signals:
        """Beside what other cheap models answered; needs `answer`."""
        if self.answer is None:
            return self
        return msgspec.structs.replace(
            self,
            second_agrees=None if second is None else agreement(self.answer, second),
            third_agrees=None if third is None else agreement(self.answer, third),
            others_agree=None if second is None or third is None else agreement(second, third),
            second_characters=None if second is None else float(len(second)),
            third_characters=None if third is None else float(len(third)),
        )

    def with_usual(self, usual: Sequence[str]) -> Signals:
        """Beside what is usually answered to such questions: what is most alike stands for a second opinion."""
        answer = self.answer
        if answer is None or not usual:
            return self
        return self.with_opinions(max(usual, key=lambda one: agreement(answer, one)))

    def with_votes(self, others: Sequence[str]) -> Signals:
        """Beside other samples of the same model: the share of all samples that agree with `answer`."""
        if self.answer is None or not others:
            return self
        agreeing = sum(agreement(self.answer, other) for other in others[:32])
        return msgspec.structs.replace(self, vote_share=(1 + agreeing) / (1 + len(others[:32])))

    def row(self) -> list[float]:
        """The figures named `NAMES`; NaN for what is not known."""
        characters = self.characters
        if characters is None and self.answer is not None:
            characters = float(len(self.answer))
        counts = [
            _counted(count)
            for count in (self.answer_tokens, characters, self.second_characters, self.third_characters)
        ]
        form = [nan] * (len(FAULTS) + len(SHAPE))
        if self.answer is not None:
            question = self.question or ""
            present = faults(self.answer, question=question, finish=self.finish, wants_json=self.wants_json)
            form = [float(name in present) for name in FAULTS] + shape(self.answer)
        chosen = [nan] * len(CHOICE)
        if self.answer is not None and self.question is not None:
            chosen = choice(self.question, self.answer)
        measured = [_number(getattr(self, name)) for name in _MEASURED]
        return [*measured, *counts, counts[1] - counts[2], *form, *chosen, *_asked(self.question)]


def _asked(question: str | None) -> list[float]:
    if question is None:
        return [nan] * len(_QUESTION)
    text = question[:MOST_QUESTION]
    size = max(1, len(text))
    return [
        log1p(len(text)),
        log1p(len(_WORD.findall(text))),
        sum(letter.isdigit() for letter in text) / size,
        sum(not letter.isalnum() and not letter.isspace() for letter in text) / size,
        log1p(text.count("\n")),
    ]


def _field(token: Any, name: str) -> Any:
    return token.get(name) if isinstance(token, Mapping) else getattr(token, name, None)


def _alternatives(token: Any) -> Iterable[float]:
    listed = _field(token, "top_logprobs")
    if not isinstance(listed, (list, tuple)):
        return []
    known = (_logp(_field(other, "logprob")) for other in listed[:32])
    return [logp for logp in known if logp is not None]


def _logp(value: Any) -> float | None:
    """A log-probability as a float between `LOWEST_LOGP` and 0; None where it is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if number != number else min(0.0, max(LOWEST_LOGP, number))


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return nan
    return number if isfinite(number) and abs(number) < 1e30 else nan


def _counted(value: Any) -> float:
    number = _number(value)
    return log1p(number) if number >= 0 else nan


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
