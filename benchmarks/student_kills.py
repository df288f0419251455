"""Whether `weir distill run` comes to the same, and pays nothing twice, however often it is killed on its way.

    python benchmarks/student_kills.py
    python benchmarks/student_kills.py --kills 1 --seed 7 --json

The Python that runs it needs torch, as `make student` has it: a real student of the example's log is trained, for
few steps, so that the gate refuses it. It is run unbroken once, and then killed in each of its stages with SIGKILL,
all of its processes or the first alone, as the lot falls, and started again. Moments are drawn between the stage's
beginning and the time that the unbroken one took, from ever shorter spans, since what one life has done the next
need not do; where the stage was quicker, the kill is counted as `late`, and no more are tried in it.

Compared is every file of every stage but for `done.json`, `stage.json` and `log.txt`: JSON without what is measured
(`MEASURED`), Markdown without the lines and columns that tell it. Of the teacher's answers each question must be
there once, with the same text; the ledger may have no more questions than those and what was under way at a kill.
Exit status 1 where anything differs, was paid twice, or outlived its run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from benchmarks.processes import tree
from distill.student.recipe import read_recipe, written

STAGES = ("mine", "curate", "train", "compress", "gate", "card")
MEASURED = frozenset(
    {"seconds", "device_hours", "energy_wh", "memory_mb", "tokens_s", "p50_ms", "p95_ms", "mb", "tokens/s"}
    | {"P95 ms", "memory MB", "version"}
)
WORK = Path("distill", "student")
"""The work folder in a state folder."""
_RECIPE = Path("examples/support/student/recipe.yaml")
_CHANGES: Mapping[str, Any] = {
    "name": WORK.name,
    "train.steps": 60,
    "train.checkpoint_steps": 20,
    "train.guidance": {"variants": 1_000, "fragments": 400, "mixtures": 600},
    "compress.variants": ["f16", "q8_0", "q4_0"],
    "gate.answer_tokens": 24,  # it has learned nothing yet, and would never end
}
_SPAN = 0.9
"""Of what a stage took unbroken: a moment nearer to its end is mostly late."""
_WHOLE = 0.5
"""Of the kills take all processes at once, the others the first alone."""
_LOOK_S = 0.002
_GONE_S = 10.0
"""How long a child may take to notice that its parent is gone."""
_ENDED = (0, 1)
"""Exit statuses of a run that came to its end: 1 where the gate refused the student."""
_AT_A_TIME = 8
"""Questions that the teacher is asked at a time: `teacher.concurrency`, as the recipe leaves it."""
_NOTES = Console(stderr=True)


@dataclass
class Tried:
    """What came of the kills within one stage."""

    kills: int = 0
    whole: int = 0
    late: int = 0
    moments: list[float] = field(default_factory=list)
    outlived: int = 0


class Student:
    """One work folder, in a state folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.state = root / "state"
        self.folder = self.state / WORK
        self._recipe = root / "recipe.yaml"
        self._recipe.write_text(yaml.safe_dump(written(read_recipe(_RECIPE, _CHANGES))))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "weir", "distill", "run", str(self._recipe), "--yes", "--json"]
        with (self.root / "out.json").open("wb") as out, (self.root / "errors.txt").open("wb") as errors:
            self._process = subprocess.Popen(
                command,
                stdout=out,
                stderr=errors,
                start_new_session=True,
                env=os.environ | {"WEIR_STATE_DIR": str(self.state), "OMP_NUM_THREADS": "1"},
            )
        return self._process

    def close(self) -> None:
        """Nothing of it outlives this."""
        if self._process is not None and self._process.poll() is None:
            kill(self._process, whole=True)

    def end(self) -> None:
        """Run it to its end. Raises SystemExit where it comes to none."""
        self.check(self.start().wait())

    def check(self, status: int) -> None:
        if status not in _ENDED or json.loads((self.root / "out.json").read_bytes())["passed"] is None:
            said = (self.root / "errors.txt").read_text().strip()
            raise SystemExit(f"It ended with status {status}: {said or 'it said nothing'}")

    def seconds(self, stage: str) -> float:
        return float(json.loads((self.folder / stage / "done.json").read_bytes())["seconds"])

    def begun(self, stage: str) -> int:
        """When the stage was last begun, 0 where it was not."""
        with suppress(FileNotFoundError):
            return (self.folder / stage / "stage.json").stat().st_mtime_ns
        return 0


def killed(student: Student, stage: str, moments: Sequence[float], lots: random.Random) -> Tried:
    """Start it again and again, and kill it so many seconds after the stage's beginning.

    Where the stage is done sooner it is killed as well, but counted as late, and there are no more moments in it.
    """
    tried, done = Tried(), student.folder / stage / "done.json"
    for moment in moments:
        before, process = student.begun(stage), student.start()
        while process.poll() is None and student.begun(stage) == before:
            time.sleep(_LOOK_S)
        until = time.monotonic() + moment
        while process.poll() is None and time.monotonic() < until and not done.exists():
            time.sleep(_LOOK_S)
        late, whole = done.exists(), lots.random() < _WHOLE
        if process.poll() is not None:
            student.check(process.returncode)
        tried.outlived += kill(process, whole=whole)
        if late:
            tried.late += 1
            break
        tried.kills += 1
        tried.whole += whole
        tried.moments.append(round(moment, 2))
    return tried


