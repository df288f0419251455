"""`weir keys`: what is made, listed, revoked and hashed on the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weir.keys import keys
from weir.tenants import tenants

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
routes: {support: {candidates: [large]}}
tenants: {acme: {}, globex: {}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "100")
    Path("weir.yaml").write_text(CONFIG)
    return lambda *arguments, stdin=None: CliRunner().invoke(keys, arguments, input=stdin)


def test_the_key_alone_is_on_standard_output(run: Run) -> None:
    result = run("create", "--tenant", "acme", "--name", "web")
    assert re.fullmatch(r"sk-weir-[A-Za-z0-9_-]{43}\n", result.stdout)
    assert "not shown again" in result.stderr


def test_a_key_is_made_listed_and_revoked(run: Run) -> None:
    made = json.loads(
        run(
            "create", "--tenant", "acme", "--name", "web", "--route", "support", "--model", "large", "--json"
        ).stdout
    )
    other = json.loads(run("create", "--tenant", "globex", "--json").stdout)
    assert made["hash"] == "sha256:" + sha256(made["key"].encode()).hexdigest()
    listed = json.loads(run("list", "--json").stdout)
    assert [key["id"] for key in listed] == [made["id"], other["id"]]
    assert (listed[0]["routes"], listed[0]["models"], listed[1]["routes"]) == (["support"], ["large"], None)
    assert "key" not in listed[0]
    assert [key["id"] for key in json.loads(run("list", "--tenant", "globex", "--json").stdout)] == [other["id"]]

    assert run("revoke", made["id"]).stdout == f"Revoked {made['id']} of acme.\n"
    table = run("list").stdout
    assert made["id"] in table
    assert made["key"] not in table
    first, second = json.loads(run("list", "--json").stdout)
    assert first["revoked_at"]
    assert second["revoked_at"] is None
    assert json.loads(run("revoke", made["id"], "--json").stdout)["revoked_at"] == first["revoked_at"]


def test_a_key_of_the_staff_says_how_far_it_goes(run: Run) -> None:
    of_all = run("create", "--role", "viewer", "--name", "finance")
    assert "role viewer, for all tenants" in of_all.stderr
    assert "role operator, for acme" in run("create", "--role", "operator", "--tenant", "acme").stderr
    listed = json.loads(run("list", "--json").stdout)
    assert [(key["role"], key["tenant"]) for key in listed] == [("viewer", ""), ("operator", "acme")]
    assert "/admin as operator" in run("list").stdout


def test_a_tenant_of_the_database_gets_keys_too(run: Run) -> None:
    assert CliRunner().invoke(tenants, ["create", "initech"]).exit_code == 0
    assert run("create", "--tenant", "initech").exit_code == 0
    assert CliRunner().invoke(tenants, ["close", "initech"]).exit_code == 0
    assert "There is no tenant 'initech'" in run("create", "--tenant", "initech").stderr


def test_no_keys_yet_is_said_in_words(run: Run) -> None:
    assert "weir keys create --tenant" in run("list").stdout
    assert json.loads(run("list", "--json").stdout) == []


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["create", "--tenant", "nobody"], "There is no tenant 'nobody'. There are: acme, globex."),
        (["create", "--tenant", "acme", "--route", "auto"], "There is no route 'auto'. There are: support."),
        (["create", "--tenant", "acme", "--model", "tiny"], "There is no model 'tiny'. There are: large."),
        (["create"], "--tenant"),
        (["create", "--tenant", "acme", "--role", "admin"], "'viewer', 'operator', 'approver'"),
        (["create", "--role", "viewer", "--route", "support"], "no routes or models"),
        (["create", "--tenant", "acme", "--name", "x" * 10_000], "at most 128 characters"),
        (["create", "--tenant", "acme", "--name", "a\x07b"], "printable"),
        (["create", "--tenant", "a b"], "There is no tenant 'a b'"),
        (["create", "--tenant", "acme", "--reason", "x" * 513], "'reason'"),
        (["revoke", "key_none"], "weir keys list"),
        (["list", "--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], advice: str) -> None:
    result = run(*arguments)
    assert result.exit_code != 0
    assert advice in " ".join(result.stderr.split())


def test_a_hash_of_an_argument_and_of_standard_input_is_the_same(run: Run) -> None:
    digest = "sha256:" + sha256(b"sk-weir-demo-acme").hexdigest()
    assert run("hash", "sk-weir-demo-acme").stdout == digest + "\n"
    assert run("hash", stdin="sk-weir-demo-acme\n").stdout == digest + "\n"
    assert json.loads(run("hash", "sk-weir-demo-acme", "--json").stdout) == {"hash": digest}
    assert "Give one as an argument" in run("hash", stdin="\n").stderr


@pytest.mark.parametrize("verb", ["create", "list", "revoke", "hash"])
def test_help_has_an_example(run: Run, verb: str) -> None:
    assert f"weir keys {verb}" in run(verb, "--help").stdout
