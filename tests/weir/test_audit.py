"""`weir audit`: what was changed and by whom; and a log that somebody touched ends the command with status 1."""

from __future__ import annotations

import getpass
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from registry.store import Registry
from weir.audit import audit
from weir.budgets import budgets
from weir.keys import keys
from weir.tenants import tenants

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
tenants: {acme: {}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    Path("weir.yaml").write_text(CONFIG)
    return lambda *arguments: CliRunner().invoke(audit, arguments)


def change_things() -> str:
    """Three changes; the id of the key that is among them."""
    invoke = CliRunner().invoke
    invoke(tenants, ["create", "initech", "--reason", "contract 17"])
    key = json.loads(invoke(keys, ["create", "--tenant", "initech", "--json"]).stdout)
    invoke(budgets, ["set", "calm", "--requests", "60", "--per", "minute"])
    return str(key["id"])


def tamper(statement: str) -> None:
    database = sqlite3.connect("state/weir.db")
    with database:
        database.execute(statement)
    database.close()


def test_the_log_tells_who_changed_what_and_why(run: Run) -> None:
    key_id = change_things()
    first, second, third = run("log").stdout.splitlines()
    assert "tenant.created  initech" in first
    assert f"by cli:{getpass.getuser()}  contract 17" in first
    assert f"key.created  {key_id}" in second
    assert '"requests":60' in third
    (entry,) = json.loads(run("log", "--subject", key_id, "--json").stdout)
    assert (entry["number"], entry["what"], entry["after"]["tenant"]) == (2, "key.created", "initech")
    assert run("log", "--since", "2999-01-01").stdout == "Nothing of this kind was changed.\n"
    assert "--since" in run("log", "--since", "yesterday").stderr


def test_a_whole_log_is_said_to_be_whole_and_its_head_is_printed(run: Run) -> None:
    change_things()
    result = run("verify")
    assert result.exit_code == 0
    assert "3 entries in the audit log, and each follows the last." in result.stdout
    assert "The registry's log is whole." in result.stdout
    found = json.loads(run("verify", "--json").stdout)
    assert (found["entries"], found["problem"], found["registry"]["problems"]) == (3, None, [])
    assert f"head: {found['head']}" in result.stdout
    assert run("verify", "--head", found["head"]).exit_code == 0


@pytest.mark.parametrize(
    ("statement", "number", "kind"),
    [
        ("UPDATE audit_log SET \"by\" = 'nobody' WHERE number = 2", 2, "changed"),
        ("DELETE FROM audit_log WHERE number = 2", 2, "removed"),
        ("UPDATE audit_log SET number = CASE number WHEN 1 THEN -2 ELSE -1 END WHERE number < 3", -2, "put in"),
    ],
)
def test_a_log_that_was_touched_ends_with_status_1(run: Run, statement: str, number: int, kind: str) -> None:
    change_things()
    tamper(statement)
    result = run("verify")
    assert result.exit_code == 1
    assert f"The audit log is damaged. entry {number}: {kind}:" in result.stdout
    problem = json.loads(run("verify", "--json").stdout)["problem"]
    assert (problem["number"], problem["kind"]) == (number, kind)


def test_a_cut_tail_is_found_with_the_head_that_was_kept(run: Run) -> None:
    change_things()
    head = json.loads(run("verify", "--json").stdout)["head"]
    tamper("DELETE FROM audit_log WHERE number = 3")
    assert run("verify").exit_code == 0
    result = run("verify", "--head", head)
    assert result.exit_code == 1
    assert "entry 3: cut tail" in result.stdout


@pytest.mark.parametrize("head", ["3", "x:y", "3:abc", ""])
def test_a_head_that_is_none_is_refused(run: Run, head: str) -> None:
    result = run("verify", "--head", head)
    assert result.exit_code == 2
    assert "as `weir audit verify` prints it" in " ".join(result.stderr.split())


def test_the_registrys_log_is_looked_at_too(run: Run) -> None:
    log = Registry(Path("state/registry")).log
    for name in ("one", "two"):
        log.append({"by": "ada", "what": "put", "name": name})
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(lines[1])
    result = run("verify")
    assert result.exit_code == 1
    assert "The registry's log" in result.stdout
    assert "is damaged" in result.stdout


@pytest.mark.parametrize("verb", ["log", "verify"])
def test_help_has_an_example(run: Run, verb: str) -> None:
    assert f"weir audit {verb}" in run(verb, "--help").stdout
