"""What a configuration amounts to: its sections as concrete objects, ready to be put to work by `router.main`.

Together with `main` the only place that names concrete classes. Everything here is made from a configuration alone;
what lives, opens and closes is the House's.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from cache.limits import AcceptanceLimits, SemanticLimits
from cache.refusals import phrases
from cache.room import VERIFIER, CacheSettings
from contracts.artefacts import CARD
from contracts.ports import CacheRules, Keyring, Policy, Prices, PromptStore, SemanticRules, Upstream
from contracts.records import DIRECT, Key
from contracts.students import Student
from encoder.address import socket_path
from encoder.card import EncoderFault, read_card
from ledger.prices import GpuRate, LongRates, PriceList, PriceRule, PricesUnknown, TokenRates
from prompts.book import Booked, PromptBook, RoutePrompts
from prompts.prompt import BookedPrompt
from registry.faults import NotThere, RegistryFault
from registry.routers import ROUTER, artefact_name
from registry.store import Registry
from registry.students import StoredStudents
from router.access import Operators
from router.choice.fixed import FixedChoice, MissingChoice, NamedChoice
from router.choice.parts import EVERYONE, ChoiceParts, Place
from router.config import policies, schema, students
from router.config.caching import RouteCache, Semantic
from router.config.load import ConfigError, Loaded
from router.config.price_file import read_price_file
from router.config.prices import GpuPrice, ListedPrice, Price, TokenPrice
from router.librarian import encoder_folder, looks_up
from router.setup import Access, CacheRule, Deployment, Learning, Plan, RetrievalRules, Setup
from router.upstreams.engines import engines_of, model_at
from router.upstreams.fleet import Fleet
from router.upstreams.gguf import GGUFUpstream
from router.upstreams.litellm_library import LiteLLMUpstream
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.scripted import ScriptedUpstream
from router.upstreams.student import FolderShelf, StudentUpstream
from router.upstreams.vllm import VLLMUpstream
from router.workers import WorkersFailed

if TYPE_CHECKING:
    from encoder.client import EncoderClient
    from router.choice.student_shelf import StudentHeads
    from system.kept_process import KeptProcess

log = logging.getLogger("weir")


def policy_of(
    name: str,
    route: schema.Route,
    config: schema.Config,
    prices: Prices,
    parts: ChoiceParts,
    deployments: Mapping[str, Deployment],
) -> Policy:
    match route.policy:
        case policies.FixedPolicy():
            return FixedChoice(route.policy.choose)
        case policies.LearnedPolicy():
            try:  # needs numpy, which a Weir of fixed choices need not have
                from router.choice.wiring import learned_choice
            except ImportError as error:
                log.warning("route %s chooses its default model: %s: pip install 'weir[semantic]'", name, error)
                return MissingChoice("what a learned policy needs is not installed")
            return learned_choice(name, route, route.policy, config, prices, parts)
        case policies.StudentPolicy():
            upstream = deployments[config.student_of(route)].upstream
            assert isinstance(upstream, StudentUpstream)  # noqa: S101 - the configuration was checked for it
            try:
                from router.choice.wiring import student_choice
            except ImportError as error:
                log.warning("route %s leaves its student out: %s: pip install 'weir[semantic]'", name, error)
                return FixedChoice(next(model for model in route.candidates if not config.student_behind(model)))
            return student_choice(route, route.policy, config, upstream, parts)


def head_places(loaded: Loaded, registry: Registry) -> Callable[[str, policies.LearnedPolicy], Mapping[str, Place]]:
    """Where the heads of routes lie: in the folder that the configuration names, or where the alias points.

    In the registry a route's heads have its name; those of a tenant's own traffic, the tenant's after it. Where
    tenants learn apart, what all of them taught together is not in use any more.
    """

    def places(route: str, policy: policies.LearnedPolicy) -> Mapping[str, Place]:
        if policy.artefact is not None:
            return {EVERYONE: _folder_place(loaded.folder / policy.artefact)}
        settings = loaded.config.routes.get(route)
        shared = settings is not None and settings.learning is not None and settings.learning.shared
        found = {}
        for owner in (EVERYONE,) if shared else loaded.config.tenants:
            try:
                artefact = registry.get(ROUTER, artefact_name(route, owner), policy.alias)
            except NotThere:
                continue
            except (RegistryFault, OSError) as fault:
                log.error("what was learned for route %s cannot be used: %s", route, fault)  # noqa: TRY400 - said in full
                continue
            if (artefact.card.get("route"), artefact.card.get("owner")) == (route, owner):
                found[owner] = Place(artefact.folder, artefact.version, str(artefact.card.get("encoder", "")))
        return found

    return places


def _folder_place(folder: Path) -> Place:
    """A folder that `weir router train --out` wrote, or that somebody put together without a card."""
    changed = max((file.stat().st_mtime_ns for file in folder.glob("*")), default=0)
    try:
        card = orjson.loads((folder / CARD).read_bytes())
    except (OSError, ValueError):
        card = None
    return Place(folder, str(changed), str(card.get("encoder", "")) if isinstance(card, dict) else "")


def make_upstream(name: str, upstream: schema.Upstream, loaded: Loaded, registry: Registry) -> Upstream:
    def secret(reference: str | None) -> str | None:
        return loaded.secret(reference) if reference and loaded.has_secret(reference) else None

    match upstream:
        case schema.OpenAIUpstream():
            return OpenAIUpstream(
                name,
                upstream.base_url,
                secret(upstream.api_key),
                {header: loaded.secret(value) for header, value in upstream.headers.items()},
                upstream.max_connections,
                upstream.connect_seconds,
            )
        case schema.LiteLLMUpstream():
            return LiteLLMUpstream(
                name, upstream.provider, secret(upstream.api_key), upstream.base_url, upstream.options
            )
        case schema.GGUFUpstream():
            return GGUFUpstream(
                name, loaded.folder / upstream.path, upstream.threads, upstream.context, upstream.start_seconds
            )
        case students.VLLMUpstream():
            return VLLMUpstream(
                name,
                loaded.folder / upstream.python,
                model_at(loaded.folder, upstream.model),
                served=name,
                arguments=upstream.arguments,
                start_s=upstream.start_seconds,
            )
        case students.StudentUpstream():
            return _student(name, upstream, loaded, registry)
        case schema.ScriptedUpstream():
            return ScriptedUpstream(name, loaded.folder / upstream.knowledge if upstream.knowledge else None)


def _student(name: str, upstream: students.StudentUpstream, loaded: Loaded, registry: Registry) -> StudentUpstream:
    owner = upstream.tenant or EVERYONE
    return StudentUpstream(
        name,
        FolderShelf(loaded.folder / upstream.artefact)
        if upstream.artefact
        else StoredStudents(registry, upstream.route, owner, upstream.alias),
        engines_of(name, upstream, loaded),
        _read_heads,
        owner=owner,
        look_s=loaded.config.server.reload_seconds,
    )


def _read_heads(folder: Path, student: Student) -> StudentHeads | None:
    """None where what reads them is not installed: the student is then asked by its own name only."""
    try:
        from router.choice.student_shelf import read_student_heads
    except ImportError:
        return None
    return read_student_heads(folder, student)


def require_one_worker(loaded: Loaded, workers: int) -> None:
    """Raises WorkersFailed where several workers would each start a vLLM of their own."""
    for name, upstream in loaded.config.upstreams.items():
        engine = upstream.engine if isinstance(upstream, students.StudentUpstream) else upstream
        if (
            workers > 1
            and isinstance(engine, students.VLLMEngine | students.VLLMUpstream)
            and engine.python is not None
        ):
            raise WorkersFailed(
                f"upstreams.{name}: each of {workers} workers would start a vLLM of its own. Start vLLM yourself "
                "and name its `base_url`, or run one worker."
            )


def prices_of(loaded: Loaded) -> PriceList:
    """The price of every model; those without one are told in the log.

    Raises PricesUnknown, naming all the models that have none and must have one.
    """
    prices = price_list(loaded)
    if prices.unpriced:
        log.warning("no price is known for %s: what they cost counts as nothing", ", ".join(prices.unpriced))
    return prices


def price_list(loaded: Loaded) -> PriceList:
    """The same for those who tell of it themselves."""
    config = loaded.config
    from_file: Mapping[str, Price] = {}
    if config.ledger.prices:
        try:
            from_file = read_price_file(loaded.folder / config.ledger.prices, config.models)
        except ConfigError as error:
            raise PricesUnknown([str(error)]) from error
    file = Path(config.ledger.prices or "").name
    rules = [_price_rule(name, model, from_file.get(name), file) for name, model in config.models.items()]
    return PriceList(rules, config.ledger.unpriced)


def _price_rule(name: str, model: schema.Model, from_file: Price | None, file: str) -> PriceRule:
    """What its own settings state comes first, then the price file, then its name in the list."""
    price, source = model.price, "config"
    if from_file is not None and (price is None or isinstance(price, ListedPrice)):
        price, source = from_file, file
    listed_as = model.name or name
    match price:
        case None:
            return PriceRule(model=name, listed_as=listed_as)
        case ListedPrice():
            return PriceRule(model=name, listed_as=price.listed_as, provider=price.provider)
        case TokenPrice():
            longer = {int(tokens): LongRates(**dict(rates)) for tokens, rates in price.above.items()}
            rates = TokenRates(**(_figures(price) | {"above": longer}))
            return PriceRule(model=name, rates=rates, source=source, listed_as=listed_as)
        case GpuPrice():
            return PriceRule(model=name, rates=GpuRate(**_figures(price)), source=source, listed_as=listed_as)


def _figures(price: TokenPrice | GpuPrice) -> dict[str, Any]:
    """All but the currency, of which there is one."""
    return {name: value for name, value in price if name != "currency"}


def book_of(loaded: Loaded, store: PromptStore, pinned: Mapping[str, BookedPrompt]) -> PromptBook:
    """The configuration's prompts; `pinned` versions are in force whatever `store` says."""
    settings = loaded.config.prompts
    return PromptBook(
        {
            name: Booked(file=prompt, slots=settings[name].slots, canary_share=settings[name].canary_share)
            for name, prompt in loaded.prompts.items()
        },
        store,
        tenants={name: tenant.slots for name, tenant in loaded.config.tenants.items()},
        pinned=pinned,
    )


