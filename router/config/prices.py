"""What models cost: sections of `weir.yaml`, and the whole of the price file that `ledger.prices` names.

All prices are US dollars. Figures are read strictly, as plain decimals: a currency sign, a thousands separator or
an exponent is more often a slip than meant, and a slip here is a wrong bill.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, PositiveInt, Tag

from router.config.values import Name, Section

_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_TOO_DEAR = 10**6


def _figure(value: Any, decimals: int, unit: str) -> Decimal:
    """A number, or the text of a plain one. A float's shortest digits are those that were written."""
    if isinstance(value, str) and not _PLAIN.fullmatch(value.strip()):
        raise ValueError(
            f"must be a plain number of at least 0, {unit}, such as 2.50, without currency, sign, separator or "
            "exponent; prices in other currencies have to be converted"
        )
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"must be a number, {unit}") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"must be a finite number of at least 0, {unit}")
    if amount >= _TOO_DEAR or amount != round(amount, decimals):
        raise ValueError(f"must be below a million and have at most {decimals} decimals, {unit}")
    return amount


def _dollars_per_million(value: Any) -> Decimal:
    return _figure(value, 6, "in US dollars per million tokens")


def _dollars(value: Any) -> Decimal:
    return _figure(value, 12, "in US dollars")


def _dollars_per_hour(value: Any) -> Decimal:
    return _figure(value, 6, "in US dollars per hour of one GPU")


def _factor(value: Any) -> Decimal:
    return _figure(value, 4, "times the usual price")


def _speed(value: Any) -> Decimal:
    return _figure(value, 6, "in tokens per second")


def _dollars_only(value: Any) -> Any:
    if value != "USD":
        raise ValueError("must be USD: convert prices in other currencies into US dollars")
    return value


def _token_count(value: str) -> str:
    if not _COUNT.fullmatch(value):
        raise ValueError('must be a whole number of tokens in quotes, such as "200000"')
    return value


PerMillion = Annotated[Decimal, Field(ge=0), BeforeValidator(_dollars_per_million)]
Dollars = Annotated[Decimal, Field(ge=0), BeforeValidator(_dollars)]
GpuHour = Annotated[Decimal, Field(ge=0), BeforeValidator(_dollars_per_hour)]
Factor = Annotated[Decimal, Field(ge=0), BeforeValidator(_factor)]
Speed = Annotated[Decimal, Field(gt=0), BeforeValidator(_speed)]
Currency = Annotated[Literal["USD"], BeforeValidator(_dollars_only)]
TokenCount = Annotated[str, AfterValidator(_token_count)]


class LongPrice(Section):
    """What changes once a prompt is longer, for all of its request's tokens, as providers do it.

    A part that is left out costs what it does for shorter prompts.
    """

    input: PerMillion | None = Field(None, description="Prompt tokens.")
    output: PerMillion | None = Field(None, description="Completion tokens.")
    cached_input: PerMillion | None = Field(None, description="Prompt tokens read from the provider's cache.")
    cache_write: PerMillion | None = Field(None, description="Prompt tokens written to it.")
    cache_write_1h: PerMillion | None = Field(None, description="Those that it keeps for an hour.")
    audio_input: PerMillion | None = Field(None, description="Prompt tokens of audio.")
    audio_cached: PerMillion | None = Field(None, description="Those read from the provider's cache.")
    audio_output: PerMillion | None = Field(None, description="Completion tokens of audio.")
    reasoning: PerMillion | None = Field(None, description="Completion tokens that the model thought with.")


class TokenPrice(Section):
    """US dollars per million tokens. A part that is left out costs what the whole does."""

    input: PerMillion = Field(description="Prompt tokens.")
    output: PerMillion = Field(description="Completion tokens.")
    cached_input: PerMillion | None = Field(None, description="Prompt tokens read from the provider's cache.")
    cache_write: PerMillion | None = Field(None, description="Prompt tokens written to it.")
    cache_write_1h: PerMillion | None = Field(
        None, description="Those that it keeps for an hour. Left out, as `cache_write`."
    )
    audio_input: PerMillion | None = Field(None, description="Prompt tokens of audio.")
    audio_cached: PerMillion | None = Field(
        None,
        description="Those read from the provider's cache. Left out, as `cached_input`, or else as `audio_input`.",
    )
    audio_output: PerMillion | None = Field(None, description="Completion tokens of audio.")
    reasoning: PerMillion | None = Field(None, description="Completion tokens that the model thought with.")
    per_request: Dollars = Field(Decimal(0), description="US dollars for each request, on top.")
    above: dict[TokenCount, LongPrice] = Field(
        default_factory=dict,
        description='Prices of longer prompts, by the tokens that a prompt must exceed: `"200000"`.',
    )
    tiers: dict[Name, Factor] = Field(
        default_factory=dict,
        description="Factors by the provider's service tier, as `batch: 0.5`, for all tokens; other tiers cost 1.",
    )
    currency: Currency = Field("USD", description="No other one is understood.")


class GpuPrice(Section):
    """The price of a model on GPUs of your own; `weir prices measure` prints the tokens per second.

    A token costs what the GPUs do while they are busy with it: gpu_hour * gpus / 3600 / tokens per second.
    """

    gpu_hour: GpuHour = Field(description="US dollars for an hour of one GPU.")
    gpus: PositiveInt = Field(1, description="How many of them run this model.")
    prompt_tokens_per_second: Speed = Field(description="Prompt tokens that all of them read.")
    completion_tokens_per_second: Speed = Field(description="Completion tokens that all of them write.")
    always_on: bool = Field(
        False, description="They are paid for while nobody asks too; reports add that as an overhead."
    )
    currency: Currency = Field("USD", description="No other one is understood.")


class ListedPrice(Section):
    """The price of a model in the built-in list (genai-prices)."""

    listed_as: Name = Field(description="The model's name there.")
    provider: Name | None = Field(None, description="The provider there, where the name alone is ambiguous.")


def _kind_of_price(value: Any) -> str | None:
    if isinstance(value, Section):
        return type(value).__name__
    if not isinstance(value, dict):
        return None
    if "listed_as" in value or "provider" in value:
        return "ListedPrice"
    return "GpuPrice" if "gpu_hour" in value or "gpus" in value else "TokenPrice"


Price = Annotated[
    Annotated[TokenPrice, Tag("TokenPrice")]
    | Annotated[GpuPrice, Tag("GpuPrice")]
    | Annotated[ListedPrice, Tag("ListedPrice")],
    Discriminator(
        _kind_of_price,
        custom_error_type="price_kind",
        custom_error_message="must be `input` and `output` in US dollars per million tokens, `gpu_hour`, or "
        "`listed_as`",
    ),
]
