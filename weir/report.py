"""`weir report`: what the ledger knows. Exact while servers run: see `ledger.reports`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from contracts.money import plain
from ledger.reports import DIMENSIONS, CostReport, Dimension, Place, Sums, cost_report
from ledger.spool import REJECTED
from weir.state import ask_ledger, config_option, read_config, spool_dir, state_dir

_AGO = re.compile(r"(\d{1,6})([hd])")
_WIDE = 120
_NARROWEST = 6
_COLUMNS = (
    "requests",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost",
    "saved",
    "hits",
    "hit_rate",
    "failed",
    "estimated",
    "estimated_share",
)


class _Moment(click.ParamType[datetime]):
    """A time in ISO 8601 (UTC where it names no zone), or hours or days ago."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        text = str(value)
        try:
            if ago := _AGO.fullmatch(text):
                hours = int(ago[1]) * (24 if ago[2] == "d" else 1)
                return datetime.now(UTC) - timedelta(hours=hours)
            moment = datetime.fromisoformat(text)
        except (ValueError, OverflowError):
            self.fail(f"'{text}' is no time. Write 2026-11-01, 2026-11-01T09:30+01:00, 24h or 30d.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _Cut(click.ParamType[tuple[Dimension, ...]]):
    """Dimensions, separated by commas."""

    name = "cut"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Dimension, ...]:
        names = str(value).split(",")
        chosen = tuple(dimension for name in names for dimension in DIMENSIONS if dimension == name.strip())
        if len(chosen) != len(names) or len(set(chosen)) != len(chosen):
            self.fail(f"'{value}' must name some of {', '.join(DIMENSIONS)}, each once, with commas.", param, ctx)
        return chosen


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def report() -> None:
    """Reports from the ledger."""


@report.command(
    epilog="""\b
Examples:
  weir report costs --config examples/support/weir.yaml
  weir report costs --by tenant --since 30d
  weir report costs --tenant acme --since 2026-11-01 --until 2026-12-01 --csv

\b
Tokens are those that upstreams billed; an answer from the cache adds none. A hit is
an exact or semantic one. JSON and CSV hold every column, and money as exact decimals."""
)
@config_option
@click.option("--tenant", help="Only this tenant.")
@click.option("--since", type=_Moment(), help="From this time on: 2026-11-01, 24h (ago), 30d.")
@click.option("--until", type=_Moment(), help="Before this time.")
@click.option("--by", type=_Cut(), default=",".join(DIMENSIONS), show_default=True, help="What makes a row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def costs(
    config: Path,
    tenant: str | None,
    since: datetime | None,
    until: datetime | None,
    by: tuple[Dimension, ...],
    as_json: bool,
    as_csv: bool,
) -> None:
    """What was spent and saved, in dollars, per tenant, route and model."""
    if as_json and as_csv:
        raise click.UsageError("Choose one of --json and --csv.")
    folder = spool_dir(state_dir())
    found = ask_ledger(
        read_config(config),
        lambda database: cost_report(database, folder, since=since, until=until, tenant=tenant),
    )
    rows = found.cut(by)
    if as_json:
        click.echo(orjson.dumps(_document(found, by, rows), option=orjson.OPT_INDENT_2))
    elif as_csv:
        click.echo(_csv(by, rows), nl=False)
    else:
        _print(found, by, rows)
    if found.set_aside and not as_json:
        note = "records that could not be read or stored are not counted"
        click.echo(f"{found.set_aside} {note}: see {folder / REJECTED}", err=True)


def _document(found: CostReport, by: Sequence[Dimension], rows: Mapping[Place, Sums]) -> dict[str, Any]:
    return {
        "since": found.since,
        "until": found.until,
        "tenant": found.tenant,
        "by": by,
        "rows": [dict(zip(by, place, strict=True)) | _values(sums) for place, sums in rows.items()],
        "total": _values(found.total),
        "set_aside": found.set_aside,
    }


def _values(sums: Sums) -> dict[str, Any]:
    values = {name: getattr(sums, name) for name in _COLUMNS}
    return values | {"cost": plain(sums.cost), "saved": plain(sums.saved)}


def _csv(by: Sequence[Dimension], rows: Mapping[Place, Sums]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*by, *_COLUMNS])
    writer.writerows([*place, *_values(sums).values()] for place, sums in rows.items())
    return text.getvalue()


def _print(found: CostReport, by: Sequence[Dimension], rows: Mapping[Place, Sums]) -> None:
    console = Console()
    if not rows:
        console.print("No requests in this span.")
        return
    wide = console.width >= _WIDE
    total = found.total
    table = Table(show_footer=True, box=SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for index, dimension in enumerate(by):
        table.add_column(dimension, footer="" if index else "total", overflow="fold", min_width=_NARROWEST)
    headings = ["requests", "hits", "cost $", "saved $"]
    if wide:
        headings += ["failed", "prompt", "completion", "cached", "estimated"]
    for heading, sum_ in zip(headings, _cells(total, wide), strict=True):
        table.add_column(heading, footer=sum_, justify="right", no_wrap=True)
    for place, sums in rows.items():
        table.add_row(*(name or "-" for name in place), *_cells(sums, wide))
    console.print(table)
    if not wide:
        console.print(
            f"Billed tokens: {total.prompt_tokens:,} prompt ({total.cached_tokens:,} cached by providers), "
            f"{total.completion_tokens:,} completion. Of all requests, {total.estimated_share:.1%} were estimated "
            f"and {total.failed:,} failed.",
            highlight=False,
        )


def _cells(sums: Sums, wide: bool) -> list[str]:
    cells = [f"{sums.requests:,}", f"{sums.hit_rate:.1%}", plain(sums.cost), plain(sums.saved)]
    if wide:
        cells += [
            f"{sums.failed:,}",
            f"{sums.prompt_tokens:,}",
            f"{sums.completion_tokens:,}",
            f"{sums.cached_tokens:,}",
        ]
        cells.append(f"{sums.estimated_share:.1%}")
    return cells
