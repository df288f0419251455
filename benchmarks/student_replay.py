"""What a student does for the bill of the example's route, and for the quality of its answers, beside all large.

    .venv/bin/python benchmarks/student_replay.py split --train-python /opt/train/bin/python
    .venv/bin/python benchmarks/student_replay.py split --train-python /opt/train/bin/python --work /tmp/work --json
    .venv/bin/python benchmarks/student_replay.py shipped --student examples/support/student

`split`: `weir distill run` learns from the first week of the log alone, by the example's recipe; what it made is
promoted, and the second week asked of Weir. `--work` is the run's folder: what is done there already is not done
again. A student that the gate refused is put in force all the same, which the figures then say. `shipped` has a
finished student asked the whole log, which it learned from, and the suite, whose wording occurs nowhere in the log;
that is what its gate tuned and tested it on.

All requests to route `support` are sent in arrival order, streams as streams, later turns and hard questions
included: all of them are in the bill, and those with a known answer in the quality. Where the cache is on, a day of
the log lasts `--day` seconds, and stored answers as much of it as the example says. `change` is quality less that
of all large for the same requests: the wider of a bootstrap over conversations and Tango's interval for pairs.
`bill` is a share of all large's, by the price list. Intervals are 95 %.

The large model is scripted, and writes down what the example knows: this shows what the machinery does, and nothing
of how well a student learns from a real model.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.example_traffic import Example, Request, wordings
from benchmarks.example_weir import NOTES, ROUTE, Answered, ask, config_of, weir, weir_on
from benchmarks.student_plot import draw
from distill.student.gating.weighing import change_of, rate
from evals.statistics.clusters import units_of
from evals.statistics.interval import Interval
from evals.statistics.ratios import ratio_of_sums

_LARGE, _STUDENT = "support-large", "support-student"
_ALL_LARGE, _STUDENT_AND_CACHE = "all large", "student, cache"
_LEVEL = 0.95
_A_DAY_S = 86_400.0
_SERVED = "serve"
"""The purpose of clients' requests; what Weir asks besides has another one."""
_SHARES = {"by_student": "student, %", "escalated": "escalated, %", "by_cache": "cache, %"}

Row = NDArray[np.float64]


def configured(example: Path, *, student: str, cache: bool, day: float) -> dict[str, Any]:
    """The example's configuration for one policy. `student`: a folder, "" for the promoted one, "none" for none."""
    config = config_of(example)
    route = config["routes"][ROUTE]
    ttl = route["cache"]["ttl_seconds"] * (day / _A_DAY_S if day else 1)
    route["cache"] = {**route["cache"], "ttl_seconds": ttl} if cache else {"enabled": False}
    if student == "none":
        route |= {"candidates": [_LARGE], "policy": {"kind": "fixed", "choose": _LARGE}}
        return config
    upstream = {"kind": "student", "route": ROUTE, "engine": {"kind": "gguf"}}
    config["upstreams"]["student"] = {**upstream, **({"artefact": student} if student else {})}
    price = config["models"]["support-small"]["price"]
    config["models"][_STUDENT] = {"upstream": "student", "price": price}
    route |= {"candidates": [_LARGE, _STUDENT], "policy": {"kind": "student"}}
    return config


def replayed(
    example: Path, state: Path, config: Mapping[str, Any], requests: Sequence[Request], what: str, *, pace: float
) -> tuple[list[Answered], float]:
    """All answers in order, and the dollars that Weir spent besides, such as on audits.

    `pace` are seconds of the log in one of ours; 0: as fast as it goes.
    """
    answers, began = [], time.monotonic()
    with weir_on(example, state, config) as (url, path):
        for one in track(requests, description=what, console=NOTES, transient=True):
            if pace:
                due = began + (one.at - requests[0].at) / pace
                time.sleep(max(due - time.monotonic(), 0.0))
            answers.append(ask(url, one.messages, tenant=one.tenant, stream=one.stream))
    told = weir(state, "report", "costs", "--config", str(path), "--by", "purpose")
    return answers, float(sum(Decimal(row["cost_usd"]) for row in told["rows"] if row["purpose"] != _SERVED))


