"""From an order to a prompt with its evidence: the parts, what it will take, the search, the test, the verdict.

The non-obvious decision: what is found is tested by the ordinary eval runner, on cases that no optimiser saw, as is
the prompt to begin with. The evidence is two runs that anybody can read, compare and make again, and the same order
with the same folder goes on wherever it was stopped.

    OUT/calls.jsonl      what the search and its test asked, and were answered
    OUT/search.json      the order, the parts, and how the prompts stand
    OUT/before, after    runs of the test part; `after-VERSION`, of what was found earlier
    OUT/search.html, comparison.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from contracts.money import ZERO
from evals.cases import Case
from evals.comparison import Incomparable, compare
from evals.records import Answer
from evals.reporting.comparison_page import comparison_page
from evals.run_folder import Run
from evals.runner.ending import Ending
from evals.runner.evaluation import Desk
from evals.scorers.port import Scorer
from prompts.evidence import Evidence, written
from prompts.optimise.calls import SearchRefused
from prompts.optimise.catalogue import optimiser_of
from prompts.optimise.estimate import Forecast, forecast, usd_for_test
from prompts.optimise.evidencing import contract_refusal, evidence_of, passes
from prompts.optimise.order import Order
from prompts.optimise.outcome import CameTo, Outcome, TurnedAway
from prompts.optimise.parts import part
from prompts.optimise.ports import Expected, Marked, Optimiser, Parts, SearchEnded
from prompts.optimise.recording import record, record_again, unknown_models
from prompts.optimise.search_page import search_page
from prompts.optimise.searching import Result, fitness_of, search_for, searched
from prompts.optimise.trial import Scoring, Trial, route_target, run_order, tried
from prompts.optimise.watching import Stop, Watch
from prompts.prompt import BookedPrompt
from registry.prompts import put
from registry.store import Registry
from system.files import replace_file

PAGE, COMPARISON = "search.html", "comparison.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An optimisation that has not begun: nothing was asked or written."""

    order: Order
    optimiser: Optimiser
    parts: Parts
    forecast: Forecast
    scoring: Scoring
    test_usd: Callable[[BookedPrompt], Decimal | None]
    """What has to be left for the test of a prompt; None where a price is not known."""


def prepared(order: Order, scoring: Scoring, optimiser: Optimiser | None = None) -> Prepared:
    """`optimiser` is that of the order's name unless another one is given.

    Raises ValueError, with advice, where there are too few cases, or a budget that is too small or cannot be kept;
    ImportError where a package is missing; TargetFailure where the configuration cannot be asked.
    """
    chosen = optimiser or optimiser_of(order.optimiser)
    parts = part(order.suite.cases, learn_share=chosen.split, test_share=order.test_share, seed=order.seed)
    expected = chosen.expected(search_for(order, parts, _Unopened(), lambda _: "", lambda *_: None))
    order = order if expected.reflection else replace(order, reflect_with="")
    target = route_target(order)
    judges = Desk.of(run_order(order, parts, order.folder, scoring), target, Ending()).marking.judges
    _check_access(order, expected, judges)
    return Prepared(
        order=order,
        optimiser=chosen,
        parts=parts,
        forecast=forecast(order, parts, expected, judges, target.price),
        scoring=scoring,
        test_usd=lambda prompt: usd_for_test(order, parts, prompt, judges, target.price),
    )


def _check_access(order: Order, expected: Expected, judges: Sequence[Scorer]) -> None:
    """What the tenant may not name would be found out by the first call that does."""
    config = order.loaded.config
    tenant = config.tenants.get(order.tenant)
    if tenant is None:
        raise SearchRefused(f"There is no tenant '{order.tenant}'. There are: {', '.join(config.tenants)}.")
    known = ((config.routes, tenant.routes), (config.models, tenant.models))
    allowed = [name for names, limit in known for name in names if limit is None or name in limit]
    asked = {order.route: "the route", **{judge.model: f"the judge `{judge.name}`" for judge in judges}}
    if expected.reflection:
        asked.setdefault(order.reflect_with, "which writes instructions (--reflect-with)")
    for name, what in asked.items():
        if name not in allowed:
            raise SearchRefused(
                f"The tenant {order.tenant} may not name {name}, {what}. It may name {', '.join(allowed)}. Name "
                f"one of these, let `tenants.{order.tenant}` have it, or search as another --tenant."
            )


def optimise(ready: Prepared, *, by: str, stop: Stop, watch: Watch) -> Outcome:
    """Searches, tests, and writes down in the registry what came of it; `by` is whose doing that is.

    Nothing is written there where `stop` was called. What is in force, and was measured with other models than
    those of now, is measured again where nothing better comes of the search: else it would stay outdated.
    Raises ValueError or OSError where the folder is another order's or cannot be used, and what the runner raises.
    """
    order, parts, scoring = ready.order, ready.parts, ready.scoring
    result = searched(order, parts, ready.optimiser, ready.forecast, scoring, stop=stop, watch=watch)
    if stop.reason:
        return _concluded(ready, result, "stopped", stop.reason)
    found, turned_away = _chosen(ready, result)
    if found is None:
        return _without_a_find(ready, result, turned_away, by=by, stop=stop, watch=watch)
    due = ready.test_usd(found)
    trial = tried(order, parts, found, scoring, spent=result.spent, stop=stop, watch=watch, due=due)
    if trial.ended or trial.before is None or trial.after is None:
        return _concluded(ready, result, "stopped", trial.ended, found=found, trial=trial, turned_away=turned_away)
    evidence = _evidence(ready, trial.before, trial.after, result.spent + trial.spent)
    passed, reason = passes(evidence)
    put(Registry(order.state / "registry"), order.name, found.content, by)
    record(order, found.version, passed=passed, by=by, reason=reason, evidence=written(evidence))
    if not passed:
        reason += _measured_again(order, trial.before, result.spent + trial.spent, by)
    return _concluded(
        ready,
        result,
        "passed" if passed else "refused",
        reason,
        found=found,
        trial=trial,
        evidence=evidence,
        turned_away=turned_away,
    )


