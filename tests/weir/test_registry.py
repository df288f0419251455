"""`weir registry`: what is listed, shown and verified on the command line, and that the guide says so."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from registry.reading import READ_AGAIN
from registry.store import Registry
from weir.registry import registry as verbs

GUIDE = (Path(__file__).parents[2] / "docs/guides/registry.md").read_text(encoding="utf-8")
Run = Callable[..., Result]


@pytest.fixture
def stored(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "state/registry")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *arguments: CliRunner().invoke(verbs, arguments)


@pytest.fixture
def versions(stored: Registry) -> tuple[str, str]:
    first, second = (
        stored.put("router", "support/acme", {"quality.npz": content}, {"summary": f"The {content.decode()} one."})
        for content in (b"first", b"second")
    )
    stored.verdict("router", "support/acme", second, passed=True, by="gate", reason="better", evidence={})
    stored.point("router", "support/acme", "production", first, by="jane", reason="to begin")
    stored.point("router", "support/acme", "production", second, by="jane", reason="\x1b[31mbetter")
    stored.put("cascade", "support/globex", {"check.npz": b""}, {})
    return first, second


def test_a_list_tells_what_is_in_use(run: Run, versions: tuple[str, str]) -> None:
    first, second = versions
    lines = [line.split() for line in run("list").stdout.splitlines()]
    assert ["support/acme", "router", second, first, "2"] in lines
    assert ["support/globex", "cascade", "1"] in lines
    (listed,) = json.loads(run("list", "--kind", "router", "--json").stdout)
    assert listed == {
        "kind": "router",
        "name": "support/acme",
        "aliases": {"production": second, "previous": first},
        "versions": [first, second],
    }


def test_a_card_is_shown_by_alias_or_version(run: Run, versions: tuple[str, str]) -> None:
    first, second = versions
    assert "The second one." in run("show", "support/acme").stdout
    for which in ("previous", first):
        text = run("show", "support/acme", which).stdout
        assert text.startswith("---\nmodel_name: ")
        assert "The first one." in text
        assert f"production became {second}" in text
    shown = json.loads(run("show", "support/acme", "--json").stdout)
    assert (shown["version"], shown["files"]) == (second, ["quality.npz"])
    assert (Path(shown["folder"]) / "quality.npz").read_bytes() == b"second"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "support/none"), "no alias or version 'production'"),
        (("show", "support/acme", "canary"), "its aliases: previous, production"),
        (("show", "support/acme", "0123456789abcdef"), "There is no version"),
        (("show", "../acme"), "is no name"),
        (("list", "--kind", ".."), "is no name"),
    ],
)
def test_what_is_not_there_is_an_error(
    run: Run, versions: tuple[str, str], arguments: tuple[str, ...], said: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_damaged_artefact_is_not_shown(run: Run, stored: Registry, versions: tuple[str, str]) -> None:
    path = stored.get("router", "support/acme").folder / "quality.npz"
    path.chmod(0o600)
    path.write_bytes(b"third")
    result = run("show", "support/acme")
    assert result.exit_code == 1
    assert (result.stdout, "is damaged" in result.stderr) == ("", True)


def test_the_log_tells_each_change(run: Run, versions: tuple[str, str]) -> None:
    first, second = versions
    lines = [re.sub(r"^ +(\d+)  \S+ \S+  ", r"\1 ", line) for line in run("log").stdout.splitlines()]
    about = "router support/acme"
    assert lines == [
        f"1 put  {about}  {first}  by weir",
        f"2 put  {about}  {second}  by weir",
        f"3 verdict passed  {about}  {second}  by gate  better",
        f"4 point production  {about}  {first}  by jane  to begin",
        f"5 point production  {about}  {first} -> {second}  by jane  [31mbetter",
        f"6 put  cascade support/globex  {json.loads(run('list', '--json').stdout)[0]['versions'][0]}  by weir",
    ]
    entries = json.loads(run("log", "--name", "support/globex", "--json").stdout)
    assert [entry["number"] for entry in entries] == [6]


def test_the_log_tells_a_students_story_with_its_figures(run: Run, stored: Registry) -> None:
    version = stored.put("student", "support", {"student.json": b"{}"}, {})
    rows = [{"metric": "agreement", "value": 0.9123456, "low": 0.9}, {"metric": "note", "value": "none"}]
    found = {"evidence": rows, "share": 0.5, "passed": True, "encoder": "0123", "rules": {"margin": 1}}
    stored.verdict("student", "support", version, passed=True, by="gate", reason="not worse", evidence=found)
    stored.point("student", "support", "production", version, by="jane", reason="go", evidence={"n": 400})
    stored.put("router", "support", {"check.npz": b""}, {})
    lines = [re.sub(r"^ +\d+  \S+ \S+  ", "", line) for line in run("log", "--kind", "student").stdout.splitlines()]
    assert lines == [
        f"put  student support  {version}  by weir",
        f"verdict passed  student support  {version}  by gate  not worse  (share 0.5, agreement 0.912346)",
        f"point production  student support  {version}  by jane  go  (n 400)",
    ]
    assert "Nothing is written about prompt in" in run("log", "--kind", "prompt").stdout
    assert [entry["kind"] for entry in json.loads(run("log", "--kind", "router", "--json").stdout)] == ["router"]


def test_large_files_are_checked_only_where_that_is_asked_for(run: Run, stored: Registry, tmp_path: Path) -> None:
    (tmp_path / "weights").touch()
    os.truncate(tmp_path / "weights", READ_AGAIN + 1)
    version = stored.put("student", "support", {"a.gguf": tmp_path / "weights"}, {"summary": "A student."})
    path = stored.get("student", "support", version).folder / "a.gguf"
    path.chmod(0o600)
    os.truncate(path, READ_AGAIN + 2)
    shown = run("show", "support", version, "--kind", "student")
    assert "A student." in shown.stdout
    assert "were not checked: --check does" in shown.stderr
    checked = run("show", "support", version, "--kind", "student", "--check")
    assert (checked.exit_code, checked.stdout, "is damaged" in checked.stderr) == (1, "", True)


def test_an_export_needs_an_artefact_and_to_know_where_to(run: Run, versions: tuple[str, str]) -> None:
    assert run("export", "--to", "mlflow", "router", "support/acme").exit_code == 2
    absent = run("export", "--to", "mlflow", "--uri", "sqlite://", "student", "support/acme")
    assert absent.exit_code == 1
    assert "no alias or version 'production'" in absent.stderr


def test_a_whole_log_is_said_to_be_and_a_changed_one_fails(
    run: Run, stored: Registry, versions: tuple[str, str]
) -> None:
    whole = run("log", "--verify")
    assert whole.exit_code == 0
    assert whole.stdout.startswith("6 entries in ")
    stored.log.path.write_bytes(stored.log.path.read_bytes().replace(b"to begin", b"to win"))
    changed = run("log", "--verify")
    assert changed.exit_code == 1
    assert changed.stdout == "line 5: does not follow the line before: entry 4 was changed\n"
    as_json = run("log", "--verify", "--json")
    assert as_json.exit_code == 1
    assert [problem["line"] for problem in json.loads(as_json.stdout)["problems"]] == [5]


def test_there_may_be_nothing(run: Run, tmp_path: Path) -> None:
    for arguments in (("list",), ("log",), ("log", "--verify")):
        result = run(*arguments)
        assert result.exit_code == 0
        assert "state/registry" in result.stdout
    assert not (tmp_path / "state").exists()


def test_another_state_folder_may_be_named(run: Run, versions: tuple[str, str], tmp_path: Path) -> None:
    assert json.loads(run("list", "--state", str(tmp_path), "--json").stdout) == []
    assert len(json.loads(run("list", "--state", str(tmp_path / "state"), "--json").stdout)) == 2


def test_a_name_does_not_go_with_a_verification(run: Run) -> None:
    assert run("log", "--verify", "--name", "support/acme").exit_code == 2
    assert run("log", "--verify", "--kind", "router").exit_code == 2


def test_the_guide_shows_each_verb_and_only_options_that_exist() -> None:
    lines = re.findall(r"^weir registry (\w+)([^#\n]*)", GUIDE, re.MULTILINE)
    assert {verb for verb, _ in lines} == set(verbs.list_commands(click.Context(verbs)))
    for verb, rest in lines:
        command = verbs.get_command(click.Context(verbs), verb)
        assert command is not None
        shown = CliRunner().invoke(command, ["--help"]).output
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in shown
