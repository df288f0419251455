"""How a route chooses among its candidates, and what it writes down to choose better: sections of `weir.yaml`."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from router.config.values import FolderPath, Name, Section


class FixedPolicy(Section):
    """Always the same choice."""

    kind: Literal["fixed"] = Field(description="Says which kind of policy this is.")
    choose: Name | None = Field(None, description="The candidate to choose; left out, the first.")


class Goal(Section):
    """What a route wants of its choices: one of the first four, within the bounds of the last two."""

    quality_floor: float | None = Field(
        None, gt=0, lt=1, description="The cheapest candidate whose answer is good enough with this probability."
    )
    knob: float | None = Field(
        None,
        ge=0,
        le=1,
        description="1 looks at quality alone; less, and the reference is worth its full cost only where it is "
        "expected to be better by one less this: at 0.7, by 0.3.",
    )
    share: float | None = Field(
        None, ge=0, le=1, description="Share of requests that the reference answers, where it gains most."
    )
    spend: Decimal | None = Field(
        None, gt=0, max_digits=18, decimal_places=9, description="Dollars that a request costs on average."
    )
    max_cost: Decimal | None = Field(
        None, gt=0, max_digits=18, decimal_places=9, description="Dollars that no request is expected to exceed."
    )
    max_p95_ms: PositiveFloat | None = Field(
        None, description="Milliseconds; candidates whose 95th percentile is above are passed over."
    )

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        given = [name for name in _GOALS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have exactly one of {', '.join(_GOALS)}; it has {' and '.join(given) or 'none'}"
            )
        return self


_GOALS = ("quality_floor", "knob", "share", "spend")


class AnswerCheck(Section):
    """How a cheap model's answer is judged before the client has it, where nothing sure is known beforehand."""

    logprobs: int = Field(
        2,
        ge=0,
        le=20,
        description="Ask the model for log probabilities, with so many alternatives for each token; 0: do not.",
    )
    first_tokens: PositiveInt | None = Field(
        24, description="Of a stream, judge so many tokens and hold back no more. Null: all of it."
    )
    hold_seconds: PositiveFloat = Field(3, description="Hold a stream back no longer than this.")
    second: Name | None = Field(
        None, description="Another cheap model, asked as well: where both agree, the answer is likelier right."
    )
    votes: int = Field(0, ge=0, le=8, description="Ask the same model so many times more, and see how many agree.")
    self_check: bool = Field(False, description="Ask the model whether its own answer is right.")


class LearnedPolicy(Section):
    """The candidate that serves the goal best, by what was learned of their answers."""

    kind: Literal["learned"] = Field(description="Says which kind of policy this is.")
    goal: Goal = Field(description="What is wanted.")
    reference: Name | None = Field(
        None, description="The candidate that others are measured against. Left out, the first one."
    )
    artefact: FolderPath | None = Field(
        None,
        description="Folder that `weir router train --out` wrote, relative to this config; for all tenants. Left "
        "out, what `alias` names in the registry for this route and tenant.",
    )
    alias: Name = Field("production", description="Alias of the artefact in the registry.")
    only: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict,
        description="Intents that a candidate may answer; those left out, and `unknown`, go to the others.",
    )
    sureness: float = Field(
        1.0, ge=0, le=10, description="Standard errors by which a prediction must clear the goal to count as sure."
    )
    stay: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Gain in quality that a change of model within a conversation must bring, on top of the "
        "provider's price for reading its beginning again.",
    )
    explore: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="Share of requests whose model is drawn by lot, so that other policies can be tried on a log.",
    )
    check: AnswerCheck | None = Field(
        None, description="Check the answer where the choice is unsure, and ask the reference if it is not good."
    )


class StudentCheck(Section):
    """How a student's answer is fetched, so that it can be judged as it was when its gate tried it."""

    logprobs: int = Field(
        2, ge=0, le=20, description="Ask for log probabilities, with so many alternatives for each token."
    )
    first_tokens: PositiveInt | None = Field(
        None,
        description="Of a stream, judge so many tokens and hold back no more. Left out, all of it, as its gate "
        "did: nothing of an answer that breaks off has been sent then.",
    )
    hold_seconds: PositiveFloat = Field(10, description="Hold a stream back no longer than this.")


class StudentPolicy(Section):
    """A student first, where it may answer and is sure enough; all else goes to the other candidates."""

    kind: Literal["student"] = Field(description="Says which kind of policy this is.")
    student: Name | None = Field(
        None, description="The candidate that is one. Left out, the only one whose upstream is of kind `student`."
    )
    check: StudentCheck = Field(StudentCheck(), description="How its answers are fetched.")


Policy = Annotated[FixedPolicy | LearnedPolicy | StudentPolicy, Field(discriminator="kind")]


class Learning(Section):
    """What is written down of a route's traffic for `weir router train`, and for `weir distill` with `answers`."""

    shadow_share: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of requests whose other candidates are asked too, after the client has its answer.",
    )
    judge: Name | None = Field(
        None,
        description="One of `models`, asked whether two answers say the same. Left out, their words tell.",
    )
    same_words: float = Field(
        0.8, gt=0, le=1, description="Share of common words from which two answers say the same, without a judge."
    )
    shared: bool = Field(
        False, description="All tenants of the route learn together. Off: none learns from another's questions."
    )
    answers: bool = Field(
        False,
        description="Also write down what was answered, of tenants that consent to `training`: what "
        "`weir distill` learns from.",
    )
    max_bytes: PositiveInt = Field(
        64 * 1024 * 1024, description="Bound on what is kept of each tenant; then the oldest half goes."
    )
