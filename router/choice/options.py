"""Predictions become options to weigh, and a choice among them becomes the candidates of a decision, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from contracts.ports import Prices
from contracts.records import Candidate
from contracts.usage import TokenUsage
from router.choice.goals import Option
from router.choice.memory import RouteMemory
from router.choice.reading import Reading

if TYPE_CHECKING:
    from heads.quality import Forecast

_UNSEEN = "nothing is known of its answers yet"


def options_of(
    models: Sequence[str],
    forecast: Forecast,
    reading: Reading,
    *,
    prices: Prices,
    memory: RouteMemory,
    kept: str | None,
    stay: float,
) -> list[Option]:
    """The models of which something is predicted. The one that has the conversation, `kept`, is worth `stay` more
    quality, and its provider has the beginning of the prompt in its cache.
    """
    expected = {each.model: each for each in forecast.expected}
    options = []
    for model in models:
        predicted = expected.get(model)
        if predicted is None:
            continue
        usage = TokenUsage(
            prompt=reading.tokens,
            completion=memory.answer_tokens(model),
            cached=min(reading.tokens, reading.settled_tokens) if model == kept else 0,
        )
        options.append(
            Option(
                model=model,
                quality=predicted.quality,
                deviation=predicted.deviation,
                cost=float(prices.cost(model, usage)),
                latency_ms=memory.p95_ms(model),
                stay=stay if model == kept else 0.0,
            )
        )
    return options


def reference_of(options: Sequence[Option], wanted: str) -> Option:
    """What others are measured against: the option that is `wanted`, or where it cannot answer, the best."""
    named = next((option for option in options if option.model == wanted), None)
    return named or max(options, key=lambda option: option.worth)


def options_in(candidates: Sequence[Candidate]) -> list[Option]:
    """Those that a decision weighed."""
    return [
        Option(
            model=candidate.model,
            quality=candidate.quality,
            deviation=candidate.deviation or 0.0,
            cost=float(candidate.cost or 0),
            latency_ms=candidate.latency_ms,
        )
        for candidate in candidates
        if candidate.eligible and candidate.quality is not None
    ]


def candidates_of(
    models: Sequence[str],
    blocked: Mapping[str, str],
    options: Sequence[Option] = (),
    *,
    first: str,
    then: str = "",
    notes: Mapping[str, str] | None = None,
    propensities: Mapping[str, float] | None = None,
) -> tuple[Candidate, ...]:
    """In the order in which they will be tried: `first`, `then`, the rest as they stand, last those that cannot.

    `blocked` says why a model cannot answer; `notes` why one that could is not the first choice.
    """
    weighed = {option.model: option for option in options}
    order = sorted(models, key=lambda model: (bool(blocked.get(model)), model != first, model != then))
    found = []
    for model in order:
        option, why = weighed.get(model), blocked.get(model, "")
        unchosen = (notes or {}).get(model) or ("stands by" if option is not None or not options else _UNSEEN)
        found.append(
            Candidate(
                model=model,
                eligible=not why,
                reason=why or ("chosen" if model == first else unchosen),
                quality=round(option.quality, 4) if option is not None else None,
                deviation=round(option.deviation, 4) if option is not None else None,
                cost=Decimal(f"{option.cost:.9f}") if option is not None else None,
                latency_ms=option.latency_ms if option is not None else None,
                propensity=propensities.get(model, 0.0) if propensities is not None else None,
            )
        )
    return tuple(found)
