"""The price of every model, found once: stated in the configuration or its price file, else listed.

Where a model has none, `unpriced` decides: the whole list is refused, or the model costs nothing and every event of
it says so in `priced_by`. Nothing is ever a zero without that mark.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from contracts.money import ZERO, usd
from contracts.records import UNPRICED
from contracts.usage import TokenUsage
from ledger.prices.listed import Choose, listed_model
from ledger.prices.rates import GpuRate, TokenRates
from ledger.prices.tariff import FREE, Tariff

log = logging.getLogger("weir.ledger")

_MOST_TIERS_TOLD = 100


class PricesUnknown(Exception):
    """Some models have no price, or a price file is wrong. `problems` names all of them, with what to do."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule:
    """How one model is priced: by `rates` where given, else as `provider`'s model `listed_as` in the list.

    `source` says where `rates` were stated. `provider` may be None where the name alone says it.
    """

    model: str
    rates: TokenRates | GpuRate | None = None
    source: str = "config"
    listed_as: str
    provider: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    choose: Choose
    source: str
    deprecated: bool = False


class PriceList:
    """Implements `contracts.ports.Prices` for the models of `rules`.

    `unpriced` says what becomes of models without a price. Raises PricesUnknown where they are refused, naming
    every one of them.
    """

    def __init__(self, rules: Iterable[PriceRule], unpriced: Literal["refuse", "mark"] = "refuse") -> None:
        problems: list[str] = []
        self._entries: dict[str, _Entry] = {}
        self._tiers_told: set[tuple[str, str]] = set()
        gpu_models: dict[str, GpuRate] = {}
        for rule in rules:
            if isinstance(rule.rates, GpuRate):
                gpu_models[rule.model] = rule.rates
            try:
                self._entries[rule.model] = _entry(rule)
            except LookupError as error:
                if unpriced == "refuse":
                    problems.append(f"models.{rule.model}: {error.args[0]}. {_advice(rule.model)}")
                self._entries[rule.model] = _Entry(choose=lambda: FREE, source=UNPRICED)
        if problems:
            raise PricesUnknown(problems)
        self.gpu_models: Mapping[str, GpuRate] = gpu_models
        """The models that are priced by GPU hours."""

    def cost(self, model: str, usage: TokenUsage) -> Decimal:
        """Dollars for `usage`, rounded once, to `money.QUANTUM`. 0 for a replay or where no tokens were used."""
        if usage.source in ("cache", "none"):
            return ZERO
        tariff = self._entries[model].choose()
        if usage.tier and usage.tier not in tariff.tiers:
            self._tell_of_tier(model, usage.tier)
        return usd(tariff.dollars(usage))

    def priced_by(self, model: str) -> str:
        """`config`, the price file's name, `genai-prices` with its version, or `UNPRICED`."""
        return self._entries[model].source

    def tariff(self, model: str) -> Tariff:
        """The tariff that holds now."""
        return self._entries[model].choose()

    @property
    def unpriced(self) -> tuple[str, ...]:
        """The models that have no price."""
        return tuple(model for model, entry in self._entries.items() if entry.source == UNPRICED)

    @property
    def deprecated(self) -> tuple[str, ...]:
        """The models that their providers advise against, as far as the list that they are priced by says so."""
        return tuple(model for model, entry in self._entries.items() if entry.deprecated)

    def _tell_of_tier(self, model: str, tier: str) -> None:
        """Once for each, and for so many at most: a provider chooses what it calls its tiers."""
        place = (model, tier)
        if (
            place in self._tiers_told
            or len(self._tiers_told) >= _MOST_TIERS_TOLD
            or self.priced_by(model) == UNPRICED
        ):
            return
        self._tiers_told.add(place)
        log.warning(
            "model %s answered in the service tier %r, whose price is not known: it is billed as the usual one. "
            "State a factor in models.%s.price.tiers.",
            model,
            tier,
            model,
        )


def _entry(rule: PriceRule) -> _Entry:
    """Raises LookupError, whose message says what is not there."""
    if rule.rates is not None:
        tariff = rule.rates.tariff()
        return _Entry(choose=lambda: tariff, source=rule.source)
    found = listed_model(rule.listed_as, rule.provider)
    return _Entry(choose=found.choose, source=found.source, deprecated=found.deprecated)


def _advice(model: str) -> str:
    return (
        f"State it in models.{model}.price, in dollars per million tokens (input: 0, output: 0 where it costs "
        "nothing), or in the ledger's price file; or name its entry in the list with price.listed_as and "
        "price.provider; or accept models without a price with ledger.unpriced: mark."
    )
