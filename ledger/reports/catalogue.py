"""What a configuration says of its models and routes, as plain data: reports know nothing of configurations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A configured model. `priced_by` is empty where nobody knows its price."""

    upstream: str
    owner: str = ""
    priced_by: str = ""
    shutdown: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRoute:
    """A configured route. `reference` is the candidate that savings are measured against."""

    candidates: Sequence[str]
    reference: str
    cached: bool = True
    """Whether answers are kept at all."""
    semantic: bool = False
    """Whether they also answer other words for the same question."""
    learned: bool = False
    """Whether its policy chooses by what was learned."""
    measured: bool = False
    """Whether lots are drawn, so that its saving is measured."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """By the names of the configuration."""

    models: Mapping[str, ListedModel] = field(default_factory=dict)
    routes: Mapping[str, ListedRoute] = field(default_factory=dict)

    @property
    def drawing(self) -> Mapping[str, bool]:
        """By route, whether lots are drawn."""
        return {name: route.measured for name, route in self.routes.items()}

    def only(self, models: Collection[str], routes: Collection[str]) -> Catalogue:
        """What one tenant may know of: the models and routes that it used."""
        return Catalogue(
            {name: model for name, model in self.models.items() if name in models},
            {name: route for name, route in self.routes.items() if name in routes},
        )

    def routes_of(self, model: str) -> list[str]:
        """The routes that name `model` as a candidate."""
        return [name for name, route in self.routes.items() if model in route.candidates]
