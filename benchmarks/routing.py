"""How much of the strong model's quality routing keeps, at which share of it, and how long a decision takes.

    .venv/bin/python benchmarks/routing.py --data DIR --json
    .venv/bin/python benchmarks/routing.py --train DIR --test DIR --json --plot curve.svg

DIR as `benchmarks/routing_data.py` says. With `--data` one folder is learned from and judged on, in folds that keep
queries of one stem together; else heads learn from the train folder and are judged on the other.

Measured: ten pairs, each by itself; all of them as one traffic with one router; each pair by what the nine others
taught; what share of the queries a controller really sends to the strong model; and cascades, which judge answers.
The last line of `--json` has all goals.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cache_study import encoded
from benchmarks.routing_cascade import cascade_goals
from benchmarks.routing_data import Vectors, read_pairs, texts_of
from benchmarks.routing_goals import decision_times, of_mix, of_pair, of_shares, targets
from benchmarks.routing_study import Splits, known, mixed, unknown
from benchmarks.targets import table
from encoder.card import BUILT
from encoder.session import Session
from evals.curve_plot import Curve, svg

_NOTES = Console(stderr=True, soft_wrap=True)
_ENCODED_AT_ONCE = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder to learn from and judge on, in folds")
    parser.add_argument("--train", type=Path)
    parser.add_argument("--test", type=Path)
    parser.add_argument("--keep", type=Path, help="folder that keeps vectors for the next run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    if bool(given.data) == bool(given.train and given.test):
        parser.error("either --data, or --train and --test")
    train, test = given.data or given.train, None if given.data else given.test
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_NOTES, disable=not _NOTES.is_terminal) as progress:
        report = measured(train, test, given.keep, progress)
    if given.plot:
        given.plot.write_text(_plot(report["mix"]["curve"]), encoding="utf-8")
    del report["mix"]["curve"]
    if given.json:
        for line in (*report["pairs"], *report["unknown"], *report["shares"]):
            print(json.dumps({"benchmark": "routing", **line}))
        print(json.dumps(report))
    else:
        print(_shown(report))


def measured(train: Path, test: Path | None, keep: Path | None, progress: Progress) -> dict[str, Any]:
    """All figures; `goals` among them."""
    splits = Splits.of(read_pairs(train), None if test is None else read_pairs(test))
    session = Session(BUILT)
    vectors = _vectors(splits, session, keep, progress)
    many = len(splits.train)
    task = progress.add_task("learning", total=2 * many + len(splits.turns) + 1)
    step = _stepper(progress, task)
    pairs, shares, left_out = [], [], []
    for place in range(many):
        step(f"{splits.train[place].name} by itself")
        scored = known(splits, place, vectors)
        pairs.append({"kind": "pair", **of_pair(scored)})
        shares += [{"kind": "share", **share} for share in of_shares(scored)]
    parts, head = mixed(splits, vectors, step)
    mix = of_mix(parts)
    for place in range(many):
        step(f"{splits.train[place].name} by the others")
        left_out.append({"kind": "unknown", **of_pair(unknown(splits, place, vectors))})
    step("cascades")
    cascade = cascade_goals(train, test)
    step("timing")
    p50, p99 = decision_times(head, session, splits.test)
    goals = {
        "apgr_mean_ten_pairs": round(float(np.mean([pair["apgr"] for pair in pairs])), 4),
        "apgr_mix": mix["apgr"],
        "cpt80_mix": mix["cpt80"],
        "cascade": {name: cascade[name] for name in ("zeroeval", "mmlu_pro", "cascade_8b_gpt5")},
        "unknown_mean": round(float(np.mean([pair["apgr"] for pair in left_out])), 4),
        "unknown_worst": min(pair["apgr"] for pair in left_out),
        "share_within_03": sum(share["within"] for share in shares),
        "cq95_share": mix["cq95_share"],
        "decision_p50_ms": round(p50, 2),
        "decision_p99_ms": round(p99, 2),
    }
    return {
        "benchmark": "routing",
        "pairs": pairs,
        "mix": mix,
        "unknown": left_out,
        "shares": shares,
        "cascade": cascade.get("details", {}),
        "goals": goals,
    }


def _vectors(splits: Splits, session: Session, keep: Path | None, progress: Progress) -> Vectors:
    texts = sorted(set(texts_of(splits.train)) | set(texts_of(splits.test)))
    task = progress.add_task("encoding", total=len(texts) // _ENCODED_AT_ONCE + 1)
    found = encoded(texts, session, keep, _stepper(progress, task))
    progress.update(task, completed=len(texts) // _ENCODED_AT_ONCE + 1)
    return {text: found[text.strip()].astype(np.float32) for text in texts}


def _stepper(progress: Progress, task: Any) -> Callable[[str], None]:
    def step(what: str) -> None:
        progress.update(task, advance=1, description=what)
        if not _NOTES.is_terminal:
            _NOTES.print(what)

    return step


def _shown(report: dict[str, Any]) -> str:
    lines = [
        "| pair | queries | APGR | 95 % | CPT80 | by the others |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
    ]
    for pair, other in zip(report["pairs"], report["unknown"], strict=True):
        low, high = pair["apgr_95"]
        lines.append(
            f"| {pair['pair']} | {pair['queries']:,} | {pair['apgr']:.3f} | {low:.3f}..{high:.3f} "
            f"| {pair['cpt80']:.3f} | {other['apgr']:.3f} |"
        )
    return "\n".join([*lines, "", table(targets(report["goals"])), "", json.dumps(report["goals"])])


def _plot(curves: Mapping[str, Curve]) -> str:
    """All of them begin and end alike: at either model alone."""
    curve = next(iter(curves.values()))
    return svg(
        curves,
        {"weak alone": curve[0], "strong alone": curve[-1]},
        across="share of queries that the strong model answers",
        up="mean quality",
        title="Ten pairs as one traffic",
    )


if __name__ == "__main__":
    main()
