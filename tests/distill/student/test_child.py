"""A stage's child process: what it is told and says, how it fails, and that it never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from distill.student.child import LOG, StageFailed, run_child

ELSEWHERE = Path(os.path.realpath(sys.executable))
"""The Python that this environment was made from, which knows nothing of Weir."""
WORK = """
import importlib.util, json, os, signal, subprocess, sys, time
from trial_package import NAME

order = json.loads(open(sys.argv[1]).read())
if order["does"] == "works":
    print("a library says something")
    for step in range(3):
        print(json.dumps({"step": step + 1, "steps": 3, "loss": 0.5, **order["says"]}), flush=True)
    known = [each for each in ("contracts", "distill") if importlib.util.find_spec(each)]
    print(NAME, "knows", known, "and", os.environ.get("PYTHONPATH"))
elif order["does"] == "fails":
    sys.exit("the loss is not a number: lower the learning rate")
elif order["does"] == "is killed":
    os.kill(os.getpid(), signal.SIGKILL)
else:
    other = subprocess.Popen(["sleep", "100"])
    print(json.dumps({"step": os.getpid(), "steps": other.pid}), flush=True)
    time.sleep(100)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package of the child lies."""
    package = tmp_path / "place" / "trial_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("NAME = 'trial'\n")
    (package / "work.py").write_text(WORK)
    monkeypatch.syspath_prepend(package.parent)
    return package.parent


def run(folder: Path, does: str, tell: Any = lambda *_: None, **more: Any) -> None:
    run_child(ELSEWHERE, "trial_package.work", {"does": does, **more}, folder=folder, tell=tell)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(*pids: int) -> bool:
    until = time.monotonic() + 30
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return not any(map(is_running, pids))


def test_progress_is_told_and_the_rest_is_in_the_log(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    told: list[tuple[str, int, int]] = []
    run(tmp_path / "run", "works", lambda *each: told.append(each), says={})
    assert told == [("work, loss 0.500", step, 3) for step in (1, 2, 3)]
    told.clear()
    run(tmp_path / "run", "works", lambda *each: told.append(each), says={"what": "loading", "loss": None})
    assert told == [("loading", step, 3) for step in (1, 2, 3)]
    log = (tmp_path / "run" / LOG).read_text().splitlines()
    assert log == ["a library says something", "trial knows [] and None"], "of Weir it has this package alone"


@pytest.mark.parametrize(
    ("does", "says"),
    [
        ("fails", "trial_package.work failed: the loss is not a number: lower the learning rate"),
        ("is killed", "was ended by SIGKILL; out of memory, perhaps"),
    ],
)
def test_a_failure_has_the_last_words(place: Path, tmp_path: Path, does: str, says: str) -> None:
    with pytest.raises(StageFailed, match=says):
        run(tmp_path / "run", does)


def test_a_python_that_is_not_there(place: Path, tmp_path: Path) -> None:
    with pytest.raises(StageFailed, match=r"nowhere cannot be run .*: name the Python of an environment that has"):
        run_child(tmp_path / "nowhere", "trial_package.work", {}, folder=tmp_path, tell=lambda *_: None)


def test_ctrl_c_ends_the_child_and_what_it_started(place: Path, tmp_path: Path) -> None:
    pids: list[int] = []

    def interrupted(_: str, child: int, grandchild: int) -> None:
        pids.extend((child, grandchild))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", "sleeps", interrupted)
    assert len(pids) == 2
    assert ended(*pids)


def test_they_end_when_the_parent_is_killed(place: Path, tmp_path: Path) -> None:
    parent = textwrap.dedent(f"""
        import sys
        sys.path[:0] = {[str(place), *sys.path]!r}
        from pathlib import Path
        from distill.student.child import run_child
        tell = lambda _, child, grandchild: print(child, grandchild, flush=True)
        python, folder = Path({str(ELSEWHERE)!r}), Path({str(tmp_path)!r})
        run_child(python, "trial_package.work", {{"does": "sleeps"}}, folder=folder, tell=tell)
    """)
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_running, pids))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert ended(*pids)
