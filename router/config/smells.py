"""What is allowed in a configuration but hardly meant: said by `weir check`, never a reason to refuse."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.ports import TokenCounter
from router.config.load import Loaded
from router.config.schema import Config, LiteLLMUpstream, OpenAIUpstream
from router.estimates import prompt_tokens


def smells(loaded: Loaded, tokens: TokenCounter) -> Iterator[str]:
    """One sentence for each, beginning with the setting's path. `tokens` counts those of prompts."""
    config = loaded.config
    yield from _unreachable(config)
    yield from _unused(config)
    yield from _prompts(loaded, tokens)
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
