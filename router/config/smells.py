"""What is allowed in a configuration but hardly meant: said by `weir check`, never a reason to refuse."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.ports import TokenCounter
from router.config.load import Loaded
from router.config.schema import Config, LiteLLMUpstream, OpenAIUpstream
from router.documents import MISSING, is_installed
from router.estimates import prompt_tokens


def smells(loaded: Loaded, tokens: TokenCounter) -> Iterator[str]:
    """One sentence for each, beginning with the setting's path. `tokens` counts those of prompts."""
    config = loaded.config
    yield from _unreachable(config)
    yield from _unused(config)
    yield from _prompts(loaded, tokens)
    yield from _documents(config)
    for name, route in config.routes.items():
        if route.attempts.attempt_seconds > route.attempts.deadline_seconds:
            yield f"routes.{name}.attempts: an attempt may take longer than the deadline, so no other can follow it"


def _unreachable(config: Config) -> Iterator[str]:
    tenants = config.tenants.values()
    if not tenants:
        yield "tenants: there are none, so nobody may call"
        return
    for name in config.routes:
        if not any(tenant.routes is None or name in tenant.routes for tenant in tenants):
            yield f"routes.{name}: no tenant may use it"
    candidates = {model for route in config.routes.values() for model in route.candidates}
    for name in config.models:
        nameable = any(tenant.models is None or name in tenant.models for tenant in tenants)
        if name not in candidates and not nameable:
            yield f"models.{name}: no route uses it and no tenant may name it"


def _unused(config: Config) -> Iterator[str]:
    upstreams = config.upstreams.values()
    hosts = {model.upstream for model in config.models.values()}
    hosts |= {u.stand_in for u in upstreams if isinstance(u, OpenAIUpstream | LiteLLMUpstream) and u.stand_in}
    prompts = {route.prompt for route in config.routes.values()}
    prompts |= {prompt for tenant in config.tenants.values() for prompt in tenant.prompts.values()}
    yield from (f"upstreams.{name}: no model uses it" for name in config.upstreams if name not in hosts)
    yield from (f"prompts.{name}: no route or tenant uses it" for name in config.prompts if name not in prompts)


def _documents(config: Config) -> Iterator[str]:
    looking = {name: route for name, route in config.routes.items() if route.retrieval is not None}
    if (config.stores or looking) and not is_installed():
        for name in config.stores or looking:
            section = "stores" if config.stores else "routes"
            yield f"{section}.{name}: {MISSING[0].lower()}{MISSING[1:]}"
    for name, route in looking.items():
        if config.student_of(route):
            yield f"routes.{name}: its student is shown no documents, and answers nothing that is looked up"
        named = set(route.retrieval.stores if route.retrieval else ())
        for store in sorted(named & config.stores.keys()):
            owners = config.stores[store].tenants
            for tenant, settings in config.tenants.items():
                if tenant not in owners and (settings.routes is None or name in settings.routes):
                    yield f"stores.{store}.tenants: {tenant} has none, and may use the route {name}, which needs it"


def _prompts(loaded: Loaded, tokens: TokenCounter) -> Iterator[str]:
    for name, prompt in loaded.prompts.items():
        most = loaded.config.prompts[name].most_tokens
        taken = prompt_tokens(prompt.filled(loaded.config.prompts[name].slots), tokens)
        if taken > most:
            yield f"prompts.{name}: its file takes about {taken} tokens, more than `most_tokens`, {most}"
    declared = {slot for prompt in loaded.prompts.values() for slot in prompt.slots}
    for name, tenant in loaded.config.tenants.items():
        for slot in sorted(tenant.slots.keys() - declared):
            yield f"tenants.{name}.slots.{slot}: no prompt has a slot of this name"
