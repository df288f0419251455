"""`weir prices`: what every model costs and where that is stated, and what GPUs of one's own get done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from contracts.money import plain
from ledger.prices import GpuRate, PriceList, PricesUnknown, Tariff
from ledger.prices.rates import PARTS
from ledger.prices.throughput import USUAL_RATIO, NothingMeasured, Throughput, measure
from router.composition import price_list
from router.config.load import Loaded
from router.config.shutdowns import shutdown_of
from weir.report_output import Moment
from weir.state import ask_ledger, config_option, read_config

_WIDE = 140
_SHOWN = ("input", "output", "cached_input", "cache_write")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def prices() -> None:
    """What models cost, and what is needed to say so."""


@prices.command(
    "list",
    epilog="""\b
Examples:
  weir prices list --config weir.yaml
  weir prices list --json

\b
In US dollars per million tokens, of the prices that hold now. JSON holds every kind of
token, and all prices of longer prompts and of service tiers.""",
)
@config_option
@_json_option
def list_(config: Path, as_json: bool) -> None:
    """Every model's tariff, where it is stated, and when the model is turned off."""
    loaded = read_config(config)
    try:
        found = price_list(loaded)
    except PricesUnknown as error:
        raise click.ClickException(str(error)) from error
    rows = [_row(loaded, found, model) for model in loaded.config.models]
    if as_json:
        click.echo(orjson.dumps({"currency": "USD", "models": rows}, option=orjson.OPT_INDENT_2))
    else:
        _print(rows)


def _row(loaded: Loaded, found: PriceList, model: str) -> dict[str, Any]:
    shutdown, gpu = shutdown_of(loaded.config, model), found.gpu_models.get(model)
    unpriced = model in found.unpriced
    return {
        "model": model,
        "priced_by": found.priced_by(model),
        "per_million_tokens": None if unpriced else _tariff(found.tariff(model)),
        "gpu": None if gpu is None else _gpu(gpu),
        "deprecated": model in found.deprecated,
        "shutdown_date": None if shutdown is None else shutdown.day.isoformat(),
        "shutdown_source": None if shutdown is None else shutdown.source,
    }


def _tariff(tariff: Tariff) -> dict[str, Any]:
    return {
        **_figures(tariff),
        "per_request": plain(tariff.per_request),
        "above": {str(tokens): _figures(longer) for tokens, longer in reversed(tariff.dearer)},
        "tiers": {
            tier: _figures(usual)
            | {"above": {str(tokens): _figures(longer) for tokens, longer in reversed(usual.dearer)}}
            for tier, usual in tariff.tiers.items()
        },
    }


def _figures(tariff: Tariff) -> dict[str, str]:
    return {part: plain(getattr(tariff, part)) for part in PARTS}


def _gpu(rate: GpuRate) -> dict[str, Any]:
    return {name: plain(value) if isinstance(value, Decimal) else value for name, value in asdict(rate).items()}


def _print(rows: list[dict[str, Any]]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _WIDE
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, caption="US dollars per million tokens")
    table.add_column("model", overflow="fold")
    for name in _SHOWN:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for heading in ("differs for", "stated in", "turned off"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        tariff = row["per_million_tokens"]
        figures = ["-"] * len(_SHOWN) if tariff is None else [tariff[name] for name in _SHOWN]
        table.add_row(row["model"], *figures, _differences(row), row["priced_by"], _turned_off(row))
    console.print(table)


def _differences(row: Mapping[str, Any]) -> str:
    tariff = row["per_million_tokens"]
    if tariff is None:
        return ""
    told = [f"more than {int(tokens):,} tokens" for tokens in tariff["above"]]
    told += [
        tier for tier, figures in tariff["tiers"].items() if any(tariff[name] != figures[name] for name in figures)
    ]
    usual = {
        "audio_input": "input",
        "audio_output": "output",
        "reasoning": "output",
        "cache_write_1h": "cache_write",
    }
    told += [name.replace("_", " ") for name, whole in usual.items() if tariff[name] != tariff[whole]]
    if tariff["per_request"] != "0":
        told.append(f"each request: {tariff['per_request']} on top")
    if row["gpu"]:
        told.append(f"{row['gpu']['gpus']} GPUs at {row['gpu']['gpu_hour']} an hour")
    return ", ".join(told)


def _turned_off(row: Mapping[str, Any]) -> str:
    if row["shutdown_date"]:
        return f"{row['shutdown_date']} ({row['shutdown_source']})"
    return "deprecated (genai-prices)" if row["deprecated"] else ""


@prices.command(
    "measure",
    epilog="""\b
Examples:
  weir prices measure small --since 7d
  weir prices measure small --ratio 8 --json

\b
Busy time is the union of the times of the model's requests, from the ledger's database.
Both figures are scaled so that all tokens together take exactly the time that was busy:
docs/guides/prices.md says how.""",
)
@config_option
@click.argument("model")
@click.option(
    "--since", type=Moment(), default="7d", show_default=True, help="From this time on: 24h (ago), 7d, a date."
)
@click.option(
    "--ratio",
    type=click.FloatRange(min=0, min_open=True, max=10_000),
    default=USUAL_RATIO,
    show_default=True,
    help="Prompt tokens that take as long as one completion token, where the events cannot tell.",
)
@_json_option
def measure_(config: Path, model: str, since: datetime, ratio: float, as_json: bool) -> None:
    """Tokens per second of MODEL while it is busy, for a price by the GPU hour."""
    loaded = read_config(config)
    if model not in loaded.config.models:
        raise click.ClickException(f"'{model}' is not one of `models`: {', '.join(loaded.config.models)}.")
    try:
        found = ask_ledger(loaded, lambda database: measure(database, model, since=since, ratio=ratio))
    except NothingMeasured as error:
        raise click.ClickException(
            f"Nothing can be measured: {error} since {since:%Y-%m-%d %H:%M} UTC. Send it some requests first, as "
            "many at a time as it will have to serve, or look further back with --since."
        ) from error
    if as_json:
        click.echo(orjson.dumps({"model": model, "since": since, **asdict(found)}, option=orjson.OPT_INDENT_2))
    else:
        click.echo(_told(model, found, _rate_of(loaded, model)))


def _rate_of(loaded: Loaded, model: str) -> GpuRate | None:
    try:
        return price_list(loaded).gpu_models.get(model)
    except PricesUnknown:  # it may be for this very model that one is being measured
        return None


def _told(model: str, found: Throughput, rate: GpuRate | None) -> str:
    share = found.busy_seconds / found.span_seconds
    compared = (
        f"One completion token takes as long as {found.ratio:.3g} prompt tokens, by least squares."
        if found.fitted
        else f"The events do not tell prompt and completion tokens apart: taken is --ratio {found.ratio:g}."
    )
    hour, gpus = (plain(rate.gpu_hour), rate.gpus) if rate else ("DOLLARS", 1)
    return f"""\
{found.events:,} events ({found.estimated:,} with estimated tokens) in {found.spells:,} spells of work.
{found.prompt:,} prompt and {found.completion:,} completion tokens in {found.busy_seconds:,.1f} busy seconds, \
{share:.1%} of the time measured.
{compared}

models:
  {model}:
    price:
      gpu_hour: {hour}
      gpus: {gpus}
      prompt_tokens_per_second: {_figure(found.prompt_tokens_per_second)}
      completion_tokens_per_second: {_figure(found.completion_tokens_per_second)}"""


def _figure(speed: float) -> str:
    """Four digits: more would not be known."""
    return plain(Decimal(f"{speed:.4g}"))