def policies(
    example: Path, state: Path, requests: Sequence[Request], *, student: str, day: float, label: str
) -> dict[str, tuple[list[Answered], float]]:
    """The answers of each policy to the same requests; `state` holds a registry that is copied for each."""
    found = {}
    for name, served, cache in (
        (_ALL_LARGE, "none", False),
        ("all large, cache", "none", True),
        ("student", student, False),
        (_STUDENT_AND_CACHE, student, True),
    ):
        config = configured(example, student=served, cache=cache, day=day)
        with tempfile.TemporaryDirectory() as folder:
            own = Path(folder) / "state"
            own.mkdir()
            if (state / "registry").is_dir():
                subprocess.run(["cp", "-r", str(state / "registry"), str(own / "registry")], check=True)
            pace = _A_DAY_S / day if cache and day else 0.0
            found[name] = replayed(example, own, config, requests, f"{label}: {name}", pace=pace)
    return found


def figures_of(
    requests: Sequence[Request], runs: Mapping[str, tuple[list[Answered], float]], seen: frozenset[str]
) -> dict[str, Any]:
    """By policy. `seen` are the wordings that the student learned from, or may have."""
    judged = np.array([one.judged for one in requests])
    new = np.array([one.wording not in seen for one in requests])
    first = np.array([one.kind == "first" for one in requests])
    right = {name: _right(requests, answers) for name, (answers, _) in runs.items()}
    cost = {name: _cost(*run) for name, run in runs.items()}
    rows = {}
    for name, (answers, besides) in runs.items():
        by_student = np.array([one.cache not in ("exact", "semantic") and one.model == _STUDENT for one in answers])
        change = right[name] - right[_ALL_LARGE]
        talks = [one.conversation for one in requests]
        rows[name] = {
            "quality": _mean(right[name], judged, requests),
            "change": _change(change, judged, requests),
            "change_of_new_first_turns": _change(change, judged & new & first, requests),
            "dollars": float(cost[name].sum()),
            "besides_usd": besides,
            "bill": ratio_of_sums(cost[name], cost[_ALL_LARGE], talks, level=_LEVEL),
            "by_student": float(by_student.mean()),
            "by_cache": float(np.mean([one.cache in ("exact", "semantic") for one in answers])),
            "escalated": float(np.mean([one.escalated for one in answers])),
            "student_right": _mean(right[name], judged & by_student, requests),
            "student_right_of_new": _mean(right[name], judged & by_student & new, requests),
            "student_by_kind": dict(
                Counter(one.kind for one, its in zip(requests, by_student, strict=True) if its)
            ),
            "new_by_student": int((by_student & new).sum()),
            "degraded": sum(one.degraded for one in answers),
        }
    return {
        "requests": len(requests),
        "kinds": dict(Counter(one.kind for one in requests)),
        "judged": int(judged.sum()),
        "new": dict(Counter(one.kind for one, is_new in zip(requests, new, strict=True) if is_new)),
        "policies": rows,
    }


def _right(requests: Sequence[Request], answers: Sequence[Answered]) -> Row:
    """0 where nobody knows, too: those are left out of whatever is made of it."""
    return np.array(
        [float(one.judged and one.right(given.text)) for one, given in zip(requests, answers, strict=True)]
    )


def _cost(answers: Sequence[Answered], besides: float) -> Row:
    """Dollars by request; what was spent besides is spread over all alike."""
    return np.array([one.cost for one in answers]) + besides / len(answers)


def _mean(values: Row, among: NDArray[np.bool_], requests: Sequence[Request]) -> Interval | None:
    if not among.any():
        return None
    return rate(values[among], np.ones(int(among.sum())), _units(among, requests), _LEVEL)


def _change(changes: Row, among: NDArray[np.bool_], requests: Sequence[Request]) -> Interval | None:
    if not among.any():
        return None
    return change_of(changes[among], np.ones(int(among.sum())), _units(among, requests), _LEVEL)[0]


def _units(among: NDArray[np.bool_], requests: Sequence[Request]) -> NDArray[np.intp]:
    return units_of([one.conversation for one, its in zip(requests, among, strict=True) if its])


