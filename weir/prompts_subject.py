"""What the verbs of `weir prompts` have in common: a prompt of a configuration, and its versions.

The non-obvious decision: `file` as a version is what the file says now, whereas the registry's alias of that name
is what it said at the last promotion. Who types it means the former; the latter tells whether the file was edited.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import click

from contracts.artefacts import CANARY, FILE, PRODUCTION
from prompts.book import Standing, standing
from prompts.evidence import Evidence, read
from prompts.prompt import BookedPrompt
from prompts.reading import read_prompt
from registry.change_log import Entry
from registry.faults import RegistryFault
from registry.prompts import PROMPT, content_of
from registry.store import Registry
from router.config import schema
from router.config.load import USUAL_FILE, Loaded
from router.config.problems import did_you_mean
from router.estimates import TokenEstimator, prompt_tokens
from weir.router_artefact import registry_here
from weir.state import read_config

_MOST_NAMED = 5
_Command = Callable[..., Any]


def alias_option(what: str) -> Callable[[_Command], _Command]:
    """`--as`, of the verbs that move an alias; `what` says of what."""
    choice = click.Choice([PRODUCTION, CANARY])
    return click.option("--as", "alias", type=choice, default=PRODUCTION, show_default=True, help=what)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A prompt: what its file says, and what the registry's aliases name."""

    name: str
    config: Path
    loaded: Loaded
    registry: Registry
    aliases: Mapping[str, str]

    @property
    def settings(self) -> schema.Prompt:
        return self.loaded.config.prompts[self.name]

    @property
    def written(self) -> BookedPrompt:
        """What the file says now."""
        return self.loaded.prompts[self.name]

    @property
    def standing(self) -> Standing:
        return standing(self.written.version, self.aliases)

    @property
    def in_force(self) -> str:
        """The version that serves."""
        return self.standing.production

    @property
    def source(self) -> str:
        """Where what serves comes from: `file` or `registry`."""
        return "file" if self.in_force == self.written.version else "registry"

    @property
    def routes(self) -> Sequence[str]:
        """Whose prompt it is, as far as no tenant has another."""
        return [name for name, route in self.loaded.config.routes.items() if route.prompt == self.name]

    @property
    def tenants(self) -> Mapping[str, Sequence[str]]:
        """The routes on which a tenant has it in the place of the route's own, by tenant."""
        found = {
            tenant: [route for route, prompt in settings.prompts.items() if prompt == self.name]
            for tenant, settings in self.loaded.config.tenants.items()
        }
        return {tenant: routes for tenant, routes in found.items() if routes}

    @property
    def serves(self) -> str:
        """Both, in words; empty where nobody gets it."""
        own = (f"{', '.join(routes)} for {tenant}" for tenant, routes in self.tenants.items())
        return "; ".join([*([", ".join(self.routes)] if self.routes else []), *own])

    @property
    def filled(self) -> Mapping[str, Mapping[str, str]]:
        """Slots that the configuration fills, by the setting that does so."""
        tenants = self.loaded.config.tenants.items()
        places = {
            f"prompts.{self.name}.slots": self.settings.slots,
            **{f"tenants.{name}.slots": tenant.slots for name, tenant in tenants},
        }
        ours = {
            place: {slot: text for slot, text in slots.items() if slot in self.written.slots}
            for place, slots in places.items()
        }
        return {place: slots for place, slots in ours.items() if slots}

    def slots(self, prompt: BookedPrompt) -> Mapping[str, str]:
        """What fills the slots of `prompt` where no tenant says otherwise."""
        return {name: self.settings.slots.get(name, usual) for name, usual in prompt.slots.items()}

    def resolved(self, version_or_alias: str) -> str:
        """The version that is meant. Raises click.ClickException where there is none."""
        if version_or_alias == FILE:
            return self.written.version
        known = {self.written.version, *self.registry.versions(PROMPT, self.name)}
        version = self.aliases.get(version_or_alias, version_or_alias)
        if version in known:
            return version
        newest = self.registry.versions(PROMPT, self.name)[: -_MOST_NAMED - 1 : -1]
        stored = f"the newest stored: {', '.join(newest)}" if newest else "none is stored"
        aliases = ", ".join(sorted({*self.aliases, FILE}))
        raise click.ClickException(
            f"Prompt {self.name} has no version or alias '{version_or_alias}'. Aliases: {aliases}; {stored}."
        )

    def prompt(self, version: str) -> BookedPrompt:
        """Raises RegistryFault, click.ClickException."""
        if version == self.written.version:
            return self.written
        content = content_of(self.registry, self.name, version)
        try:
            return BookedPrompt.stored(content)
        except ValueError as error:
            raise click.ClickException(
                f"Version {version} of prompt {self.name} is none that this Weir can read ({error}): a newer one "
                "may have stored it. Use another version."
            ) from error

    def history(self, version: str) -> list[Entry]:
        """What the log says about a version, the oldest first."""
        entries = self.registry.log.entries(kind=PROMPT, name=self.name)
        return [entry for entry in entries if version in (entry.version, entry.before)]

    def verdict(self, version: str) -> Entry | None:
        """The latest about a version."""
        return verdict_in(self.history(version))

    def aliases_of(self, version: str) -> list[str]:
        """The aliases by which `version` can be called."""
        named = {**self.aliases, FILE: self.written.version}
        return [alias for alias, named_version in named.items() if named_version == version]

    @property
    def quoted_config(self) -> str:
        """For a shell."""
        return shlex.quote(str(self.config))

    def command(self, words: str) -> str:
        """`weir` with `words`, and the configuration where it is not the usual one."""
        where = "" if self.config == USUAL_FILE else f" --config {self.quoted_config}"
        return f"weir {words}{where}"


