"""Stages in a work folder: what is done again and what is not, whenever they were killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill.student.running import (
    BEGUN,
    DONE,
    LOG,
    Carried,
    FolderRefused,
    Stage,
    StageMissing,
    Tell,
    carry_out,
    held,
    outlook,
    read_done,
)

STRIDE = 3
"""Operations between two kills: they are of every kind all the same, and there are fewer runs."""
QUESTIONS = ("where is my parcel", "how do I pay", "may I send it back")


def unheard(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def stages(traffic: Path, *, setting: int = 1) -> list[Stage]:
    """Three, as real ones are: one reads traffic, one asks and keeps what was answered, one makes files of it."""

    def mine(folder: Path, tell: Tell) -> Mapping[str, Any]:
        lines = sorted(traffic.read_text().splitlines())
        (folder / "requests.jsonl").write_text("\n".join(lines))
        return {"requests": len(lines)}

    def ask(folder: Path, tell: Tell) -> Mapping[str, Any]:
        kept = folder.parent / "answers.jsonl"
        known = {json.loads(line)["id"] for line in kept.read_text().splitlines()} if kept.exists() else set()
        for line in (folder.parent / "mine" / "requests.jsonl").read_text().splitlines():
            if line not in known:
                with kept.open("a") as file:
                    file.write(json.dumps({"id": line}) + "\n")
        (folder / "train.jsonl").write_text(kept.read_text())
        return {"asked": len(known)}

    def train(folder: Path, tell: Tell) -> Mapping[str, Any]:
        (folder / "model").mkdir(exist_ok=True)
        (folder / LOG).write_text("what a library had to say")
        for part in ("weights", "tokenizer"):
            (folder / "model" / part).write_text(f"{part} {setting} {(folder / 'checkpoint').exists()}")
        return {"setting": setting}

    return [
        Stage(name="mine", does="looking for intents", settings={}, sources=(traffic,), work=mine),
        Stage(name="ask", does="asking", settings={}, after=("mine",), work=ask),
        Stage(name="train", does="training", settings={"setting": setting}, after=("ask",), work=train),
    ]


@pytest.fixture
def traffic(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(QUESTIONS))
    return path


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tmp_path / "work"


def ran(todo: Sequence[Stage], folder: Path, said: list[str] | None = None, **how: Any) -> list[Carried]:
    return list(carry_out(todo, folder, unheard, say=(said if said is not None else []).append, **how))


def skipped(carried: Sequence[Carried]) -> dict[str, bool]:
    return {one.name: one.skipped for one in carried}


def made(folder: Path) -> dict[str, str]:
    """All that stages wrote, but for how long they took."""
    return {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in (DONE, BEGUN)
    }


def test_what_is_done_is_not_done_again(traffic: Path, work: Path) -> None:
    begun: list[str] = []
    said: list[str] = []
    first = ran(stages(traffic), work, begun)
    (work / "train" / LOG).write_text("what a library had to say, and somebody's note")  # of people, and no input
    again = ran(stages(traffic), work, said)
    assert [line.partition(", in")[0] for line in begun[:2]] == ["mine: looking for intents.", "mine: done"]
    assert work.stat().st_mode & 0o777 == 0o700
    assert skipped(first) == {"mine": False, "ask": False, "train": False}
    assert skipped(again) == {"mine": True, "ask": True, "train": True}
    assert [one.summary for one in again] == [one.summary for one in first]
    assert len(said) == 3


def test_a_stage_alone_does_not_work_on_what_somebody_damaged(traffic: Path, work: Path) -> None:
    ran(stages(traffic), work)
    (work / "ask" / "train.jsonl").write_text("something else")
    with pytest.raises(StageMissing, match=r"train needs ask/train\.jsonl, .* weir distill ask"):
        ran(stages(traffic, setting=2), work, only="train")
    assert skipped(ran(stages(traffic), work, only="ask")) == {"ask": False}
    assert skipped(ran(stages(traffic), work, only="train")) == {"train": True}


def test_a_changed_setting_begins_at_the_stage_that_it_matters_to(traffic: Path, work: Path) -> None:
    ran(stages(traffic), work)
    assert skipped(ran(stages(traffic, setting=2), work)) == {"mine": True, "ask": True, "train": False}


def test_changed_traffic_begins_anew_and_where_nothing_came_of_it_ends_there(traffic: Path, work: Path) -> None:
    ran(stages(traffic), work)
    traffic.write_text("\n".join(reversed(QUESTIONS)))
    assert skipped(ran(stages(traffic), work)) == {"mine": False, "ask": True, "train": True}
    traffic.write_text("\n".join((*QUESTIONS, "is it safe")))
    assert skipped(ran(stages(traffic), work)) == {"mine": False, "ask": False, "train": False}


def test_what_is_not_read_of_a_stage_before_does_not_matter(traffic: Path, work: Path) -> None:
    def seconds(folder: Path, tell: Tell) -> Mapping[str, Any]:
        (folder / "facts.json").write_text(traffic.read_text())
        (folder / "model").mkdir(exist_ok=True)
        (folder / "model" / "weights").write_text("the same")
        return {}

    def following(*after: str) -> list[Stage]:
        train = Stage(name="train", does="training", settings={}, sources=(traffic,), work=seconds)
        return [
            train,
            *(
                replace(stages(traffic)[0], name=f"of {read.replace('/', '-')}", after=(read,), sources=())
                for read in after
            ),
        ]

    todo = following("train", "train/model", "train/facts.json", "train/mod")
    ran(todo, work)
    traffic.write_text("something else")
    assert [one.skipped for one in ran(todo, work)] == [False, False, True, False, True]


@pytest.mark.parametrize("spoil", [lambda file: file.write_text("x"), Path.unlink])
def test_what_was_damaged_is_noticed(traffic: Path, work: Path, spoil: Callable[[Path], object]) -> None:
    ran(stages(traffic), work)
    spoil(work / "train" / "model" / "weights")
    said: list[str] = []
    assert skipped(ran(stages(traffic), work, said)) == {"mine": True, "ask": True, "train": False}
    assert any("model/weights" in line for line in said)
    assert skipped(ran(stages(traffic), work))["train"]


def test_what_was_broken_off_goes_on_in_its_folder_unless_what_it_reads_has_changed(
    traffic: Path, work: Path
) -> None:
    def breaks(folder: Path, tell: Tell) -> Mapping[str, Any]:
        (folder / "checkpoint").touch()
        raise KeyboardInterrupt

    for setting, goes_on in ((1, True), (2, False)):
        ran(stages(traffic)[:2], work)
        broken = replace(stages(traffic)[2], work=breaks)
        with pytest.raises(KeyboardInterrupt):
            ran([*stages(traffic)[:2], broken], work)
        ran(stages(traffic, setting=setting), work)
        assert (work / "train" / "model" / "weights").read_text() == f"weights {setting} {goes_on}"
        (work / "train" / DONE).unlink()


def test_a_stage_that_keeps_is_given_what_it_made_before(traffic: Path, work: Path) -> None:
    def keeping(setting: int) -> list[Stage]:
        *before, last = stages(traffic, setting=setting)
        return [*before, replace(last, keeps=True)]

    ran(keeping(1), work)
    (work / "train" / "checkpoint").touch()
    ran(keeping(2), work)
    assert (work / "train" / "model" / "weights").read_text() == "weights 2 True"


def test_a_stage_alone_says_which_one_before_it_is_missing(traffic: Path, work: Path) -> None:
    with pytest.raises(StageMissing, match="ask needs what mine makes"):
        ran(stages(traffic), work, only="ask")
    ran(stages(traffic), work, only="mine")
    assert skipped(ran(stages(traffic), work, only="ask")) == {"ask": False}
    assert outlook(stages(traffic)[2], work).state == "new"


def test_a_folder_that_holds_other_things_or_is_in_use_is_refused(traffic: Path, work: Path) -> None:
    (other := work.parent / "other").mkdir()
    (other / "thesis.md").touch()
    with pytest.raises(FolderRefused, match="holds other things"):
        ran(stages(traffic), other)
    with held(work), pytest.raises(FolderRefused, match="works in"):
        ran(stages(traffic), work)


def test_a_kill_at_any_file_operation_changes_nothing_of_what_comes_out(traffic: Path, tmp_path: Path) -> None:
    """Each run is killed some operations later than the last, until one is not killed any more."""
    ran(stages(traffic), tmp_path / "whole")
    whole, point = made(tmp_path / "whole"), 0
    while _killed_at(point, stages(traffic), work := tmp_path / f"killed{point}"):
        ran(stages(traffic), work)
        assert made(work) == whole
        assert all(read_done(work / stage.name) is not None for stage in stages(traffic))
        point += STRIDE
    assert point > 50


def test_a_damaged_stage_that_is_killed_while_it_begins_anew_does_not_go_on_with_what_is_damaged(
    traffic: Path, tmp_path: Path
) -> None:
    ran(stages(traffic), whole := tmp_path / "whole")
    (whole / "train" / "checkpoint").touch()  # would be read, were the stage to go on
    (whole / "train" / "model" / "weights").write_text("x")
    point = 0
    while _killed_at(point, stages(traffic), work := tmp_path / f"damaged{point}", of=whole, only="train"):
        ran(stages(traffic), work, only="train")
        assert (work / "train" / "model" / "weights").read_text() == "weights 1 False"
        point += 1
    assert point > 20


def _killed_at(point: int, todo: Sequence[Stage], folder: Path, *, of: Path | None = None, only: str = "") -> bool:
    """Whether a run in a process of its own was killed as it was to touch a file for this many-th time; in a copy
    of a folder where one is given."""
    if of is not None:
        shutil.copytree(of, folder)
    pid = os.fork()
    if not pid:
        left = point

        def watch(event: str, _: object) -> None:
            nonlocal left
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        ran(todo, folder, only=only)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
