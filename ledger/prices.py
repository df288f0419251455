"""What tokens cost: a model's own price, else the override file, else the list that genai-prices ships.

Everything is looked up once, when the configuration is taken up, and becomes `Tariff`s: `cost` is then a few
multiplications. A model without a price is an error at that moment, never a zero later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from contracts.money import ZERO, usd
from contracts.usage import TokenUsage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

_PARTS = ("input", "output", "cached_input", "cache_write")
_SMALLEST = Decimal(
    "1e-6"
)  # of a price per million tokens: finer ones would have to be rounded, see contracts.money
_TOO_DEAR = Decimal("1e12")


class PricesUnknown(Exception):
    """Some models have no price, or a price file is wrong. `problems` names all of them, with what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRates:
    """Dollars per million tokens. A part that is None costs what the whole does."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule:
    """How one model is priced: by `rates` where given, else as `provider`'s model `listed_as` in the list.

    `provider` may be None where the name alone says it.
    """

    model: str
    rates: TokenRates | None = None
    listed_as: str
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """Dollars per million tokens of each kind, all of them known, and dollars per request.

    `dearer` are the tariffs of long prompts: (tokens that the prompt must exceed, tariff), longest first. As
    providers bill it, the longer tariff then holds for all tokens of the request.
    """

    input: Decimal
    output: Decimal
    cached: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    audio_input: Decimal
    audio_cached: Decimal
    audio_output: Decimal
    reasoning: Decimal
    request: Decimal = ZERO
    dearer: tuple[tuple[int, Tariff], ...] = ()

    def dollars(self, usage: TokenUsage) -> Decimal:
        """Exact, not rounded.

        Providers report cached and audio tokens of a prompt separately. Where together they exceed the prompt,
        the excess must have been both, and is billed as cached audio.
        """
        for more_than, tariff in self.dearer:
            if usage.prompt > more_than:
                return tariff.dollars(usage)
        long_write = _written_for_an_hour(usage) if self.cache_write_1h != self.cache_write else 0
        text = usage.prompt - usage.cached - usage.cache_write - usage.audio_prompt
        excess = max(0, -text)
        cached_audio = min(excess, usage.cached)
        reasoning = min(usage.reasoning, usage.completion - usage.audio_completion)
        written = usage.completion - usage.audio_completion - reasoning
        millionths = (
            max(0, text) * self.input
            + (usage.cached - cached_audio) * self.cached
            + cached_audio * self.audio_cached
            + (usage.cache_write - long_write) * self.cache_write
            + long_write * self.cache_write_1h
            + (usage.audio_prompt - excess) * self.audio_input
            + written * self.output
            + reasoning * self.reasoning
            + usage.audio_completion * self.audio_output
        )
        return millionths.scaleb(-6) + self.request


def _written_for_an_hour(usage: TokenUsage) -> int:
    """How many of `cache_write` are kept for an hour and not five minutes, as Anthropic and litellm report it."""
    raw = usage.raw or {}
    details = raw.get("prompt_tokens_details")
    split = raw.get("cache_creation") or (
        isinstance(details, Mapping) and details.get("cache_creation_token_details")
    )
    count = split.get("ephemeral_1h_input_tokens") if isinstance(split, Mapping) else 0
    return min(count, usage.cache_write) if type(count) is int and count > 0 else 0


_Choose = Callable[[], Tariff]


class PriceList:
    """Implements `contracts.ports.Prices` for the models of `rules`. `overrides` is a YAML file, or None.

    Raises PricesUnknown, naming every problem at once.
    """

    def __init__(self, rules: Iterable[PriceRule], overrides: Path | None = None) -> None:
        rules = tuple(rules)
        problems: list[str] = []
        from_file = {} if overrides is None else _read(overrides, {rule.model for rule in rules}, problems)
        self._entries: dict[str, tuple[_Choose, str]] = {}
        for rule in rules:
            try:
                self._entries[rule.model] = _entry(rule, from_file.get(rule.model), overrides)
            except LookupError as error:
                problems.append(str(error.args[0]))
        if problems:
            raise PricesUnknown(problems)

    def cost(self, model: str, usage: TokenUsage) -> Decimal:
        """Dollars for `usage`, rounded to `money.QUANTUM`. Nothing for a replay or where no tokens were used."""
        if usage.source in ("cache", "none"):
            return ZERO
        return usd(self._entries[model][0]().dollars(usage))

    def priced_by(self, model: str) -> str:
        """`config`, the override file's name, or `genai-prices` with its version."""
        return self._entries[model][1]


def _entry(rule: PriceRule, override: TokenRates | None, file: Path | None) -> tuple[_Choose, str]:
    if rule.rates is not None:
        return _constant(_tariff(rule.rates)), "config"
    if override is not None and file is not None:
        return _constant(_tariff(override)), file.name
    return _listed(rule)


