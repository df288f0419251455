"""A run from its order to its end, whichever way its cases are asked.

The non-obvious decision: what a folder already holds is read before anything is asked. So a run that was killed, a
suite that gained cases and a scorer that changed are one and the same: work that is not done yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from evals.cases import Case
from evals.judging.families import family_note
from evals.records import Calibration, Manifest, Row
from evals.run_folder import MANIFEST, Results, begin, write_manifest
from evals.runner.allowance import Allowance
from evals.runner.asking import Asking
from evals.runner.ending import Ending
from evals.runner.estimate import Estimate, estimate
from evals.runner.marking import Marking
from evals.runner.pace import Pace
from evals.runner.plan import Plan, Work
from evals.runner.recall import Recall
from evals.runner.running import Deliver, Runner
from evals.runner.standing import FROM_CACHE, RunRefused, Standing, check, clear, held, strike_out, survey, to_score
from evals.runner.tally import Tally
from evals.scorers.catalogue import scorer_of
from evals.scorers.port import Instruments
from evals.suite import Suite
from evals.targets.port import Target

if TYPE_CHECKING:
    from evals.scorers.port import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be run: `cases` of `suite`, on what is called `target`.

    `rate` is requests a minute, `cap` dollars. `fresh`: no stored answer of a Weir will do. `afresh`: what the
    folder holds is thrown away. `encode`, `encoder` and `reference`: see Instruments.
    """

    suite: Suite
    cases: Sequence[Case]
    folder: Path
    repeats: int
    encode: Callable[[Sequence[str]], Vectors]
    encoder: str = ""
    request: Mapping[str, object] = field(default_factory=dict)
    concurrency: int = 16
    rate: float | None = None
    cap: Decimal | None = None
    fresh: bool = True
    afresh: bool = False
    reference: Mapping[str, str] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Whoever asks and scores: one for a run, or one for each shard of it."""

    asking: Asking
    marking: Marking
    allowance: Allowance
    ending: Ending

    @classmethod
    def of(cls, order: Order, target: Target, ending: Ending) -> Desk:
        """Raises ValueError or ImportError, with advice, where a scorer cannot be used."""
        allowance = Allowance(target.price, ending, cap=order.cap)
        pace = Pace(ending, order.rate)
        asking = Asking(target, ending=ending, pace=pace, allowance=allowance, fresh=order.fresh)
        instruments = Instruments(
            ask=asking.judge,
            encode=order.encode,
            candidate=target.name,
            encoder=order.encoder,
            reference=order.reference,
        )
        scorers = [scorer_of(settings, instruments) for settings in order.suite.scorers]
        return cls(asking=asking, marking=Marking(scorers, order.reference), allowance=allowance, ending=ending)

    def runner(self, order: Order, recall: Recall, deliver: Deliver) -> Runner:
        return Runner(
            asking=self.asking,
            marking=self.marking,
            recall=recall,
            ending=self.ending,
            request=order.request,
            deliver=deliver,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A run that has not begun yet: nothing was asked or written."""

    order: Order
    target: Target
    plan: Plan
    manifest: Manifest
    desk: Desk
    recall: Recall
    standing: Standing
    tally: Tally

    def works(self) -> Iterator[Work]:
        """What is left to do: first what only lacks scores."""
        rest = self.plan.works(self.standing.answered)
        return chain(to_score(self.order.folder, self.plan, self.standing), rest)

    def estimate(self) -> Estimate:
        def known(key: str) -> bool:
            return self.recall.get(key) is not None

        judges = self.desk.marking.judges
        return estimate(self.works(), self.order.request, judges, self.target.price, known)


Way = Callable[[Prepared, Deliver], Awaitable[None]]
"""Does all of `works`, and hands each row over."""


