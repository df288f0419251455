"""The different questions that traffic begins with, each with how often it was asked and what was answered.

The non-obvious decision: all that is found in traffic is found among these and not among requests. A question that
many people click would else be an intent by itself, and its neighbours would look rare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.student.mining.traffic import Request
from evals.importing.alike import plain


@dataclass(slots=True)
class Question:
    """`text` as it was asked first; `requests` are those that asked it, `answer` what was answered most often."""

    text: str
    requests: list[Request] = field(default_factory=list)
    answer: str = ""

    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        return self.requests[0].messages

    @property
    def times(self) -> int:
        return len(self.requests)

    @property
    def lang(self) -> str:
        return self.requests[0].lang

    @property
    def given(self) -> str:
        """The intent that lines name most often."""
        return most_common(one.intent for one in self.requests)


def first_questions(requests: Sequence[Request]) -> list[Question]:
    """Of first turns alone, those that differ by more than case and signs, in the order in which they came."""
    found: dict[str, Question] = {}
    for request in requests:
        if request.turn == 1:
            text = request.question
            found.setdefault(plain(text), Question(text)).requests.append(request)
    for question in found.values():
        question.answer = most_common(one.answer for one in question.requests if one.answer)
    return list(found.values())


def most_common(texts: Iterable[str]) -> str:
    """Of several that are, the first; empty where there is none."""
    often = Counter(texts)
    return max(often, key=lambda text: often[text]) if often else ""
