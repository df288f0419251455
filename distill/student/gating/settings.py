"""What the gate asks of a student.

The non-obvious decision: what is held for sure and what by the estimate is said here and not set. Quality over all
the traffic and the share that is delivered must be held at the bad end of their intervals; shares of few questions,
such as wrong answers among the delivered ones, by the estimate, since no student of a small business could be sure.
"""

from __future__ import annotations

from pydantic import Field

from router.config.values import Section


class GateSettings(Section):
    """Shares and scores are from 0 to 1."""

    margin: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="By how much quality may fall beside the teacher's over all traffic, for sure.",
    )
    least_share: float = Field(
        0.2, gt=0, le=1, description="Share of the traffic that the student must answer, for sure."
    )
    least_kept: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Of what the largest variant of an engine delivers, how much a smaller one must.",
    )
    most_wrong: float = Field(
        0.05, ge=0, le=1, description="Of the delivered answers, how many may be worse than the teacher's."
    )
    most_leak: float = Field(
        0.1, ge=0, le=1, description="Of the questions that it may not answer, how many it may answer all the same."
    )
    most_fall: float = Field(
        0.1, ge=0, le=1, description="By how much quality may fall in any one intent or language."
    )
    least_sure: float = Field(
        0.8,
        ge=0,
        lt=1,
        description="Probability of being good below which no answer is delivered, whatever the teacher's is "
        "worth.",
    )
    least_segment: int = Field(
        10, ge=1, description="Test questions from which an intent or language is held to that by its estimate."
    )
    least_intent: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Answers of an intent that must be as good as the teacher's, drawn towards all.",
    )
    least_questions: int = Field(
        3, ge=1, description="Tuning questions of an intent without which it is left to the teacher."
    )
    same_words: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Agreement from which an answer says the same as the teacher's, numbers included.",
    )
    turns: int = Field(1, ge=1, description="User turns of a conversation up to which the student may answer.")
    most_tokens: int = Field(
        1_024, ge=16, description="Tokens of a request with its answer; longer ones are left to the teacher."
    )
    answer_tokens: int = Field(256, ge=1, description="Tokens of an answer at most while it is tried.")
    level: float = Field(0.95, gt=0.5, lt=1, description="The probability that intervals hold the truth with.")
    seed: int = Field(0, ge=0, description="Of the draws; the same one gives the same figures.")
