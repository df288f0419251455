"""Sections of `weir.yaml` about the cache: what all routes share, and what each one keeps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from router.config.values import FilePath, Name, Phrase, Secret, Section


class Matching(Section):
    """How questions are found to mean the same, for all routes together."""

    verifier: FilePath | None = Field(
        None,
        description="File that `weir cache train` made, relative to this config. Left out, the one that Weir "
        "brings along.",
    )
    floor: float = Field(0.7, gt=0, lt=1, description="Cosine below which no question counts as near.")
    nearest: PositiveInt = Field(3, description="How many of the nearest questions are verified.")
    memory_lookups: PositiveFloat = Field(
        20_000, description="Lookups after which what was seen of a scope counts a third as much."
    )
    least_labels: PositiveFloat = Field(30, description="A scope with fewer serves exact hits only.")
    same_words: float = Field(
        0.8, gt=0, le=1, description="Share of common words from which two answers say the same."
    )
    judge: Name | None = Field(
        None,
        description="One of `models`, asked whether two answers say the same where their words do not tell; each "
        "tenant pays for its own. Left out, such answers count as different.",
    )


class CacheStore(Section):
    """The answers kept in memory, for all routes together."""

    max_bytes: PositiveInt = Field(
        256 * 1024 * 1024, description="Bound on stored answers; the least used go first."
    )
    max_answer_bytes: PositiveInt = Field(1024 * 1024, description="A larger answer is not stored.")
    warm_start: bool = Field(
        True, description="Keep answers in the state folder too, so that a Weir that starts again has them."
    )
    shared: Secret | None = Field(
        None,
        description="URL of a Redis as an environment reference, such as redis://host:6379/0: answers and "
        "invalidations reach all Weirs that name it. Left out, each one has its own.",
    )
    matching: Matching = Field(Matching(), description="How questions are found to mean the same.")


class Semantic(Section):
    """What answers to other questions may do. Nothing is served before labels show that the bound is kept."""

    max_wrong_hits: float = Field(
        gt=0, lt=1, description="Wrong answers among all lookups, at most: 0.01 is one in a hundred."
    )
    max_wrong_of_hits: float | None = Field(
        None, gt=0, lt=1, description="Wrong answers among those served, at most. Left out: no such bound."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1, description="With which these bounds are kept.")
    audit_share: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Share of answers served that a model is asked for too, after the client has it.",
    )


LIVE = (
    "now", "right now", "today", "tonight", "tomorrow", "yesterday", "this morning", "this week", "currently",
    "current price", "latest", "live", "price today", "stock price", "exchange rate", "weather", "forecast",
    "my order", "my orders", "my package", "my parcel", "my delivery", "my balance", "my account balance",
    "my invoice", "my bill",
)  # fmt: skip


class ShorterLife(Section):
    """Answers to questions with certain words live shorter."""

    words: Annotated[tuple[Phrase, ...], Field(min_length=1)] = Field(
        description="Whole words or phrases, any of them."
    )
    ttl_seconds: PositiveFloat = Field(description="How long such an answer may be served again.")


class RouteCache(Section):
    """Which answers of a route are kept, and how long."""

    enabled: bool = Field(True, description="Off: every request goes to a model.")
    ttl_seconds: PositiveFloat = Field(3600, description="How long an answer may be served again.")
    shorter: dict[Name, ShorterLife] = Field(
        default_factory=dict,
        description="Questions whose answers live shorter, by a name of yours; of several that fit, the shortest.",
    )
    max_temperature: float = Field(
        1.0,
        ge=0,
        le=2,
        description="Requests that ask for more are not cached; one that says nothing asks for 1.",
    )
    pool: Name | None = Field(
        None, description="Share answers among all tenants of the routes that name this pool. Left out: never."
    )
    pool_writers: tuple[Name, ...] = Field(
        (), description="The tenants whose answers go into the pool; all of its tenants are served from it."
    )
    personal: Literal["refuse", "allow"] = Field(
        "refuse", description="What becomes of questions that hold an e-mail address, a long number or a name."
    )
    live: tuple[Phrase, ...] = Field(
        LIVE,
        description="Words and phrases of questions whose answer changes from hour to hour: they are not cached.",
    )
    semantic: Semantic | None = Field(
        None, description="Answer a question that was asked before in other words. Left out: exact hits only."
    )