@contextmanager
def prepared(order: Order, target: Target, ending: Ending, recall: Recall) -> Iterator[Prepared]:
    """The run that `order` asks for, on a `target` that has started; its folder is held meanwhile.

    Raises RunRefused, RunUnusable, OSError, and what `Desk.of` raises.
    """
    plan = Plan(
        cases=order.cases,
        repeats=order.repeats,
        target_version=target.version,
        request=order.request,
        fresh=order.fresh,
    )
    desk = Desk.of(order, target, ending)
    if order.cap is not None:
        _check_prices(target, desk)
    manifest = _manifest(order, target, plan, desk.marking)
    for name, calibration in manifest.calibrations.items():
        desk.marking.hold(name, calibration.judge)
    _check_judged(order.cases, desk.marking)
    tally = Tally(plan.size, order.suite.quality)
    with held(order.folder):
        try:
            earlier = None if order.afresh else check(order.folder, manifest)
            standing = Standing()
            if earlier is None and (order.folder / MANIFEST).exists():
                order = replace(order, afresh=True)
            if earlier is not None:
                manifest = msgspec.structs.replace(manifest, started_at=earlier.started_at)
                standing = survey(order.folder, plan, desk.marking, tally)
            desk.allowance.spent = standing.spent
            yield Prepared(
                order=order,
                target=target,
                plan=plan,
                manifest=manifest,
                desk=desk,
                recall=recall,
                standing=standing,
                tally=tally,
            )
        finally:
            recall.close()
            with suppress(OSError):
                order.folder.rmdir()  # made for a run that never began


async def carry_out(run: Prepared, way: Way, watch: Callable[[Tally], None]) -> None:
    """Ask and score what is left, and append each row at once. `watch` is shown the tally after each.

    Ends early where the run's ending is called, whose `reason` tells. Raises OSError where a row cannot be written,
    and RunUnusable.
    """
    folder, tally, before = run.order.folder, run.tally, run.standing.spent
    if run.order.afresh:
        clear(folder)
    begin(folder, run.manifest, run.order.cases)
    results = Results(folder)

    def deliver(row: Row, unjudged: Mapping[str, str] | None) -> None:
        if unjudged is None:
            results.append(row)
            return
        row, unjudged = run.desk.marking.by_one_judge(row, unjudged, run.desk.ending)
        results.append(row)
        tally.count(row)
        tally.unjudged += len(unjudged)
        tally.last_error = next(iter(unjudged.values()), tally.last_error)
        tally.spent = run.desk.allowance.spent - before
        watch(tally)

    try:
        strike_out(results, run.standing, run.plan)
        watch(tally)
        await way(run, deliver)
    finally:
        tally.spent = run.desk.allowance.spent - before
        results.close()
    if tally.done >= tally.total:
        write_manifest(folder, msgspec.structs.replace(run.manifest, finished_at=datetime.now(UTC)))


async def locally(run: Prepared, deliver: Deliver) -> None:
    """The way of a run in this process."""
    runner = run.desk.runner(run.order, run.recall, deliver)
    await runner.work_through(run.works(), run.order.concurrency)


def _manifest(order: Order, target: Target, plan: Plan, marking: Marking) -> Manifest:
    suite, facts = order.suite, marking.facts
    fitting = {
        name: found
        for name, found in order.calibrations.items()
        if name in facts and facts[name].version == found.version
    }
    cached = "" if order.fresh else FROM_CACHE
    families = [family_note(judge.model, target.name) for judge in marking.judges]
    return Manifest(
        suite=suite.name,
        suite_version=suite.version,
        revision=suite.revision,
        target=target.name,
        target_version=target.version,
        config_hash=plan.config_hash(facts),
        request=order.request,
        repeats=plan.repeats,
        scorers=facts,
        quality=suite.quality,
        groups=suite.groups,
        margin=suite.margin,
        cases=len(plan.cases),
        weir=version("weir"),
        started_at=datetime.now(UTC),
        calibrations=fitting,
        notes=tuple(dict.fromkeys(note for note in (*order.notes, cached, *families) if note)),
    )


def _check_judged(cases: Sequence[Case], marking: Marking) -> None:
    """What nobody can judge is not paid for."""
    missing = ""
    for case in cases:
        if not (missing := marking.lacks(case)):
            return
    raise RunRefused(
        f"No scorer can judge any of these cases: {missing}.\n"
        "Give --against DIR, a run to compare with; for that first run, let the suite have another scorer too."
    )


def _check_prices(target: Target, desk: Desk) -> None:
    """A cap that cannot be kept is refused."""
    names = ["", *(judge.model for judge in desk.marking.judges)]
    unknown = [name or target.name for name in names if target.price(name) is None]
    if unknown:
        raise RunRefused(
            f"--max-usd cannot be kept, since nobody knows what {' and '.join(dict.fromkeys(unknown))} costs. "
            "State it with --price, or leave the cap out."
        )
