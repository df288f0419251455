"""The example's log through a trained router: bill and quality beside each model alone and a random choice.

    .venv/bin/python benchmarks/router_replay.py --share 0.3 --json

The first week of the log goes through route `support` of a fresh Weir with shadow calls; `weir router train` and
`promote` learn from that, and the second week is decided by it; once more after the first week has taught the
check too. An answer is right where it states all facts of its intent (`examples/support/intents.jsonl`); questions
without an intent are left out. The cache is off, so that what is measured is routing alone. A random router of the
same share is computed from the answers of both models to the same requests. Intervals are 95 %, by bootstrap over
conversations.

The models are the example's: scripted ones, the small one of which knows 60 % of what the large one does and whose
log probabilities tell when it guesses. So the figures show that the machinery works, and nothing about real models.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.example_weir import NOTES, ROUTE, Answered, ask, config_of, weir, weir_on
from evals.scorers.contains_facts import Fact

_TENANT = "acme"
_LARGE, _SMALL = "support-large", "support-small"
_DRAWS = 2000


def router_on(example: Path, state: Path, route: Mapping[str, Any]) -> AbstractContextManager[tuple[str, Path]]:
    """`weir_on`, with some of route `support` changed."""
    config = config_of(example)
    own = config["routes"][ROUTE]
    own.pop("learning", None)  # a router is one tenant's here, and a student everyone's
    own |= {"candidates": [_LARGE, _SMALL], "cache": {"enabled": False}, **route}
    return weir_on(example, state, config)


def run(url: str, entries: Sequence[Mapping[str, Any]], what: str) -> list[Answered]:
    return [
        ask(url, entry["messages"], tenant=_TENANT)
        for entry in track(entries, description=what, console=NOTES, transient=True)
    ]


def weeks(example: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Both weeks' requests to the route that have an intent."""
    log = [json.loads(line) for line in (example / "log.jsonl").read_text().splitlines()]
    mine = [entry for entry in log if entry["route"] == ROUTE and entry["intent"] != "unknown"]
    turn = sorted(entry["at"] for entry in log)[len(log) // 2]
    return [one for one in mine if one["at"] < turn], [one for one in mine if one["at"] >= turn]


def right(example: Path, entries: Sequence[Mapping[str, Any]], answers: Sequence[Answered]) -> np.ndarray:
    """1 where an answer states all facts of its intent."""
    facts = {
        row["intent"]: [Fact.parse(text) for text in row["facts"]]
        for row in map(json.loads, (example / "intents.jsonl").read_text().splitlines())
    }
    return np.array(
        [
            float(all(fact.stated_in(answer.text) for fact in facts[entry["intent"]]))
            for entry, answer in zip(entries, answers, strict=True)
        ]
    )


def interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float, float]:
    """The mean and its 95 % interval, drawn by group."""
    draw = np.random.default_rng(0)
    names, places = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(places, values), np.bincount(places)
    means = []
    for _ in range(_DRAWS):
        drawn = draw.integers(0, len(names), len(names))
        means.append(sums[drawn].sum() / sizes[drawn].sum())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def measure(example: Path, share: float, state: Path) -> dict[str, Any]:
    """All runs, and their figures."""
    first, second = weeks(example)
    fixed = {"policy": {"kind": "fixed", "choose": _LARGE}}
    learns = {"learning": {"shadow_share": 1}}
    with router_on(example, state, {**fixed, **learns}) as (url, config):
        for entry in track(first, description="first week, with shadow calls", console=NOTES, transient=True):
            ask(url, entry["messages"], tenant=_TENANT)
        time.sleep(2)  # the last shadow calls
    about = ("--config", str(config), "--route", ROUTE, "--tenant", _TENANT)
    trained = weir(state, "router", "train", *about, "--intents", str(example / "intents.jsonl"))
    promoted = weir(state, "router", "promote", *about, trained["version"])
    runs: dict[str, list[Answered]] = {}
    for name, model in (("all large", _LARGE), ("all small", _SMALL)):
        with router_on(example, state, {"policy": {"kind": "fixed", "choose": model}}) as (url, _):
            runs[name] = run(url, second, name)
    learned = {"kind": "learned", "goal": {"share": share}}
    checked = {**learned, "check": {}, "sureness": 2}
    with router_on(example, state, {"policy": learned}) as (url, _):
        runs["learned"] = run(url, second, "learned")
    with router_on(example, state, {"policy": checked}) as (url, _):
        runs["learned, with check"] = run(url, second, "learned, with check")
    with router_on(example, state, {"policy": {**checked, "sureness": 4}, **learns}) as (url, _):
        run(url, first, "first week again, to learn the check")
        time.sleep(2)
    again = weir(state, "router", "train", *about, "--intents", str(example / "intents.jsonl"))
    weir(state, "router", "promote", *about, again["version"])
    with router_on(example, state, {"policy": checked}) as (url, _):
        runs["learned, with learned check"] = run(url, second, "learned, with learned check")
    quality = {name: right(example, second, answers) for name, answers in runs.items()}
    cost = {name: np.array([one.cost for one in answers]) for name, answers in runs.items()}
    groups = np.array([entry["conversation"] for entry in second])
    seen = {entry["messages"][-1]["content"] for entry in first}
    new = np.array([entry["messages"][-1]["content"] not in seen for entry in second])
    figures: dict[str, Any] = {
        "first_week": len(first),
        "second_week": len(second),
        "new_questions": int(new.sum()),
        "evidence": again["evidence"],
        "left_out": again["left_out"],
        "gate": promoted["reasons"],
        "policies": {},
    }
    for name in runs:
        to_large = np.array([one.model == _LARGE for one in runs[name]], float)
        figures["policies"][name] = _row(quality[name], cost[name], groups, new, to_large)
        if name.startswith("learned"):
            random = _random(quality, cost, float(to_large.mean()))
            figures["policies"][f"random, share of {name}"] = _row(
                *random, groups, new, np.full(len(new), to_large.mean())
            )
            figures["policies"][name]["gain_over_random"] = interval(quality[name] - random[0], groups)
            figures["policies"][name]["bill_of_all_large"] = float(cost[name].sum() / cost["all large"].sum())
            figures["policies"][name]["degraded"] = sum(one.degraded for one in runs[name])
    return figures