def _prompts_of(name: str, route: schema.Route, config: schema.Config, book: PromptBook) -> RoutePrompts | None:
    own = {
        tenant: settings.prompts[name] for tenant, settings in config.tenants.items() if name in settings.prompts
    }
    return RoutePrompts(book, route.prompt or "", own) if route.prompt or own else None


def setup_of(loaded: Loaded, fleet: Fleet, prices: Prices, parts: ChoiceParts, book: PromptBook) -> Setup:
    """What `loaded` amounts to, with its `book` and the upstreams of a fleet that has sailed with it."""
    config = loaded.config
    deployments = {
        name: Deployment(
            model=name, upstream=fleet.running[loaded.upstream_of(name)], upstream_name=model.name or name
        )
        for name, model in config.models.items()
    }

    def plan(shown_as: str, route: schema.Route, policy: Policy) -> Plan:
        return Plan(
            route=shown_as,
            candidates=route.candidates,
            resolved=tuple(
                f"{model}={fleet.version_of(loaded.upstream_of(model))}/{deployments[model].upstream_name}"
                for model in route.candidates
            ),
            policy=policy,
            prompts=_prompts_of(shown_as, route, config, book),
            cache=_cache_rule(route.cache),
            attempts=route.attempts,
            retrieval=_retrieval_rules(route, config),
            reference=reference_of(route, config),
            dear_share=route.counterfactual.share if route.counterfactual else 0.0,
            learning=learning_of(route, config),
            students=tuple(
                upstream
                for model in route.candidates
                if isinstance(upstream := deployments[model].upstream, StudentUpstream)
            ),
        )

    routes = {
        name: plan(name, route, policy_of(name, route, config, prices, parts, deployments))
        for name, route in config.routes.items()
    }
    for name in parts.shelves.keys() - {name for name, route in config.routes.items() if learns(route)}:
        del parts.shelves[name]
    parts.tenancy.declare({name: _access(tenant) for name, tenant in config.tenants.items()})
    named = {name: plan(DIRECT, schema.Route(candidates=(name,)), NamedChoice()) for name in config.models}
    return Setup(
        plans={**named, **routes},
        deployments=deployments,
        tenants=parts.tenancy,
        prices=prices,
        owners={
            name: student.tenant
            for name in config.models
            if (student := config.student_behind(name)) is not None and student.tenant
        },
    )


