"""`weir distill`: its stages in a work folder, what is told before and after them, and what is refused."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from distill.student.running import held
from encoder.card import BUILT
from weir.distill import distill
from weir.distill_recipe import STOPPED, faults, heeding
from weir.distill_told import came_to

pytest.importorskip("sklearn", reason="the extra `learn` is not installed")
pytestmark = pytest.mark.skipif(
    not (BUILT / "encoder.json").exists(), reason="the encoder is not built: weir encoder build"
)

Run = Callable[..., Result]
CONFIG = {
    "upstreams": {"stand-in": {"kind": "scripted"}},
    "models": {"large": {"upstream": "stand-in", "name": "echo", "price": {"input": "1", "output": "2"}}},
    "routes": {
        "support": {"candidates": ["large"], "learning": {"shared": True}},
        "apart": {"candidates": ["large"], "learning": {}},
    },
    "tenants": {"acme": {"consents": ["training"]}, "globex": {"consents": ["training"]}, "initech": {}},
}
ANSWERS = {
    "track": "You find your parcel under Orders, with its number and the day that it comes.",
    "pay": "We take cards and bank transfers; the bill says which account.",
    "return": "Send it back within 30 days with the label that lies in the box.",
}
QUESTIONS = {
    "track": ("Where is my parcel?", "Has my order left yet?", "When does the delivery come?", "Track my package"),
    "pay": (
        "How can I pay?",
        "Do you take credit cards?",
        "Is a bank transfer fine?",
        "Which ways to pay are there?",
    ),
    "return": ("May I send it back?", "How do I return a mug?", "I want to give it back", "Return of an item"),
}
RECIPE = {
    "route": "support",
    "config": "weir.yaml",
    "logs": ["log.jsonl"],
    "mine": {"labels": "given", "least_requests": 2, "least_agreement": 0, "least_likeness": 0},
    "curate": {"tune": 0.25, "test": 0.25, "same": 0.99},
    "compress": {"variants": ["q8_0"]},
}


def lines() -> Iterator[str]:
    for intent, questions in QUESTIONS.items():
        for number, question in enumerate(questions * 2):
            tenant = "acme" if number % 2 else "globex"
            yield json.dumps(
                {
                    "at": f"2026-10-{number + 1:02}T08:00:00Z",
                    "tenant": tenant,
                    "conversation": f"{intent}-{number}",
                    "route": "support",
                    "messages": [{"role": "user", "content": question}],
                    "answer": ANSWERS[intent],
                    "intent": intent,
                }
            )
    yield json.dumps({"tenant": "initech", "messages": [{"role": "user", "content": "a secret of initech"}]})


@pytest.fixture(scope="module")
def mined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a configuration, a log and a recipe, whose traffic was mined and curated into `work`."""
    folder = tmp_path_factory.mktemp("distill")
    (folder / "weir.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "log.jsonl").write_text("\n".join(lines()))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(RECIPE))
    with pytest.MonkeyPatch.context() as patch:
        run = runner(folder, patch)
        for stage in ("mine", "curate"):
            result = run(stage, "recipe.yaml", "--out", "work")
            assert result.exit_code == 0, result.output
    return folder


def runner(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *arguments: CliRunner().invoke(distill, [str(each) for each in arguments])


@pytest.fixture
def home(mined: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(mined, tmp_path / "home"))


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(home, monkeypatch)


def test_stages_one_by_one_leave_parts_of_those_who_consented(home: Path) -> None:
    work = home / "work"
    told = json.loads((work / "mine" / "intents.json").read_bytes())
    assert told["without_consent"] == {"initech": 1}
    assert {one["intent"] for one in told["intents"] if one["picked"]} == set(QUESTIONS)
    assert "secret" not in (work / "mine" / "requests.jsonl").read_text()
    assert (work / "curate" / "train.jsonl").stat().st_size


def test_a_stage_that_is_done_is_not_done_again_and_says_so(run: Run) -> None:
    result = run("curate", "recipe.yaml", "--out", "work")
    assert result.exit_code == 0
    assert "nothing to do" in result.stderr
    assert "done before" in result.stdout
    told = json.loads(run("curate", "recipe.yaml", "--out", "work", "--json").stdout)
    assert told["stages"][0]["skipped"]
    assert told["passed"] is None


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(run: Run, home: Path) -> None:
    before = sorted(home.rglob("*"))
    result = run("run", "recipe.yaml", "--out", "work", "--dry-run")
    assert result.exit_code == 0
    assert "To do: train, compress, gate, card" in result.stdout
    assert "Done already: mine, curate" in result.stdout
    assert sorted(home.rglob("*")) == before
    told = json.loads(run("run", "recipe.yaml", "--out", "other", "--dry-run", "--json").stdout)
    assert told["todo"] == ["mine", "curate", "train", "compress", "gate", "card"]
    assert told["questions"] == 0  # all have answers
    assert not (home / "other").exists()


def test_a_dry_run_tells_what_the_teacher_may_cost(run: Run, home: Path) -> None:
    log = [{**json.loads(line), "answer": ""} for line in lines()]
    (home / "open.jsonl").write_text("\n".join(json.dumps(line) for line in log))
    options = ("--log", "open.jsonl", "--out", "other", "--dry-run")
    told = run("run", "recipe.yaml", *options)
    assert "12 questions have no answer, and there is no teacher" in told.stdout
    taught = (*options, "--teacher", "large", "--json")
    told = json.loads(run("run", "recipe.yaml", *taught, "--cap-usd", "9").stdout)
    # 512 tokens of each answer at 2 dollars a million are the most of it
    assert 12 * 512 * 2e-6 < float(told["most"]) < 12 * 600 * 2e-6
    told = json.loads(
        run("run", "recipe.yaml", *options, "--teacher", "large", "--cap-usd", "0.01", "--json").stdout
    )
    assert (told["most"], told["judging"]) == ("0.01", "0")
    judge = {"judge": {"model": "large", "cap_usd": "3"}}
    recipe = {**yaml.safe_load((home / "recipe.yaml").read_text()), **judge}
    (home / "judged.yaml").write_text(yaml.safe_dump(recipe))
    assert json.loads(run("run", "judged.yaml", *options, "--json").stdout)["judging"] == "3"
    assert "large will judge answers, for $3.00 at most." in run("run", "judged.yaml", *options).stdout
    recipe["curate"] = {**RECIPE["curate"], "ask": "all"}
    (home / "anew.yaml").write_text(yaml.safe_dump(recipe))
    anew = ("run", "anew.yaml", "--out", "other", "--dry-run", "--json", "--teacher", "large", "--cap-usd", "9")
    assert json.loads(run(*anew).stdout)["questions"] == 12  # though all have answers


def test_what_the_teacher_has_answered_already_is_not_told_again(run: Run, home: Path) -> None:
    log = [{**json.loads(line), "answer": ""} for line in lines()]
    (home / "open.jsonl").write_text("\n".join(json.dumps(line) for line in log))
    options = ("recipe.yaml", "--log", "open.jsonl", "--out", "taught", "--teacher", "large", "--cap-usd", "9")
    mined = run("mine", *options)
    assert mined.exit_code == 0, mined.output
    assert " for the teacher" in mined.stdout
    assert float(json.loads((home / "taught" / "mine" / "intents.json").read_bytes())["teacher_usd"]) > 0
    (home / "taught" / "mine" / "done.json").unlink()  # as after a kill
    told = json.loads(run("run", *options, "--dry-run", "--json").stdout)
    assert (told["todo"][0], told["questions"]) == ("mine", 0)


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("gate", "recipe.yaml", "--out", "work"), 1, "needs what compress makes"),
        (("curate", "recipe.yaml", "--out", "new"), 1, "weir distill mine"),
        (("run",), 2, "--route"),
        (("run", "recipe.yaml", "--route", "sales"), 2, "there is no route sales"),
        (("run", "recipe.yaml", "--route", "apart"), 2, "learns alone"),
        (("run", "recipe.yaml", "--teacher", "large"), 1, "cap_usd"),
        (("run", "recipe.yaml", "--base", "x", "--from-scratch", "tiny"), 2, "no --base"),
        (("mine", "recipe.yaml", "--out", "."), 1, "holds other things"),
        (("mine", "recipe.yaml", "--log", "none.jsonl", "--out", "new"), 1, "`training`"),
        (("mine", "recipe.yaml", "--log", "others.jsonl", "--out", "new"), 1, "another route. Name another log"),
    ],
)
def test_what_cannot_be_says_what_to_do(
    run: Run, home: Path, arguments: tuple[str, ...], status: int, said: str
) -> None:
    (home / "none.jsonl").write_text([*lines()][-1])
    (home / "others.jsonl").write_text(next(lines()).replace('"route": "support"', '"route": "apart"'))
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert said in " ".join(result.output.split())


