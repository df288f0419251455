"""What each optimiser makes of the example's prompt: quality on cases that it never saw, its price, and the bill.

    .venv/bin/python benchmarks/prompt_gain.py --plot benchmarks/prompt_gain.svg
    .venv/bin/python benchmarks/prompt_gain.py --optimisers gepa --seeds 1 --budgets 0.75,1,1.5,2,3

Each seed divides the suite's cases otherwise. What was found is promoted then, passed or not, and served by another
Weir as its registry says: each case that was tested must get the same answer and the same score again, and the
validation part the score that the search saw. Only then are figures of the search figures of the server. With
`--budgets` the same for each sum, which must not be exceeded.

The example's models are stand-ins that answer as well as they are told to: this shows that the machinery climbs,
and that it says rightly how far; nothing of real models.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track

from benchmarks.scenes import tell
from evals.cases import Case
from evals.curve_plot import Point, svg
from evals.run_folder import Run, read_run
from evals.runner.ending import Ending
from evals.runner.evaluation import carry_out, locally
from evals.runner.evaluation import prepared as run_prepared
from evals.runner.recall import Recall
from evals.suite import read_suite
from prompts.evidence import Change, Evidence
from prompts.optimise.calls import FILE
from prompts.optimise.estimate import BudgetTooSmall
from prompts.optimise.optimisation import Prepared, optimise, prepared
from prompts.optimise.order import Order
from prompts.optimise.outcome import Outcome
from prompts.optimise.trial import AFTER, Scoring, route_target, run_order
from prompts.optimise.watching import Stop
from registry.prompts import promote, put
from registry.store import Registry
from router.config.load import load
from weir.eval_run_order import encode, encoder_version

EXAMPLE = Path(__file__).parents[1] / "examples/support"
_ROUTE, _EDITOR = "support", "support-editor"
_OPTIMISERS = ("gepa", "miprov2", "bootstrap", "simba", "shorten")
_UNKNOWN = Change(before=0.0, after=0.0, change=0.0, low=0.0, high=0.0, verdict="")


@dataclass(frozen=True)
class Task:
    optimiser: str
    seed: int
    budget: Decimal | None
    effort: str
    test_share: float
    suite: Path
    config: Path


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Scores from 0 to 1, dollars, tokens of a request. `expected` and `made` are calls of the route and of the
    model that reflects. `served`: whether what was found answers as it was tested, once it is promoted; None where
    nothing was tested. `steps` are the best score on the validation part by dollars spent.
    """

    optimiser: str
    seed: int
    budget: Decimal | None
    came_to: str
    reason: str
    quality: Change
    cost: Change
    tokens: tuple[float, float]
    searched: Decimal
    spent: Decimal
    expected: tuple[int, int]
    made: tuple[int, int]
    tried: int
    turned_away: int
    seconds: float
    served: bool | None
    steps: tuple[Point, ...]


def main(arguments: Sequence[str] | None = None) -> None:
    asked = _asked(arguments)
    budgets: list[Decimal | None] = [Decimal(each) for each in asked.budgets.split(",") if each]
    tasks = [
        Task(name, seed, budget, asked.effort, asked.test_share, asked.suite, asked.config)
        for name in asked.optimisers.split(",")
        for budget in budgets or [None]
        for seed in range(asked.seeds)
    ]
    console = Console(stderr=True)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(asked.processes, mp_context=spawn) as processes:
        found = processes.map(gain, tasks)
        gains = [*track(found, "searching", len(tasks), console=console, disable=not console.is_terminal)]
    rows = [_row(each) for each in gains] if asked.budgets else _summaries(gains)
    told = {"benchmark": "prompt_gain", "gains": [_told(each) for each in gains]}
    tell(rows, told, as_json=asked.json, title="On cases that no optimiser saw")
    if asked.plot is not None:
        asked.plot.write_text(_plot(gains), encoding="utf-8")
    if wrong := [each for each in gains if each.served is False or _exceeds(each)]:
        raise SystemExit(f"Not served as tested, or over the budget: {[(w.optimiser, w.seed) for w in wrong]}")


