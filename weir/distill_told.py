"""What people see of `weir distill`: what a run will take, what came of each stage, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.money import plain as amount
from evals.runner.progress import dollars
from weir.distill_recipe import Order
from weir.router_artefact import plain, print_json

if TYPE_CHECKING:
    from distill.student.forecast import Forecast
    from distill.student.running import Carried

_MOST_REASONS = 6


def tell_forecast(order: Order, expected: Forecast, *, result: bool) -> None:
    """What a run will take: on standard error before it, or as the result where that is all that was asked."""
    if order.as_json:
        if result:
            most = None if expected.most is None else amount(expected.most)
            print_json({**plain(expected), "most": most, "judging": amount(expected.judging)})
        return
    todo = ", ".join(expected.todo) or "nothing"
    done = f" Done already: {', '.join(expected.done)}." if expected.done else ""
    click.echo(f"To do: {todo}, in {order.folder}.{done}", err=not result)
    click.echo(_teaching(order, expected), err=not result)
    if expected.judging:
        judging = f"{order.recipe.judge.model} will judge answers, for {dollars(expected.judging)} at most."
        click.echo(judging, err=not result)


def _teaching(order: Order, expected: Forecast) -> str:
    teacher = order.recipe.teacher
    if not expected.questions:
        return "Nothing will be asked of a teacher."
    if not teacher.model:
        return f"{expected.questions:,} questions have no answer, and there is no teacher: they will be left out."
    cost = "at a price that nobody knows" if expected.most is None else f"for {dollars(expected.most)} at most"
    cap = "" if teacher.cap_usd is None else f"; it may take {dollars(teacher.cap_usd)} in all"
    return f"{teacher.model} will be asked up to {expected.questions:,} questions, {cost}{cap}."


def confirmed() -> None:
    """Asks, where somebody is there to answer. Raises click.Abort where they say no."""
    if Console(stderr=True).is_terminal:
        click.confirm("Begin?", abort=True, err=True)


def conclude(order: Order, carried: Sequence[Carried]) -> None:
    """A table of the stages, the verdict, and the next command. Raises click's Exit where the gate refused it."""
    verdict = next((one.summary for one in carried if one.name == "gate"), None)
    stored = next((one.summary for one in carried if one.name == "card"), None)
    if order.as_json:
        print_json(
            {
                "folder": str(order.folder),
                "stages": plain(carried),
                "passed": None if verdict is None else verdict["passed"],
                "version": None if stored is None else stored["version"],
            }
        )
    else:
        console = Console()
        console.print(_stages(carried))
        for line in _last_words(order, carried, verdict, stored):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if verdict is not None and not verdict["passed"]:
        raise click.exceptions.Exit(1)


def _stages(carried: Sequence[Carried]) -> Table:
    table = Table(box=SIMPLE)
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("what came of it")
    for one in carried:
        seconds = "done before" if one.skipped else f"{one.seconds:,.1f}"
        table.add_row(one.name, seconds, escape(came_to(one.name, one.summary)))
    return table


def came_to(stage: str, summary: Mapping[str, Any]) -> str:
    """A stage's summary in a few words."""
    match stage:
        case "mine":
            share = f"{summary['share']:.0%} of first turns"
            unknown = summary.get("without an answer", 0)
            lacking = f"; {unknown:,} questions without an answer" if unknown else ""
            taught = _paid(summary.get("spent_usd", "0"), "teacher")
            return f"{summary['picked']} of {summary['intents']} intents picked, {share}{taught}{lacking}"
        case "curate":
            parts = f"{summary['train']:,} to learn from, {summary['tune']:,} to tune on"
            rest = f"{summary['test']:,} to test; {summary['dropped']:,} requests dropped"
            beyond = summary.get("left_out", 0)
            capped = f"; the cap left {beyond:,} questions without its answer" if beyond else ""
            paid = _paid(summary["spent_usd"], "teacher") + _paid(summary.get("judge_usd", "0"), "judge")
            return f"{parts}, {rest}{paid}{capped}"
        case "train":
            steps = f"{summary['steps']:,} steps, loss {summary['loss']:.3f}"
            return f"{summary['parameters']:,} weights, {steps}, on {summary['device']}"
        case "compress":
            made = [f"{name} {size / 1e6:,.1f} MB" for name, size in summary["made"].items()]
            return ", ".join([*made, *(f"no {name}" for name in summary["refused"])])
        case "gate":
            may = f"may answer {summary['intents']} intents, {summary['delivered']:.0%} of first turns"
            return f"passed: {may}" if summary["passed"] else "refused"
        case _:
            figures = ((name, value) for name, value in summary.items() if not isinstance(value, dict | list))
            return ", ".join(f"{name} {value}" for name, value in figures)


def _paid(usd: str, whom: str) -> str:
    """Empty where it was nothing."""
    return f", ${usd} for the {whom}" if Decimal(usd) else ""


def _last_words(
    order: Order,
    carried: Sequence[Carried],
    verdict: Mapping[str, Any] | None,
    stored: Mapping[str, Any] | None,
) -> Sequence[str]:
    lines = []
    if verdict is not None:
        reasons = [str(reason) for reason in verdict["reasons"]]
        shown = reasons[:_MOST_REASONS]
        more = [f"... and {len(reasons) - len(shown)} more"] if len(reasons) > len(shown) else []
        lines += ["The gate passed it:" if verdict["passed"] else "The gate refused it:", *shown, *more]
        lines.append(f"See {order.folder / 'gate' / 'gate.md'}")
    if stored is not None:
        owner = f" --tenant {order.recipe.tenant}" if order.recipe.tenant else ""
        verb = f"weir distill promote --route {order.recipe.route}{owner} {stored['version']}"
        passed = stored.get("passed", verdict is None or verdict["passed"])
        lines.append(f"Next: {verb}" if passed else f"Look at it: weir distill show {stored['student']}")
    elif carried:
        lines.append(f"See {order.folder / carried[-1].name}")
    return lines
