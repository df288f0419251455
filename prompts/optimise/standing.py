"""How the prompts that a search tried stand, so that what was found counts whenever the search ends.

The non-obvious decision: only prompts that answered every case of the validation part are ranked. The mean over the
easy half of the cases would make a winner of whatever was tried last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from threading import Lock

from msgspec import Struct

from evals.cases import Case
from prompts.prompt import BookedPrompt


class Scored(Struct, frozen=True):
    """A prompt with its mean score over the validation part, from 0 to 1, and the tokens of its text."""

    prompt: BookedPrompt
    value: float
    tokens: int


class Step(Struct, frozen=True):
    """The best prompt from then on: found when the search had spent so many dollars."""

    spent: Decimal
    version: str
    value: float


class Standing:
    """Implements `prompts.optimise.ports.Told`, for any thread.

    `tokens` counts those of a prompt. With a `margin` the shortest prompt leads among those that lose no more than
    it against `base`; without one the best does, the shorter of equals. `earlier` are steps that an earlier start
    wrote down: what it had spent by then is known from there.
    """

    def __init__(
        self,
        base: BookedPrompt,
        validation: Sequence[Case],
        *,
        tokens: Callable[[BookedPrompt], int],
        spent: Callable[[], Decimal],
        margin: float | None = None,
        earlier: Sequence[Step] = (),
    ) -> None:
        self._base = base.version
        self._cases = {case.id for case in validation}
        self._tokens = tokens
        self._spent = spent
        self._margin = margin
        self._earlier = {step.version: step.spent for step in reversed(earlier)}
        self._scores: dict[str, dict[str, list[float]]] = {}
        self._prompts: dict[str, BookedPrompt] = {}
        self._ranked: dict[str, Scored] = {}
        self._steps: list[Step] = []
        self._lock = Lock()

    def __call__(self, prompt: BookedPrompt, case: Case, value: float) -> None:
        if case.id not in self._cases:
            return
        with self._lock:
            version = prompt.version
            self._prompts.setdefault(version, prompt)
            scores = self._scores.setdefault(version, {})
            scores.setdefault(case.id, []).append(value)
            if len(scores) == len(self._cases):
                self._rank(version, scores)

    @property
    def tried(self) -> int:
        """Prompts that answered at least one case of the validation part."""
        with self._lock:
            return len(self._prompts)

    @property
    def base(self) -> Scored | None:
        """The prompt that the search began with; None until it is ranked."""
        with self._lock:
            return self._ranked.get(self._base)

    @property
    def best(self) -> Scored | None:
        with self._lock:
            return next(iter(self._order()), None)

    @property
    def steps(self) -> tuple[Step, ...]:
        with self._lock:
            return tuple(self._steps)

    def of(self, prompt: BookedPrompt) -> Scored | None:
        """How `prompt` stands; None where it is not ranked."""
        with self._lock:
            return self._ranked.get(prompt.version)

    def better(self) -> Sequence[Scored]:
        """What stands before the prompt that the search began with, the best first."""
        with self._lock:
            found = []
            for one in self._order():
                if one.prompt.version == self._base:
                    break
                found.append(one)
            return found

    def _rank(self, version: str, scores: Mapping[str, Sequence[float]]) -> None:
        known = self._ranked.get(version)
        prompt = self._prompts[version]
        means = [sum(found) / len(found) for found in scores.values()]
        tokens = known.tokens if known else self._tokens(prompt)
        self._ranked[version] = Scored(prompt, sum(means) / len(means), tokens)
        best = self._order()[0]
        last = self._steps[-1] if self._steps else None
        if last is None or (last.version, last.value) != (best.prompt.version, best.value):
            found = best.prompt.version
            spent = self._earlier.get(found, self._spent())
            self._steps.append(Step(max(spent, last.spent) if last else spent, found, best.value))

    def _order(self) -> list[Scored]:
        """The best first. Of equals the shorter one leads, then the one that the search began with."""
        base = self._ranked.get(self._base)
        if self._margin is None or base is None:
            return sorted(
                self._ranked.values(),
                key=lambda one: (-one.value, one.tokens, one.prompt.version != self._base, one.prompt.version),
            )
        least = base.value - self._margin
        return sorted(
            self._ranked.values(),
            key=lambda one: (one.value < least, one.tokens, -one.value, one.prompt.version),
        )
