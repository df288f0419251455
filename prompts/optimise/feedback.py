"""What dspy is told of an answer: its score, and for those that reflect, why.

The non-obvious decision: a prompt's answer to a case is asked for once and remembered, with its score. An
optimiser looks at the same pair again and again, in minibatches and as a whole, and would pay for each look.
Samples, which it draws on purpose under a number of their own, stay apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import dspy

from evals.cases import Case
from evals.runner.plan import body_of
from prompts.optimise.ports import CallFailed, Marked, Search
from prompts.prompt import BookedPrompt


class Escape(BaseException):
    """Carries `cause` through dspy to whoever began the search.

    dspy's threads and loops catch every Exception, count it as a score of 0 and go on. This is none, so the end of
    a search ends it, and a fault of ours is seen instead of scored.
    """

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def escaping() -> Iterator[None]:
    """Makes an Escape of what happens in a call of the line, but for CallFailed, which is the call's own matter."""
    try:
        yield
    except CallFailed:
        raise
    except Exception as failure:
        raise Escape(failure) from failure


class Reply(str):
    """An answer's text that knows its score; `can_be_shown`: it answers a case that a demonstration can hold."""

    marked: Marked
    case: Case
    can_be_shown: bool

    @classmethod
    def scored(cls, text: str, marked: Marked, case: Case, *, can_be_shown: bool = False) -> Self:
        reply = cls(text)
        reply.marked, reply.case, reply.can_be_shown = marked, case, can_be_shown
        return reply

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # never changes, and copies of programs would copy the case


class Trials:
    """A search's answers and their scores, for any thread. Each raises Escape where the calls have ended."""

    def __init__(self, search: Search) -> None:
        self._search = search
        self._lock = threading.Condition()
        self._known: dict[tuple[str, str, float | None, int | None], Future[Reply]] = {}
        self._unfit: dict[str, str] = {}
        self._under_way = 0
        self._closed = False

    def reply(
        self,
        prompt: BookedPrompt,
        case: Case,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None = None,
        sample: int | None = None,
    ) -> Reply:
        """What the route answers to `messages`, which are `case`'s under `prompt`.

        Waits where another thread asks just that.
        """
        key = (prompt.version, case.id, temperature, sample)
        with self._lock:
            if self._closed:
                raise Escape(RuntimeError("this search is over"))
            found = self._known.get(key)
            asks = found is None
            if found is None:
                found = self._known[key] = Future()
                self._under_way += 1
        if asks:
            try:
                found.set_result(self._asked(prompt, case, messages, temperature, sample))
            except BaseException as failure:  # noqa: BLE001 - goes to all who wait for this answer
                found.set_exception(Escape(failure) if isinstance(failure, Exception) else failure)
            finally:
                with self._lock:
                    self._under_way -= 1
                    self._lock.notify_all()
        return found.result()

    def mean(self, prompt: BookedPrompt, cases: Sequence[Case]) -> float:
        """The score of `prompt` over `cases`."""
        return sum(reply.marked.value for reply in self.replies(prompt, cases)) / len(cases)

    def replies(self, prompt: BookedPrompt, cases: Sequence[Case]) -> list[Reply]:
        with ThreadPoolExecutor(self._search.concurrency) as pool:
            return list(pool.map(lambda case: self.reply(prompt, case, self._search.messages(prompt, case)), cases))

    def bar(self) -> float:
        """The score from which an answer of the prompt to begin with is worth showing.

        Twice as many answers reach it as may be shown, so that there is a choice; where many are without fault, it
        is that. An answer that is shown is imitated with its faults, so half of a good one is not enough.
        """
        replies = self.replies(self._search.prompt, self._search.parts.train)
        values = sorted((reply.marked.value for reply in replies if reply.can_be_shown), reverse=True)
        reach = min(2 * self._search.most_demonstrations, len(values))
        return values[reach - 1] or min((value for value in values if value), default=1.0) if values else 1.0

    def close(self) -> None:
        """Waits for the calls under way; dspy's threads, which may outlive a search that ended, make no more."""
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._under_way)

    def _asked(
        self,
        prompt: BookedPrompt,
        case: Case,
        messages: Sequence[Mapping[str, Any]],
        temperature: float | None,
        sample: int | None,
    ) -> Reply:
        if why := self._refused(prompt):
            return Reply.scored("", Marked(0.0, why), case)
        line = self._search.line
        try:
            answer = line.task(case, messages, temperature, version=prompt.version)
            text, marked = answer.text, line.mark(case, answer)
        except CallFailed as failure:
            text, marked = "", Marked(0.0, str(failure))
        if sample is None:  # a sample is hotter than what is served, so it says less of the prompt
            self._search.told(prompt, case, marked.value)
        return Reply.scored(text, marked, case, can_be_shown=bool(text) and can_be_shown(case))

    def _refused(self, prompt: BookedPrompt) -> str:
        known = self._unfit.get(prompt.version)
        if known is None:
            known = self._unfit[prompt.version] = self._search.unfit(prompt)
        return known


def can_be_shown(case: Case) -> bool:
    """Whether a pair of messages can hold it: one question in words, with no documents and no tools."""
    messages = body_of(case, {})["messages"]
    return len(messages) == 1 and not case.tools and isinstance(messages[0].get("content"), str)


def score(_example: dspy.Example, prediction: dspy.Prediction, trace: object = None) -> float:
    """dspy's metric. With a trace, it asks whether the answer may be shown: no, where no demonstration holds it."""
    reply = prediction.reply
    return 0.0 if trace is not None and not reply.can_be_shown else float(reply.marked.value)


def score_and_feedback(
    _example: dspy.Example,
    prediction: dspy.Prediction,
    _trace: object = None,
    _predictor: object = None,
    _predictor_trace: object = None,
) -> dspy.Prediction:
    """GEPA's metric: the score, and what the scorer says of it, which never quotes more than the scorer does."""
    value, why = prediction.reply.marked
    segment = prediction.reply.case.segment
    why = why or ("Nothing is missing." if value >= 1 else "The scorer gives no reason.")
    kind = f" Kind of question: {segment}." if segment else ""
    return dspy.Prediction(score=value, feedback=f"Score {value:.2f} of 1. {why}{kind}")
