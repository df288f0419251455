"""The guide to what is saved: its commands are commands, its names are those that there are."""

from __future__ import annotations

import re
from pathlib import Path

import click
import msgspec
import pytest
import yaml

from ledger.reports.bootstrap import LEAST_CLUSTERS, MOST_GROUPS
from ledger.reports.incidents import ENOUGH, MANY
from ledger.reports.next_steps import EFFORTS
from ledger.reports.quality import Quality
from ledger.reports.roi_notes import FEW_DAYS
from router.config.schema import Route
from weir.report import report

GUIDE = (Path(__file__).parents[2] / "docs/guides/roi.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^weir report (\w+) ([^\n>]*)", GUIDE, re.MULTILINE)
WORDS = " ".join(GUIDE.split())


@pytest.mark.parametrize(("name", "arguments"), COMMANDS)
def test_commands_are_understood(
    name: str, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = report.get_command(click.Context(report), name)
    assert command is not None
    assert command.make_context(name, arguments.split())


def test_every_report_of_this_guide_has_a_command() -> None:
    assert {name for name, _ in COMMANDS} == {"roi", "audit", "summary"}


def test_its_configuration_is_one() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    route = Route.model_validate(yaml.safe_load(block)["routes"]["support"])
    assert route.counterfactual is not None and route.counterfactual.share == 0.02


def test_its_quality_file_can_be_read() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert msgspec.json.decode(block, type=Quality).difference == -0.004


def test_its_figures_are_those_of_the_code() -> None:
    for told in (
        f"fewer than {LEAST_CLUSTERS} equal conversations",
        f"More than {MOST_GROUPS:,} conversations",
        f"more than {MANY * 100:.0f} % of at least {ENOUGH} requests failed",
        f"less than {FEW_DAYS} days",
        f"({', '.join(EFFORTS.values())})",
    ):
        assert told in WORDS
