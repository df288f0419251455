"""`weir prompts optimise`: look for a better version of a prompt, or a cheaper one, and test what was found.

The non-obvious decision: the same command goes on where it was stopped, as `weir eval run` does. An answer is paid
once, whoever killed the search and whatever budget it is given the next time.
"""

from __future__ import annotations

import itertools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import click
from rich.console import Console

from prompts.evidence import Objective
from router.composition import reference_of
from weir.eval_run import ASK_ABOVE, Dollars
from weir.prompts_subject import Subject, faults, prompt_in, subject_of
from weir.router_artefact import operator, print_json
from weir.state import config_option, read_config, state_dir

if TYPE_CHECKING:
    from prompts.optimise.optimisation import Prepared
    from prompts.optimise.order import Order
    from prompts.optimise.outcome import Outcome
    from prompts.optimise.trial import Scoring
    from prompts.optimise.watching import Stop
    from prompts.prompt import BookedPrompt

_STOPPED = "Stopped."
_PATIENT = 2
"""Signals after which it still ends by itself, with what it spent written down."""
_EXTRAS = "pip install 'weir[optimise,evals]'"
_NAMES = ("gepa", "miprov2", "bootstrap", "simba", "shorten")
_EFFORTS = ("light", "medium", "heavy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line says."""

    config: Path
    route: str
    suite: Path
    optimiser: str | None
    objective: Objective
    budget: Decimal | None
    effort: Literal["light", "medium", "heavy"]
    reflect_with: str | None
    tenant: str | None
    begin_with: str | None
    test_share: float
    seed: int
    concurrency: int
    out: Path | None

    @property
    def name(self) -> str:
        """Of the optimiser."""
        return self.optimiser or ("shorten" if self.objective == "cost" else "gepa")


@click.command(
    epilog="""\b
Examples:
  weir prompts optimise --route support --suite examples/support/suite --budget-usd 5
  weir prompts optimise --route support --suite SUITE --optimiser miprov2 --reflect-with gpt-5.1 --dry-run
  weir prompts optimise --route support --suite SUITE --objective cost --promote

\b
The same command goes on where a search was stopped, and pays no call twice.
Exit status: 0 a version was found and passed the gate, 1 none did or it could not be, 2 a wrong option."""
)
@click.option("--route", required=True, help="The route whose prompt is tuned.")
@click.option(
    "--suite",
    required=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The cases, and how answers are scored.",
)
@click.option(
    "--optimiser",
    type=click.Choice(_NAMES),
    help="How to search.  [default: gepa; with --objective cost, shorten]",
)
@click.option(
    "--objective",
    type=click.Choice(get_args(Objective)),
    default="quality",
    show_default=True,
    help="Better answers, or answers as good for less money.",
)
@click.option("--budget-usd", "budget", type=Dollars(), help="Spend no more than this, the test included.")
@click.option(
    "--effort",
    type=click.Choice(_EFFORTS),
    default="light",
    show_default=True,
    help="How long to search where no budget ends it before.",
)
@click.option(
    "--reflect-with",
    metavar="MODEL",
    help="The model of the configuration that writes instructions.  [default: the route's reference]",
)
@click.option("--tenant", help="Whose requests these are.  [default: the configuration's first tenant]")
@click.option(
    "--prompt",
    "begin_with",
    metavar="NAME@VERSION|FILE",
    help="Begin with this version or file.  [default: what is in force]",
)
@click.option(
    "--test-share",
    type=click.FloatRange(0.05, 0.9),
    default=0.4,
    show_default=True,
    help="Of the cases, which no optimiser sees.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Another one divides the cases otherwise.")
@click.option("--concurrency", type=click.IntRange(1, 1024), default=8, show_default=True, help="Asked at a time.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="What the search keeps.  [default: runs/NAME-OPTIMISER-VERSION]",
)
@click.option("--dry-run", is_flag=True, help="Tell what it would take, and end.")
@click.option("--promote", is_flag=True, help="Put what was found in force, if the gate passes it.")
@click.option("--yes", is_flag=True, help="Do not ask before a search that is dear.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@config_option
def optimise(dry_run: bool, promote: bool, yes: bool, as_json: bool, **told: object) -> None:
    """Search for a better version of a route's prompt with a suite, and test it on cases that no optimiser saw.

    Locked sections, the output contract and slots stay as they are. What is found is stored with its evidence, and
    serves nobody before it is promoted. What it will take is told first. Ctrl-C stops it: calls under way
    may end, and all that was answered is kept. A second one breaks them off; they count as paid.
    """
    wish = Wish(**told)  # type: ignore[arg-type]  # click names and converts them as above
    about, tenant = _about(wish)
    with _faults():
        prepared = _installed()
        order = _order(wish, about, tenant)
        ready = prepared(order, _scoring(order))
    from weir.prompts_optimised import forecast_json, forecast_text

    notes = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in forecast_text(ready):
        notes.print(line, markup=False)
    if dry_run:
        if as_json:
            print_json(forecast_json(ready))
        return
    if notes.is_terminal and not yes and (ready.forecast.likely or 0) > ASK_ABOVE:
        click.confirm("Begin?", abort=True, err=True)
    outcome = _carried_out(ready, notes, quiet=as_json)
    _conclude(outcome, ready, about, promote=promote, as_json=as_json)


def _installed() -> Callable[[Order, Scoring], Prepared]:
    """Raises click.ClickException where a package is missing that no optimiser can do without."""
    try:
        from prompts.optimise.optimisation import prepared
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}: {_EXTRAS}") from error
    return prepared


def _about(wish: Wish) -> tuple[Subject, str]:
    """The prompt that the route serves the tenant, and the tenant. Raises click's errors."""
    loaded = read_config(wish.config)
    routes, tenants, models = loaded.config.routes, loaded.config.tenants, loaded.config.models
    if wish.route not in routes:
        raise click.BadParameter(
            f"there is no route '{wish.route}'; there are {', '.join(routes)}.", param_hint="--route"
        )
    if wish.reflect_with is not None and wish.reflect_with not in models:
        raise click.BadParameter(
            f"there is no model '{wish.reflect_with}'; there are {', '.join(models)}.", param_hint="--reflect-with"
        )
    tenant = wish.tenant or next(iter(tenants), "")
    if tenant not in tenants:
        there = f"there is no tenant '{tenant}'; there are {', '.join(tenants)}."
        raise click.BadParameter(there if tenants else "the configuration has none.", param_hint="--tenant")
    name = tenants[tenant].prompts.get(wish.route) or routes[wish.route].prompt
    if name is None:
        raise click.ClickException(
            f"The route {wish.route} has no prompt to be tuned. Write one into a file, name it under `prompts` in "
            f"{wish.config}, and set `routes.{wish.route}.prompt`: a sentence will do to begin with."
        )
    return subject_of(wish.config, loaded, name), tenant


def _order(wish: Wish, about: Subject, tenant: str) -> Order:
    from evals.suite import read_suite
    from prompts.optimise.order import Order

    prompt, route = _begun_with(wish, about), about.loaded.config.routes[wish.route]
    folder = wish.out or Path("runs") / f"{about.name}-{wish.name}-{prompt.version}"
    return Order(
        loaded=about.loaded,
        path=wish.config,
        state=state_dir(),
        route=wish.route,
        name=about.name,
        prompt=prompt,
        tenant=tenant,
        suite=read_suite(wish.suite),
        optimiser=wish.name,  # type: ignore[arg-type]  # one of _NAMES
        folder=folder,
        reflect_with=wish.reflect_with or reference_of(route, about.loaded.config),
        objective=wish.objective,
        effort=wish.effort,
        budget=wish.budget,
        test_share=wish.test_share,
        seed=wish.seed,
        concurrency=wish.concurrency,
        most_tokens=about.settings.most_tokens,
    )


def _begun_with(wish: Wish, about: Subject) -> BookedPrompt:
    """Raises click.ClickException."""
    with faults():
        if wish.begin_with is None:
            return about.prompt(about.in_force)
        name, at, version = wish.begin_with.rpartition("@")
        if at and name == about.name:
            return about.prompt(about.resolved(version))
    if at and not Path(wish.begin_with).exists():
        raise click.BadParameter(
            f"'{wish.begin_with}' is neither a file nor {about.name}@VERSION, and {about.name} is the prompt of "
            f"the route {wish.route}.",
            param_hint="--prompt",
        )
    return prompt_in(Path(wish.begin_with), about.settings)


def _scoring(order: Order) -> Scoring:
    from prompts.optimise.trial import Scoring
    from weir.eval_run_order import encode, encoder_version

    return Scoring(encode, encoder_version(order.suite))


def _carried_out(ready: Prepared, notes: Console, *, quiet: bool) -> Outcome:
    from prompts.optimise.optimisation import optimise as carry_out
    from prompts.optimise.watching import Stop
    from weir.prompts_optimised import bar

    stop = Stop()
    shown = notes.is_terminal and not quiet
    with _faults(), bar(notes, ready.order.budget, shown=shown) as watch, _heeding(stop):
        return carry_out(ready, by=operator(), stop=stop, watch=watch)


def _conclude(outcome: Outcome, ready: Prepared, about: Subject, *, promote: bool, as_json: bool) -> None:
    """Tells what came of it, and promotes it where that was asked for. Raises click's errors and Exit."""
    from weir.prompts_optimised import outcome_json, print_outcome

    wanted = promote and outcome.came_to == "passed"
    objection = _promote(outcome, about) if wanted else ""
    promoted = wanted and not objection
    if as_json:
        print_json(outcome_json(outcome, ready, promoted=promoted))
    else:
        print_outcome(outcome, Console(), about.command, promoted=promoted)
    if objection:
        raise click.ClickException(objection)
    if outcome.came_to != "passed":
        raise click.exceptions.Exit(1)


def _promote(outcome: Outcome, about: Subject) -> str:
    """Puts it in force, or says why it was not."""
    from prompts.evidence import written
    from registry.prompts import promote

    assert outcome.found is not None  # noqa: S101
    assert outcome.evidence is not None  # noqa: S101
    about = subject_of(about.config, read_config(about.config), about.name)  # a search takes long enough to differ
    if outcome.before.version != about.in_force:
        return (
            f"{outcome.found.version} was measured beside {outcome.before.version}, but {about.in_force} is in "
            "force: it was not promoted. Leave --prompt out to begin with what is in force."
        )
    with faults():
        promote(
            about.registry,
            about.name,
            about.written.content,
            outcome.found.version,
            by=operator(),
            reason=outcome.reason,
            evidence=written(outcome.evidence),
        )
    return ""


@contextmanager
def _heeding(stop: Stop) -> Iterator[None]:
    """Ctrl-C, or SIGTERM, ends it in good order; a second one breaks calls off; a third one waits for nothing."""
    heard = itertools.count(1)

    def heed(*_: object) -> None:
        if next(heard) > _PATIENT:
            raise KeyboardInterrupt
        stop.call(_STOPPED)

    before = {number: signal.signal(number, heed) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _faults() -> Iterator[None]:
    """What can be wrong with a suite, a budget, a folder, the configuration or this installation."""
    try:
        from weir.eval_run_order import faults as of_runs
    except ImportError as error:
        raise click.ClickException(f"{error}: {_EXTRAS}") from error
    try:
        with faults(), of_runs():
            yield
    except KeyboardInterrupt:
        raise click.ClickException(f"{_STOPPED} What was answered is kept: the same command goes on.") from None
