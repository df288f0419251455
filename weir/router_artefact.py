"""What the verbs of `weir router` have in common: a route and its owner, their lines, and the registry."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress

from contracts.artefacts import PREVIOUS, PRODUCTION
from registry.routers import ROUTER, artefact_name
from registry.store import Registry, StoredArtefact
from router.config import policies, schema
from router.config.load import Loaded
from router.learning.notebook import notebook_path
from weir.registry_state import faults
from weir.state import config_option, read_config, state_dir

EVERYONE = ""
_Command = Callable[..., Any]
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class Subject(Struct, frozen=True):
    """A route, and whose traffic it learns from: a tenant, or "" where all of the route's learn together."""

    loaded: Loaded
    route: str
    owner: str

    @property
    def settings(self) -> schema.Route:
        return self.loaded.config.routes[self.route]

    @property
    def reference(self) -> str:
        policy = self.settings.policy
        named = policy.reference if isinstance(policy, policies.LearnedPolicy) else None
        return named or self.settings.candidates[0]

    @property
    def models(self) -> list[str]:
        """The candidates, the reference first."""
        return [self.reference, *(model for model in self.settings.candidates if model != self.reference)]

    @property
    def name(self) -> str:
        """In the registry."""
        return artefact_name(self.route, self.owner)

    def learned(self, card: Mapping[str, Any]) -> bool:
        """Whether an artefact with this card was learned for this route and owner: names may come out the same."""
        return (card.get("route"), card.get("owner")) == (self.route, self.owner)

    def lines(self) -> list[Path]:
        """Where this Weir wrote down the traffic, the older half first."""
        tenants = [self.owner] if self.owner else list(self.loaded.config.tenants)
        paths = [notebook_path(state_dir(), tenant) for tenant in tenants]
        return [file for path in paths for file in (path.with_suffix(".jsonl.old"), path) if file.exists()]


def subject(config: Path, route: str, tenant: str | None) -> Subject:
    """Raises click.ClickException where there is no such route or tenant, or the route's tenants learn apart."""
    loaded = read_config(config)
    routes, tenants = loaded.config.routes, loaded.config.tenants
    if route not in routes:
        raise click.BadParameter(f"there is no route {route}; there are {', '.join(routes)}", param_hint="--route")
    learning = routes[route].learning
    shared = learning is not None and learning.shared
    if tenant is None and not shared:
        raise click.UsageError(
            f"Each tenant of route {route} learns alone: name one with --tenant ({', '.join(tenants)}), or let "
            f"them learn together with `routes.{route}.learning.shared: true`."
        )
    if tenant is not None and shared:
        raise click.UsageError(f"All tenants of route {route} learn together: leave --tenant out.")
    if tenant is not None and tenant not in tenants:
        known = ", ".join(tenants)
        raise click.BadParameter(f"there is no tenant {tenant}; there are {known}", param_hint="--tenant")
    return Subject(loaded, route, tenant or EVERYONE)


def registry_here() -> Registry:
    return Registry(state_dir() / "registry")


def artefact_of(about: Subject, version: str) -> StoredArtefact:
    """Of this route and owner alone. `version` may be an alias. Raises RegistryFault, click.ClickException."""
    artefact = registry_here().get(KIND, about.name, version)
    if not about.learned(artefact.card):
        raise click.ClickException(
            f"Version {artefact.version} of {about.name} was not learned for route {about.route}"
            f"{f' and tenant {about.owner}' if about.owner else ''}, as its card says."
        )
    return artefact


def operator() -> str:
    """Who runs this, for the log; by number where the system knows no name, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@contextmanager
def steps(hidden: bool) -> Iterator[Callable[[str], object]]:
    """What is being done now, on standard error, and only where somebody looks."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=hidden or not console.is_terminal) as progress:
        task = progress.add_task("reading", total=None)

        def step(what: str) -> None:
            progress.update(task, description=what)

        yield step


def plain(value: Any) -> Any:
    """As JSON has it."""
    return msgspec.to_builtins(value)


config_and_route = (
    click.option("--route", required=True, help="The route that learns."),
    click.option("--tenant", help="Whose traffic it learns from; left out where all of them learn together."),
)
KIND = ROUTER


def need_libraries() -> None:
    if find_spec("lightgbm") is None or find_spec("sklearn") is None:
        raise click.ClickException("This needs lightgbm and scikit-learn: pip install 'weir[learn]'.")


def advice(about: Subject) -> str:
    if about.settings.learning is None:
        return f"Set `routes.{about.route}.learning`, so that questions and scores are written down."
    return (
        "Scores come from shadow calls (`learning.shadow_share`), from POST /v1/decisions/{request_id}/feedback, "
        "and from files (--outcomes)."
    )


def of_a_route(command: _Command) -> _Command:
    for option in (*reversed(config_and_route), config_option):
        command = option(command)
    return command


def roll_back(kind: str, about: Subject, reason: str, *, as_json: bool) -> None:
    """Put what was in production before back there, and say so."""
    with faults():
        version = registry_here().rollback(kind, about.name, by=operator(), reason=reason)
    if as_json:
        print_json({"version": version})
    else:
        click.echo(f"{PRODUCTION} of {about.name} is {version} again; there is no {PREVIOUS} any more.")


def print_json(value: Any) -> None:
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
