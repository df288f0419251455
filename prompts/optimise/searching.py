"""The search itself, from its parts to what it found, and `search.json`, which says how far it is.

The non-obvious decision: how prompts stand is written down whenever another one leads, not at the end. Whoever
stops a search can look at the best so far, and another start knows what had been spent when it was found.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from threading import Lock

import msgspec
from msgspec import Struct

from evals.cases import Case
from prompts.optimise.estimate import Forecast, prompt_tokens
from prompts.optimise.fitness import Fitness
from prompts.optimise.line import open_line
from prompts.optimise.order import Order
from prompts.optimise.ports import Line, Optimiser, Parts, Search, SearchEnded, Told, Unfit
from prompts.optimise.standing import Standing, Step
from prompts.optimise.trial import Scoring, route_target
from prompts.optimise.watching import Progress, Stop, Watch
from prompts.prompt import BookedPrompt
from system.files import replace_file

SEARCH = "search.json"


class Result(Struct, frozen=True, kw_only=True):
    """`picked` is the optimiser's own choice; None where the calls ended before it could say."""

    picked: BookedPrompt | None
    standing: Standing
    spent: Decimal
    ended: str


def searched(
    order: Order,
    parts: Parts,
    optimiser: Optimiser,
    forecast: Forecast,
    scoring: Scoring,
    *,
    stop: Stop,
    watch: Watch,
) -> Result:
    """Asks and scores until the optimiser has chosen, the budget's share is spent, or `stop` is called.

    Raises ValueError or OSError where the folder is another order's or cannot be used.
    """
    calls, writing, cap = itertools.count(1), Lock(), forecast.for_search
    weir = route_target(order)
    with open_line(
        weir, order, cap=cap, told=lambda: show(), encode=scoring.encode, encoder=scoring.encoder
    ) as line:
        standing = Standing(
            order.prompt,
            parts.validation,
            tokens=prompt_tokens,
            spent=lambda: line.spent,
            margin=order.suite.margin if order.objective == "cost" else None,
            earlier=_earlier(order.folder),
        )

        def show() -> None:
            best, base = standing.best, standing.base
            watch(
                Progress(
                    stage="search",
                    calls=next(calls),
                    of=forecast.task + forecast.reflection,
                    spent=line.spent,
                    quality=best.value if best else None,
                    base=base.value if base else None,
                )
            )

        def told(prompt: BookedPrompt, case: Case, value: float) -> None:
            known = len(standing.steps)
            standing(prompt, case, value)
            if len(standing.steps) > known:
                with writing:
                    _write(order, parts, standing)

        picked: BookedPrompt | None = None
        with stop.ends(line.end), suppress(SearchEnded):  # what stands counts
            picked = optimiser.best(search_for(order, parts, line, fitness_of(order, parts), told))
        _write(order, parts, standing)
        return Result(picked=picked, standing=standing, spent=line.spent, ended=line.ended)


def search_for(order: Order, parts: Parts, line: Line, unfit: Unfit, told: Told) -> Search:
    config = order.loaded.config
    return Search(
        prompt=order.prompt,
        slots={**config.prompts[order.name].slots, **config.tenants[order.tenant].slots},
        parts=parts,
        line=line,
        unfit=unfit,
        told=told,
        effort=order.effort,
        seed=order.seed,
        concurrency=order.concurrency,
        most_demonstrations=order.most_demonstrations,
        margin=order.suite.margin,
    )


def fitness_of(order: Order, parts: Parts) -> Fitness:
    known = (*parts.train, *parts.validation)
    return Fitness(order.prompt, most_tokens=order.most_tokens, quoted=known, shown=parts.train)


class _Written(Struct, frozen=True, kw_only=True):
    """What `search.json` holds."""

    route: str
    name: str
    before: str
    suite: str
    suite_version: str
    optimiser: str
    objective: str
    effort: str
    seed: int
    reflect_with: str
    parts: Mapping[str, Sequence[str]]
    tried: int
    steps: tuple[Step, ...]
    best: BookedPrompt | None


def _write(order: Order, parts: Parts, standing: Standing) -> None:
    best = standing.best
    told = _Written(
        route=order.route,
        name=order.name,
        before=order.prompt.version,
        suite=order.suite.name,
        suite_version=order.suite.version,
        optimiser=order.optimiser,
        objective=order.objective,
        effort=order.effort,
        seed=order.seed,
        reflect_with=order.reflect_with,
        parts={name: [case.id for case in cases] for name, cases in parts._asdict().items()},
        tried=standing.tried,
        steps=standing.steps,
        best=best.prompt if best else None,
    )
    replace_file(order.folder / SEARCH, msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n")


def _earlier(folder: Path) -> tuple[Step, ...]:
    """What an earlier start wrote down; for a curve it is no loss where that is damaged."""
    try:
        return msgspec.json.decode((folder / SEARCH).read_bytes(), type=_Written).steps
    except (OSError, msgspec.MsgspecError):
        return ()
