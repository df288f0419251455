"""What a run writes down: answers, scores, and what the run was. Money in dollars, times in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from msgspec import Struct

from contracts.money import ZERO

UPSTREAM = "upstream"
"""Among an answer's evidence: what the model's provider calls it, where a Weir calls it otherwise."""
Outcome = Literal["quality", "cost", "latency"]
"""What two runs are compared by."""


class ToolCall(Struct, frozen=True):
    """`arguments` are the JSON text that the model wrote, right or not."""

    name: str
    arguments: str


class Citation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A passage that an answer points to. `mark` is what stands for it in brackets; `text` is as much of it as the
    target quotes: in an eval, a Weir quotes all."""

    mark: str
    filename: str
    file_id: str = ""
    text: str = ""


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a target answered to a case. `model` is what the target says answered."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    citations: tuple[Citation, ...] = ()
    finish: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: Decimal | None = None
    """None: not known, since neither the target nor a price says."""
    latency_ms: float | None = None
    """None: nobody waited for this one, as in a batch."""
    evidence: Mapping[str, str] = {}
    """What a Weir told in headers, without `x-weir-`: route, cache, intent, prompt, request-id; and UPSTREAM."""

    @property
    def shown(self) -> str:
        """For people: the text, and a line for each call."""
        calls = (f"{call.name}({call.arguments})" for call in self.tool_calls)
        return "\n".join(part for part in (self.text, *calls) if part)


class Score(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one scorer says of an answer: a `value` from 0 to 1, and why. `cost` is what asking a judge took."""

    value: float
    why: str = ""
    cost: Decimal = ZERO
    by: str = ""
    """A hash of the scorer and of what it was told to expect, which the runner adds: another one is scored anew."""
    judge: str = ""
    """The name under which a judge's model answered."""


class Row(Struct, frozen=True, kw_only=True):
    """One case of a run, asked for the `repeat`-th time, from 0.

    `key` names what was asked of which target: equal keys are the same work, which is done once. `scores` have a
    scorer's name for each that could judge this case. With an `error` there is no answer, and a scorer that applies
    counts it as 0.
    """

    key: str
    case: str
    repeat: int = 0
    segment: str
    cluster: str
    at: datetime
    answer: Answer | None = None
    error: str = ""
    """A code and a message, such as `rate_limited: ...`."""
    scores: Mapping[str, Score] = {}
    recalled: bool = False
    """The answer is one that an earlier run had paid for."""


class Calibration(Struct, frozen=True, kw_only=True):
    """How often a judge agreed with people: counts of answers that were labelled by both.

    `scorer` is the name and `version` the hash of the judge that was calibrated; another version needs another
    calibration.
    """

    scorer: str
    version: str
    good_called_good: int
    good_called_bad: int
    bad_called_bad: int
    bad_called_good: int
    kappa: float
    """Cohen's, with its 95 % interval."""
    kappa_low: float
    kappa_high: float
    at: datetime
    judge: str = ""
    """The name under which the judge's model answered; another one was never held against people."""


class ScorerFacts(Struct, frozen=True, kw_only=True):
    """A scorer as a run used it. `binary`: it says 0 or 1 and nothing between."""

    kind: str
    version: str
    binary: bool
    model: str = ""
    """A judge's."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What a run is: `run.json`. `quality` names the scorer whose scores are the run's quality."""

    suite: str
    suite_version: str
    revision: str
    target: str
    """As it was named, for people."""
    target_version: str
    """A hash of what is known to change the target's answers."""
    config_hash: str
    """Of target, request settings and scorers: with a case's id it names one piece of work."""
    request: Mapping[str, Any]
    """Fields that were added to each request."""
    repeats: int
    scorers: Mapping[str, ScorerFacts]
    quality: str
    groups: tuple[str, ...]
    """Fields of `metadata` whose values are compared for fairness."""
    margin: float
    """By how much quality may fall and still be called not worse, from 0 to 1."""
    cases: int
    weir: str
    started_at: datetime
    finished_at: datetime | None = None
    calibrations: Mapping[str, Calibration] = {}
    """Of the judges among the scorers, where they were calibrated."""
    notes: tuple[str, ...] = ()
