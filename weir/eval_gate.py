"""`weir eval gate`: hold a run against rules, for CI and before anything is promoted."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weir.writing import writing

if TYPE_CHECKING:
    from evals.gating.verdict import Check, Verdict
    from registry.store import Registry

_STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable in which GitHub names a job's summary, a file to append Markdown to."""

_LOG_WIDTH = 132
"""Columns of a table in a log, which nobody's window bounds."""

_folder = click.Path(file_okay=False, path_type=Path)
_file = click.Path(dir_okay=False, path_type=Path)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"""\b
Examples:
  weir eval gate runs/new --rules gate.yaml
  weir eval gate runs/new --baseline runs/main --rules gate.yaml --junit gate.xml --markdown gate.md
  weir eval gate runs/new --rules gate.yaml --json --record prompt/support@0123456789abcdef

\b
Exit status: 0 passed, 1 refused or it could not be, 2 a wrong option.
Where {_STEP_SUMMARY} is set and --markdown is not, the summary is appended to that file.""",
)
@click.argument("run", metavar="DIR", type=_folder)
@click.option("--rules", required=True, type=_file, help="The rules, in YAML.")
@click.option("--baseline", type=_folder, help="The run to compare with, such as that of the main branch.")
@click.option("--junit", type=_file, metavar="FILE", help="Write the checks as JUnit XML.")
@click.option("--markdown", type=_file, metavar="FILE", help="Write a summary in GitHub's Markdown.")
@click.option(
    "--record",
    metavar="KIND/NAME@VERSION",
    help="Write the verdict down in the registry, as evidence on this version.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def gate(
    run: Path,
    rules: Path,
    baseline: Path | None,
    junit: Path | None,
    markdown: Path | None,
    record: str | None,
    as_json: bool,
) -> None:
    """Hold the run in DIR against rules.

    Those that failed come first, with figure and bound. A rule that cannot be told fails. All checks are in --json,
    --junit and --markdown.
    """
    from evals.gating.gate import judge
    from evals.gating.junit import to_junit
    from evals.gating.markdown import to_markdown
    from evals.gating.rules import read_rules
    from evals.run_folder import RunUnusable, read_run

    subject = _subject(record)
    try:
        asked = read_rules(rules)
        one, other = read_run(run), read_run(baseline) if baseline else None
        with _busy():
            verdict = judge(one, asked, other)
    except (RunUnusable, ValueError) as error:  # RulesUnusable is a ValueError
        raise click.ClickException(str(error)) from error
    if junit is not None:
        with writing(junit):
            junit.write_bytes(to_junit(verdict))
    _write_summary(markdown, to_markdown(verdict))
    if subject is not None:
        _record(subject, verdict)
    if as_json:
        _print_json(verdict)
    else:
        _print(verdict)
    if not verdict.passed:
        raise click.exceptions.Exit(1)


def _subject(record: str | None) -> tuple[str, str, str] | None:
    """KIND, NAME and VERSION of an artefact; a name may hold slashes. Raises click.BadParameter."""
    if record is None:
        return None
    kind, slash, rest = record.partition("/")
    name, at, version = rest.rpartition("@")
    if not (slash and at and kind and name and version):
        raise click.BadParameter(
            f"'{record}' is no KIND/NAME@VERSION, such as prompt/support@0123456789abcdef", param_hint="--record"
        )
    return kind, name, version


def _busy() -> AbstractContextManager[object]:
    from rich.console import Console

    console = Console(stderr=True)
    return console.status("comparing") if console.is_terminal else nullcontext()


def _write_summary(path: Path | None, text: str) -> None:
    appended = os.environ.get(_STEP_SUMMARY)
    if path is not None:
        with writing(path):
            path.write_text(text, encoding="utf-8")
    elif appended:
        with writing(Path(appended)), Path(appended).open("a", encoding="utf-8") as file:
            file.write(text)


def _record(subject: tuple[str, str, str], verdict: Verdict) -> None:
    import msgspec

    from registry.store import Registry
    from weir.registry_state import faults
    from weir.router_artefact import operator
    from weir.state import state_dir

    kind, name, version = subject
    with faults():
        registry = Registry(state_dir() / "registry")
        registry.verdict(
            kind,
            name,
            _version(registry, kind, name, version),
            passed=verdict.passed,
            by=operator(),
            reason=verdict.summary,
            evidence={"gate": msgspec.to_builtins(verdict)},
        )


def _version(registry: Registry, kind: str, name: str, version_or_alias: str) -> str:
    """It need not be stored: what is refused may never be. Raises RegistryFault, click.ClickException."""
    version = registry.aliases(kind, name).get(version_or_alias, version_or_alias)
    if not re.fullmatch("[0-9a-f]{16}", version):
        raise click.ClickException(
            f"{kind} {name} has no alias '{version}', and it is no version: one has 16 hex digits, such as "
            "`weir registry list` shows."
        )
    return version


def _print_json(verdict: Verdict) -> None:
    import msgspec
    import orjson

    click.echo(orjson.dumps(msgspec.to_builtins(verdict), option=orjson.OPT_INDENT_2).decode())


def _print(verdict: Verdict) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE)
    for heading in ("", "rule", "about", "figure", f"{verdict.level:.0%} interval", "must be"):
        table.add_column(heading)
    for cells in _rows(verdict):
        table.add_row(*map(escape, cells))
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = max(console.width, _LOG_WIDTH)
    console.print(table)
    for line in [*(f"{check.name}: {check.why}" for check in verdict.failed if check.why), *verdict.notes]:
        console.print(line)
    console.print(verdict.summary)


def _rows(verdict: Verdict) -> Iterator[Sequence[str]]:
    """Each check that failed; of those that passed a row for each rule, since nobody reads forty."""
    passed: dict[str, list[Check]] = defaultdict(list)
    for check in verdict.checks:
        if check.passed:
            passed[check.rule].append(check)
        else:
            yield "failed", check.rule, check.about, check.estimate, check.interval, check.limit
    for rule, (check, *others) in passed.items():
        if others:
            yield "passed", rule, f"{len(others) + 1} of them", "", "", check.limit
        else:
            yield "passed", rule, check.about, check.estimate, check.interval, check.limit
