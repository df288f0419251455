"""Commands of `weir` that pages show are commands; those of the guides to money do what they are shown for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ledger.spool import Spool
from tests.deploy.deployment import parse_command
from weir.__main__ import main

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
routes: {support: {candidates: [large]}}
tenants: {acme: {}, globex: {}}
"""


def shown(page: Path) -> list[list[str]]:
    """The arguments of each command in its blocks, in order. Where its output goes is the shell's business."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in re.findall(r"^(?:\$ )?weir (.+)", block, re.MULTILINE)]
    return [shlex.split(line.partition(" > ")[0], comments=True) for line in lines]


def verbs(command: click.Command, path: str = "") -> Iterator[str]:
    """Each command that does something, as it is typed after `weir`."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from verbs(found, f"{path} {name}".strip())
    else:
        yield path


@pytest.mark.parametrize("page", [page for page in PAGES if shown(page)], ids=lambda page: page.name)
def test_commands_are_understood(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("examples").symlink_to(ROOT / "examples")
    for arguments in shown(page):
        for argument in arguments:
            if re.fullmatch(r"[\w-]+\.(csv|json|jsonl|yaml)", argument):
                Path(argument).touch()
            if re.fullmatch(r"(runs|suites)/\w+", argument):
                Path(argument).mkdir(parents=True, exist_ok=True)
        if "--from" in arguments:
            Path(arguments[arguments.index("--from") + 1]).mkdir()
        parse_command(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_verbs_that_are_named_in_passing_exist(page: Path) -> None:
    for verb, rest in re.findall(r"`(?:\.venv/bin/)?weir ([a-z]+)((?: [a-z]+)?)", page.read_text()):
        command = main.get_command(click.Context(main), verb)
        assert command is not None, verb
        if isinstance(command, click.Group) and rest:
            assert command.get_command(click.Context(command), rest.strip()), f"{verb}{rest}"


def test_every_verb_is_on_some_page() -> None:
    text = "".join(page.read_text() for page in PAGES)
    known = list(verbs(main))
    assert len(known) > 40
    assert [verb for verb in known if f"weir {verb}" not in text] == []


@pytest.mark.parametrize("guide", ["access", "budgets", "ledger"])
def test_the_guides_to_money_can_be_followed(guide: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    Path("weir.yaml").write_text(CONFIG)
    Spool(Path("state/spool")).close()
    for arguments in shown(ROOT / f"docs/guides/{guide}.md"):
        if "42:1f0c..." not in arguments:  # a head that is shortened
            done: Result = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, (arguments, done.output)
