"""`weir prompts optimise` as it is used: what it says, what it stores, and who stops it in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from click.testing import CliRunner, Result

from prompts.evidence import read
from prompts.optimise.calls import FILE
from prompts.optimise.watching import Progress
from prompts.prompt import BookedPrompt
from registry.prompts import PROMPT, promote, put
from registry.store import Registry
from tests.prompts.optimise.plain_order import GOOD, config_in, suite_in
from weir.prompts import prompts
from weir.prompts_optimised import so_far

ROOT = Path(__file__).parents[2]
WITHIN_S = 240.0
PADDED = (
    f"{GOOD}\n- Coffee is a drink that many people like in the morning.\n- The sky is blue, and grass is green."
)
Run = Callable[..., Result]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a model whose answers no prompt changes, so that each one that is shorter is as good."""
    path = written(tmp_path, "oracle")
    head = suite_in(tmp_path / "suite", every=5).folder / "suite.yaml"
    head.write_text(f"{head.read_text(encoding='utf-8')}margin: 0.2\n", encoding="utf-8")
    return path


def written(folder: Path, model: str) -> Path:
    """The configuration, with the scripted `model` behind its own."""
    price = {"input": "1.25", "output": "10"}
    path = config_in(folder, models={"attentive": {"upstream": "stand-in", "name": model, "price": price}})
    (folder / "support.md").write_text(PADDED, encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WEIR_STATE_DIR", str(tmp_path / "state"))

    def call(*arguments: str, route: str = "support") -> Result:
        told = ["optimise", "--route", route, "--suite", str(tmp_path / "suite"), "--config", str(config)]
        return CliRunner().invoke(prompts, [*told, "--out", str(tmp_path / "out"), *arguments])

    return call


def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "state" / "registry")


def test_a_dry_run_tells_what_it_would_take_and_asks_nobody(run: Run, tmp_path: Path) -> None:
    went = run("--objective", "cost", "--dry-run")
    assert went.exit_code == 0, went.output
    assert "shorten works on support@" in went.stderr
    assert "attentive writes the instructions" in went.stderr, "the route's reference, unless another is named"
    assert "no --budget-usd bounds it" in went.stderr
    told = json.loads(run("--objective", "cost", "--dry-run", "--budget-usd", "2", "--json").stdout)
    assert (told["prompt"], told["optimiser"], told["most_usd"]) == ("support", "shorten", "2")
    assert sum(told["cases"].values()) == 59
    assert told["calls"]["test"] == 2 * told["cases"]["test"]
    assert not (tmp_path / "out").exists()


def test_a_test_that_is_too_small_to_show_anything_is_told_before_it_is_paid(run: Run) -> None:
    said = "The test is too small: even where no answer changes, "
    assert said not in run("--objective", "cost", "--dry-run").stderr
    assert said in run("--objective", "cost", "--dry-run", "--test-share", "0.05").stderr
    assert said not in run("--objective", "quality", "--dry-run", "--test-share", "0.05").stderr


def test_a_cheaper_prompt_is_found_stored_and_promoted_where_asked(run: Run, tmp_path: Path) -> None:
    went = run("--objective", "cost", "--json")
    assert went.exit_code == 0, went.output
    told = json.loads(went.stdout)
    assert (told["came_to"], told["promoted"]) == ("passed", False)
    assert Decimal(told["spent_usd"]) > Decimal(told["searched_usd"]) > 0
    evidence = read(told["evidence"])
    assert evidence is not None
    assert evidence.prompt_tokens_after < evidence.prompt_tokens_before
    assert registry(tmp_path).aliases(PROMPT, "support") == {}
    again = run("--objective", "cost", "--promote")
    assert again.exit_code == 0, again.output
    assert "Passed:" in again.stdout
    assert "tokens a request" in again.stdout
    assert f"{told['version']} is in force from the next request on" in again.stdout
    assert "weir prompts rollback support" in again.stdout
    assert registry(tmp_path).aliases(PROMPT, "support")["production"] == told["version"]
    assert registry(tmp_path).aliases(PROMPT, "support")["previous"] == told["before"]
    other = run("--objective", "cost", "--out", str(tmp_path / "other"), "--dry-run", "--json")
    assert json.loads(other.stdout)["before"] == told["version"], "what is in force is where the next one begins"


def test_what_somebody_promoted_while_the_search_went_on_stays_in_force(run: Run, tmp_path: Path) -> None:
    theirs, file = (BookedPrompt.plain(text, "prepend") for text in ("Answer in one sentence.", PADDED))
    put(registry(tmp_path), "support", theirs.content, "somebody")

    def promotes() -> None:
        while not (tmp_path / "out" / FILE).exists():
            time.sleep(0.001)
        promote(
            registry(tmp_path), "support", file.content, theirs.version, by="somebody", reason="why", evidence={}
        )

    other = Thread(target=promotes)
    other.start()
    went = run("--objective", "cost", "--promote")
    other.join(WITHIN_S)
    assert went.exit_code == 1, went.output
    assert f"but {theirs.version} is in force: it was not promoted" in " ".join(went.stderr.split())
    assert registry(tmp_path).aliases(PROMPT, "support")["production"] == theirs.version