def subject(config: Path, name: str) -> Subject:
    """Raises click.ClickException where the configuration does not load or has no such prompt."""
    loaded = read_config(config)
    known = list(loaded.config.prompts)
    if name not in known:
        there = f"There are {', '.join(known)}." if known else "There are none."
        advice = did_you_mean(name, known) or there
        raise click.ClickException(f"{config} has no prompt '{name}'. {advice}")
    return subject_of(config, loaded, name)


def subject_of(config: Path, loaded: Loaded, name: str) -> Subject:
    """One of the configuration's prompts. Raises click.ClickException."""
    registry = registry_here()
    with faults():
        aliases = registry.aliases(PROMPT, name)
    return Subject(name=name, config=config, loaded=loaded, registry=registry, aliases=aliases)


def prompt_in(file: Path, settings: schema.Prompt) -> BookedPrompt:
    """What `file` says, with the prompt's merge rule. Raises click.ClickException."""
    try:
        return read_prompt(file, settings.merge)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise click.ClickException(f"{file} is no prompt: {error}") from error


@contextmanager
def faults() -> Iterator[None]:
    """Faults of the registry, in words."""
    try:
        yield
    except RegistryFault as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:
        raise click.ClickException(
            f"The registry in {registry_here().folder} cannot be used: {error.strerror or error}. "
            "Is WEIR_STATE_DIR your Weir's state folder, and may you write there?"
        ) from error


def verdict_in(history: Sequence[Entry]) -> Entry | None:
    """The latest of them."""
    return next((entry for entry in reversed(history) if entry.what == "verdict"), None)


def evidence_in(entry: Entry | None) -> Evidence | None:
    """What an optimiser found out; None for other verdicts."""
    return None if entry is None or entry.what != "verdict" else read(entry.evidence)


def tokens_of(prompt: BookedPrompt, slots: Mapping[str, str]) -> int:
    """What its instructions and demonstrations add to a request, about."""
    return prompt_tokens(prompt.filled(slots), _estimator())


@cache
def _estimator() -> TokenEstimator:
    estimator = TokenEstimator()
    estimator.load()
    return estimator


def percent(share: float) -> str:
    return f"{share * 100:g}%"


def readable(text: str) -> str:
    """For a terminal: what a model wrote may hold letters that steer one."""
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in text)
