"""Which answers are good enough to learn, and how questions are parted: the settings of curation."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from evals.importing import alike
from evals.importing.deidentify import REGIONS
from router.config.values import Section


class CurateSettings(Section):
    """Which answers are good enough to learn, and how questions are parted."""

    turns: PositiveInt = Field(1, description="Turns of a conversation that are learned: 1 is the first alone.")
    least_score: float = Field(0.5, ge=0, le=1, description="Feedback from which on an answer has passed.")
    least_agreement: float = Field(
        0.35,
        ge=0,
        le=1,
        description="Agreement of words from which two answers say the same. Of the example's answers to different "
        "intents 95 % of all pairs agree by less than 0.35.",
    )
    least_company: float = Field(
        0.1, ge=0, le=1, description="Share of an intent's other questions that an answer has to agree with."
    )
    ask: Literal["missing", "all"] = Field(
        "missing", description="What the teacher is asked: questions without a good answer, or all of them anew."
    )
    same: float = Field(alike.SAME, gt=0, le=1, description="Cosine from which two questions are one.")
    tune: float = Field(0.2, ge=0, lt=1, description="Share of an intent's questions that is tuned on.")
    test: float = Field(0.2, ge=0, lt=1, description="Share that gives the verdict; the rest is learned from.")
    suite_in_test: float = Field(
        0.5, ge=0, le=1, description="Share of a suite's cases in the test; the others are tuned on."
    )
    most_per_intent: PositiveInt = Field(400, description="Questions of one intent that are learned at most.")
    regions: tuple[str, ...] = Field(
        REGIONS, description="Where telephone numbers without a country code are from."
    )
    keep: tuple[str, ...] = Field((), description="Addresses and the like that are the business's own.")

    @model_validator(mode="after")
    def _leaves_some(self) -> Self:
        if self.tune + self.test >= 1:
            raise ValueError("`tune` and `test` leave nothing to learn from: together they must be less than 1")
        return self