def split(example: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Learn from the first week, and be judged on the second."""
    early, first, second = Example(example).weeks()
    (example / "first-week.jsonl").write_text("".join(f"{line}\n" for line in early), encoding="utf-8")
    recipe = yaml.safe_load((example / "student/recipe.yaml").read_text(encoding="utf-8"))
    path = example / "student/first-week.yaml"
    path.write_text(yaml.safe_dump({**recipe, "logs": ["../first-week.jsonl"]}), encoding="utf-8")
    state = folder / "state"
    work = arguments.work or folder / "work"
    NOTES.print(f"Learning from the first week in {work}; that takes minutes.", highlight=False)
    config = example / "weir.yaml"
    python = ("--train-python", str(arguments.train_python)) if arguments.train_python else ()
    order = ("distill", "run", str(path), "--config", str(config), "--out", str(work), "--yes", *python)
    made = weir(state, *order, fails=True)
    gate = next(one["summary"] for one in made["stages"] if one["name"] == "gate")
    forced: tuple[str, ...] = ()
    if not made["passed"]:
        NOTES.print("The gate REFUSED this student. It is put in force for this replay all the same:", style="bold")
        for reason in gate["reasons"]:
            NOTES.print(f"  {reason}", markup=False, highlight=False)
        forced = ("--force", "--reason", "a replay measures what a refused student would do")
    about = ("--config", str(config), "--route", ROUTE)
    weir(state, "distill", "promote", *about, made["version"], *forced)
    runs = policies(example, state, second, student="", day=arguments.day, label="second week")
    return {
        "gate": {"passed": made["passed"], **gate},
        "stages": {one["name"]: one["seconds"] for one in made["stages"]},
        "second week": figures_of(second, runs, wordings(first)),
    }


def shipped(example: Path, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A finished student on the log that it learned from, and on the suite."""
    student, state = str(arguments.student.absolute()), folder / "state"
    _, first, second = Example(example).weeks()
    log, cases = [*first, *second], Example(example).cases()
    found = {}
    for label, requests in (("whole log", log), ("suite", cases)):
        day = arguments.day if label == "whole log" else 0.0  # a suite has no hours
        runs = policies(example, state, requests, student=student, day=day, label=label)
        found[label] = figures_of(requests, runs, wordings(log))
    return found


def _shown(found: Interval | None, *, scale: float = 1.0, digits: int = 3) -> str:
    if found is None:
        return "-"
    value, low, high = (scale * number for number in (found.value, found.low, found.high))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _table(title: str, figures: Mapping[str, Any]) -> Table:
    table = Table(title=f"{title}: {figures['requests']} requests, {figures['judged']} judged")
    for heading in (
        "policy",
        "right",
        "change",
        "new first turns",
        "bill, %",
        *_SHARES.values(),
        "student's right",
    ):
        table.add_column(heading)
    for name, row in figures["policies"].items():
        table.add_row(
            name,
            _shown(row["quality"]),
            _shown(row["change"]),
            _shown(row["change_of_new_first_turns"]),
            _shown(row["bill"], scale=100, digits=1),
            *(f"{100 * row[share]:.1f}" for share in _SHARES),
            _shown(row["student_right"]),
        )
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["split", "shipped"])
    parser.add_argument("--example", type=Path, default=Path("examples/support"))
    parser.add_argument("--train-python", type=Path, help="of an environment with torch and TRL; for `split`")
    parser.add_argument("--work", type=Path, help="the run's folder, to be used again; for `split`")
    parser.add_argument("--student", type=Path, default=Path("examples/support/student"), help="for `shipped`")
    parser.add_argument(
        "--day", type=float, default=15.0, help="seconds that a day lasts where the cache is on (15)"
    )
    parser.add_argument("--plot", type=Path, help="write an SVG of bill and change to this file")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        example = Path(folder) / "example"
        subprocess.run(["cp", "-r", str(arguments.example), str(example)], check=True)
        found = (split if arguments.what == "split" else shipped)(example, Path(folder), arguments)
    tables = {name: each for name, each in found.items() if "policies" in each}
    for name, figures in tables.items():
        Console(width=170).print(_table(name, figures))
    if arguments.plot is not None:
        arguments.plot.write_text(draw(tables), encoding="utf-8")
    if arguments.json:
        print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main()