def _constant(tariff: Tariff) -> _Choose:
    return lambda: tariff


def _tariff(rates: TokenRates) -> Tariff:
    cached = rates.input if rates.cached_input is None else rates.cached_input
    cache_write = rates.input if rates.cache_write is None else rates.cache_write
    return Tariff(
        input=rates.input,
        output=rates.output,
        cached=cached,
        cache_write=cache_write,
        cache_write_1h=cache_write,
        audio_input=rates.input,
        audio_cached=cached,
        audio_output=rates.output,
        reasoning=rates.output,
    )


def _listed(rule: PriceRule) -> tuple[_Choose, str]:
    """Raises LookupError with advice."""
    import genai_prices  # late: a quarter of a second and 20 MB, for nothing where all prices are stated

    advice = (
        f"State it in models.{rule.model}.price, in dollars per million tokens (input: 0, output: 0 where it costs "
        "nothing), or in the ledger's price file; or name its entry in the list with price.listed_as and "
        "price.provider."
    )
    name = f"'{rule.listed_as}'" + (f" of '{rule.provider}'" if rule.provider else "")
    try:
        model = genai_prices.calc_price(genai_prices.Usage(), rule.listed_as, provider_id=rule.provider).model
    except LookupError:
        raise LookupError(f"models.{rule.model}: genai-prices does not list {name}. {advice}") from None
    try:
        return tariff_by_date(model), f"genai-prices {genai_prices.__version__}"
    except LookupError:
        raise LookupError(f"models.{rule.model}: genai-prices has no token price for {name}. {advice}") from None


def tariff_by_date(model: ModelInfo) -> _Choose:
    """The tariff that holds when asked: some start on a date, some hold at night."""
    if not isinstance(model.prices, list):
        return _constant(listed_tariff(model.prices))
    if not model.prices:
        raise LookupError(model.id)
    first, *later = ((price.constraint, listed_tariff(price.prices)) for price in model.prices)
    if not later:
        return _constant(first[1])

    def choose() -> Tariff:
        now = datetime.now(UTC)
        for constraint, tariff in reversed(later):
            if constraint is None or constraint.active(now):
                return tariff
        return first[1]

    return choose


def listed_tariff(price: ModelPrice) -> Tariff:
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
        cached=cached,
        cache_write=cache_write,
        cache_write_1h=rate("cache_write_1h_mtok", cache_write),
        audio_input=rate("input_audio_mtok", prompt_rate),
        audio_cached=rate("cache_audio_read_mtok", cached),
        audio_output=rate("output_audio_mtok", answer_rate),
        reasoning=rate("output_reasoning_mtok", answer_rate),
        request=rate("requests_kcount", ZERO).scaleb(-3),
    )


def _read(path: Path, models: Collection[str], problems: list[str]) -> dict[str, TokenRates]:
    """The override file: token rates by model. What is wrong with it is added to `problems`."""
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"{path}: there is no such price file. Make it, or leave ledger.prices out.")
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        problems.append(f"{path}: the price file cannot be read: {error}")
        return {}
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        problems.append(f"{path}: must map models to their prices, such as `large: {{input: 2.5, output: 10}}`")
        return {}
    found: dict[str, TokenRates] = {}
    for name, rates in raw.items():
        if name not in models:
            known = ", ".join(sorted(models)) or "none"
            problems.append(f"{path}: {name}: is not one of `models` ({known})")
            continue
        before = len(problems)
        values = _read_rates(f"{path}: {name}", rates, problems)
        if len(problems) == before:
            found[name] = TokenRates(**values)
    return found


def _read_rates(where: str, raw: object, problems: list[str]) -> dict[str, Decimal]:
    if not isinstance(raw, dict):
        problems.append(f"{where}: must hold input and output, in dollars per million tokens")
        return {}
    problems += [f"{where}.{part}: is needed" for part in ("input", "output") if raw.get(part) is None]
    values: dict[str, Decimal] = {}
    for part, value in raw.items():
        if part not in _PARTS:
            problems.append(f"{where}.{part}: unknown; the parts of a price are {', '.join(_PARTS)}")
        elif value is not None:
            try:
                values[part] = _dollars(value)
            except ValueError as error:
                problems.append(f"{where}.{part}: {error}")
    return values


def _dollars(value: object) -> Decimal:
    try:
        amount = Decimal(str(value))  # a float's shortest digits are those that were written
    except InvalidOperation:
        raise ValueError(f"'{value}' is not a number") from None
    if not amount.is_finite() or amount < 0:
        raise ValueError("must be a number of at least 0")
    if amount >= _TOO_DEAR or amount != amount.quantize(_SMALLEST):
        raise ValueError("must have six decimals at most, and be below a million million")
    return amount
