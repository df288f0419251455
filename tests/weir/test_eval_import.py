"""`weir eval import`: traffic of those who allow it, and other tools' files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from evals.suite import read_suite
from router.learning.notebook import notebook_path
from weir.eval_import import import_

LOG = Path("examples/support/log.jsonl")
NO_ENCODER = ["--encoder", "none"]


def run(*arguments: Any, state: Path | None = None) -> Result:
    return CliRunner(env={"WEIR_STATE_DIR": str(state)} if state else {}).invoke(
        import_, [str(one) for one in arguments]
    )


def config(folder: Path, **tenants: list[str]) -> Path:
    path = folder / "weir.yaml"
    said = {
        "upstreams": {"s": {"kind": "scripted"}},
        "models": {"m": {"upstream": "s", "name": "echo", "price": {"input": "1", "output": "1"}}},
        "routes": {"auto": {"candidates": ["m"]}},
        "tenants": {name: {"consents": consents} for name, consents in tenants.items()},
    }
    path.write_text(yaml.safe_dump(said), encoding="utf-8")
    return path


def noted(state: Path, tenant: str, *queries: str) -> None:
    path = notebook_path(state, tenant)
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"tenant": tenant, "route": "auto", "at": "2026-10-05T07:13:25+00:00"}
    lines = [
        {"request_id": f"{tenant}{at}", "query": query, "intent": "a", **about} for at, query in enumerate(queries)
    ]
    answers = [{"request_id": f"{tenant}{at}", "score": 1, "answer": "So.", **about} for at in range(len(queries))]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [*lines, *answers]), encoding="utf-8")


def test_the_example_log_becomes_a_suite_of_the_tenant_that_consents(tmp_path: Path) -> None:
    done = run(
        *("--as", "traffic", "--config", "examples/support/weir.yaml", "--log", LOG, "--out", tmp_path / "suite"),
        *("--cases", 40, "--keep", "help@tolvana.example", "--json"),
        *NO_ENCODER,
    )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    suite = read_suite(tmp_path / "suite")
    assert len(suite.cases) == told["cases"] == 40
    assert {case.metadata["tenant"] for case in suite.cases} == {"acme"}
    assert told["without_consent"] == {"globex": 293}
    assert sum(stratum["drawn"] for stratum in told["strata"]) == 40
    assert "only equal questions" in done.stderr


def test_what_a_weir_wrote_down_itself_is_read_for_those_who_consent(tmp_path: Path) -> None:
    noted(tmp_path / "state", "acme", "How long is it?", "How much is it?", "how long is it")
    noted(tmp_path / "state", "globex", "Whose is it?")
    path = config(tmp_path, acme=["evals"], globex=["training"])
    done = run("--as", "traffic", "--config", path, "--out", tmp_path / "s", *NO_ENCODER, state=tmp_path / "state")
    assert done.exit_code == 0, done.output
    assert {case.question.lower().rstrip("?") for case in read_suite(tmp_path / "s").cases} == {
        "how long is it",
        "how much is it",
    }
    assert "without consent: 2 globex" in done.output
    assert "READ THE CASES" in done.output


def test_nobody_consents(tmp_path: Path) -> None:
    path = config(tmp_path, acme=[], globex=["evals"])
    done = run("--as", "traffic", "--config", path, "--tenant", "acme", "--out", tmp_path / "s")
    assert done.exit_code == 1
    assert "tenants: {acme: {consents: [evals]}}" in done.output
    assert not (tmp_path / "s").exists()


def test_nothing_was_written_down(tmp_path: Path) -> None:
    path = config(tmp_path, acme=["evals"])
    done = run("--as", "traffic", "--config", path, "--out", tmp_path / "s", *NO_ENCODER, state=tmp_path / "state")
    assert done.exit_code == 1
    assert "learning" in done.output


def test_promptfoo_is_taken_over_and_the_rest_is_listed(tmp_path: Path) -> None:
    said = {
        "prompts": ["{{q}}"],
        "tests": [{"vars": {"q": "Hi"}, "assert": [{"type": "contains", "value": "Hello"}]}],
    }
    said["tests"][0]["assert"].append({"type": "javascript", "value": "true"})  # type: ignore[index]
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    done = run(tmp_path / "p.yaml", "--as", "promptfoo", "--out", tmp_path / "s")
    assert done.exit_code == 0, done.output
    assert "Not taken over (1):\n  tests[0].assert[1] (javascript): " in done.output
    assert read_suite(tmp_path / "s").cases[0].expected == {"pattern": "Hello"}


def test_openai_evals_are_taken_over(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text('{"input": "Capital?", "ideal": "Paris"}\n', encoding="utf-8")
    done = run(tmp_path / "s.jsonl", "--as", "openai-evals", "--out", tmp_path / "s", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["quality"] == read_suite(tmp_path / "s").quality == "regex"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--as", "promptfoo"], "Name the file to import"),
        ([LOG, LOG, "--as", "promptfoo"], "is one file"),
        ([LOG, "--as", "traffic"], "--log FILE"),
        ([LOG, "--as", "promptfoo"], "not YAML"),
        ([LOG, "--as", "openai-evals"], "No samples"),
        (
            ["--as", "traffic", "--config", "examples/support/weir.yaml", "--tenant", "none"],
            "there is no tenant none",
        ),
        (["--as", "traffic", "--config", "examples/support/weir.yaml", "--region", "XY"], "XY is no region"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, arguments: list[Any], told: str) -> None:
    done = run(*arguments, "--out", tmp_path / "s")
    assert done.exit_code in (1, 2)
    assert told in done.output
    assert not (tmp_path / "s").exists()


def test_a_folder_that_is_there_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    done = run(LOG, "--as", "openai-evals", "--out", tmp_path)
    assert done.exit_code == 1
    assert "nothing is overwritten" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