def _retrieval_rules(route: schema.Route, config: schema.Config) -> RetrievalRules:
    if route.retrieval is None:
        return RetrievalRules()
    named = config.stores.keys() & set(route.retrieval.stores)
    declared = {name: frozenset(config.stores[name].tenants) for name in named}
    return RetrievalRules(**dict(route.retrieval), declared=declared)


def _cache_rule(cache: RouteCache) -> CacheRule:
    return CacheRule(
        enabled=cache.enabled,
        ttl_s=cache.ttl_seconds,
        rules=CacheRules(
            max_temperature=cache.max_temperature, personal=cache.personal == "refuse", live=cache.live
        ),
        shorter=tuple((phrases(rule.words), rule.ttl_seconds) for rule in cache.shorter.values()),
        pool=cache.pool or "",
        writers=frozenset(cache.pool_writers),
        semantic=semantic_rules(cache.semantic),
    )


def reference_of(route: schema.Route, config: schema.Config) -> str:
    """The candidate that savings are measured against."""
    return route.reference or _measure(route, config)


def _measure(route: schema.Route, config: schema.Config) -> str:
    """The candidate that others are compared with: no student, where another one is there."""
    learned = route.policy.reference if isinstance(route.policy, policies.LearnedPolicy) else None
    student = config.student_of(route)
    return learned or next((model for model in route.candidates if model != student), student)