def _without_a_find(
    ready: Prepared,
    result: Result,
    turned_away: tuple[TurnedAway, ...],
    *,
    by: str,
    stop: Stop,
    watch: Watch,
) -> Outcome:
    """Where no prompt scored better that may serve."""
    order, trial = ready.order, None
    came_to, reason = _nothing(ready, result, turned_away)
    for one in turned_away:
        evidence = {"refusals": [one.logged]}
        record(order, one.version, passed=False, by=by, reason=one.logged, evidence=evidence)
    if unknown_models(order) is not None:
        trial = tried(order, ready.parts, None, ready.scoring, spent=result.spent, stop=stop, watch=watch)
        if stop.reason:
            return _concluded(ready, result, "stopped", stop.reason, trial=trial, turned_away=turned_away)
        if trial.before is None or trial.ended:
            reason += f" The version in force could not be measured again: {trial.ended}"
        else:
            reason += _measured_again(order, trial.before, result.spent + trial.spent, by)
    return _concluded(ready, result, came_to, reason, trial=trial, turned_away=turned_away)


def _measured_again(order: Order, run: Run, spent: Decimal, by: str) -> str:
    """Writes down what `run` says of the version in force, where that is not known yet, and tells it."""
    known = unknown_models(order)
    if known is None:
        return ""
    quality = record_again(order, known, run, spent=spent, by=by).quality.after
    return f" The version in force was measured again, with the models that answer now: quality {quality:.3f}."


def _chosen(ready: Prepared, result: Result) -> tuple[BookedPrompt | None, tuple[TurnedAway, ...]]:
    """The best prompt that may serve, and those that scored better and may not.

    An optimiser's own choice comes first, unless the validation part says that it is no better.
    """
    fitness, base = fitness_of(ready.order, ready.parts), ready.order.prompt
    ranked = [scored.prompt for scored in result.standing.better()]
    picked = result.picked
    if picked is not None and picked != base and (picked in ranked or result.standing.of(picked) is None):
        ranked = [picked, *(prompt for prompt in ranked if prompt != picked)]
    turned_away: list[TurnedAway] = []
    for prompt in ranked:
        refusal = fitness.refusal(prompt)
        if refusal is None:
            return prompt, tuple(turned_away)
        turned_away.append(TurnedAway(prompt.version, refusal.why, refusal.logged))
    return None, tuple(turned_away)


def _nothing(ready: Prepared, result: Result, turned_away: Sequence[TurnedAway]) -> tuple[CameTo, str]:
    if turned_away:
        return "refused", turned_away[0].why
    if result.standing.best is None:
        return "nothing", (
            f"No prompt answered the whole validation part ({len(ready.parts.validation):,} cases) before the "
            f"search ended. {result.ended or 'Look at the calls that failed.'}"
        )
    wanted = "scored better" if ready.order.objective == "quality" else "was shorter at no loss"
    return "nothing", (
        f"Nothing that was tried ({_prompts(result.standing.tried)}) {wanted} on the validation part than the one "
        "to begin with. Another optimiser, a larger --effort or more cases may find one."
    )


def _prompts(count: int) -> str:
    return "1 prompt" if count == 1 else f"{count:,} prompts"


def _evidence(ready: Prepared, before: Run, after: Run, spent: Decimal) -> Evidence:
    broken = contract_refusal(ready.order.prompt.contract, before, after)
    return evidence_of(ready.order, before, after, spent=spent, refusals=[broken] if broken else [])


def _concluded(
    ready: Prepared,
    result: Result,
    came_to: CameTo,
    reason: str,
    *,
    found: BookedPrompt | None = None,
    trial: Trial | None = None,
    evidence: Evidence | None = None,
    turned_away: tuple[TurnedAway, ...] = (),
) -> Outcome:
    """Also writes the pages."""
    order, parts = ready.order, ready.parts
    outcome = Outcome(
        came_to=came_to,
        reason=reason,
        name=order.name,
        route=order.route,
        suite=order.suite.name,
        optimiser=ready.optimiser.name,
        objective=order.objective,
        folder=order.folder,
        cases=(len(parts.train), len(parts.validation), len(parts.test)),
        before=order.prompt,
        tried=result.standing.tried,
        searched=result.spent,
        spent=result.spent + (trial.spent if trial else ZERO),
        ended=result.ended,
        steps=result.standing.steps,
        found=found,
        evidence=evidence,
        turned_away=turned_away,
    )
    compared = trial is not None and _write_comparison(order.folder, trial.before, trial.after)
    page = search_page(outcome, comparison=COMPARISON if compared else "")
    replace_file(order.folder / PAGE, page.encode())
    return outcome


def _write_comparison(folder: Path, before: Run | None, after: Run | None) -> bool:
    """Whether there is something to compare."""
    if before is None or after is None:
        return False
    try:
        page = comparison_page(compare(before, after), before, after)
    except Incomparable:
        return False
    replace_file(folder / COMPARISON, page.encode())
    return True


class _Unopened:
    """Implements Line before there is one: what a search will take is told without a call."""

    spent = ZERO
    ended = "The search has not begun."

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        raise SearchEnded(self.ended)

    def model(self, messages: Sequence[Mapping[str, Any]], temperature: float | None = None) -> str:
        raise SearchEnded(self.ended)

    def mark(self, case: Case, answer: Answer) -> Marked:
        raise SearchEnded(self.ended)