def kill(process: subprocess.Popen[bytes], *, whole: bool) -> int:
    """How many of its children had to be killed, since they did not go by themselves."""
    family = tree(process.pid)
    for pid in family if whole else family[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + _GONE_S
    while (left := [pid for pid in family[1:] if tree(pid)]) and time.monotonic() < until:
        time.sleep(_LOOK_S)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(left)


def differences(one: Path, other: Path) -> dict[str, list[str]]:
    """By stage, the files that are not the same in both work folders."""
    found: dict[str, list[str]] = {}
    for stage in STAGES:
        here, there = _files(one / stage), _files(other / stage)
        names = here.keys() | there.keys()
        found[stage] = sorted(name for name in names if here.get(name) != there.get(name))
    return found


def _files(folder: Path) -> dict[str, object]:
    return {
        str(path.relative_to(folder)): _told(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("done.json", "stage.json", "log.txt")
    }


def _told(path: Path) -> object:
    """What a file says, but for what was measured."""
    if path.suffix == ".json":
        return _unmeasured(json.loads(path.read_bytes()))
    if path.parent.name == "answers":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [_unmeasured(row) for row in rows if row["type"] != "memory"]
    if path.suffix == ".md":
        return _unmeasured_text(path.read_text())
    return path.read_bytes()


def _unmeasured(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _unmeasured(each) for name, each in value.items() if name not in MEASURED}
    return [_unmeasured(each) for each in value] if isinstance(value, list) else value


def _unmeasured_text(text: str) -> list[list[str]]:
    """Cells of each line, without the columns and lines of what is measured."""
    lines, heading = [], list[str]()
    for line in text.replace("\\", "").splitlines():
        if not line.strip().startswith("|"):
            heading = []
            if (named := re.match(r"\W*(\w+)", line)) is None or named[1].lower() not in MEASURED:
                lines.append([line])
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        heading = heading or cells
        names = [*heading, *cells[len(heading) :]]
        lines.append([cell for name, cell in zip(names, cells, strict=False) if name not in MEASURED])
    return lines


def teaching(state: Path) -> dict[str, Any]:
    """Answers of the teacher by question, how many are there twice, and how many the ledger knows of."""
    lines = (state / WORK / "teacher" / "results.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["answer"] is not None]
    with sqlite3.connect(f"file:{state / 'weir.db'}?mode=ro", uri=True) as ledger:
        (events,) = ledger.execute("SELECT count(*) FROM usage_events WHERE purpose = 'train'").fetchone()
    answers = {row["key"]: row["answer"]["text"] for row in rows}
    return {"answers": answers, "twice": len(rows) - len(answers), "events": events}


def _entries(state: Path) -> list[str]:
    """What the registry's log says was done, but for its notes of its own mending, which a kill may call for."""
    entries = [json.loads(line)["what"] for line in (state / "registry" / "log.jsonl").read_text().splitlines()]
    return [what for what in entries if what != "mended"]


def measured(student: Student, kills: int, seed: int) -> dict[str, Any]:
    """Do all of it with a new one."""
    lots = random.Random(seed)
    with _NOTES.status("running it unbroken"):
        student.end()
    took = {stage: student.seconds(stage) for stage in STAGES}
    aside = student.state.rename(
        student.root / "unbroken"
    )  # some files tell where they are: both are at the same place
    tried = {}
    for stage in STAGES:
        with _NOTES.status(f"killing it in {stage}, which takes {took[stage]:.1f} s"):
            spans = [_SPAN * took[stage] / place for place in range(1, kills + 1)]
            tried[stage] = killed(student, stage, [lots.uniform(0, span) for span in spans], lots)
    with _NOTES.status("running it to its end"):
        student.end()
    unlike = differences(aside / WORK, student.folder)
    one, other = teaching(aside), teaching(student.state)
    return {
        "seed": seed,
        "stages": [
            {"stage": stage, "seconds": took[stage], **asdict(tried[stage]), "unlike": unlike[stage]}
            for stage in STAGES
        ],
        "teacher": {
            "answers": len(one["answers"]),
            "other_answers": sum(one["answers"].get(key) != text for key, text in other["answers"].items())
            + len(one["answers"].keys() - other["answers"].keys()),
            "twice": other["twice"],
            "events": one["events"],
            "events_killed": other["events"],
        },
        "registry": {"unbroken": _entries(aside), "killed": _entries(student.state)},
    }


def sound(found: Mapping[str, Any]) -> bool:
    """Whether it came to the same, and nothing was done twice but what was under way."""
    stages, teacher, registry = found["stages"], found["teacher"], found["registry"]
    under_way = _AT_A_TIME * sum(stage["kills"] + stage["late"] for stage in stages)
    return (
        not any(stage["unlike"] or stage["outlived"] for stage in stages)
        and not teacher["other_answers"]
        and not teacher["twice"]
        and teacher["events_killed"] <= teacher["answers"] + under_way
        and registry["unbroken"] == registry["killed"]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=3, help="in each stage (3)")
    parser.add_argument("--seed", type=int, default=1, help="another one draws other moments (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with (
        tempfile.TemporaryDirectory(prefix="bench-student-kills-") as name,
        closing(Student(Path(name))) as student,
    ):
        found = measured(student, options.kills, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
    else:
        for stage in found["stages"]:
            sys.stdout.write("  ".join(f"{key} {value}" for key, value in stage.items()) + "\n")
        for name in ("teacher", "registry"):
            sys.stdout.write(f"{name}: {found[name]}\n")
    sys.exit(0 if sound(found) else 1)


if __name__ == "__main__":
    main()
