"""What the kills of a student's run are judged by: only what was measured may differ, and nothing be paid twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.student_kills import STAGES, differences, sound

CARD = """\
version: "{version}"
- seconds: {seconds}
- most\\_tokens: {most}

| name | tokens\\_s | passed |
| --- | ---: | --- |
| f16 | {speed} | {passed} |
"""
ANSWER = {"type": "answer", "id": "1", "text": "under Orders", "seconds": 0.5}


def work(folder: Path, *, text: str = "under Orders", memory: bool = False, **card: object) -> Path:
    told = {"version": "a", "seconds": 1, "most": 224, "speed": 9, "passed": "no", **card}
    for stage in STAGES:
        (folder / stage / "answers").mkdir(parents=True)
        (folder / stage / "done.json").write_text(str(told["seconds"]))
    (folder / "card" / "README.md").write_text(CARD.format(**told))
    (folder / "train" / "train.json").write_text(json.dumps({"loss": 1.5, "seconds": told["seconds"]}))
    lines = [{"type": "memory", "mb": 9.0}] * memory + [{**ANSWER, "text": text, "seconds": told["seconds"]}]
    (folder / "gate" / "answers" / "f16.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def test_what_is_measured_may_differ(tmp_path: Path) -> None:
    one = work(tmp_path / "one")
    other = work(tmp_path / "other", version="b", seconds=3, speed=8, memory=True)
    assert not any(differences(one, other).values())


@pytest.mark.parametrize(
    ("changes", "stage", "file"),
    [
        ({"most": 225}, "card", "README.md"),
        ({"passed": "yes"}, "card", "README.md"),
        ({"text": "somewhere"}, "gate", "answers/f16.jsonl"),
    ],
)
def test_anything_else_may_not(tmp_path: Path, changes: dict[str, Any], stage: str, file: str) -> None:
    found = differences(work(tmp_path / "one"), work(tmp_path / "other", **changes))
    assert {name: files for name, files in found.items() if files} == {stage: [file]}


def test_a_file_more_or_less_is_a_difference(tmp_path: Path) -> None:
    one, other = work(tmp_path / "one"), work(tmp_path / "other")
    (one / "mine" / "requests.jsonl").write_text("")
    (other / "compress" / "q8_0.gguf").write_text("")
    found = differences(one, other)
    assert (found["mine"], found["compress"]) == (["requests.jsonl"], ["q8_0.gguf"])


@pytest.mark.parametrize(
    ("changes", "is_sound"),
    [
        ({}, True),
        ({"events_killed": 18}, True),  # one kill, eight under way
        ({"events_killed": 19}, False),
        ({"twice": 1}, False),
        ({"other_answers": 1}, False),
    ],
)
def test_nothing_is_paid_twice_but_what_was_under_way(changes: dict[str, int], is_sound: bool) -> None:
    stage = {"kills": 1, "late": 0, "outlived": 0, "unlike": []}
    teacher = {"answers": 10, "other_answers": 0, "twice": 0, "events_killed": 10, **changes}
    registry = {"unbroken": ["put", "verdict"], "killed": ["put", "verdict"]}
    found = {"stages": [stage], "teacher": teacher, "registry": registry}
    assert sound(found) == is_sound
    assert not sound({**found, "registry": {**registry, "killed": ["put", "put", "verdict"]}})
    assert not sound({**found, "stages": [{**stage, "outlived": 1}]})
    assert not sound({**found, "stages": [{**stage, "unlike": ["x"]}]})
