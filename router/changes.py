"""What may be changed in the database, checked: one function for each rule, for the admin's pages and the verbs.

The non-obvious decision: what is named must be there now, though it may be gone tomorrow; a limit to a route that a
later configuration no longer has is harmless, while one that was mistyped would lock somebody out.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from pydantic import TypeAdapter, ValidationError

from contracts import budgets
from contracts.access import StoredBudget
from contracts.budgets import dollars, nanodollars
from contracts.errors import InvalidRequest
from contracts.records import DIRECT, Role
from router.access import ROLES
from router.config.links import POOL
from router.config.money import Budget
from router.config.problems import did_you_mean
from router.config.values import Name
from router.setup import Access, Setup

LONGEST_TEXT = 512
LONGEST_NAME = 128
_MOST_LISTED = 20
_NAME = TypeAdapter(Name)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What can be named: all there is, or what one tenant may address."""

    tenants: Collection[str]
    routes: Collection[str]
    models: Collection[str]

    @classmethod
    def of(cls, setup: Setup, tenant: str = "") -> Self:
        """All that is in force, or what `tenant` may know of it."""
        models = {name for name, plan in setup.plans.items() if plan.route == DIRECT}
        routes = setup.plans.keys() - models
        if not tenant:
            return cls(tenants=setup.tenants, routes=routes, models=models)
        access = setup.tenants.get(tenant, Access(routes=frozenset(), models=frozenset()))
        return cls(
            tenants=(tenant,),
            routes=routes if access.routes is None else routes & access.routes,
            models=models if access.models is None else models & access.models,
        )

    def require(self, kind: str, name: str, param: str | None = None) -> None:
        """Raises InvalidRequest where there is no `kind` (tenant, route or model) of this name."""
        known: Collection[str] = getattr(self, f"{kind}s")
        if name not in known:
            advice = did_you_mean(name[:LONGEST_NAME], sorted(known)) or _listed(known)
            raise InvalidRequest(f"There is no {kind} '{_short(name)}'. {advice}", param=param or kind)


def check_key(
    names: Names,
    tenant: str,
    name: str,
    routes: Sequence[str] | None,
    models: Sequence[str] | None,
    role: Role,
) -> None:
    """A key to make. Raises InvalidRequest."""
    if not role and not tenant:
        raise InvalidRequest("Say whose key it is: 'tenant' is missing.", param="tenant")
    if role and role not in ROLES:
        raise InvalidRequest(f"'role' must be one of {', '.join(ROLES)}.", param="role")
    if role and (routes is not None or models is not None):
        raise InvalidRequest("A key with a role answers no requests, so it has no routes or models.", param="role")
    if tenant:
        names.require("tenant", tenant)
    check_text("name", name, LONGEST_NAME)
    _check_limits(names, routes, models, ())


def check_new_tenant(
    names: Names,
    name: str,
    routes: Sequence[str] | None,
    models: Sequence[str] | None,
    refused_models: Sequence[str],
) -> None:
    """A tenant to make. Raises InvalidRequest."""
    check_name("name", name)
    if name.startswith(POOL):
        raise InvalidRequest(f"Names that begin with '{POOL}' are kept for caches.", param="name")
    if name in names.tenants:
        raise InvalidRequest(f"There is a tenant '{name}' already.", param="name")
    _check_limits(names, routes, models, refused_models)


def check_tenant_changes(names: Names, changes: Mapping[str, Sequence[str] | None]) -> None:
    """What is to be different of a tenant. Raises InvalidRequest."""
    if not changes:
        raise InvalidRequest("Say what is to change: routes, models or refused_models.")
    if "refused_models" in changes and changes["refused_models"] is None:
        raise InvalidRequest("'refused_models' must be a list.", param="refused_models")
    _check_limits(names, changes.get("routes"), changes.get("models"), changes.get("refused_models"))


def check_budget(names: Names, name: str, budget: Budget) -> Mapping[str, Any]:
    """A budget to set, as it is stored. Raises InvalidRequest."""
    check_name("name", name)
    for kind in ("tenant", "route", "model"):
        named = getattr(budget, kind)
        if named is not None:
            names.require(kind, named)
    if budget.key is not None:
        check_text("key", budget.key, 2 * LONGEST_NAME)
    if budget.tag is not None:
        check_text("tag", budget.tag, 2 * LONGEST_TEXT)
    return settings_of(budget)


