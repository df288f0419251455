"""`weir report roi`: what was saved against a measured counterfactual, or what a supposed saving would be worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from ledger.reports.document import Report
from ledger.reports.roi import roi_report
from ledger.reports.single_events import Span
from ledger.reports.what_if import Stated, WhatIf, decimal_of, monthly_bill, share_of, what_if_report
from weir.report_output import Output, ask_report, deliver, report_options
from weir.state import read_config

_Command = TypeVar("_Command", bound=Callable[..., None])
_SUPPOSED = ("monthly_cost", "cost_per_call", "calls_per_month", "saving")
_MEASURED = ("tenant", "since", "until", "route", "confidence")


class Exact(click.ParamType[Decimal]):
    """A number to its last digit, or a share of one."""

    def __init__(self, name: str, read: Callable[[str], Decimal]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        if isinstance(value, Decimal):
            return value
        try:
            return self._read(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


AMOUNT = Exact("number", decimal_of)
SHARE = Exact("share", share_of)


def stated_options(command: _Command) -> _Command:
    """`--hours --hourly-rate --running-cost --years`: what no ledger knows."""
    for option in (
        click.option("--years", type=AMOUNT, default="3", show_default=True, help="Write implementation off over."),
        click.option("--running-cost", type=AMOUNT, default="0", help="Dollars a month to run Weir itself."),
        click.option("--hourly-rate", type=AMOUNT, help="Dollars an hour of them cost."),
        click.option("--hours", type=AMOUNT, help="Hours it took to get there."),
    ):
        command = option(command)
    return command


@click.command(
    epilog="""\b
Examples:
  weir report roi --since 30d --hours 400 --hourly-rate 70
  weir report roi --route support --confidence 90% --json
  weir report roi --what-if --monthly-cost 10000 --saving 30% --hours 400 --hourly-rate 70
  weir report roi --what-if --cost-per-call 0.01 --calls-per-month 100000000 --saving 0.5

\b
Routes with `counterfactual` measure what they save: lots send a small share of requests
to the reference, past the cache. See docs/guides/roi.md. --what-if asks no ledger and
reads no configuration."""
)
@report_options
@click.option("--route", help="Only this route.")
@click.option("--confidence", type=SHARE, help="Of the intervals, 50% to 99%. Left out: 95%.")
@stated_options
@click.option("--what-if", "what_if", is_flag=True, help="Suppose a saving instead of measuring it.")
@click.option("--monthly-cost", type=AMOUNT, help="With --what-if: the bill of a month, in dollars.")
@click.option("--cost-per-call", type=AMOUNT, help="With --what-if, instead: dollars a call ...")
@click.option("--calls-per-month", type=AMOUNT, help="... and calls in a month.")
@click.option("--saving", type=SHARE, help="With --what-if: the share saved, as 30% or 0.30.")
def roi(config: Path, what_if: bool, output: Output, **options: Any) -> None:
    """What was saved, net of all it cost, with an interval, and when it pays back."""
    stated = _stated(options)
    if what_if:
        _refuse(options, _MEASURED, "is about the ledger, which --what-if does not ask.")
        deliver(what_if_report(_supposed(options, stated)), output)
        return
    _refuse(options, _SUPPOSED, "is a supposition. Add --what-if, or leave it out to measure.")
    deliver(_measured(config, options, stated), output)


def _measured(config: Path, options: Mapping[str, Any], stated: Stated) -> Report:
    confidence = Decimal("0.95") if options["confidence"] is None else options["confidence"]
    if not Decimal("0.5") <= confidence <= Decimal("0.99"):
        raise click.UsageError("--confidence must be from 50% to 99%.")
    loaded = read_config(config)
    routes = loaded.config.routes
    route = options["route"]
    drawing = {name: each.counterfactual is not None for name, each in routes.items() if route in (None, name)}
    tenant, since, until = options["tenant"], options["since"], options["until"]
    span = Span(since=since, until=until, tenant=tenant, route=route)
    return ask_report(
        loaded,
        lambda database, folder: roi_report(
            database, folder, span, drawing=drawing, stated=stated, confidence=float(confidence)
        ),
        tenant=tenant,
        since=since,
        until=until,
    )


def _supposed(options: Mapping[str, Any], stated: Stated) -> WhatIf:
    if options["saving"] is None:
        raise click.UsageError("--what-if needs --saving: the share saved, as 30% or 0.30.")
    whole, each, calls = options["monthly_cost"], options["cost_per_call"], options["calls_per_month"]
    if whole is not None and (each is not None or calls is not None):
        raise click.UsageError("Give --monthly-cost, or --cost-per-call and --calls-per-month, not both.")
    if whole is None and (each is None or calls is None):
        raise click.UsageError("--what-if needs --monthly-cost, or --cost-per-call and --calls-per-month.")
    return WhatIf(
        monthly_cost=monthly_bill(each, calls) if whole is None else whole, saving=options["saving"], stated=stated
    )


def _stated(options: Mapping[str, Any]) -> Stated:
    hours, rate, years = options["hours"], options["hourly_rate"], options["years"]
    if (hours is None) != (rate is None):
        raise click.UsageError("--hours and --hourly-rate belong together: give both, or neither.")
    if not 0 < years <= 100:
        raise click.UsageError("--years must be more than 0 and at most 100.")
    zero = Decimal(0)
    return Stated(hours=hours or zero, hourly_rate=rate or zero, running_cost=options["running_cost"], years=years)


def _refuse(options: Mapping[str, Any], names: tuple[str, ...], why: str) -> None:
    for name in names:
        if options[name] is not None:
            raise click.UsageError(f"--{name.replace('_', '-')} {why}")
