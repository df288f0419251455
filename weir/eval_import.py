"""`weir eval import`: suites made of traffic, and of other tools' files.

The non-obvious decision: whatever was not taken over is printed, each thing with its place, and kept in the suite's
`import.json`. A suite that silently asks less than its original would pass more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from weir.encoding import encoder_option
from weir.state import config_option, read_config, state_dir

if TYPE_CHECKING:
    from evals.importing.draft import Draft
    from evals.importing.traffic import Stratum, Wanted
    from evals.scorers.port import Vectors
    from evals.suite import Suite

TRAFFIC, PROMPTFOO, OPENAI = "traffic", "promptfoo", "openai-evals"
_MOST_LEFT = 20

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command(
    "import",
    epilog="""\b
Examples:
  weir eval import promptfooconfig.yaml --as promptfoo --out suites/translate --judge gpt-5.1
  weir eval import eval.json run.json items.jsonl --as openai-evals --out suites/tickets
  weir eval import --as traffic --config weir.yaml --tenant acme --out suites/acme --cases 500
  weir eval import --as traffic --config weir.yaml --log log.jsonl --out suites/log --keep help@tolvana.example

\b
For traffic, a tenant has to allow it in the configuration:
  tenants: {acme: {consents: [evals]}}""",
)
@click.argument("files", nargs=-1, metavar="[FILE]...", type=_file)
@click.option(
    "--as", "kind", required=True, type=click.Choice([TRAFFIC, PROMPTFOO, OPENAI]), help="What it is made of."
)
@click.option(
    "--out", required=True, metavar="FOLDER", type=click.Path(path_type=Path), help="Where the suite goes."
)
@click.option("--judge", default="", metavar="MODEL", help="The model that judges by rubrics.")
@config_option
@click.option("--tenant", "tenants", multiple=True, help="Traffic of this tenant only. Can be given several times.")
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=_file,
    metavar="FILE",
    help="A log of JSON lines; left out, what this Weir wrote down itself. Can be given several times.",
)
@click.option(
    "--cases", type=click.IntRange(1, 100_000), default=300, show_default=True, help="Cases to draw of traffic."
)
@click.option(
    "--least", type=click.IntRange(0), default=3, show_default=True, help="Cases of each intent, if there are any."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another one draws other cases.")
@click.option("--same", type=click.FloatRange(0.5, 1), help="Cosine from which questions are one.  [default: 0.95]")
@click.option(
    "--region", "regions", multiple=True, metavar="CC", help="Where telephone numbers are from, such as DE."
)
@click.option("--keep", multiple=True, metavar="TEXT", help="A text to leave as it is: your own address or number.")
@encoder_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def import_(
    files: tuple[Path, ...],
    kind: str,
    out: Path,
    judge: str,
    config: Path,
    tenants: tuple[str, ...],
    logs: tuple[Path, ...],
    cases: int,
    least: int,
    seed: int,
    same: float | None,
    regions: tuple[str, ...],
    keep: tuple[str, ...],
    encoder: Path,
    as_json: bool,
) -> None:
    """Make a suite of FILE, or of a Weir's traffic.

    promptfoo: a configuration with the files beside it. openai-evals: samples, and what says how they are judged.
    traffic: what tenants who allow it were asked, without what tells who they are, each question once, drawn by
    intent. READ the cases before others do: not everything that tells who somebody is can be found.
    """
    from evals.importing.draft import Unusable, check_free, write

    try:
        check_free(out)
        if kind == TRAFFIC:
            from evals.importing.alike import SAME
            from evals.importing.deidentify import REGIONS
            from evals.importing.traffic import Wanted

            if files:
                raise click.UsageError("Traffic is read from --log FILE, or from what this Weir wrote down.")
            wanted = Wanted(
                cases=cases,
                least=least,
                seed=seed,
                same=same or SAME,
                regions=_known(regions) or REGIONS,
                keep=keep,
                judge=judge,
            )
            draft, strata = _of_traffic(config, tenants, logs, wanted, encoder, out.resolve().name, as_json)
        else:
            draft, strata = _of_files(kind, files, judge), []
        suite = write(out, draft)
    except Unusable as error:
        raise click.ClickException(str(error)) from error
    if as_json:
        _print_json(out, suite, draft)
    else:
        _print(out, suite, draft, strata)


def _of_files(kind: str, files: Sequence[Path], judge: str) -> Draft:
    if not files:
        raise click.UsageError(f"Name the file to import: weir eval import FILE --as {kind} --out FOLDER")
    if kind == OPENAI:
        from evals.importing.openai_evals import read_openai_evals

        return read_openai_evals(files, judge)
    if len(files) > 1:
        raise click.UsageError("A promptfoo configuration is one file; those that it names are read with it.")
    from evals.importing.promptfoo import read_promptfoo

    return read_promptfoo(files[0], judge)


def _of_traffic(
    config: Path,
    tenants: Sequence[str],
    logs: Sequence[Path],
    wanted: Wanted,
    encoder: Path,
    name: str,
    as_json: bool,
) -> tuple[Draft, list[Stratum]]:
    if any(find_spec(package) is None for package in ("phonenumbers", "stdnum", "numpy")):
        raise click.ClickException("This needs phonenumbers and python-stdnum: pip install 'weir[evals]'.")
    from evals.importing.lines import read_traffic
    from evals.importing.traffic import draft_of

    consents = _consents(config, tenants)
    with _progress(as_json) as step:
        reading = read_traffic(consents, logs, state_dir())
        return draft_of(reading, wanted, _encode(encoder), name=name, step=step)


def _consents(config: Path, tenants: Sequence[str]) -> dict[str, bool]:
    """Which of the tenants that are meant consent. Raises click.ClickException where none does."""
    known = read_config(config).config.tenants
    for tenant in tenants:
        if tenant not in known:
            raise click.BadParameter(
                f"there is no tenant {tenant}; there are {', '.join(known)}", param_hint="--tenant"
            )
    meant = {name: "evals" in tenant.consents for name, tenant in known.items() if not tenants or name in tenants}
    if not any(meant.values()):
        first = next(iter(meant))
        raise click.ClickException(
            f"None of {', '.join(meant)} consents to evals. Where a tenant has agreed, write it into {config}:\n"
            f"  tenants: {{{first}: {{consents: [evals]}}}}"
        )
    return meant


def _encode(folder: Path) -> Callable[[Sequence[str]], Vectors] | None:
    """None where there is no encoder, which is told."""
    from weir.encoding import encode_with, session_of

    try:
        return encode_with(session_of(folder))
    except click.ClickException as error:
        click.echo(f"Without an encoder, only equal questions are taken for one. {error.message}", err=True)
        return None


def _known(regions: Sequence[str]) -> tuple[str, ...]:
    if not regions:
        return ()
    from phonenumbers import SUPPORTED_REGIONS

    for region in regions:
        if region.upper() not in SUPPORTED_REGIONS:
            raise click.BadParameter(f"{region} is no region; write two letters, such as DE", param_hint="--region")
    return tuple(region.upper() for region in regions)


@contextmanager
def _progress(hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        tasks: dict[str, Any] = {}

        def step(what: str, done: int, of: int) -> None:
            task = tasks.get(what)
            if task is None:
                task = tasks[what] = progress.add_task(what, total=of)
            progress.update(task, completed=done)

        yield step


def _print_json(out: Path, suite: Suite, draft: Draft) -> None:
    import orjson

    told = {
        "folder": str(out),
        "suite": suite.name,
        "version": suite.version,
        "cases": len(suite.cases),
        "scorers": [scorer.called for scorer in suite.scorers],
        "quality": suite.quality,
        **draft.lineage,
        "left": draft.left,
        "notes": draft.notes,
    }
    click.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())


def _print(out: Path, suite: Suite, draft: Draft, strata: Sequence[Stratum]) -> None:
    click.echo(f"{out} has {len(suite.cases)} cases; {suite.quality} stands for quality.")
    for key in ("counts", "left_out", "without_consent", "hidden"):
        said = draft.lineage.get(key)
        if said:
            click.echo(f"{key.replace('_', ' ')}: {', '.join(f'{count:,} {what}' for what, count in said.items())}")
    if strata:
        _print_strata(strata)
    for note in draft.notes:
        click.echo(note.replace("\n", " "))
    if draft.left:
        click.echo(f"Not taken over ({len(draft.left)}):")
        for one in draft.left[:_MOST_LEFT]:
            click.echo(f"  {one}")
        if len(draft.left) > _MOST_LEFT:
            click.echo(f"  and {len(draft.left) - _MOST_LEFT} more; import.json has all of them")
    click.echo(f"Next: weir eval run {quote(str(out))} --target MODEL --out runs/first")


def _print_strata(strata: Sequence[Stratum]) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE)
    for heading in ("intent", "asked", "kept", "drawn"):
        table.add_column(heading, justify="left" if heading == "intent" else "right")
    for stratum in strata:
        table.add_row(escape(stratum.intent), *(f"{n:,}" for n in (stratum.asked, stratum.kept, stratum.drawn)))
    Console(file=sys.stdout).print(table)