def test_where_nothing_passes_the_exit_status_says_so(run: Run, tmp_path: Path) -> None:
    short = tmp_path / "short.md"
    short.write_text("Answer.", encoding="utf-8")
    went = run("--optimiser", "shorten", "--prompt", str(short))
    assert went.exit_code == 1, went.output
    assert "Nothing better was found." in went.stdout
    assert str(tmp_path / "out" / "search.html") in went.stdout


def test_a_search_may_begin_with_a_stored_version(run: Run, tmp_path: Path) -> None:
    stored = BookedPrompt.plain("Answer in the language of the last message.", "prepend")
    put(registry(tmp_path), "support", stored.content, "somebody")
    for version in (stored.version, "file"):
        went = run("--objective", "cost", "--dry-run", "--json", "--prompt", f"support@{version}")
        wanted = stored if version != "file" else BookedPrompt.plain(PADDED, "prepend")
        assert json.loads(went.stdout)["before"] == wanted.version


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--budget-usd", "0.01"], 1, "set aside before the search"),
        (["--reflect-with", "nobody"], 2, "there is no model 'nobody'; there are attentive"),
        (["--tenant", "nobody"], 2, "there is no tenant 'nobody'; there are acme"),
        (["--prompt", "other@0123456789abcdef"], 2, "neither a file nor support@VERSION"),
        (["--prompt", "nowhere.md"], 1, "nowhere.md cannot be read"),
        (["--test-share", "0.99"], 2, "0.05"),
    ],
)
def test_what_cannot_be_is_said_with_advice(run: Run, arguments: list[str], status: int, said: str) -> None:
    went = run("--objective", "cost", *arguments)
    assert (went.exit_code, said in went.output) == (status, True), went.output


def test_a_route_without_a_prompt_and_one_that_is_not_there(run: Run) -> None:
    bare = run(route="bare")
    assert bare.exit_code == 1
    assert "set `routes.bare.prompt`" in bare.output
    missing = run(route="nowhere")
    assert (missing.exit_code, "there is no route 'nowhere'; there are support, bare" in missing.output) == (
        2,
        True,
    )


def command(tmp_path: Path, *arguments: str) -> list[str]:
    told = ["--route", "support", "--suite", str(tmp_path / "suite"), "--config", str(tmp_path / "weir.yaml")]
    return ["prompts", "optimise", *told, "--out", str(tmp_path / "out"), *arguments]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "WEIR_STATE_DIR": str(tmp_path / "state")}


def test_without_the_extra_it_says_what_to_install(config: Path, tmp_path: Path) -> None:
    code = f"import sys; sys.modules['dspy'] = None; from weir.__main__ import main; main({command(tmp_path)!r})"
    went = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert went.returncode == 1
    assert "pip install 'weir[optimise]'" in went.stderr
    assert "Traceback" not in went.stderr


def test_ctrl_c_keeps_what_was_answered_and_the_same_command_goes_on(config: Path, tmp_path: Path) -> None:
    written(tmp_path, "slow-15")
    words = searching(tmp_path)
    assert stopped(tmp_path, words, after=20, presses=1)["came_to"] == "stopped"
    kept = keys(tmp_path / "out" / FILE, "answered")
    went = subprocess.run(
        words, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    assert json.loads(went.stdout)["came_to"] == "passed", went.stderr
    sent = keys(tmp_path / "out" / FILE, "sent")
    assert all(sent.count(key) == 1 for key in kept)


def test_a_second_ctrl_c_breaks_calls_off_and_counts_them_as_paid(config: Path, tmp_path: Path) -> None:
    written(tmp_path, "slow-90000")
    told = stopped(tmp_path, searching(tmp_path), after=2, presses=2)
    assert (told["came_to"], told["reason"]) == ("stopped", "Stopped.")
    lines = [json.loads(line) for line in (tmp_path / "out" / FILE).read_bytes().splitlines()]
    assert lines[-1] == {"failed": lines[1]["sent"], "paid": True}
    assert told["spent_usd"] == lines[1]["aside"]


def searching(tmp_path: Path) -> list[str]:
    return [sys.executable, "-m", "weir", *command(tmp_path, "--objective", "cost", "--json")]


def stopped(tmp_path: Path, words: list[str], *, after: int, presses: int) -> dict[str, Any]:
    """What it says where somebody presses Ctrl-C once so many lines are written."""
    with subprocess.Popen(
        words, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(after, tmp_path / "out" / FILE)
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)  # two that come together are one
        out, err = process.communicate(timeout=WITHIN_S)
    assert (process.returncode, "Traceback" in err) == (1, False), err
    told: dict[str, Any] = json.loads(out)
    return told


def wait_for(lines: int, path: Path) -> None:
    end = time.monotonic() + WITHIN_S
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert time.monotonic() < end, "the search did not get so far"
        time.sleep(0.01)


def keys(path: Path, what: str) -> list[str]:
    lines: list[dict[str, Any]] = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [line[what] for line in lines if what in line]


def test_the_bar_tells_what_was_spent_and_the_best_so_far() -> None:
    step = Progress(stage="search", calls=3, of=10, spent=Decimal("0.12"), quality=0.8125, base=0.64)
    assert so_far(step, Decimal(5)) == "searching, $0.12 of $5.00, best 0.812 (0.640 at first)"
    testing = Progress(stage="after", calls=3, of=10, spent=Decimal(2), quality=0.5)
    assert so_far(testing, None) == "testing after, $2.00, quality 0.500"
