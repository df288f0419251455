"""What the configuration says that reports need, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from contracts.records import UNPRICED
from contracts.reporting import Provider, Shutdown, Surroundings
from ledger.prices import PriceList
from ledger.reports.catalogue import Catalogue, ListedModel, ListedRoute
from router.composition import price_list, reference_of
from router.config.load import Loaded
from router.config.policies import LearnedPolicy
from router.config.prices import ListedPrice
from router.config.schema import Config, LiteLLMUpstream, Model, Route
from router.config.shutdowns import NOTICE_DAYS, shutdown_of


def surroundings_of(loaded: Loaded, today: date) -> Surroundings:
    """Shutdowns within `NOTICE_DAYS` of `today`, and those that are over. Raises PricesUnknown."""
    config = loaded.config
    return Surroundings(
        tags=rolled_up(config),
        providers={name: _provider(config, model) for name, model in config.models.items()},
        idle_gpus={name: rate.per_hour for name, rate in price_list(loaded).gpu_models.items() if rate.always_on},
        shutdowns=tuple(_shutdowns(config, today)),
        tenants=frozenset(config.tenants),
    )


def catalogue_of(loaded: Loaded) -> Catalogue:
    """What is known of models and routes. Raises PricesUnknown."""
    config, prices = loaded.config, price_list(loaded)
    return Catalogue(
        models={name: _model(config, prices, name) for name in config.models},
        routes={name: _route(config, route) for name, route in config.routes.items()},
    )


def rolled_up(config: Config) -> tuple[str, ...]:
    """Tags that sums by hour and day tell apart: those of reports, and those that budgets are about."""
    of_budgets = {budget.tag.partition("=")[0] for budget in config.budgets.values() if budget.tag}
    return tuple(dict.fromkeys((*config.ledger.tags, *sorted(of_budgets))))


def _provider(config: Config, model: Model) -> Provider:
    """Who sells it is whoever the price names, or litellm; else the upstream is all that is known."""
    upstream = config.upstreams[model.upstream]
    name = model.upstream
    if isinstance(model.price, ListedPrice) and model.price.provider:
        name = model.price.provider
    elif isinstance(upstream, LiteLLMUpstream):
        name = upstream.provider
    return Provider(name, model.upstream)


def _shutdowns(config: Config, today: date) -> Iterator[Shutdown]:
    for name in config.models:
        found = shutdown_of(config, name)
        if found is not None and found.day <= today + timedelta(days=NOTICE_DAYS):
            routes = tuple(route for route, settings in config.routes.items() if name in settings.candidates)
            yield Shutdown(name, found.day, routes, found.source)


def _model(config: Config, prices: PriceList, name: str) -> ListedModel:
    model, shutdown = config.models[name], shutdown_of(config, name)
    priced_by = prices.priced_by(name)
    return ListedModel(
        upstream=model.upstream,
        owner=model.owner or "",
        priced_by="" if priced_by == UNPRICED else priced_by,
        shutdown=shutdown.day if shutdown else None,
    )


def _route(config: Config, route: Route) -> ListedRoute:
    return ListedRoute(
        candidates=route.candidates,
        reference=reference_of(route, config),
        cached=route.cache.enabled,
        semantic=route.cache.semantic is not None,
        learned=isinstance(route.policy, LearnedPolicy),
        measured=route.counterfactual is not None,
    )
