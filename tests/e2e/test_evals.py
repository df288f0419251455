"""Evals as a user runs them: a real Weir, its address and a key in the environment, two models of known quality."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.running import ACME_HASH, ROOT, RunningWeir, environment, eventually, running_weir, write_config

SUITE = ROOT / "examples/support/suite"
PRICE = {"input": "1", "output": "4"}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    """One model knows 95 of 100 answers on file, one 30; `slow` takes half a second."""
    folder = tmp_path_factory.mktemp("weir")
    known = {"kind": "scripted", "knowledge": str(ROOT / "examples/support/knowledge.jsonl")}
    names = {"knows-95": "novice-95", "knows-30": "novice-30", "slow": "slow-500/novice-95"}
    config = write_config(
        folder,
        upstreams={"scripted": known},
        models={name: {"upstream": "scripted", "name": model, "price": PRICE} for name, model in names.items()},
        routes={"auto": {"candidates": ["knows-95"]}},
        tenants={"acme": {"keys": {"demo": {"hash": ACME_HASH}}}},
    )
    with running_weir(config, folder / "state") as running:
        yield running


def command(weir: RunningWeir, state: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    variables = {"WEIR_BASE_URL": f"{weir.url}/v1", "WEIR_API_KEY": "sk-weir-demo-acme"}
    return [sys.executable, "-m", "weir", "eval", *arguments], environment(state, **variables)


def evals(weir: RunningWeir, state: Path, *arguments: str, code: int = 0) -> str:
    """Standard output of `weir eval ...`, whose state is apart from the server's, as on another machine."""
    line, variables = command(weir, state, *arguments)
    done = subprocess.run(line, capture_output=True, text=True, env=variables, cwd=ROOT)
    assert done.returncode == code, done.stderr
    return done.stdout


def ran(weir: RunningWeir, state: Path, target: str, *more: str) -> Path:
    folder = state / "-".join([target, *more]).replace("/", "_")
    evals(weir, state, "run", str(SUITE), "--target", target, "--out", str(folder), "--yes", *more)
    return folder


@pytest.fixture(scope="module")
def runs(weir: RunningWeir, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    state = tmp_path_factory.mktemp("runs")
    return ran(weir, state, "knows-95"), ran(weir, state, "knows-30")


def compared(weir: RunningWeir, one: Path, other: Path, *more: str) -> Row:
    said = evals(weir, one.parent, "compare", str(one), str(other), "--json", *more)
    return dict(json.loads(said))


def rows(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def test_the_verdict_is_right_in_both_directions(weir: RunningWeir, runs: tuple[Path, Path]) -> None:
    good, bad = runs
    assert compared(weir, bad, good)["verdict"] == "better"
    down = compared(weir, good, bad)
    assert down["verdict"] == "worse"
    assert down["overall"]["findings"]["quality"]["change"]["high"] < -0.05
    assert compared(weir, good, good)["verdict"] == "not worse within the margin"


def test_too_few_cases_are_said_to_be_too_few(weir: RunningWeir, runs: tuple[Path, Path]) -> None:
    good, bad = (ran(weir, folder.parent, folder.name, "--limit", "12") for folder in runs)
    found = compared(weir, bad, good)
    assert found["verdict"].startswith("not enough cases (")
    assert found["overall"]["findings"]["quality"]["more_needed"] > 0


def test_what_an_eval_costs_is_in_the_ledger_as_an_eval(weir: RunningWeir, runs: tuple[Path, Path]) -> None:
    good, _ = runs
    answers = [row["answer"] for row in rows(good)]
    assert len(answers) == 294
    decision = weir.decision(answers[0]["evidence"]["request-id"])
    assert decision["purpose"] == "eval"
    summary = json.loads((good / "summary.json").read_text())
    assert float(summary["overall"]["total_cost"]) == pytest.approx(sum(float(one["cost"]) for one in answers))


def test_a_server_that_dies_loses_nothing_and_the_run_goes_on(weir: RunningWeir, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = ["run", str(SUITE), "--target", "slow", "--out", str(folder), "--concurrency", "32", "--yes"]
    state = tmp_path / "state"
    with running_weir(weir.config, state) as mortal:
        line, variables = command(mortal, tmp_path, *arguments)
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=variables, cwd=ROOT) as process:
            eventually(lambda: (folder / "results.jsonl").exists() and len(rows_so_far(folder)) >= 60, 60)
            mortal.kill()
            _, told = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Traceback" not in told
    before = {(row["case"], row["repeat"]) for row in rows(folder) if row["answer"]}
    assert 60 <= len(before) < 294
    with running_weir(weir.config, state, port=int(mortal.url.rpartition(":")[2])) as risen:
        evals(risen, tmp_path, *arguments)
    answered = [row["case"] for row in rows(folder) if row["answer"]]
    assert len(answered) == len(set(answered)) == 294


def rows_so_far(folder: Path) -> list[bytes]:
    return (folder / "results.jsonl").read_bytes().splitlines()


def test_a_wrong_key_ends_a_run_at_once_with_advice(weir: RunningWeir, tmp_path: Path) -> None:
    line, variables = command(
        weir, tmp_path, "run", str(SUITE), "--target", "knows-95", "--out", str(tmp_path / "run")
    )
    variables["WEIR_API_KEY"] = "sk-weir-wrong"
    done = subprocess.run(line, capture_output=True, text=True, env=variables, cwd=ROOT)
    assert done.returncode == 1
    assert "WEIR_API_KEY" in done.stderr
    assert "sk-weir-wrong" not in done.stderr + done.stdout


def test_routing_is_replayed_from_runs(weir: RunningWeir, runs: tuple[Path, Path]) -> None:
    good, bad = runs
    found = json.loads(
        evals(weir, good.parent, "routing", "--run", f"large={good}", "--run", f"small={bad}", "--json")
    )
    assert (found["queries"], found["reference"], found["costs_known"]) == (294, "large", True)
    alone = {one["policy"]: one["quality"]["value"] for one in found["policies"]}
    assert alone["oracle"] >= alone["always large"] > alone["always small"]


def test_nothing_of_evals_is_imported_to_say_what_there_is() -> None:
    line = [sys.executable, "-X", "importtime", "-m", "weir", "eval", "--help"]
    done = subprocess.run(line, capture_output=True, text=True, env=dict(os.environ), cwd=ROOT)
    modules = {part.rsplit("|", 1)[-1].strip() for part in done.stderr.splitlines()}
    assert "Suites, runs" not in done.stderr
    assert modules.isdisjoint({"scipy", "statsmodels", "numpy", "pandas", "ray", "evals.suite"})
