"""What a route's configuration makes of the policies that need heads: settings become terms, and how to check."""

from __future__ import annotations

from collections.abc import Callable, Collection
from hashlib import blake2b

from contracts.ports import CheckTerms, Prices
from router.choice.aims import Aim, FloorAim, KnobAim, ShareAim, SpendAim
from router.choice.checking import Checking
from router.choice.eligible import UNKNOWN, Ability
from router.choice.goals import Bounds
from router.choice.learned import LearnedChoice, Terms
from router.choice.memory import RouteMemory
from router.choice.parts import ChoiceParts
from router.choice.shelf import HeadShelf
from router.choice.student import StudentChoice, Students, StudentTerms
from router.config import policies, schema
from router.share import ShareController
from router.tenancy import Refusing, Tenancy


def learned_choice(
    name: str,
    route: schema.Route,
    policy: policies.LearnedPolicy,
    config: schema.Config,
    prices: Prices,
    parts: ChoiceParts,
) -> LearnedChoice:
    """The policy of route `name`, with its heads read."""
    memory = parts.memory(name)
    shelf = parts.shelves[name] = HeadShelf(
        lambda: parts.places(name, policy), parts.encoder.version if parts.encoder is not None else ""
    )
    shelf.refresh()
    learning = route.learning
    return LearnedChoice(
        Terms(
            version=f"learned:{_hash(policy.model_dump_json(), *route.candidates)}",
            reference=policy.reference or route.candidates[0],
            abilities={
                model: _ability(model, config, parts.tenancy, policy.only.get(model)) for model in route.candidates
            },
            bounds=Bounds(
                max_cost=float(policy.goal.max_cost) if policy.goal.max_cost is not None else None,
                max_p95_ms=policy.goal.max_p95_ms,
            ),
            sureness=policy.sureness,
            stay=policy.stay,
            explore=policy.explore,
            shared=learning is not None and learning.shared,
        ),
        shelf=shelf,
        encoder=parts.encoder,
        prices=prices,
        aims=_aims(policy.goal, memory),
        memory=memory,
        sessions=parts.sessions,
        checking=_checking(policy.check, parts),
    )


def student_choice(
    route: schema.Route,
    policy: policies.StudentPolicy,
    config: schema.Config,
    upstream: Students,
    parts: ChoiceParts,
) -> StudentChoice:
    """The policy of a route whose student `upstream` serves."""
    check = policy.check
    terms = CheckTerms(logprobs=check.logprobs, first_tokens=check.first_tokens, hold_s=check.hold_seconds)
    return StudentChoice(
        StudentTerms(
            version=f"student:{_hash(policy.model_dump_json(), *route.candidates)}",
            student=config.student_of(route),
            abilities={model: _ability(model, config, parts.tenancy) for model in route.candidates},
        ),
        upstream=upstream,
        encoder=parts.encoder,
        checking=Checking(terms, lambda: None, second=None, votes=0, itself=False),
    )


def _ability(model: str, config: schema.Config, tenancy: Tenancy, only: Collection[str] | None = None) -> Ability:
    can = config.models[model]
    refused = frozenset(name for name, each in config.tenants.items() if model in each.refused_models)
    return Ability(
        context_tokens=can.context_tokens,
        images=can.images,
        audio=can.audio,
        tools=can.tools,
        intents=frozenset(only) - {UNKNOWN} if only is not None else None,
        refused_tenants=Refusing(model, refused, tenancy),
    )


def _aims(goal: policies.Goal, memory: RouteMemory) -> Callable[[str], Aim]:
    """A goal that is held over time is held for each tenant; the others know no time."""
    if goal.quality_floor is not None:
        floor = FloorAim(goal.quality_floor)
        return lambda _: floor
    if goal.knob is not None:
        knob = KnobAim(goal.knob)
        return lambda _: knob
    spend, share = goal.spend, goal.share
    kind = f"spend {spend}" if spend is not None else f"share {share}"
    known: dict[str, Aim] = {}

    def aim(tenant: str) -> Aim:
        if tenant not in known:
            wanted = share if share is not None else 0.5
            controller = memory.controllers.setdefault(f"{tenant}\0{kind}", ShareController(wanted))
            known[tenant] = SpendAim(controller, float(spend)) if spend is not None else ShareAim(controller)
        return known[tenant]

    return aim


def _checking(check: policies.AnswerCheck | None, parts: ChoiceParts) -> Checking | None:
    if check is None:
        return None
    terms = CheckTerms(logprobs=check.logprobs, first_tokens=check.first_tokens, hold_s=check.hold_seconds)
    return Checking(terms, lambda: parts.opinions, second=check.second, votes=check.votes, itself=check.self_check)


def _hash(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()
