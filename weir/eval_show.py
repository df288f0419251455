"""`weir eval show`: what came of a run, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from evals.reporting.terminal import Wanted

_LIMIT = 20
_MOST_NAMED = 12


@click.command(
    epilog="""\b
Examples:
  weir eval show runs/small
  weir eval show runs/small --cases bad --segment refunds
  weir eval show runs/small --cases bad --scorer polite
  weir eval show runs/small --cases errors --json"""
)
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--cases", "wanted", type=click.Choice(["bad", "all", "errors"]), help="Show cases too: which.")
@click.option("--segment", metavar="SEGMENT", help="Only this segment.")
@click.option("--scorer", metavar="NAME", help="Bad by this scorer.  [default: the one that stands for quality]")
@click.option("--limit", type=click.IntRange(1), default=_LIMIT, show_default=True, help="So many cases at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(
    folder: Path, wanted: Wanted | None, segment: str | None, scorer: str | None, limit: int, as_json: bool
) -> None:
    """What came of the run in DIR: rates with their intervals, cost and latency, by segment and by group.

    A run that is not complete yet is shown as far as it is. Bad cases score under half.
    """
    import msgspec
    from rich.console import Console

    from evals.reporting.terminal import as_json as case_as_json
    from evals.reporting.terminal import picked, print_cases, print_run
    from evals.run_folder import RunUnusable, read_run
    from evals.summary import summarise

    try:
        run = read_run(folder)
        summary = summarise(run)
    except (RunUnusable, ValueError) as error:
        raise click.ClickException(str(error)) from error
    _check("--segment", segment, {case.segment for case in run.cases.values()})
    _check("--scorer", scorer, run.manifest.scorers)
    found = picked(run, wanted, segment, scorer or "") if wanted else []
    if as_json:
        told = msgspec.to_builtins(summary)
        if wanted:
            told["found"] = len(found)
            told["cases"] = [case_as_json(one) for one in found[:limit]]
        click.echo(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
        return
    console = Console(soft_wrap=False)
    print_run(summary, console, segment)
    if wanted:
        print_cases(found, console, limit)


def _check(option: str, value: str | None, names: Iterable[str]) -> None:
    known = sorted(names)
    if value is None or value in known:
        return
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    told = f"there is no {value!r}; there are {', '.join(known[:_MOST_NAMED])}{more}"
    raise click.BadParameter(told, param_hint=option)
