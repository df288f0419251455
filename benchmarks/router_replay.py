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
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from evals.scorers.contains_facts import Fact

_NOTES = Console(stderr=True)
_ROUTE, _TENANT, _KEY = "support", "acme", "sk-weir-demo-acme"
_LARGE, _SMALL = "support-large", "support-small"
_DRAWS = 2000
_Answer = Mapping[str, Any]


@contextmanager
def weir_on(example: Path, state: Path, route: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """A Weir on the example with some of route `support` changed; yields its address and its configuration."""
    config = yaml.safe_load((example / "weir.yaml").read_text())
    config["routes"][_ROUTE] |= {"cache": {"enabled": False}, **route}
    path = example / "weir.router-replay.yaml"
    path.write_text(yaml.safe_dump(config))
    process = subprocess.Popen(
        [sys.executable, "-m", "weir", "serve", "--config", str(path), "--port", "0", "--log-level", "warning"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "WEIR_STATE_DIR": str(state)},
    )
    try:
        assert process.stdout is not None
        url = next(line.split()[-1] for line in process.stdout if "Base URL" in line)
        time.sleep(2)  # the encoder is connected to in the background
        yield url, path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def ask(url: str, body: Mapping[str, Any]) -> _Answer:
    """The answer's text, with what Weir says of it."""
    request = urllib.request.Request(
        f"{url}/chat/completions",
        data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {_KEY}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        data, headers = json.loads(reply.read()), reply.headers
    return {
        "text": data["choices"][0]["message"]["content"],
        "model": headers["x-weir-model"],
        "cost": float(headers["x-weir-cost"]),
        "degraded": headers.get("x-weir-degraded"),
    }


def run(url: str, entries: Sequence[Mapping[str, Any]], what: str) -> list[_Answer]:
    return [
        ask(url, {"model": _ROUTE, "messages": entry["messages"]})
        for entry in track(entries, description=what, console=_NOTES, transient=True)
    ]


def weir(state: Path, *arguments: str) -> Any:
    """What a verb prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "weir", *arguments, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "WEIR_STATE_DIR": str(state)},
    )
    if done.returncode:
        _NOTES.print(done.stdout, done.stderr, markup=False)
        raise SystemExit(f"weir {' '.join(arguments[:2])} failed")
    return json.loads(done.stdout)


def weeks(example: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Both weeks' requests to the route that have an intent."""
    log = [json.loads(line) for line in (example / "log.jsonl").read_text().splitlines()]
    mine = [entry for entry in log if entry["route"] == _ROUTE and entry["intent"] != "unknown"]
    turn = sorted(entry["at"] for entry in log)[len(log) // 2]
    return [one for one in mine if one["at"] < turn], [one for one in mine if one["at"] >= turn]


def right(example: Path, entries: Sequence[Mapping[str, Any]], answers: Sequence[_Answer]) -> np.ndarray:
    """1 where an answer states all facts of its intent."""
    facts = {
        row["intent"]: [Fact.parse(text) for text in row["facts"]]
        for row in map(json.loads, (example / "intents.jsonl").read_text().splitlines())
    }
    return np.array(
        [
            float(all(fact.stated_in(answer["text"]) for fact in facts[entry["intent"]]))
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
    with weir_on(example, state, {**fixed, **learns}) as (url, config):
        for entry in track(first, description="first week, with shadow calls", console=_NOTES, transient=True):
            ask(url, {"model": _ROUTE, "messages": entry["messages"]})
        time.sleep(2)  # the last shadow calls
    about = ("--config", str(config), "--route", _ROUTE, "--tenant", _TENANT)
    trained = weir(state, "router", "train", *about, "--intents", str(example / "intents.jsonl"))
    promoted = weir(state, "router", "promote", *about, trained["version"])
    runs: dict[str, list[_Answer]] = {}
    for name, model in (("all large", _LARGE), ("all small", _SMALL)):
        with weir_on(example, state, {"policy": {"kind": "fixed", "choose": model}}) as (url, _):
            runs[name] = run(url, second, name)
    learned = {"kind": "learned", "goal": {"share": share}}
    checked = {**learned, "check": {}, "sureness": 2}
    with weir_on(example, state, {"policy": learned}) as (url, _):
        runs["learned"] = run(url, second, "learned")
    with weir_on(example, state, {"policy": checked}) as (url, _):
        runs["learned, with check"] = run(url, second, "learned, with check")
    with weir_on(example, state, {"policy": {**checked, "sureness": 4}, **learns}) as (url, _):
        run(url, first, "first week again, to learn the check")
        time.sleep(2)
    again = weir(state, "router", "train", *about, "--intents", str(example / "intents.jsonl"))
    weir(state, "router", "promote", *about, again["version"])
    with weir_on(example, state, {"policy": checked}) as (url, _):
        runs["learned, with learned check"] = run(url, second, "learned, with learned check")
    quality = {name: right(example, second, answers) for name, answers in runs.items()}
    cost = {name: np.array([one["cost"] for one in answers]) for name, answers in runs.items()}
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
        to_large = np.array([one["model"] == _LARGE for one in runs[name]], float)
        figures["policies"][name] = _row(quality[name], cost[name], groups, new, to_large)
        if name.startswith("learned"):
            random = _random(quality, cost, float(to_large.mean()))
            figures["policies"][f"random, share of {name}"] = _row(
                *random, groups, new, np.full(len(new), to_large.mean())
            )
            figures["policies"][name]["gain_over_random"] = interval(quality[name] - random[0], groups)
            figures["policies"][name]["bill_of_all_large"] = float(cost[name].sum() / cost["all large"].sum())
            figures["policies"][name]["degraded"] = sum(one["degraded"] is not None for one in runs[name])
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
