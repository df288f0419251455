"""Which candidates can answer a request at all, whatever their quality: a pure function, told reason by reason."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from msgspec import Struct

from router.choice.reading import Reading

UNKNOWN = "unknown"
"""The intent of what belongs to no other."""


class Ability(Struct, frozen=True, kw_only=True):
    """What a model can do. None and empty: no limit that is known of."""

    context_tokens: int | None = None
    images: bool = True
    audio: bool = True
    tools: bool = True
    intents: frozenset[str] | None = None
    """All that it may answer on this route, `unknown` being one; None: everything."""
    refused_tenants: Container[str] = frozenset()
    """Whose data it must not see."""


def obstacle(ability: Ability, reading: Reading, tenant: str, answer_tokens: int) -> str:
    """Why a model cannot take a request, or "" where it can. `answer_tokens` are what its answer may need."""
    if tenant in ability.refused_tenants:
        return "the tenant's rules keep its data from this model"
    needed = reading.tokens + answer_tokens
    if ability.context_tokens is not None and needed > ability.context_tokens:
        return f"about {needed} tokens do not fit its context of {ability.context_tokens}"
    if reading.images and not ability.images:
        return "it takes no images"
    if reading.audio and not ability.audio:
        return "it takes no audio"
    if reading.tools and not ability.tools:
        return "it calls no tools"
    return ""


def intent_obstacle(ability: Ability, intent: str) -> str:
    """Why a model may not answer an intent, or ""."""
    if ability.intents is None or intent in ability.intents:
        return ""
    return f"it was not made for the intent '{intent}'"


def obstacles(
    models: Sequence[str],
    abilities: Mapping[str, Ability],
    reading: Reading,
    tenant: str,
    answer_tokens: int,
    resting: frozenset[str],
) -> dict[str, str]:
    """Why each model cannot answer now; "" for those that can. A model that rests is one that cannot.

    Where that leaves none, those that merely rest count as able: the attempt policy knows best when to try them.
    """
    found = {model: obstacle(abilities.get(model, Ability()), reading, tenant, answer_tokens) for model in models}
    rested = {
        model: why or ("it has failed too often just now" if model in resting else "")
        for model, why in found.items()
    }
    return found if all(rested.values()) else rested
