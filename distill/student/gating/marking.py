"""What answers are worth: by the suite's scorer where a question has an expectation, else beside the teacher's.

The non-obvious decision: beside the teacher's answer the same words are not enough. "Within 20 minutes" and "within
30 minutes" share nine words of ten; an answer whose numbers are others is another answer, and no judge is asked.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from distill.student.examples import Example
from distill.student.gating.trial import NOT_KNOWN, Mark
from distill.student.judging import Claim, Judge
from distill.student.running import Tell
from evals.cases import Case
from evals.records import Answer
from evals.scorers.catalogue import scorer_of
from evals.scorers.port import Instruments, Scorer
from evals.suite import Suite
from evals.targets.port import TargetFailure
from heads.answers import agreement

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

SAME = "the teacher's answer"
"""How figures say that an answer was held beside the teacher's, which is then worth 1 by definition."""
SILENT = "the teacher's answer, the judge being silent"
"""The same, where a judge was asked and had no verdict."""
ALIKE = 0.35
"""Agreement below which two answers say different things, and no judge is asked. Of the example's answers to
different intents 95 % of all pairs agree by less."""
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


class Marker:
    """`same_words` is the agreement from which an answer is the teacher's; `judge` is asked of those below it.

    Raises ValueError, with advice, where the suite's quality is a judge's: a gate that asks a model is another
    thing every time.
    """

    def __init__(
        self,
        suite: Suite | None,
        encode: Callable[[Sequence[str]], Vectors],
        *,
        same_words: float,
        judge: Judge | None = None,
        tell: Tell = lambda *_: None,
    ) -> None:
        self._scorer = None if suite is None else _quality(suite, encode)
        self._same_words = same_words
        self._judge = judge
        self._tell = tell

    def marks(
        self, examples: Sequence[Example], answers: Mapping[str, str], teacher: Mapping[str, str]
    ) -> list[Mark]:
        """Of `answers` by the examples' ids, in their order. `teacher` has answers of its own to some of them.

        An answer that is missing counts as wrong. The teacher's is an example's own where it was not asked.
        """

        pairs = {one.id: _Pair(answers.get(one.id, ""), teacher.get(one.id) or one.answer) for one in examples}
        verdicts = self._verdicts(examples, pairs)

        async def every() -> list[Mark]:
            return [await self._mark(one, pairs[one.id], verdicts) for one in examples]

        return asyncio.run(every())

    def _verdicts(self, examples: Sequence[Example], pairs: Mapping[str, _Pair]) -> Mapping[str, bool | None]:
        """Of the examples that the judge was asked of; None where it had none."""
        if self._judge is None:
            return {}
        claims = [
            Claim(id=one.id, messages=one.messages, answer=pairs[one.id].answer, reference=pairs[one.id].teacher)
            for one in examples
            if self._scoring(one) is None and self._unsure(pairs[one.id])
        ]
        found = self._judge.verdicts(claims, self._tell).found if claims else {}
        return {claim.id: found.get(claim.id) for claim in claims}

    def _unsure(self, pair: _Pair) -> bool:
        """Whether their words do not tell if they say the same."""
        return pair.same_numbers and ALIKE <= (pair.agreed or 0.0) < self._same_words

    async def _mark(self, example: Example, pair: _Pair, verdicts: Mapping[str, bool | None]) -> Mark:
        answer, teacher, agreed = pair.answer, pair.teacher, pair.agreed
        if (scorer := self._scoring(example)) is not None:
            case = _case(example)
            student = (await scorer.score(case, Answer(text=answer))).value if answer else 0.0
            best = (await scorer.score(case, Answer(text=teacher))).value if teacher else 1.0
            return Mark(student=student, teacher=best, measure=scorer.name, agreement=agreed)
        if not teacher:
            return NOT_KNOWN
        if self._judge is not None and (judged := verdicts.get(example.id)) is not None:
            measure = f"the judge {self._judge.name}"
            return Mark(student=float(judged), teacher=1.0, measure=measure, agreement=agreed)
        same = pair.same_numbers and (agreed or 0.0) >= self._same_words
        measure = SILENT if example.id in verdicts else SAME
        return Mark(student=float(same), teacher=1.0, measure=measure, agreement=agreed)

    def _scoring(self, example: Example) -> Scorer | None:
        if self._scorer is None or not example.expected or self._scorer.lacks(_case(example)):
            return None
        return self._scorer


@dataclass(frozen=True)
class _Pair:
    """A student's answer, and the teacher's beside it; "" where there is none."""

    answer: str
    teacher: str

    @cached_property
    def agreed(self) -> float | None:
        return agreement(self.answer, self.teacher) if self.teacher else None

    @cached_property
    def same_numbers(self) -> bool:
        return _numbers(self.answer) == _numbers(self.teacher)


def _quality(suite: Suite, encode: Callable[[Sequence[str]], Vectors]) -> Scorer:
    settings = next(one for one in suite.scorers if one.called == suite.quality)
    scorer = scorer_of(settings, Instruments(ask=_nobody, encode=encode))
    if scorer.model:
        raise ValueError(
            f"a judge ({scorer.name}) says the quality of the suite {suite.name}: name another of its scorers as "
            "`quality` for the student's gate, or leave the suite out and hold answers beside the teacher's"
        )
    return scorer


async def _nobody(_: Mapping[str, Any]) -> Answer:
    raise TargetFailure("no_model", "The gate asks no model.")


def _case(example: Example) -> Case:
    return Case(
        id=example.id,
        messages=example.messages,
        expected=example.expected,
        segment=example.intent,
        cluster=example.group,
        metadata={"lang": example.lang},
    )


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(text))