def learning_of(route: schema.Route, config: schema.Config) -> Learning | None:
    """What is written down of a route's traffic; answers of those tenants alone that consent to training."""
    if route.learning is None:
        return None
    return Learning(
        reference=_measure(route, config),
        judge=route.learning.judge or "",
        same_words=route.learning.same_words,
        shadow_share=route.learning.shadow_share,
        max_bytes=route.learning.max_bytes,
        answers=frozenset(
            name
            for name, tenant in config.tenants.items()
            if route.learning.answers and "training" in tenant.consents
        ),
    )


def semantic_rules(semantic: Semantic | None) -> SemanticRules | None:
    return SemanticRules(**dict(semantic)) if semantic is not None else None


def _access(holder: schema.Tenant | schema.TenantKey) -> Access:
    return Access(
        routes=frozenset(holder.routes) if holder.routes is not None else None,
        models=frozenset(holder.models) if holder.models is not None else None,
    )


def declared_keys(config: schema.Config) -> list[Key]:
    """The keys that the configuration itself holds, of tenants and of the staff."""
    of_staff = [
        Key(id=f"staff/{name}", tenant=staff.tenant or "", name=name, hash=staff.hash, role=staff.role)
        for name, staff in config.staff.items()
    ]
    return of_staff + [
        Key(id=f"{tenant_name}/{name}", tenant=tenant_name, name=name, hash=key.hash, **_limits(_access(key)))
        for tenant_name, tenant in config.tenants.items()
        for name, key in tenant.keys.items()
    ]


def _limits(access: Access) -> dict[str, Any]:
    return {"routes": access.routes, "models": access.models}


def cache_settings(loaded: Loaded, state: Path, worker: int, workers: int) -> CacheSettings:
    cache = loaded.config.cache
    matching = cache.matching
    return CacheSettings(
        max_bytes=cache.max_bytes,
        max_answer_bytes=cache.max_answer_bytes,
        folder=state / "cache",
        warm_start=cache.warm_start,
        worker=worker,
        workers=workers,
        shared_url=loaded.secret(cache.shared) if cache.shared else "",
        verifier=loaded.folder / matching.verifier if matching.verifier else VERIFIER,
        limits=SemanticLimits(
            floor=matching.floor,
            nearest=matching.nearest,
            same_words=matching.same_words,
            acceptance=AcceptanceLimits(memory=matching.memory_lookups, least_labels=matching.least_labels),
        ),
    )


def learns(route: schema.Route) -> bool:
    return isinstance(route.policy, policies.LearnedPolicy)


def asks_encoder(route: schema.Route) -> bool:
    student = isinstance(route.policy, policies.StudentPolicy)
    return route.cache.semantic is not None or learns(route) or student or route.retrieval is not None


def encoder_of(
    loaded: Loaded, state: Path, *, wanted: bool = False
) -> tuple[KeptProcess | None, EncoderClient | None]:
    """The encoder, where it can be had and a route needs one, or it is `wanted` anyway."""
    config = loaded.config.encoder
    if not (wanted or looks_up(loaded.config) or any(map(asks_encoder, loaded.config.routes.values()))):
        return None, None
    from encoder.client import EncoderClient  # needs numpy, which a Weir of exact hits need not have
    from encoder.process import encoder_process

    folder = encoder_folder(loaded)
    try:
        card, socket = read_card(folder), socket_path(state)
    except EncoderFault as error:
        log.warning("exact hits only: %s", error)
        return None, None
    client = EncoderClient(card, socket, deadline_s=config.deadline_seconds, recent_bytes=config.cache_bytes)
    return encoder_process(folder, socket, backend=config.backend), client


def operators_of(loaded: Loaded, state: Path, keys: Keyring | None = None) -> Operators:
    """The admin key of the configuration, or the one in the state folder, made at first start."""
    server = loaded.config.server
    metrics_key = loaded.secret(server.metrics_key) if server.metrics_key else None
    if server.admin_key:
        return Operators(loaded.secret(server.admin_key), metrics_key, keys)
    file = state / "admin.key"
    admin_key = file.read_text().strip() if file.exists() else ""
    if not admin_key:  # also where the disk was full when one was to be written
        admin_key = f"sk-weir-admin-{secrets.token_urlsafe(32)}"
        file.touch(mode=0o600)
        file.write_text(f"{admin_key}\n")
    return Operators(admin_key, metrics_key, keys)
