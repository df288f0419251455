"""What another tool expects of one answer, in the words of Weir's scorers.

The non-obvious decision: texts that must occur, or must not, become one regular expression. A suite knows one
pattern for a case, and conditions of an answer hold together; so each is a look ahead from the answer's beginning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evals.importing.templates import Untranslatable


@dataclass(slots=True)
class Expectation:
    """What one case expects. Each method raises Untranslatable where what it is told contradicts what it knows."""

    expected: dict[str, Any] = field(default_factory=dict)
    judge: str = ""
    at_least: float | None = None
    kinds: list[str] = field(default_factory=list)
    _patterns: list[tuple[bool, str]] = field(default_factory=list)
    _rubrics: list[str] = field(default_factory=list)

    def match(self, pattern: str, *, wanted: bool = True) -> None:
        """The answer has (or has not) something that `pattern`, Python's or JavaScript's, matches."""
        pattern = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern)
        # Flags at the beginning hold for this condition, and not for those beside it.
        pattern = re.sub(r"\A\(\?([ims]+)\)(.*)", r"(?\1:\2)", pattern, flags=re.DOTALL)
        try:
            re.compile(pattern)
        except re.error as error:
            raise Untranslatable(f"a regular expression that Python does not know: {error}") from error
        patterns = [*self._patterns, (wanted, pattern)]
        if len(patterns) > 1 and any(re.search(r"\\[1-9]|\(\?P[<=]", one) for _, one in patterns):
            raise Untranslatable("a regular expression with groups that it refers to, beside another condition")
        try:
            re.compile(_together(patterns))
        except re.error as error:
            raise Untranslatable(f"a regular expression that stands beside no other condition: {error}") from error
        self._patterns = patterns
        self._set("regex", "pattern", _together(patterns), again=True)

    def contain(
        self, texts: Sequence[str], *, case: bool = True, any_of: bool = False, wanted: bool = True
    ) -> None:
        """The answer has all of (or any of) `texts`, or does not."""
        escaped = [re.escape(text) for text in texts]
        joined = "|".join(escaped) if any_of else _together([(True, one) for one in escaped])
        self.match(joined if case else f"(?i:{joined})", wanted=wanted)

    def equal(self, answers: Any) -> None:
        self._set("exact", "answer", answers)

    def schema(self, schema: Any) -> None:
        known = self.expected.get("schema")
        self._set(
            "json_schema", "schema", schema if known in (None, {}) else {"allOf": [known, schema]}, again=True
        )

    def resemble(self, reference: str, at_least: float | None) -> None:
        self._set("similarity", "reference", reference)
        self.at_least = at_least

    def please(self, rubric: str, model: str) -> None:
        """A judge finds that the answer fulfils `rubric`."""
        if not model:
            raise Untranslatable("a model has to judge this; name one that does with --judge")
        self.judge = self.judge or model
        self._rubrics.append(rubric.strip())
        several = "\n".join(f"{number}. {one}" for number, one in enumerate(self._rubrics, 1))
        whole = self._rubrics[0] if len(self._rubrics) == 1 else f"All of these hold:\n{several}"
        self._set("judge", "rubric", whole, again=True)

    def _set(self, kind: str, key: str, value: Any, *, again: bool = False) -> None:
        if not again and key in self.expected and self.expected[key] != value:
            raise Untranslatable(f"a second `{kind}`; a case has one `expected.{key}`")
        self.expected[key] = value
        if kind not in self.kinds:
            self.kinds.append(kind)


def _together(patterns: Sequence[tuple[bool, str]]) -> str:
    if len(patterns) == 1 and patterns[0][0]:
        return patterns[0][1]
    ahead = (f"(?{'=' if wanted else '!'}(?s:.*?)(?:{pattern}))" for wanted, pattern in patterns)
    return r"\A" + "".join(ahead)


def scorers_of(expectations: Sequence[Expectation]) -> tuple[list[dict[str, Any]], str, list[str]]:
    """The scorers that a suite with these needs, the one that judges most cases, and what to tell."""
    often = Counter(kind for one in expectations for kind in one.kinds)
    scorers: list[dict[str, Any]] = [{"kind": kind} for kind, _ in often.most_common()]
    notes: list[str] = []
    judges = Counter(one.judge for one in expectations if one.judge)
    limits = Counter(one.at_least for one in expectations if "similarity" in one.kinds)
    for scorer in scorers:
        if scorer["kind"] == "judge":
            scorer["model"] = judges.most_common(1)[0][0]
            if len(judges) > 1:
                notes.append(f"{len(judges)} models judged; here {scorer['model']} judges everything.")
        if scorer["kind"] == "similarity":
            limit = limits.most_common(1)[0][0]
            if limit is not None:
                scorer["at_least"] = limit
                notes.append(f"similarity: {limit:g} was meant for another model's vectors; look at some scores.")
            if len(limits) > 1:
                notes.append(f"similarity: there were {len(limits)} limits; the most frequent one holds for all.")
    quality = str(scorers[0]["kind"]) if scorers else ""
    several = sum(len(one.kinds) > 1 for one in expectations)
    unseen = sum(quality not in one.kinds for one in expectations)
    if several or unseen:
        notes.append(
            f"`quality` is {quality}: it judges {often[quality]} of {len(expectations)} cases, and {several} have "
            "other scorers too. Each has a rate of its own; look at all of them."
        )
    return scorers, quality, notes
