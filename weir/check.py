"""`weir check`: what `weir serve` would make of a configuration, without starting anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from ledger.prices import PriceList, PricesUnknown
from prompts.book import standing
from prompts.prompt import BookedPrompt
from registry.faults import RegistryFault
from registry.prompts import PROMPT, content_of
from registry.store import Registry
from router.composition import price_list
from router.config.load import USUAL_FILE, ConfigError, Loaded, Problem, load
from router.config.schema import Config, ScriptedUpstream
from router.config.shutdowns import shutdown_warnings
from router.config.smells import smells
from router.estimates import TokenEstimator
from router.prompt_watch import evidence_in_force, outdated_prompts
from router.upstreams.scripted_knowledge import Knowledge
from weir.state import state_dir

_WRONG, _UNREADABLE = 1, 2
_WIDE = 120
_Rows = Sequence[Mapping[str, str | float | list[str] | None]]


@click.command(
    epilog="""\b
Examples:
  weir check --config examples/support/weir.yaml
  weir check --config weir.yaml --json

\b
Exit status: 0 good (warnings included), 1 wrong, 2 unreadable."""
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=USUAL_FILE,
    show_default=True,
    help="The configuration; see docs/reference/config.md.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(config: Path, as_json: bool) -> None:
    """Validate a configuration: settings, names, files, environment and prices.

    All problems are listed at once. Warnings are also of models that will be turned off, and of what was promoted
    in the state folder ($WEIR_STATE_DIR, or .weir): prompts that must be optimised again, or that an edited file
    set aside.
    """
    try:
        loaded = load(config)
        prices = _usable(config, loaded)
    except ConfigError as error:
        if as_json:
            problems = [asdict(problem) for problem in error.problems]
            _print_json({"config": str(config), "ok": False, "problems": problems})
        else:
            click.echo(str(error), err=True)
        raise SystemExit(_UNREADABLE if error.unreadable else _WRONG) from error
    summary = _summary(loaded, prices)
    tokens = TokenEstimator()
    tokens.load()
    warnings = [*smells(loaded, tokens), *_price_warnings(loaded.config, prices), *_prompt_warnings(loaded)]
    if as_json:
        _print_json({"config": str(config), "ok": True, **summary, "warnings": warnings})
        return
    _print_tables(summary)
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo(f"{config} is good.")


def _price_warnings(config: Config, prices: PriceList) -> Iterator[str]:
    for name in prices.unpriced:
        yield f"models.{name}: no price is known; its requests are marked so, and count as nothing in budgets"
    yield from shutdown_warnings(config, datetime.now(UTC).date())


def _prompt_warnings(loaded: Loaded) -> Iterator[str]:
    """Of what the state folder's registry holds, where there is one."""
    registry = Registry(state_dir() / "registry")
    try:
        for name, prompt in loaded.prompts.items():
            stands = standing(prompt.version, registry.aliases(PROMPT, name))
            for version in stands.set_aside:
                yield f"prompts.{name}: {version} was promoted and is set aside, because the file was edited since"
            for version in {stands.production, stands.canary} - {prompt.version, ""}:
                yield from _damage(registry, name, version)
        evidence = evidence_in_force(loaded, registry)
    except (OSError, RegistryFault) as error:
        yield f"what was promoted cannot be read: {error}"
        return
    yield from map(str, outdated_prompts(loaded, evidence, datetime.now(UTC).date()))


def _damage(registry: Registry, name: str, version: str) -> Iterator[str]:
    try:
        BookedPrompt.stored(content_of(registry, name, version))
    except (OSError, RegistryFault, ValueError) as error:
        yield f"prompts.{name}: what was promoted cannot serve: {error}"


def _usable(path: Path, loaded: Loaded) -> PriceList:
    """The prices of all models. Raises ConfigError where a file's contents or a model's price would not do."""
    problems = list(_unusable_knowledge(loaded))
    try:
        prices = price_list(loaded)
    except PricesUnknown as error:
        problems += [Problem("", None, told) for told in error.problems]
    if problems:
        raise ConfigError(path, problems)
    return prices


def _unusable_knowledge(loaded: Loaded) -> Iterator[Problem]:
    for name, upstream in loaded.config.upstreams.items():
        if isinstance(upstream, ScriptedUpstream) and upstream.knowledge:
            try:
                Knowledge.load(loaded.folder / upstream.knowledge)
            except (OSError, ValueError) as error:
                yield Problem(f"upstreams.{name}.knowledge", None, str(error))


def _summary(loaded: Loaded, prices: PriceList) -> dict[str, _Rows]:
    config, stand_ins = loaded.config, loaded.stand_ins
    return {
        "routes": [
            {
                "route": name,
                "candidates": list(route.candidates),
                "policy": route.policy.kind,
                "prompt": route.prompt,
                "cache_seconds": route.cache.ttl_seconds if route.cache.enabled else None,
                "deadline_seconds": route.attempts.deadline_seconds,
            }
            for name, route in config.routes.items()
        ],
        "models": [
            {"model": name, "upstream": loaded.upstream_of(name), "price": prices.priced_by(name)}
            for name in config.models
        ],
        "upstreams": [
            {"upstream": name, "kind": upstream.kind, "answered_by": stand_ins.get(name, name)}
            for name, upstream in config.upstreams.items()
        ],
        "tenants": [
            {
                "tenant": name,
                "routes": _named(tenant.routes),
                "models": _named(tenant.models),
                "declared_keys": list(tenant.keys),
            }
            for name, tenant in config.tenants.items()
        ],
    }


def _named(names: Sequence[str] | None) -> list[str] | str:
    return "all" if names is None else list(names)


def _shown(value: str | float | list[str] | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int | float):
        return f"{value:.15g}"
    return value if isinstance(value, str) else ", ".join(value) or "none"


def _print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def _print_tables(summary: Mapping[str, _Rows]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    for title, rows in summary.items():
        if not rows:
            continue
        table = Table(title=title, title_justify="left")
        for column in rows[0]:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*map(_shown, row.values()))
        console.print(table)