def settings_of(budget: Budget) -> dict[str, Any]:
    """A budget as it is stored and shown: dollars as plain digits, however they were written."""
    settings = budget.model_dump(mode="json", exclude_none=True)
    return settings if budget.usd is None else settings | {"usd": f"{budget.usd:f}"}


def budget_in(settings: Mapping[str, Any]) -> Budget:
    """The budget that `settings` describe, as the configuration would read them. Raises InvalidRequest."""
    try:
        return Budget.model_validate(settings)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = str(first["msg"]).removeprefix("Value error, ")
        raise InvalidRequest(f"'{where}': {message}." if where else f"It {message}.", param=where or None) from None


def budget_of(name: str, settings: Budget) -> budgets.Budget:
    """The same in the terms of those who count."""
    measure: budgets.Measure
    if settings.requests is not None:
        measure, limit = "requests", settings.requests
    elif settings.tokens is not None:
        measure, limit = "tokens", settings.tokens
    else:
        assert settings.usd is not None  # noqa: S101 - one of the three is given
        measure, limit = "usd", nanodollars(settings.usd)
    tag, _, value = (settings.tag or "").partition("=")
    return budgets.Budget(
        name=name,
        measure=measure,
        limit=limit,
        window=settings.per,
        hard=settings.hard,
        warn_at=settings.warn_at,
        tenant=settings.tenant or "",
        key=settings.key or "",
        route=settings.route or "",
        model=settings.model or "",
        tag=(tag, value) if settings.tag else None,
        each=settings.each,
    )


def shown_amount(measure: budgets.Measure, amount: int) -> int | str:
    """An amount of a budget for people and JSON: dollars as text, so that no digit is lost."""
    return f"{dollars(amount).normalize():f}" if measure == "usd" else amount


def budgets_in_force(
    declared: Mapping[str, Budget], stored: Collection[StoredBudget]
) -> tuple[list[budgets.Budget], list[str]]:
    """Budgets of the configuration and of the database together, where the configuration wins by name.

    And the names of those in the database that this Weir does not understand: of a later one, say.
    """
    made, strange = {name: budget_of(name, settings) for name, settings in declared.items()}, []
    for budget in stored:
        if budget.name in made:
            continue
        try:
            made[budget.name] = budget_of(budget.name, budget_in(budget.settings))
        except InvalidRequest:
            strange.append(budget.name)
    return list(made.values()), strange


def check_not_declared(kind: str, name: str, declared: Container[str]) -> None:
    """Raises InvalidRequest where the configuration has a `kind` of this name, and so the last word."""
    if name in declared:
        raise InvalidRequest(f"The {kind} '{name}' is in the configuration: change it there.", param="name")


def check_name(param: str, name: str) -> None:
    """A name as the configuration takes them. Raises InvalidRequest."""
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        message = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise InvalidRequest(f"'{param}' {message}.", param=param) from None


def check_text(param: str, text: str, most: int = LONGEST_TEXT) -> None:
    """A short text in words. Raises InvalidRequest."""
    if len(text) > most or not text.isprintable():
        raise InvalidRequest(f"'{param}' must be printable text of at most {most} characters.", param=param)


def _check_limits(
    names: Names,
    routes: Sequence[str] | None,
    models: Sequence[str] | None,
    refused_models: Sequence[str] | None,
) -> None:
    for param, kind, named in (
        ("routes", "route", routes),
        ("models", "model", models),
        ("refused_models", "model", refused_models),
    ):
        for name in named or ():
            names.require(kind, name, param)


def _listed(known: Collection[str]) -> str:
    names = sorted(known)
    more = f" and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else ""
    return f"There are: {', '.join(names[:_MOST_LISTED]) or 'none'}{more}."


def _short(name: str) -> str:
    """`name` for a message: what is printable, and not too much of it."""
    text = "".join(letter if letter.isprintable() else "?" for letter in name[:LONGEST_NAME])
    return text if len(name) <= LONGEST_NAME else f"{text}..."
