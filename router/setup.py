"""What a configuration amounts to, ready for requests: routes, models, access. A reload makes a new one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from contracts.errors import UnknownModel
from contracts.ports import CacheRules, CacheScope, Filing, Policy, Prices, Prompt, Prompts, SemanticRules, Upstream
from contracts.records import DIRECT, Key
from contracts.retrieval import Rewriting
from router.attempts import AttemptLimits


class Promoted(Protocol):
    """What has another version whenever one is promoted."""

    @property
    def version(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """A model where it can be reached. `upstream_name` is what the upstream calls it."""

    model: str
    upstream: Upstream
    upstream_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheRule:
    """Whether and how long a route's answers are kept, and which of them.

    `pool` names tenants' shared answers, or is empty; only `writers` add to it. `semantic` None: exact hits only.
    """

    enabled: bool
    ttl_s: float
    rules: CacheRules
    shorter: tuple[tuple[re.Pattern[str], float], ...] = ()
    """What certain words make of the time to live, in seconds; of several, the shortest counts."""
    pool: str = ""
    writers: frozenset[str] = frozenset()
    semantic: SemanticRules | None = None

    def owner(self, tenant: str) -> str:
        """Whose the answers to this tenant's requests are."""
        return f"pool:{self.pool}" if self.pool else tenant

    def ttl_of(self, texts: Sequence[str]) -> float:
        """How long the answer to these texts lives, in seconds."""
        found = [ttl_s for pattern, ttl_s in self.shorter if any(map(pattern.search, texts))]
        return min(self.ttl_s, *found) if found else self.ttl_s

    def may_write(self, tenant: str) -> bool:
        return not self.pool or tenant in self.writers


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalRules:
    """What a route looks up, and how. Without `stores`, only requests that name some are looked up.

    Passages of `token_budget` tokens and `most` in number go into a prompt, none where the probability that they
    hold the answer is below `floor`. `rewriter` is a model, or None. `declared` are those of `stores` that are kept
    in step with a folder, and the tenants that have them: until that was read for the first time, they cannot be
    searched.
    """

    stores: tuple[str, ...] = ()
    declared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    token_budget: int = 1500
    most: int = 20
    floor: float = 0.2
    nothing: Literal["tell", "refuse"] = "tell"
    refusal: str = ""
    rewriting: Rewriting = "history"
    rewriter: str | None = None
    rerank: bool = True
    word_weight: float | None = None
    meaning_weight: float | None = None
    unavailable: Literal["refuse", "answer"] = "refuse"

    def is_declared(self, tenant: str) -> bool:
        """Whether one of these stores of `tenant` is kept in step with a folder."""
        return any(tenant in tenants for tenants in self.declared.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Learning:
    """What is written down of a route's traffic.

    `reference` is the candidate whose answers are the measure; `judge` the model that compares, or empty: then two
    answers say the same from an agreement of `same_words` on (see `heads.answers`). `answers` are the tenants whose
    answers are written down.
    """

    reference: str
    judge: str
    same_words: float
    shadow_share: float
    max_bytes: int
    answers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How requests to one name are served. `route` is DIRECT where the name is a model's.

    `resolved` says what the candidates are upstream: an answer in the cache dies with its model.
    """

    route: str
    candidates: tuple[str, ...]
    resolved: tuple[str, ...]
    policy: Policy
    prompts: Prompts | None
    cache: CacheRule
    attempts: AttemptLimits
    reference: str = ""
    """The candidate that savings are measured against."""
    dear_share: float = 0.0
    """Of conversations that go to it past the cache, drawn by lot."""
    learning: Learning | None = None
    students: tuple[Promoted, ...] = ()
    """Candidates that become other ones while this plan is in force: an answer dies with its version."""
    retrieval: RetrievalRules = RetrievalRules()

    def scope(self, tenant: str, prompt: Prompt | None, locale: str = "", corpus: str = "") -> CacheScope:
        """In which answers to `tenant` are good for each other, where `prompt` is what the request began with.

        `corpus` says what is looked up for it, and how.
        """
        return CacheScope(
            tenant=self.cache.owner(tenant),
            route=self.route,
            policy_version=self.policy.version,
            prompt_version=prompt.rendering if prompt else "",
            corpus_version=corpus,
            candidates=self.resolved + tuple(student.version for student in self.students),
            locale=locale,
        )

    def filing(
        self,
        tenant: str,
        model: str,
        prompt: Prompt | None,
        texts: Sequence[str],
        tags: tuple[str, ...],
        revision: int,
        asked: bool,
    ) -> Filing:
        """How an answer of `model` to `tenant` under `prompt` is kept.

        `texts` are the question's, `tags` the client's; `asked`: it will be found by meaning too.
        """
        own = (f"route:{self.route}", f"model:{model}")
        under = (f"prompt:{prompt.version}",) if prompt else ()
        return Filing(
            ttl_s=self.cache.ttl_of(texts),
            owner=self.cache.owner(tenant),
            writer=tenant,
            tags=(*own, *under, *tags),
            revision=revision,
            asked=asked,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a tenant may address; None means everything."""

    routes: frozenset[str] | None
    models: frozenset[str] | None


@dataclass(frozen=True, slots=True, kw_only=True, weakref_slot=True)
class Setup:
    """`plans` by the names clients use: routes, and models named directly."""

    plans: Mapping[str, Plan]
    deployments: Mapping[str, Deployment]
    tenants: Mapping[str, Access]
    prices: Prices
    owners: Mapping[str, str] = field(default_factory=dict)
    """Of models that learned from one tenant's traffic: whose they are. Nobody else may name them."""

    def plan(self, name: str, key: Key) -> Plan:
        """The plan behind `name`. Raises UnknownModel where there is none, or none for this key."""
        plan = self.plans.get(name)
        if plan is None or not self._allowed(name, plan, key):
            raise UnknownModel(
                f"The model '{name}' does not exist, or this key may not use it. See GET /v1/models.",
                param="model",
            )
        return plan

    def own_plan(self, name: str, tenant: str) -> Plan | None:
        """The plan behind `name` for what Weir asks on its own account, whatever `tenant` may name itself."""
        return self.plans.get(name) if self.owners.get(name, tenant) == tenant else None

    def semantic_rules(self, owner: str, route: str) -> SemanticRules | None:
        """What `owner`, a tenant or a pool, is held to on `route`; None where only equal requests share answers."""
        plan = self.plans.get(route)
        return plan.cache.semantic if plan is not None and plan.route == route else None

    def names(self, key: Key) -> Sequence[tuple[str, Plan]]:
        """Everything `key` may name as a model, routes first."""
        allowed = [(name, plan) for name, plan in self.plans.items() if self._allowed(name, plan, key)]
        return sorted(allowed, key=lambda item: (item[1].route == DIRECT, item[0]))

    def _allowed(self, name: str, plan: Plan, key: Key) -> bool:
        access = self.tenants.get(key.tenant)
        if access is None or (plan.route == DIRECT and self.owners.get(name, key.tenant) != key.tenant):
            return False
        limits = (access.models, key.models) if plan.route == DIRECT else (access.routes, key.routes)
        return all(limit is None or name in limit for limit in limits)
