"""Which target is meant, in words that travel: from the command line to a run, and to processes that help it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from evals.targets.port import Target, TargetFailure

if TYPE_CHECKING:
    from evals.targets.batch import BatchClient
    from evals.targets.in_process import InProcessTarget

DEFAULT_BASE_URL = "http://127.0.0.1:8080/v1"
"""Where `weir serve` listens by default."""
DEFAULT_TIMEOUT_S = 120.0
"""Reasoning models take a minute or two; beyond that nobody waits for an answer."""
_PREFIXES = ("model:", "route:")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """A target before it is opened; it can be pickled. With a `config` it is a Weir in this process.

    `prompts` are written NAME=FILE, NAME=FILE:RULE or NAME@VERSION, `price` as `evals.targets.prices.stated_price`
    reads it. `state` is the state folder whose ledger and registry an in-process Weir shares. The key is in no
    name, version, message or repr.
    """

    target: str = ""
    base_url: str = DEFAULT_BASE_URL
    api_key: str = field(default="", repr=False)
    config: Path | None = None
    tenant: str = ""
    prompts: tuple[str, ...] = ()
    price: str = ""
    timeout_s: float = DEFAULT_TIMEOUT_S
    state: Path = Path(".weir")

    def of(self, target: str) -> TargetSpec:
        """The same place, asked for `target`: a model's or route's name, which `model:` or `route:` may precede."""
        for prefix in _PREFIXES:
            target = target.removeprefix(prefix)
        return replace(self, target=target)


def target_of(spec: TargetSpec) -> Target:
    """The target, not yet started. Raises TargetFailure, fatal, where `spec` cannot be."""
    try:
        return _in_process(spec, spec.config) if spec.config is not None else _remote(spec)
    except ValueError as error:
        raise TargetFailure("misconfigured", f"{error}.", fatal=True) from error


@asynccontextmanager
async def open_target(spec: TargetSpec) -> AsyncIterator[Target]:
    """The target, started, and closed at the end. Raises TargetFailure, fatal, with advice, where it cannot be."""
    target = target_of(spec)
    await target.start()
    try:
        yield target
    finally:
        await target.close()


def batch_of(spec: TargetSpec) -> BatchClient:
    """The batches of the provider at `spec`'s address. Raises TargetFailure, fatal, where `spec` cannot be."""
    from evals.targets.batch import BatchClient
    from evals.targets.prices import stated_price

    if spec.config is not None:
        raise TargetFailure(
            "misconfigured", "A Weir in this process has no batches: leave out --batch.", fatal=True
        )
    try:
        price = stated_price(spec.price) if spec.price else None
        return BatchClient(spec.target, spec.base_url, spec.api_key, price=price, timeout_s=spec.timeout_s)
    except ValueError as error:
        raise TargetFailure("misconfigured", f"{error}.", fatal=True) from error


def is_openai(base_url: str) -> bool:
    """Whether OPENAI_API_KEY belongs there: nobody else is shown it."""
    return urlsplit(base_url).hostname == "api.openai.com"


def _remote(spec: TargetSpec) -> Target:
    from evals.targets.base_url import BaseUrlTarget
    from evals.targets.prices import stated_price

    price = stated_price(spec.price) if spec.price else None
    return BaseUrlTarget(spec.target, spec.base_url, spec.api_key, price=price, timeout_s=spec.timeout_s)


def _in_process(spec: TargetSpec, config: Path) -> InProcessTarget:
    from evals.targets.in_process import InProcessTarget
    from evals.targets.prompts import prompts_in
    from router.config.load import ConfigError, load

    try:
        loaded = load(config)
    except ConfigError as error:
        raise TargetFailure("misconfigured", str(error), fatal=True) from error
    return InProcessTarget(
        spec.target,
        loaded,
        config,
        tenant=spec.tenant,
        prompts=prompts_in(spec.prompts),
        state=spec.state,
        timeout_s=spec.timeout_s,
    )
