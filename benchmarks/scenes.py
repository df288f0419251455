"""What benchmarks of statistics share: scenes with a planted truth, trials of each, and rows as table or JSON."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

_Scene = TypeVar("_Scene")
_Trial = TypeVar("_Trial")


def arguments_of(description: str | None, *, trials: str, draws: str, most_trials: int, most_draws: int) -> Any:
    """`trials` and `draws` say what they tell, in the help."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=most_trials, help=f"of each scene; {trials} ({most_trials})")
    parser.add_argument("--draws", type=int, default=most_draws, help=f"of each bootstrap; {draws} ({most_draws})")
    parser.add_argument("--seed", type=int, default=1, help="another one makes other data (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def try_scenes(
    scenes: Sequence[_Scene],
    trial: Callable[[_Scene, np.random.Generator, int], _Trial],
    row_of: Callable[[_Scene, Sequence[_Trial]], Mapping[str, Any]],
    arguments: Any,
    told: Mapping[str, Any],
) -> None:
    """Each scene so often; prints a row for each, and with `--json` what is `told` beside them."""
    lots = np.random.default_rng(arguments.seed)
    console = Console(stderr=True)
    rows = []
    for number, scene in enumerate(scenes, 1):
        label = f"scene {number} of {len(scenes)}"
        trials = track(range(arguments.trials), label, console=console, disable=not console.is_terminal)
        rows.append(row_of(scene, [trial(scene, lots, arguments.draws) for _ in trials]))
    tell(
        rows,
        {**told, "trials": arguments.trials},
        as_json=arguments.json,
        title="Share of 95 % intervals that contain the truth",
    )


def tell(rows: Sequence[Mapping[str, Any]], told: Mapping[str, Any], *, as_json: bool, title: str = "") -> None:
    """`rows` as a table, or as JSON beside what is `told`. All have the same keys."""
    if as_json:
        print(json.dumps({**told, "rows": rows}, indent=2))
        return
    table = Table(title=title or None)
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=140).print(table)
