"""Tenants of the configuration and of the database are one mapping, as it is now."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.access import Tenant
from router.setup import Access
from router.tenancy import Refusing, Tenancy

EVERYTHING = Access(routes=None, models=None)


def stored(name: str, **limits: Any) -> Tenant:
    return Tenant(name=name, created_at=datetime(2026, 11, 1, tzinfo=UTC), **limits)


def test_both_are_known_and_the_configuration_wins() -> None:
    tenancy = Tenancy()
    assert not tenancy
    tenancy.take([stored("acme", routes=frozenset()), stored("initech", routes=frozenset({"support"}))])
    tenancy.declare({"acme": EVERYTHING})
    assert sorted(tenancy) == ["acme", "initech"]
    assert tenancy["acme"] == EVERYTHING
    assert tenancy["initech"] == Access(routes=frozenset({"support"}), models=None)
    assert tenancy.get("nobody") is None


def test_each_changes_without_the_other() -> None:
    tenancy = Tenancy()
    tenancy.declare({"acme": EVERYTHING})
    tenancy.take([stored("initech")])
    tenancy.declare({"globex": EVERYTHING})
    assert sorted(tenancy) == ["globex", "initech"]
    tenancy.take([])
    assert sorted(tenancy) == ["globex"]


def test_models_are_refused_by_whoever_has_the_say() -> None:
    tenancy = Tenancy()
    tenancy.declare({"acme": EVERYTHING})
    refusing = Refusing("large", frozenset({"globex"}), tenancy)
    large = frozenset({"large"})
    assert ("globex" in refusing, "initech" in refusing) == (True, False)
    tenancy.take([stored("initech", refused_models=large), stored("acme", refused_models=large)])
    assert "initech" in refusing, "at once"
    assert "acme" not in refusing, "the configuration has the say about it"
    assert "initech" not in Refusing("small", frozenset(), tenancy)
    tenancy.take([])
    assert "initech" not in refusing
