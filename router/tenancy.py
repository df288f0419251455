"""What tenants may address: those of the configuration and those of the database together, as they are now.

The non-obvious decision: every `Setup` shares this one mapping, so that a tenant who is made, changed or closed in
the database takes no new Setup, and waits for no request that holds an old one.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from contracts.access import Tenant
from router.setup import Access


class Tenancy(Mapping[str, Access]):
    """Where both know a tenant, the configuration counts."""

    def __init__(self, declared: Mapping[str, Access] | None = None) -> None:
        self._declared: Mapping[str, Access] = declared or {}
        self._stored: Mapping[str, Access] = {}
        self._refused: Mapping[str, frozenset[str]] = {}
        self._all: Mapping[str, Access] = self._declared

    def declare(self, tenants: Mapping[str, Access]) -> None:
        """Take the tenants of a new configuration."""
        self._declared = tenants
        self._join()

    def take(self, tenants: Iterable[Tenant]) -> None:
        """Take those that are open in the database."""
        known = {tenant.name: tenant for tenant in tenants}
        self._stored = {name: Access(routes=tenant.routes, models=tenant.models) for name, tenant in known.items()}
        self._refused = {name: tenant.refused_models for name, tenant in known.items()}
        self._join()

    def refuses(self, tenant: str, model: str) -> bool:
        """Whether a tenant of the database keeps its requests from `model`, where a policy chooses."""
        return tenant not in self._declared and model in self._refused.get(tenant, ())

    def _join(self) -> None:
        self._all = {**self._stored, **self._declared}

    def __getitem__(self, name: str) -> Access:
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


class Refusing(Container[str]):
    """The tenants whose requests policies keep from `model`: of the configuration, and of the database now."""

    def __init__(self, model: str, declared: Container[str], tenancy: Tenancy) -> None:
        self._model = model
        self._declared = declared
        self._tenancy = tenancy

    def __contains__(self, tenant: object) -> bool:
        return tenant in self._declared or self._tenancy.refuses(str(tenant), self._model)
