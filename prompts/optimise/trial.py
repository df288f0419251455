"""The test of what was found: both versions are asked the cases that no optimiser saw, by the ordinary eval runner.

The non-obvious decision: a run of another version makes room and is kept, as `after-` and what it was of. A search
that went on with a larger budget may have found another prompt since: what is true of the old one says nothing
about it, but what it took was spent out of the same budget.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace as replace_fields

from contracts.money import ZERO, plain
from evals.calibration import read_calibrations
from evals.run_folder import MANIFEST, Run, read_manifest, read_run
from evals.runner.ending import Ending
from evals.runner.evaluation import Order as RunOrder
from evals.runner.evaluation import Prepared, carry_out, locally, prepared
from evals.runner.recall import Recall
from evals.runner.standing import paid_for
from evals.runner.tally import Tally
from evals.targets.in_process import InProcessTarget
from prompts.optimise.calls import open_calls, search_of
from prompts.optimise.line import bounded
from prompts.optimise.order import Order
from prompts.optimise.ports import Parts
from prompts.optimise.recorded_target import RecordedTarget
from prompts.optimise.watching import Progress, Stage, Stop, Watch
from prompts.prompt import BookedPrompt

if TYPE_CHECKING:
    from evals.scorers.port import Vectors

BEFORE: Stage = "before"
AFTER: Stage = "after"
"""The folders of the two runs."""


_UNPAID = "unpaid"
"""Why a run ended whose sum is spent."""
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Scoring:
    """What scorers use, as `evals.scorers.port.Instruments` has it."""

    encode: Callable[[Sequence[str]], Vectors]
    encoder: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """`before` and `after` are as far as they came; `ended` says why that is not all, or is empty.

    `spent` are dollars, those of earlier starts included.
    """

    before: Run | None
    after: Run | None
    spent: Decimal
    ended: str


def route_target(order: Order, prompt: BookedPrompt | None = None) -> InProcessTarget:
    """The order's route in this process, with `prompt` in the place of its own; not started."""
    return InProcessTarget(
        order.route,
        order.loaded,
        order.path,
        tenant=order.tenant,
        prompts={} if prompt is None else {order.name: prompt},
        state=order.state,
        timeout_s=order.timeout_s,
        purpose="optimise",
    )


def tried(
    order: Order,
    parts: Parts,
    found: BookedPrompt | None,
    scoring: Scoring,
    *,
    spent: Decimal,
    stop: Stop,
    watch: Watch,
    due: Decimal | None = None,
) -> Trial:
    """Both runs, one after the other, for what is left of the budget; `found` None: only the one before.

    `spent` is what the search took, `due` what the test may take. Goes on with what the folders hold, and leaves
    as they are those that ended. Raises SearchRefused, RunRefused, RunUnusable, TargetFailure and OSError.
    """
    stages: tuple[tuple[Stage, BookedPrompt | None], ...] = ((BEFORE, order.prompt), (AFTER, found))
    targets = {stage: route_target(order, prompt) for stage, prompt in stages if prompt is not None}
    for stage, target in targets.items():
        _make_room(order.folder / stage, target.version)
    ended, runs = "", dict[Stage, Run | None]()
    with open_calls(order.folder, search_of(order)) as calls:
        for stage, target in targets.items():
            if ended:
                break
            folder = order.folder / stage
            rows = known.rows if (known := _read(folder)) else []
            left = None
            if order.budget is not None:  # the run counts what its own rows took by itself
                left = max(order.budget - spent - calls.tested + sum(map(paid_for, rows), ZERO), ZERO)
            recorded = RecordedTarget(target, calls, [row.answer for row in rows if row.answer is not None])
            wanted = run_order(order, parts, folder, scoring, cap=left)
            ended = asyncio.run(_run(wanted, recorded, stage, lambda: spent + calls.tested, stop, watch))
            runs[stage] = _read(folder)
        tested = calls.tested
    if ended == _UNPAID:
        ended = _unpaid(order, spent, due)
    return Trial(before=runs.get(BEFORE), after=runs.get(AFTER), spent=tested, ended=ended)


async def _run(
    wanted: RunOrder,
    target: RecordedTarget,
    stage: Stage,
    spent: Callable[[], Decimal],
    stop: Stop,
    watch: Watch,
) -> str:
    """Why the run ended early; empty where it did not."""
    ending, loop = Ending(), asyncio.get_running_loop()
    await target.start()
    try:
        with prepared(wanted, target, ending, Recall(None)) as ready:

            def show(tally: Tally) -> None:
                watch(
                    Progress(
                        stage=stage,
                        calls=tally.done,
                        of=tally.total,
                        spent=spent(),
                        quality=tally.score,
                    )
                )

            if _ended(ready):
                show(ready.tally)
                return ""
            work = asyncio.create_task(carry_out(ready, locally, show))

            def end(reason: str, *, at_once: bool) -> None:
                loop.call_soon_threadsafe(ending.call, reason)
                if at_once:
                    loop.call_soon_threadsafe(work.cancel)

            with stop.ends(end), suppress(asyncio.CancelledError):
                await work
            return _why(ending, wanted.cap)
    finally:
        await target.close()


def run_order(
    order: Order, parts: Parts, folder: Path, scoring: Scoring, *, cap: Decimal | None = None
) -> RunOrder:
    """A run of the test part, whose requests are those of the search."""
    return RunOrder(
        suite=order.suite,
        cases=parts.test,
        folder=folder,
        repeats=order.suite.repeats,
        encode=scoring.encode,
        encoder=scoring.encoder,
        request=bounded(order.suite.request),
        concurrency=order.concurrency,
        cap=cap,
        calibrations=read_calibrations(order.suite.folder),
        notes=(f"The {len(parts.test):,} of the suite's {len(order.suite.cases):,} cases that no optimiser saw.",),
    )


def _make_room(folder: Path, target_version: str) -> None:
    """Put a run of another version aside, and take up one of this version that was."""
    if (folder / MANIFEST).exists():
        found = read_manifest(folder).target_version
        if found == target_version:
            return
        folder.rename(folder.with_name(f"{folder.name}-{found}"))
    with suppress(FileNotFoundError):
        folder.with_name(f"{folder.name}-{target_version}").rename(folder)


def _read(folder: Path) -> Run | None:
    return read_run(folder) if (folder / MANIFEST).exists() else None


def _ended(run: Prepared) -> bool:
    """Whether the folder holds the whole run already: to carry it out again would say that it ended only now."""
    if run.order.afresh or next(run.works(), None) is not None or not (run.order.folder / MANIFEST).exists():
        return False
    found = read_manifest(run.order.folder)
    return found.finished_at is not None and found == replace_fields(run.manifest, finished_at=found.finished_at)


def _why(ending: Ending, left: Decimal | None) -> str:
    """Only a run whose sum is spent waits for all that was sent, however long."""
    return _UNPAID if left is not None and ending.called and math.isinf(ending.grace_s) else ending.reason


def _unpaid(order: Order, spent: Decimal, due: Decimal | None) -> str:
    """With the sum that would do, where that can be said."""
    assert order.budget is not None  # noqa: S101
    left = f"The ${plain(round(order.budget - spent, 6))} that the search left of --budget-usd"
    enough = None if due is None else (spent + due).quantize(_CENT, ROUND_UP)
    larger = "a larger sum" if enough is None or enough <= order.budget else f"${plain(enough)}"
    return f"{left} do not pay for the whole test. Give {larger} with the same --out to go on."