def _random(
    quality: Mapping[str, np.ndarray], cost: Mapping[str, np.ndarray], share: float
) -> tuple[np.ndarray, np.ndarray]:
    """What a router that sends `share` to the large model by lot gets on average."""
    return tuple(share * of["all large"] + (1 - share) * of["all small"] for of in (quality, cost))  # type: ignore[return-value]


def _row(
    quality: np.ndarray, cost: np.ndarray, groups: np.ndarray, new: np.ndarray, large: np.ndarray
) -> dict[str, Any]:
    return {
        "quality": interval(quality, groups),
        "quality_of_new": interval(quality[new], groups[new]),
        "dollars": float(cost.sum()),
        "large_share": float(large.mean()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--example", type=Path, default=Path("examples/support"))
    parser.add_argument("--share", type=float, default=0.3, help="of requests to the large model")
    parser.add_argument("--json", action="store_true", help="print one JSON object, last")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "example"
        subprocess.run(["cp", "-r", str(args.example), str(copy)], check=True)
        figures = measure(copy, args.share, Path(folder) / "state")
    table = Table(title="Second week of the example's log")
    for heading in ("policy", "right", "95 %", "right of new questions", "dollars", "to large"):
        table.add_column(heading)
    for name, row in figures["policies"].items():
        mean, low, high = row["quality"]
        new = "{:.3f} ({:.3f} to {:.3f})".format(*row["quality_of_new"])
        table.add_row(
            name,
            f"{mean:.3f}",
            f"{low:.3f} to {high:.3f}",
            new,
            f"{row['dollars']:.4f}",
            f"{row['large_share']:.3f}",
        )
    Console().print(table)
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
