"""`weir eval run` as it is used: a server, a folder, and somebody who stops it in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from evals.run_folder import MANIFEST, PAGE, SUMMARY, read_run, rows_in
from tests.evals.runner.plain import questions, write_suite
from weir.eval_run import run as verb

ROOT = Path(__file__).parents[2]
WITHIN_S = 60
_SERVER = """
import asyncio
from router.upstreams.scripted_knowledge import Knowledge
from router.upstreams.scripted_server import ScriptedServer

async def serve():
    server = ScriptedServer(Knowledge(()))
    await server.start()
    print(server.base_url, flush=True)
    await asyncio.Event().wait()

asyncio.run(serve())
"""
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The base URL of a scripted server in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def calls(server: str, model: str) -> int:
    """How often a model was asked so far."""
    with urllib.request.urlopen(f"{server.removesuffix('/v1')}/scripted/calls") as answer:
        return int(json.load(answer)["calls"].get(model, 0))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> Run:
    monkeypatch.setenv("WEIR_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WEIR_BASE_URL", server)
    monkeypatch.delenv("WEIR_API_KEY", raising=False)

    def call(suite: Path, *arguments: str) -> Result:
        return CliRunner().invoke(verb, [str(suite), *arguments])

    return call


def command(suite: Path, out: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "weir", "eval", "run", str(suite), "--out", str(out), *arguments]


def started(tmp_path: Path, server: str, arguments: Sequence[str]) -> subprocess.Popen[str]:
    variables = {**os.environ, "WEIR_STATE_DIR": str(tmp_path / "state"), "WEIR_BASE_URL": server}
    return subprocess.Popen(
        arguments, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(rows: int, folder: Path) -> None:
    """Until a run has written so many rows."""
    end = time.monotonic() + WITHIN_S
    while sum(1 for _ in rows_in(folder)) < rows:
        assert time.monotonic() < end, "the run did not get so far"
        time.sleep(0.01)


def test_a_run_is_asked_scored_written_and_told(run: Run, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(12))
    went = run(suite, "--target", "echo", "--out", str(tmp_path / "run"), "--price", "input=1,output=2", "--json")
    assert went.exit_code == 0, went.output
    told = json.loads(went.stdout)
    assert (told["complete"], told["cases"], told["errors"]) == (True, 12, 0)
    assert told["quality"]["value"] == 1
    assert float(told["spent_usd"]) > 0
    assert told["latency_p95_ms"]["value"] > 0
    assert told["config_hash"] == read_run(tmp_path / "run").manifest.config_hash
    assert "12 requests, about" in went.stderr
    assert json.loads((tmp_path / "run" / SUMMARY).read_bytes())["complete"]
    assert "question 3" in (tmp_path / "run" / PAGE).read_text(encoding="utf-8")
    again = run(suite, "--target", "echo", "--out", str(tmp_path / "run"), "--price", "input=1,output=2")
    assert again.exit_code == 0
    assert "12 are done already" in again.stderr
    assert "weir eval show" in again.stdout


def test_a_killed_run_goes_on_and_comes_to_the_same(run: Run, tmp_path: Path, server: str) -> None:
    suite = write_suite(tmp_path / "suite", questions(60))
    arguments = ["--target", "slow-60/echo", "--concurrency", "4", "--no-recall"]
    with started(tmp_path, server, command(suite, tmp_path / "run", *arguments)) as process:
        wait_for(30, tmp_path / "run")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    kept = {(row.case, row.repeat) for row in rows_in(tmp_path / "run")}
    assert 30 <= len(kept) < 60
    went = run(suite, "--out", str(tmp_path / "run"), *arguments, "--json")
    assert went.exit_code == 0, went.output
    assert json.loads(went.stdout)["kept"] == len(kept)
    assert calls(server, "slow-60/echo") <= 60 + 4, "twice at most what was under way"
    whole = read_run(tmp_path / "run")
    assert whole.complete
    names = [(row.case, row.repeat) for row in rows_in(tmp_path / "run")]
    assert len(names) == len(set(names)) == 60
    run(suite, "--out", str(tmp_path / "undisturbed"), *arguments)
    undisturbed = read_run(tmp_path / "undisturbed")
    assert [(row.key, row.scores) for row in whole.rows] == [(row.key, row.scores) for row in undisturbed.rows]
    assert whole.manifest.config_hash == undisturbed.manifest.config_hash


def test_ctrl_c_keeps_what_is_under_way_and_says_how_to_go_on(run: Run, tmp_path: Path, server: str) -> None:
    suite = write_suite(tmp_path / "suite", questions(60))
    arguments = ["--target", "slow-61/echo", "--concurrency", "4", "--no-recall"]
    with started(tmp_path, server, command(suite, tmp_path / "run", *arguments)) as process:
        wait_for(10, tmp_path / "run")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "Stopped." in said
    assert "the same command goes on" in said
    assert calls(server, "slow-61/echo") == sum(1 for _ in rows_in(tmp_path / "run")), "nothing was asked in vain"
    assert (tmp_path / "run" / SUMMARY).exists()
    assert run(suite, "--out", str(tmp_path / "run"), *arguments).exit_code == 0
    assert calls(server, "slow-61/echo") == 60


def test_a_second_ctrl_c_ends_it_at_once(tmp_path: Path, server: str) -> None:
    suite = write_suite(tmp_path / "suite", questions(8))
    arguments = ["--target", "stall", "--concurrency", "4"]
    with started(tmp_path, server, command(suite, tmp_path / "run", *arguments)) as process:
        end = time.monotonic() + WITHIN_S
        while calls(server, "stall") < 4 and time.monotonic() < end:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None, "it waits for what is under way"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 1
    assert "Traceback" not in said


def test_a_server_that_wants_fewer_requests_gets_them(run: Run, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(12))
    wanted = ["--target", "flaky-1/rate-limited-0/echo", "--out", str(tmp_path / "run"), "--json"]
    went = run(suite, *wanted)
    assert went.exit_code == 0, went.output
    assert json.loads(went.stdout)["errors"] == 0


def test_a_part_of_a_suite_can_be_asked_and_the_rest_later(run: Run, tmp_path: Path, server: str) -> None:
    cases = [{**case, "segment": f"s{number % 2}"} for number, case in enumerate(questions(10))]
    suite = write_suite(tmp_path / "suite", cases)
    wanted = ["--target", "novice-7", "--out", str(tmp_path / "run"), "--no-recall"]
    run(suite, *wanted, "--only", "s1", "--limit", "3")
    part = read_run(tmp_path / "run")
    drawn = [row.case for row in part.rows]
    assert len(drawn) == 3
    assert set(drawn) < {"c1", "c3", "c5", "c7", "c9"}
    run(suite, *wanted[:3], str(tmp_path / "again"), "--no-recall", "--only", "s1", "--limit", "3")
    assert [row.case for row in read_run(tmp_path / "again").rows] == drawn, "or two runs have little in common"
    assert part.complete
    assert part.manifest.notes[0].startswith("3 of the suite's 10 cases")
    run(suite, *wanted)
    assert read_run(tmp_path / "run").complete
    assert calls(server, "novice-7") == 13


def test_a_dry_run_tells_what_it_would_take_and_leaves_nothing(run: Run, tmp_path: Path, server: str) -> None:
    suite = write_suite(tmp_path / "suite", questions(10))
    wanted = ["--target", "novice-8", "--out", str(tmp_path / "run"), "--price", "input=100,output=100"]
    went = run(suite, *wanted, "--dry-run", "--set", "max_tokens=10")
    assert went.exit_code == 0, went.output
    assert "10 requests, about" in went.stderr
    assert "at most about $" in went.stderr
    assert not (tmp_path / "run").exists()
    assert calls(server, "novice-8") == 0


def test_the_cap_ends_a_run_with_its_figures(run: Run, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(40))
    wanted = ["--target", "echo", "--out", str(tmp_path / "run"), "--price", "input=10,output=1000"]
    went = run(suite, *wanted, "--set", "max_tokens=8", "--max-usd", "0.1", "--no-recall", "--json")
    assert went.exit_code == 1
    told = json.loads(went.stdout)
    assert not told["complete"]
    assert 0 < float(told["spent_usd"]) <= 0.1
    assert "--max-usd 0.1 ends the run" in told["reason"]
    assert "are done; the same command goes on" in went.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "nowhere"], "there is no segment 'nowhere'"),
        (["--set", "temperature"], "is not FIELD=VALUE"),
        (["--set", "model=x"], "model is the run's own"),
        (["--max-usd", "lots"], "is not an amount of dollars"),
        (["--max-usd", "1"], "State it with --price"),
        (["--batch", "--on", "ray"], "no --on ray"),
        (["--against", "nowhere"], "holds no run"),
        (["--batch"], "Leave out --batch"),
        (["--base-url", "http://127.0.0.1:9/v1"], "No server answers"),
        (["--out", "/dev/null/run"], "/dev/null/run: Not a directory. Mend that"),
    ],
)
def test_what_cannot_be_is_said_with_advice(run: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    went = run(suite, "--target", "echo", "--out", str(tmp_path / "run"), *arguments)
    assert went.exit_code in (1, 2)
    assert told in " ".join(went.stderr.split())
    assert isinstance(went.exception, SystemExit), "no traceback"


def test_a_run_without_a_single_answer_has_failed(run: Run, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    went = run(suite, "--target", "error-400/echo", "--out", str(tmp_path / "run"))
    assert "No case was answered" in went.stderr, went.output
    assert went.exit_code == 1
    assert len(read_run(tmp_path / "run").rows) == 3


def test_a_damaged_manifest_is_said_with_advice(run: Run, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / MANIFEST).write_text("{")
    went = run(suite, "--target", "echo", "--out", str(tmp_path / "run"))
    assert (went.exit_code, "--fresh-start" in went.stderr) == (1, True)
    assert run(suite, "--target", "echo", "--out", str(tmp_path / "run"), "--fresh-start").exit_code == 0


def test_another_runs_answers_are_what_pairs_are_judged_with(run: Run, tmp_path: Path) -> None:
    suite = write_suite(tmp_path / "suite", questions(3))
    run(suite, "--target", "echo", "--out", str(tmp_path / "first"))
    pairs = "[{kind: pairwise, model: echo, rubric: The better one., allow_same_family: true}]"
    paired = write_suite(tmp_path / "paired", [{**case, "expected": {}} for case in questions(3)], scorers=pairs)
    went = run(paired, "--target", "echo", "--out", str(tmp_path / "run"), "--against", str(tmp_path / "first"))
    assert went.exit_code == 0, went.output
    assert {row.scores["pairwise"].why for row in read_run(tmp_path / "run").rows} == {"both answers are the same"}


def test_a_whole_configuration_can_be_asked_in_this_process(run: Run, tmp_path: Path, server: str) -> None:
    config: dict[str, Any] = {
        "upstreams": {"here": {"kind": "openai", "base_url": server}},
        "models": {"small": {"upstream": "here", "name": "echo", "price": {"input": "1", "output": "2"}}},
        "routes": {"auto": {"candidates": ["small"]}},
        "tenants": {"acme": {}},
    }
    (tmp_path / "weir.yaml").write_text(json.dumps(config))
    suite = write_suite(tmp_path / "suite", questions(5))
    went = run(
        suite, "--target", "auto", "--config", str(tmp_path / "weir.yaml"), "--out", str(tmp_path / "run"), "--json"
    )
    assert went.exit_code == 0, went.output
    told = json.loads(went.stdout)
    assert told["quality"]["value"] == 1
    assert float(told["spent_usd"]) > 0