def gain(task: Task) -> Gain:
    """The whole story of one search, in a state folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-prompts-") as folder:
        order = order_of(task, Path(folder))
        scoring = Scoring(encode, encoder_version(order.suite))
        try:
            ready = prepared(order, scoring)
        except BudgetTooSmall as error:
            return _not_begun(task, str(error))
        began = time.perf_counter()
        outcome = optimise(ready, by="benchmark", stop=Stop(), watch=lambda _: None)
        took = time.perf_counter() - began
        served = serves_what_was_tested(ready, outcome) if outcome.evidence is not None else None
        return _gain(task, ready, outcome, took, served)


def order_of(task: Task, folder: Path) -> Order:
    """Its state and what the search keeps are in `folder`."""
    loaded = load(task.config)
    settings = loaded.config.prompts[_ROUTE]
    return Order(
        loaded=loaded,
        path=task.config,
        state=folder / "state",
        route=_ROUTE,
        name=_ROUTE,
        prompt=loaded.prompts[_ROUTE],
        tenant=next(iter(loaded.config.tenants)),
        suite=read_suite(task.suite),
        optimiser=task.optimiser,  # type: ignore[arg-type]  # argparse has no Literal
        folder=folder / "out",
        reflect_with=_EDITOR,
        objective="cost" if task.optimiser == "shorten" else "quality",
        effort=task.effort,  # type: ignore[arg-type]
        budget=task.budget,
        test_share=task.test_share,
        seed=task.seed,
        most_tokens=settings.most_tokens,
    )


# --- what is served ------------------------------------------------------------------------------------


def serves_what_was_tested(ready: Prepared, outcome: Outcome) -> bool:
    """Promotes what was found, and asks a Weir on that state folder all cases that it was scored on, as a client's
    messages: without the search's prompts.
    """
    order, found = ready.order, outcome.found
    assert found is not None
    registry = Registry(order.state / "registry")
    put(registry, order.name, found.content, "benchmark")
    promote(registry, order.name, order.prompt.content, found.version, by="benchmark", reason="to be served")
    parts = ready.parts
    served = asyncio.run(_served(ready, (*parts.test, *parts.validation)))
    tested = read_run(order.folder / AFTER)
    quality = order.suite.quality
    same = all(_answers(served, quality)[case] == said for case, said in _answers(tested, quality).items())
    seen = next((step.value for step in outcome.steps if step.version == found.version), None)
    now = mean(_answers(served, quality)[case.id][1] for case in parts.validation)
    return same and seen is not None and abs(seen - now) < 1e-9


async def _served(ready: Prepared, cases: Sequence[Case]) -> Run:
    order = ready.order
    folder = order.folder / "served"
    wanted = replace(run_order(order, ready.parts, folder, ready.scoring), cases=tuple(cases), notes=())
    target = route_target(order)
    await target.start()
    try:
        with run_prepared(wanted, target, Ending(), Recall(None)) as run:
            await carry_out(run, locally, lambda _: None)
    finally:
        await target.close()
    return read_run(folder)


def _answers(run: Run, quality: str) -> Mapping[str, tuple[str, float, str]]:
    """By case: the text, its score, and the version of the prompt that the Weir says it used."""
    return {
        row.case: (row.answer.text, row.scores[quality].value, row.answer.evidence.get("prompt", ""))
        for row in run.rows
        if row.answer is not None
    }


# --- figures -------------------------------------------------------------------------------------------


def _gain(task: Task, ready: Prepared, outcome: Outcome, took: float, served: bool | None) -> Gain:
    evidence: Evidence | None = outcome.evidence
    return Gain(
        optimiser=task.optimiser,
        seed=task.seed,
        budget=task.budget,
        came_to=outcome.came_to,
        reason=outcome.reason,
        quality=evidence.quality if evidence else _UNKNOWN,
        cost=(evidence.cost if evidence else None) or _UNKNOWN,
        tokens=(evidence.prompt_tokens_before, evidence.prompt_tokens_after) if evidence else (0.0, 0.0),
        searched=outcome.searched,
        spent=outcome.spent,
        expected=(ready.forecast.task, ready.forecast.reflection),
        made=_made(ready.order),
        tried=outcome.tried,
        turned_away=len(outcome.turned_away),
        seconds=took,
        served=served,
        steps=tuple((float(step.spent), step.value) for step in outcome.steps),
    )


def _not_begun(task: Task, why: str) -> Gain:
    return Gain(
        optimiser=task.optimiser,
        seed=task.seed,
        budget=task.budget,
        came_to="too small",
        reason=why,
        quality=_UNKNOWN,
        cost=_UNKNOWN,
        tokens=(0.0, 0.0),
        searched=Decimal(0),
        spent=Decimal(0),
        expected=(0, 0),
        made=(0, 0),
        tried=0,
        turned_away=0,
        seconds=0.0,
        served=None,
        steps=(),
    )


def _made(order: Order) -> tuple[int, int]:
    """Answers that the search had from the route, and from the model that reflects."""
    lines = (msgspec.json.decode(line) for line in (order.folder / FILE).read_bytes().splitlines())
    by = Counter(line["answer"]["model"] == order.reflect_with for line in lines if "answered" in line)
    return by[False], by[True]


def _exceeds(each: Gain) -> bool:
    return each.budget is not None and each.spent > each.budget


def _summaries(gains: Sequence[Gain]) -> list[dict[str, Any]]:
    """A row for each optimiser. Where nothing was tested, its gain is 0."""
    by: defaultdict[str, list[Gain]] = defaultdict(list)
    for each in gains:
        by[each.optimiser].append(each)
    return [
        {
            "optimiser": name,
            "raised": f"{sum(each.quality.change > 0 for each in some)} of {len(some)}",
            "passed": f"{sum(each.came_to == 'passed' for each in some)} of {len(some)}",
            "before": mean(each.quality.before for each in some),
            "after": mean(each.quality.after for each in some),
            "gain": _span([100 * each.quality.change for each in some], "+.1f"),
            "cost": _span([100 * (each.cost.change - 1) for each in some if each.cost.verdict], "+.0f"),
            "tokens": "{:.0f} to {:.0f}".format(
                *(mean(side) for side in zip(*(e.tokens for e in some), strict=True))
            ),
            "spent $": _span([float(each.spent) for each in some], ".2f"),
            "calls / expected": _span([sum(each.made) / sum(each.expected) for each in some], ".2f"),
            "served the same": f"{sum(each.served is True for each in some)} of {len(some)}",
            "s": mean(each.seconds for each in some),
        }
        for name, some in by.items()
    ]


def _span(values: Sequence[float], form: str) -> str:
    return f"{mean(values):{form}} ({min(values):{form}} to {max(values):{form}})" if values else ""


def _row(each: Gain) -> dict[str, Any]:
    return {
        "optimiser": each.optimiser,
        "seed": each.seed,
        "budget $": str(each.budget),
        "spent $": f"{each.spent:.6f}",
        "of it search": f"{each.searched:.6f}",
        "came to": each.came_to,
        "validation": f"{each.steps[0][1]:.3f} to {each.steps[-1][1]:.3f}" if each.steps else "",
        "test": f"{each.quality.before:.3f} to {each.quality.after:.3f}" if each.quality.verdict else "",
        "tried": each.tried,
        "calls": sum(each.made),
    }


def _told(each: Gain) -> dict[str, Any]:
    return {**asdict(each), "quality": asdict_of(each.quality), "cost": asdict_of(each.cost)} | {
        name: None if value is None else str(value)
        for name, value in (("budget", each.budget), ("searched", each.searched), ("spent", each.spent))
    }


def asdict_of(change: Change) -> dict[str, Any]:
    return dict(msgspec.to_builtins(change))


def _plot(gains: Sequence[Gain]) -> str:
    """The first seed's best score on the validation part, by what had been spent."""
    curves = {
        each.optimiser: _stairs(each) for each in reversed(gains) if each.steps and each.optimiser != "shorten"
    }
    return svg(curves, {}, across="dollars spent by the search", up="best score on the validation part")


def _stairs(each: Gain) -> list[Point]:
    points: list[Point] = []
    for spent, value in each.steps:
        points += [(spent, points[-1][1]), (spent, value)] if points else [(spent, value)]
    return [*points, (float(each.searched), points[-1][1])]


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=EXAMPLE / "suite")
    parser.add_argument("--config", type=Path, default=EXAMPLE / "optimise.yaml")
    parser.add_argument("--optimisers", default=",".join(_OPTIMISERS), metavar="NAME,...")
    parser.add_argument("--seeds", type=int, default=5, help="of each optimiser (5)")
    parser.add_argument("--budgets", default="", metavar="USD,...", help="the same for each of these sums")
    parser.add_argument("--effort", default="light", choices=("light", "medium", "heavy"))
    parser.add_argument("--test-share", type=float, default=0.4, help="of the cases (0.4)")
    parser.add_argument("--processes", type=int, default=2, help="searches at a time (2)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the first seed's searches as SVG")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