def test_a_recipe_with_faults_is_told_with_all_of_them(run: Run, home: Path) -> None:
    (home / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "gait": {}, "gate": {"margin": 7}}))
    result = run("run", "recipe.yaml")
    assert result.exit_code == 1
    assert "gait" in result.output
    assert "gate.margin" in result.output


def test_a_folder_in_use_is_left_alone(run: Run, home: Path) -> None:
    with held(home / "work"):
        result = run("mine", "recipe.yaml", "--out", "work")
    assert result.exit_code == 1
    assert "works in work" in result.output


@pytest.mark.parametrize("python", ["has nothing", "is none"])
def test_a_python_that_cannot_train_is_told_before_anything_is_done(run: Run, home: Path, python: str) -> None:
    path = home / "python"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$@"\n' if python == "has nothing" else "")
    path.chmod(0o755)
    for verb, work in (("run", "new"), ("train", "work")):
        result = run(verb, "recipe.yaml", "--out", work, "--train-python", path)
        assert result.exit_code == 1
        assert "lacks torch, transformers" in result.output or "no Python that runs" in result.output
        assert "--train-python" in result.output
    assert not (home / "new").exists()
    assert not (home / "work" / "train" / "done.json").exists()


def test_a_full_disk_is_told_with_the_command_that_goes_on(run: Run, home: Path) -> None:
    (home / "full").symlink_to("/dev/full")
    with (
        pytest.raises(click.ClickException, match=r"No space left on device: make room.* to go on: weir"),
        faults(),
    ):
        (home / "full").write_text("something")


def test_the_cap_and_what_has_no_answer_are_told_beside_their_stages() -> None:
    mined = {"share": 0.5, "picked": 1, "intents": 2, "without an answer": 71}
    assert "71 questions without an answer" in came_to("mine", mined)
    curated = {"train": 1, "tune": 1, "test": 1, "dropped": 0, "spent_usd": "0.01", "left_out": 7}
    assert "the cap left 7 questions" in came_to("curate", curated)
    assert "cap" not in came_to("curate", {**curated, "left_out": 0})
    assert "$0.01 for the teacher, $0.2 for the judge" in came_to("curate", {**curated, "judge_usd": "0.2"})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_tells_how_to_go_on(number: signal.Signals, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(click.exceptions.Exit) as stopped, heeding():
        signal.raise_signal(number)
    assert stopped.value.exit_code == STOPPED
    assert "To go on: weir" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("verb", ["run", "mine", "curate", "train", "compress", "gate", "card", "search", "curve"])
def test_help_has_an_example(verb: str) -> None:
    assert f"weir distill {verb}" in CliRunner().invoke(distill, [verb, "--help"]).stdout
