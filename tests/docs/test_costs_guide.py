"""The guide to costs: its commands are commands, its columns are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from ledger.reports.cost_page import FIGURES
from ledger.reports.costs import DIMENSIONS
from ledger.reports.focus import COLUMNS
from ledger.reports.formats.as_csv import FORMULA
from weir.report import report

GUIDE = (Path(__file__).parents[2] / "docs/guides/costs.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^weir report (\w+) ([^\n>]*)", GUIDE, re.MULTILINE)


def table_under(heading: str) -> set[str]:
    """The code in the first column of the table below `## heading`."""
    section = GUIDE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_are_understood(
    name: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for file in re.findall(r"--check (\S+)", arguments):
        Path(file).touch()
    command = report.get_command(click.Context(report), name)
    assert command is not None
    assert command.make_context(name, arguments.split())


def test_every_dimension_and_column_is_explained() -> None:
    assert table_under("What makes a row") == {*DIMENSIONS, "tag:NAME"}
    assert table_under("The columns") == {column.name for column in FIGURES}
    assert table_under("FOCUS") <= set(COLUMNS) | {"x_"}


def test_what_csv_marks_is_told() -> None:
    for sign in "=+-@":
        assert sign in FORMULA
        assert f"`{sign}`" in GUIDE
