"""`weir check`: what it prints, and the exit status that scripts go by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from weir.check import check

CONFIG = """\
upstreams:
  hosted: {kind: openai, base_url: "https://h/v1", api_key: "${HOSTED_KEY}", stand_in: pretend}
  pretend: {kind: scripted}
models:
  large: {upstream: hosted, price: {input: 2.5, output: 10}}
  small: {upstream: pretend, name: gpt-4.1-nano}
routes:
  support: {candidates: [small, large], cache: {ttl_seconds: 2592000}}
  loose: {candidates: [small], cache: {enabled: false}}
tenants:
  acme: {routes: [support]}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "weir.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def run(path: Path, *options: str, key: str | None = None) -> Result:
    environ = {"HOSTED_KEY": key, "WEIR_STATE_DIR": str(path.parent / "state")}
    return CliRunner().invoke(check, ["--config", str(path), *options], env=environ)


def test_a_good_one_is_summed_up(path: Path) -> None:
    result = run(path)
    assert result.exit_code == 0
    assert "small, large" in result.stdout
    assert "2592000" in result.stdout
    assert result.stdout.endswith(f"{path} is good.\n")
    assert result.stderr == "Warning: routes.loose: no tenant may use it\n"


def test_as_json(path: Path) -> None:
    told = json.loads(run(path, "--json").stdout)
    assert told["ok"] is True
    assert told["routes"][0] == {
        "route": "support",
        "candidates": ["small", "large"],
        "policy": "fixed",
        "prompt": None,
        "cache_seconds": 2592000,
        "deadline_seconds": 300,
    }
    assert told["routes"][1]["cache_seconds"] is None
    assert told["models"][0] == {"model": "large", "upstream": "pretend", "price": "config"}
    assert told["models"][1]["price"].startswith("genai-prices")
    assert told["tenants"] == [{"tenant": "acme", "routes": ["support"], "models": "all", "declared_keys": []}]
    assert told["warnings"] == ["routes.loose: no tenant may use it"]


@pytest.mark.parametrize(("key", "answers"), [(None, "pretend"), ("sk-hosted", "hosted")])
def test_it_shows_which_stand_ins_are_in_use(path: Path, key: str | None, answers: str) -> None:
    result = run(path, "--json", key=key)
    assert json.loads(result.stdout)["upstreams"][0] == {
        "upstream": "hosted",
        "kind": "openai",
        "answered_by": answers,
    }
    assert "sk-hosted" not in result.output


def test_problems_come_with_their_places(path: Path) -> None:
    path.write_text(
        CONFIG.replace("stand_in: pretend", "stand_in: pretnd") + "  x: {rutes: []}\n", encoding="utf-8"
    )
    result = run(path)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "line 2     upstreams.hosted.stand_in: 'pretnd' is not one of `upstreams`" in result.stderr
    assert "Did you mean 'pretend'?" in result.stderr
    assert "line 12    tenants.x.rutes: is not a setting" in result.stderr


def test_problems_as_json(path: Path) -> None:
    path.write_text(CONFIG + "  x: {rutes: []}\n", encoding="utf-8")
    result = run(path, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["ok"] is False
    assert told["problems"] == [
        {
            "path": "tenants.x.rutes",
            "line": 12,
            "message": "is not a setting",
            "advice": "Did you mean 'routes'?",
        }
    ]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_cannot_be_read_has_a_status_of_its_own(tmp_path: Path, options: tuple[str, ...]) -> None:
    result = run(tmp_path / "none.yaml", *options)
    assert result.exit_code == 2
    assert "cannot be read" in result.output


def test_a_model_without_a_price_is_a_problem(path: Path) -> None:
    path.write_text(CONFIG.replace("gpt-4.1-nano", "of-our-own"), encoding="utf-8")
    result = run(path)
    assert result.exit_code == 1
    assert "small" in result.stderr


def test_so_is_knowledge_that_is_none(path: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text("{}\n", encoding="utf-8")
    path.write_text(
        CONFIG.replace("{kind: scripted}", "{kind: scripted, knowledge: answers.jsonl}"), encoding="utf-8"
    )
    result = run(path)
    assert result.exit_code == 1
    assert "upstreams.pretend.knowledge:" in result.stderr
    assert "answers.jsonl:1" in result.stderr
