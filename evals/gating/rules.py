"""The rules of a gate: a YAML file of bounds.

    sure: false
    quality: {need: not_worse, margin: 0.02, least: 0.8}
    scorers: {grounded: {least: 0.9}, refusal: {least_precision: 0.8, least_recall: 0.9}}
    segments: {floor: 0.6, floors: {out_of_scope: 0.9}, most_fall: 0.2, at_least_cases: 5}
    groups: {lang: {most_gap: 0.1, at_least_cases: 20}}
    cost: {most_usd_per_answer: 0.01, most_ratio: 1.2}
    latency: {most_p95_ms: 2000, most_p95_ratio: 1.5}
    errors: {most_share: 0.01}
    judges: {least_kappa: 0.6}
    cases: {at_least: 200}

The non-obvious decision is `sure`, one word for all bounds. Left out, a bound is held against the estimate: a run
just at the bound then passes in half of all repetitions and is refused in the other half, though nothing changed.
So set bounds with room, or many cases. With `sure: true` a bound is held against the bad end of the interval: what
passes really keeps it, with the probability of the run's intervals, but a small segment never passes, however good
it is. `quality.need` is a statement about a difference, with its own error rates, and is the same either way;
`errors` and `cases` are counted, not estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from evals.reading import Unreadable, faults_in, yaml_in

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class RulesUnusable(ValueError):
    """A rule file that cannot be used. `problems` names each fault with its file and path."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Rule(BaseModel):
    """A rule sets a bound, one at least: one that asks for nothing would look like a promise."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    beside: ClassVar[frozenset[str]] = frozenset()
    """Fields that only say how a bound is meant."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        bounds = [name for name in type(self).model_fields if name not in self.beside]
        if not any(getattr(self, name) not in (None, {}) for name in bounds):
            raise ValueError(f"asks for nothing: set {' or '.join(bounds)}")
        return self


class QualityRule(_Rule):
    """`need` asks for what `weir eval compare` finds beside the baseline, `least` for a rate from 0 to 1.

    `margin` is by how much quality may fall and still be called not worse; left out, the suite's.
    """

    beside = frozenset({"margin"})
    need: Literal["not_worse", "better"] | None = None
    margin: Annotated[float, Field(ge=0, lt=1)] | None = None
    least: Share | None = None

    @model_validator(mode="after")
    def _margin_is_of_need(self) -> Self:
        if self.margin is not None and self.need is None:
            raise ValueError("`margin` says how `need` is meant: set `need` too")
        return self


class ScorerRule(_Rule):
    """The least rate of a scorer, be it the one that stands for quality or not.

    `least_precision` and `least_recall` are of one that judges refusals.
    """

    least: Share | None = None
    least_precision: Share | None = None
    least_recall: Share | None = None


class SegmentsRule(_Rule):
    """`floor` and `most_fall` hold for each segment of `at_least_cases`; a named floor holds whatever its size."""

    beside = frozenset({"at_least_cases"})
    floor: Share | None = None
    floors: Mapping[str, Share] = Field(default_factory=dict)
    most_fall: Share | None = None
    at_least_cases: Count = 1


class GroupRule(_Rule):
    """`most_gap` is how far the worst group's quality may be from the best one's."""

    beside = frozenset({"at_least_cases"})
    most_gap: Share
    at_least_cases: Count = 1


class CostRule(_Rule):
    """`most_ratio` is of the baseline's dollars for an answer: 1.2 is 20 percent more."""

    most_usd_per_answer: Positive | None = None
    most_ratio: Positive | None = None


class LatencyRule(_Rule):
    """The time that 95 of 100 answers come within. `most_p95_ratio` is of the baseline's."""

    most_p95_ms: Positive | None = None
    most_p95_ratio: Positive | None = None


class ErrorsRule(_Rule):
    most_share: Share


class JudgesRule(_Rule):
    """Each judge among the scorers is calibrated and agrees with people at least so well (Cohen's kappa)."""

    least_kappa: Annotated[float, Field(ge=-1, le=1)]


class CasesRule(_Rule):
    at_least: Count


class Rules(_Rule):
    """See the head of this file."""

    beside = frozenset({"sure"})
    sure: bool = False
    quality: QualityRule | None = None
    scorers: Mapping[str, ScorerRule] = Field(default_factory=dict)
    segments: SegmentsRule | None = None
    groups: Mapping[str, GroupRule] = Field(default_factory=dict)
    cost: CostRule | None = None
    latency: LatencyRule | None = None
    errors: ErrorsRule | None = None
    judges: JudgesRule | None = None
    cases: CasesRule | None = None


def read_rules(path: Path) -> Rules:
    """Raises RulesUnusable with all problems at once."""
    data = None
    try:
        data = yaml_in(path)
        return Rules.model_validate({} if data is None else data)
    except ValidationError as error:
        raise RulesUnusable(list(faults_in(error, data, Rules, str(path)))) from error
    except Unreadable as error:
        raise RulesUnusable([str(error)]) from error
