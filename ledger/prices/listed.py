"""Prices out of the list that genai-prices ships: looked up once, then followed by the clock.

Some listed prices begin on a date, some hold at night only. Which do is looked at once a minute, and the tariff is
made anew only when that has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from time import time
from typing import TYPE_CHECKING

from contracts.money import ZERO
from ledger.prices.tariff import Tariff

if TYPE_CHECKING:
    from genai_prices.types import ConditionalPrice, ModelInfo, ModelPrice, PriceVariant, TieredPrices

Choose = Callable[[], Tariff]
"""Gives the tariff that holds now."""
_SERVICE_TIER = "service_tier"
_BATCH: Mapping[str, str] = {"processing": "batch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model of the list. `deprecated`: its provider advises against it, says the list."""

    choose: Choose
    source: str
    deprecated: bool


def listed_model(name: str, provider: str | None) -> ListedModel:
    """Raises LookupError, whose message says what is not there."""
    import genai_prices  # late: a quarter of a second and 20 MB, for nothing where all prices are stated

    shown = f"'{name}'" + (f" of '{provider}'" if provider else "")
    try:
        model = genai_prices.calc_price(genai_prices.Usage(), name, provider_id=provider).model
    except LookupError:
        raise LookupError(f"genai-prices does not list {shown}") from None
    try:
        choose = tariff_by_date(model)
    except LookupError:
        raise LookupError(f"genai-prices has no token price for {shown}") from None
    source = f"genai-prices {genai_prices.__version__}"
    return ListedModel(choose=choose, source=source, deprecated=bool(model.deprecated))


def tariff_by_date(model: ModelInfo) -> Choose:
    """The tariff that holds when asked. Raises LookupError where one of its prices is not by token."""
    dated: list[ConditionalPrice | PriceVariant] = list(model.price_variants or ())
    if isinstance(model.prices, list):
        if not model.prices:
            raise LookupError(model.id)
        for price in model.prices:
            listed_tariff(price.prices)
        dated += model.prices
    constraints = [each.constraint for each in dated if each.constraint is not None]
    first = _tariff_at(model, datetime.now(UTC))
    if not constraints:
        return lambda: first
    seen_minute, seen, tariff = -1, None, first

    def choose() -> Tariff:
        nonlocal seen_minute, seen, tariff
        minute = int(time() // 60)
        if minute != seen_minute:
            now = datetime.now(UTC)
            active = tuple(constraint.active(now) for constraint in constraints)
            if active != seen:
                tariff = _tariff_at(model, now)
            seen_minute, seen = minute, active
        return tariff

    return choose


def _tariff_at(model: ModelInfo, now: datetime) -> Tariff:
    """With the service tiers that the list knows; batch is one of them."""
    contexts = {}
    for variant in model.price_variants or ():
        if variant.when == _BATCH:
            contexts["batch"] = variant.when
        elif set(variant.when) == {_SERVICE_TIER}:
            contexts[variant.when[_SERVICE_TIER]] = variant.when
    tiers = {tier: listed_tariff(model.get_prices(now, when)) for tier, when in contexts.items()}
    return replace(listed_tariff(model.get_prices(now)), tiers=tiers)


def listed_tariff(price: ModelPrice) -> Tariff:
    """Raises LookupError where there is no price for prompt tokens."""
    starts = {tier.start for rate in vars(price).values() for tier in getattr(rate, "tiers", ())}
    dearer = tuple((start, _tariff_beyond(price, start)) for start in sorted(starts, reverse=True))
    return replace(_tariff_beyond(price, -1), dearer=dearer)


def _tariff_beyond(price: ModelPrice, prompt: int) -> Tariff:
    """The tariff of prompts just longer than `prompt` tokens. Raises LookupError where there is no input price."""

    def rate(key: str, otherwise: Decimal) -> Decimal:
        listed: Decimal | TieredPrices | None = getattr(price, key)
        if listed is None or isinstance(listed, Decimal):
            return otherwise if listed is None else listed
        reached = [tier.price for tier in listed.tiers if tier.start <= prompt]
        return reached[-1] if reached else listed.base

    if price.input_mtok is None:
        raise LookupError("input_mtok")
    prompt_rate = rate("input_mtok", ZERO)
    answer_rate = rate("output_mtok", ZERO)  # embeddings have none
    cached = rate("cache_read_mtok", prompt_rate)
    cache_write = rate("cache_write_mtok", prompt_rate)
    return Tariff(
        input=prompt_rate,
        output=answer_rate,
        cached_input=cached,
        cache_write=cache_write,
        cache_write_1h=rate("cache_write_1h_mtok", cache_write),
        audio_input=rate("input_audio_mtok", prompt_rate),
        audio_cached=rate("cache_audio_read_mtok", cached),
        audio_output=rate("output_audio_mtok", answer_rate),
        reasoning=rate("output_reasoning_mtok", answer_rate),
        per_request=rate("requests_kcount", ZERO).scaleb(-3),
    )
