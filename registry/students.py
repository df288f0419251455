"""Students in the registry, as an upstream looks for them."""

from __future__ import annotations

from pathlib import Path

from contracts.students import STUDENT
from registry.faults import RegistryFault
from registry.routers import artefact_name
from registry.store import Registry


class StoredStudents:
    """The versions of one route's and owner's student, "" being everyone's, and which one `alias` names."""

    def __init__(self, registry: Registry, route: str, owner: str, alias: str) -> None:
        self._registry = registry
        self._name = artefact_name(route, owner)
        self._about = (route, owner)
        self._alias = alias

    def promoted(self) -> str:
        """The version that the alias names; empty where the registry has versions and the alias names none of them.

        Raises OSError, or ValueError with advice. A registry that knows of no such student has never had one or is
        not where it was: nothing was decided there.
        """
        try:
            version = self._registry.aliases(STUDENT, self._name).get(self._alias, "")
            known = bool(version or self._registry.versions(STUDENT, self._name))
        except RegistryFault as fault:
            raise ValueError(str(fault)) from fault
        if not known:
            raise ValueError(
                f"{self._registry.folder} has no student {self._name}: `weir distill run` puts one there, and "
                "`weir distill promote` lets it answer"
            )
        return version

    def folder(self, version: str) -> Path:
        """Where its files lie, found to be whole. Raises OSError, or ValueError where they are not."""
        try:
            artefact = self._registry.get(STUDENT, self._name, version)
        except RegistryFault as fault:
            raise ValueError(str(fault)) from fault
        if (artefact.card.get("route"), artefact.card.get("owner")) != self._about:
            raise ValueError(f"{artefact.folder} is of another route or tenant, says its card")
        return artefact.folder
