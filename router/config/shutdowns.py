"""When providers turn models off: `models.NAME.shutdown_date`, else what the list that litellm ships says.

That list is read from its file where litellm is installed; litellm itself is not imported. It is asked only about
models whose provider is known, by the upstream's kind or address: a local model may have a hosted one's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from router.config.schema import Config, LiteLLMUpstream, OpenAIUpstream

NOTICE_DAYS = 90
"""How long before its date `weir check` begins to warn."""
_FILE = "model_prices_and_context_window_backup.json"
_PROVIDERS: Mapping[str, str] = {
    # hosts of OpenAI-compatible addresses: litellm's name of who is there
    "api.openai.com": "openai",
    "api.anthropic.com": "anthropic",
    "generativelanguage.googleapis.com": "gemini",
    "api.mistral.ai": "mistral",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "xai",
}


class Shutdown(NamedTuple):
    """`source` is `config` or `litellm's list`."""

    day: date
    source: str


def shutdown_of(config: Config, model: str) -> Shutdown | None:
    """When `model`, one of `config.models`, is turned off; None where nobody says."""
    settings = config.models[model]
    if settings.shutdown_date is not None:
        return Shutdown(settings.shutdown_date, "config")
    upstream = config.upstreams[settings.upstream]
    provider = None
    if isinstance(upstream, LiteLLMUpstream):
        provider = upstream.provider
    elif isinstance(upstream, OpenAIUpstream):
        provider = _PROVIDERS.get(urlsplit(upstream.base_url).hostname or "")
    day = _listed(provider, settings.name or model) if provider else None
    return Shutdown(day, "litellm's list") if day else None


def shutdown_warnings(config: Config, today: date) -> Iterator[str]:
    """One sentence for each model that is turned off soon or has been, with the routes that use it."""
    for name in config.models:
        shutdown = shutdown_of(config, name)
        if shutdown is None or shutdown.day > today + timedelta(days=NOTICE_DAYS):
            continue
        hit = [route for route, settings in config.routes.items() if name in settings.candidates]
        routes = f"used by {', '.join(hit)}" if hit else "no route uses it"
        verb = "was" if shutdown.day <= today else "is"
        yield f"models.{name}: {verb} turned off on {shutdown.day} ({shutdown.source}); {routes}"


def _listed(provider: str, name: str) -> date | None:
    """Entries are named `provider/name`, those of some providers by the name alone."""
    listed = _litellm_list()
    for key in (f"{provider}/{name}", name):
        entry = listed.get(key)
        if isinstance(entry, dict) and entry.get("litellm_provider") == provider:
            try:
                return date.fromisoformat(entry["deprecation_date"])
            except (KeyError, TypeError, ValueError):
                return None
    return None


@cache
def _litellm_list() -> Mapping[str, Any]:
    """Empty where litellm is not installed, or keeps its list elsewhere by now."""
    package = find_spec("litellm")
    for folder in (package.submodule_search_locations if package else None) or ():
        try:
            listed = orjson.loads((Path(folder) / _FILE).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(listed, dict):
            return listed
    return {}
