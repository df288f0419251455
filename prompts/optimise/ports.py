"""What the parts of a search are to each other. None of this knows dspy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Protocol

from evals.cases import Case
from evals.records import Answer
from evals.runner.plan import body_of
from evals.suite import DEFAULT_MARGIN
from prompts.prompt import BookedPrompt


class SearchEnded(Exception):
    """No more calls: the budget is spent, or somebody stopped it. What was found until now counts."""


class CallFailed(Exception):
    """This call has no answer, after all attempts; others may have one."""


class Marked(NamedTuple):
    """What the suite's quality scorer says of an answer: from 0 to 1, and why, in words for a reader."""

    value: float
    why: str


class Line(Protocol):
    """The way to models and scorers, for any thread. Each call is paid once: a search that goes on hears again what
    it was told before. Raises SearchEnded or CallFailed.
    """

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        """The route's answer to `messages`, which are `case`'s as the prompt of that version rendered them."""

    def model(self, messages: Sequence[Mapping[str, Any]], temperature: float | None = None) -> str:
        """What the model that reflects says."""

    def mark(self, case: Case, answer: Answer) -> Marked:
        """The score of an answer; a judge may be paid for it."""

    @property
    def spent(self) -> Decimal:
        """Dollars, of all calls of this search, in earlier starts too."""

    @property
    def ended(self) -> str:
        """Why there are no more calls; empty while there are."""


class Parts(NamedTuple):
    """Three parts of a suite's cases; no cluster is in two of them."""

    train: tuple[Case, ...]
    validation: tuple[Case, ...]
    test: tuple[Case, ...]


class Expected(NamedTuple):
    """Calls that a search is expected to make, about. `shown`: demonstrations in those of the task, on average."""

    task: int
    reflection: int
    shown: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """All that an optimiser needs. `unfit` says why a prompt may not be tried, or nothing: it costs no call."""

    prompt: BookedPrompt
    slots: Mapping[str, str]
    parts: Parts
    line: Line
    unfit: Unfit
    told: Told
    effort: str
    seed: int
    concurrency: int
    most_demonstrations: int
    margin: float = DEFAULT_MARGIN
    """By how much quality may fall and still be called not worse: the suite's."""

    def messages(self, prompt: BookedPrompt, case: Case) -> list[dict[str, Any]]:
        """As the server sends `case` under `prompt`."""
        body = prompt.filled(self.slots).apply(body_of(case, {}), "chat/completions")
        return [*body["messages"]]


class Unfit(Protocol):
    def __call__(self, prompt: BookedPrompt) -> str:
        """Why `prompt` may not be served whatever it scores, for a reader who could mend it; empty where it may."""


class Told(Protocol):
    """Hears of each answer that was scored while searching, for progress and for the best so far."""

    def __call__(self, prompt: BookedPrompt, case: Case, value: float) -> None: ...


class Optimiser(Protocol):
    """A way of searching."""

    name: str
    tunes: str
    """What it changes, for people: instructions, demonstrations, or both."""

    def split(self, cases: int) -> float:
        """The share of so many cases that it learns from; the others are for validation."""

    def expected(self, search: Search) -> Expected: ...

    def best(self, search: Search) -> BookedPrompt:
        """The best prompt that was found. Raises SearchEnded where the calls ended before it could say."""
