"""`weir tenants`: made, listed, changed and closed on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weir.tenants import tenants

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
routes: {support: {candidates: [large]}, faq: {candidates: [large]}}
tenants: {acme: {routes: [support]}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "100")
    Path("weir.yaml").write_text(CONFIG)
    return lambda *arguments: CliRunner().invoke(tenants, arguments)


def test_a_tenant_is_made_changed_listed_and_closed(run: Run) -> None:
    made = run("create", "initech", "--route", "support", "--refuse-model", "large")
    assert made.exit_code == 0, made.output
    assert "weir keys create --tenant initech" in made.stdout
    changed = json.loads(run("change", "initech", "--all-routes", "--model", "large", "--json").stdout)
    assert (changed["routes"], changed["models"], changed["refused_models"]) == (None, ["large"], ["large"])
    assert json.loads(run("change", "initech", "--refuse-none", "--json").stdout)["refused_models"] == []
    acme, initech = json.loads(run("list", "--json").stdout)
    assert (acme["name"], acme["from"], acme["routes"]) == ("acme", "configuration", ["support"])
    assert (initech["from"], initech["models"], initech["closed_at"]) == ("database", ["large"], None)
    assert run("close", "initech").stdout == "Closed initech.\n"
    assert "initech" in run("list").stdout
    assert json.loads(run("list", "--json").stdout)[1]["closed_at"]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["create", "acme"], "There is a tenant 'acme' already."),
        (["create", "a b"], "letters, digits"),
        (["create", "pool:faq"], "kept for caches"),
        (["create", "x" * 10_000], "1 to 128"),
        (["create", "a\x1bb"], "letters, digits"),
        (["create", "new", "--route", "suport"], "Did you mean 'support'?"),
        (["create", "new", "--reason", "a\nb"], "'reason'"),
        (["change", "acme", "--all-routes"], "in the configuration: change it there"),
        (["change", "nobody", "--all-routes"], "There is no tenant 'nobody'"),
        (["change", "nobody"], "what is to change"),
        (["change", "nobody", "--route", "faq", "--all-routes"], "leave one of them out"),
        (["close", "acme"], "in the configuration: change it there"),
        (["close", "nobody"], "There is no tenant 'nobody'"),
        (["list", "--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], advice: str) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert advice in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


@pytest.mark.parametrize("verb", ["create", "list", "change", "close"])
def test_help_has_an_example(run: Run, verb: str) -> None:
    assert f"weir tenants {verb}" in run(verb, "--help").stdout
