"""The policy that predicts: of each candidate how likely its answer is good enough, then what serves the goal best.

choose: what is asked -> who can answer at all -> intent -> predicted quality, cost and latency -> the goal.
The non-obvious decision: whatever it lacks (an artefact, the encoder) costs the choice and never the answer. The
route's default model, its first candidate, answers then, and the decision names what was missing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from contracts.errors import EncoderUnavailable
from contracts.ports import CheckTerms, Draft, Encoder, Prices, Query
from contracts.records import Check, Decision, Near, UsageEvent
from router.choice.aims import Aim
from router.choice.checking import Checking
from router.choice.eligible import UNKNOWN, Ability, intent_obstacle, obstacles
from router.choice.goals import Bounds, Option, Pick, within
from router.choice.memory import RouteMemory
from router.choice.options import candidates_of, options_in, options_of, reference_of
from router.choice.reading import Reading, read
from router.choice.sessions import Sessions
from router.choice.shelf import USUAL, HeadShelf, Learned

if TYPE_CHECKING:
    from contracts.ports import Vector
    from heads.intents import Intent
    from heads.quality import QualityHead

NO_HEADS, NO_ENCODER = "router", "encoder"
"""What a decision says was missing."""


class Terms(Struct, frozen=True, kw_only=True):
    """A route's settings. `abilities` by model; `reference` is one of the candidates."""

    version: str
    reference: str
    abilities: Mapping[str, Ability]
    bounds: Bounds
    sureness: float
    stay: float
    explore: float
    shared: bool
    """Tenants have one set of heads, not one each."""


class Asked(Struct, frozen=True):
    """One query with what was found out about it. `blocked` says of each model why it cannot answer, or ""."""

    query: Query
    reading: Reading
    models: tuple[str, ...]
    blocked: Mapping[str, str]
    kept: str | None
    """The model that the conversation has been with."""

    @property
    def able(self) -> list[str]:
        return [model for model in self.models if not self.blocked[model]]


class LearnedChoice:
    """Chooses by heads from the `shelf`. `aims` gives a tenant's goal; `memory` and `sessions` outlive this."""

    def __init__(
        self,
        terms: Terms,
        *,
        shelf: HeadShelf,
        encoder: Encoder | None,
        prices: Prices,
        aims: Callable[[str], Aim],
        memory: RouteMemory,
        sessions: Sessions | None,
        checking: Checking | None,
    ) -> None:
        self.version = terms.version
        self._terms = terms
        self._shelf = shelf
        self._encoder = encoder
        self._prices = prices
        self._aims = aims
        self._memory = memory
        self._sessions = sessions
        self._checking = checking
        self._random = random.Random()  # noqa: S311 - who is explored is no secret
        self._begun: set[tuple[str, str]] = set()
        """Tenants whose goal knows what to expect, by the version that tells."""

    @property
    def check(self) -> CheckTerms | None:
        return self._checking.terms if self._checking is not None else None

    async def choose(self, query: Query, models: Sequence[str], *, dry: bool = False) -> Decision:
        asked = self._read(query, tuple(models))
        able = asked.able
        if not able:
            return self._plain(asked, models[0], "no candidate can take this request")
        if asked.reading.in_tool_loop:
            return self._unsplit(asked)
        if len(able) == 1 or asked.reading.endpoint == "embeddings":
            return self._plain(asked, able[0], "the only candidate that can answer")
        learned = self._learned(query)
        if learned is None:
            return self._plain(asked, able[0], "nothing has been learned that can be used", degraded=NO_HEADS)
        vector = await self._vector(asked.reading.text)
        if vector is None:
            return self._plain(asked, able[0], "the encoder is not there", degraded=NO_ENCODER)
        return self._weighed(asked, learned, vector, dry=dry)

    async def review(self, query: Query, decision: Decision, draft: Draft) -> Decision:
        """Judge the cheap answer, and say whether the reference is asked."""
        if self._checking is None:
            return decision
        options = options_in(decision.candidates)
        drafted = next(option for option in options if option.model == draft.model)
        head = learned.check if (learned := self._learned(query)) is not None else None
        judged = await self._checking.judge(query, draft, head, intent=decision.intent, forecast=drafted.quality)
        within_bounds, _ = within(options, self._terms.bounds)
        reference = reference_of(within_bounds, self._terms.reference)
        needed, escalated = self._aims(query.tenant).verdict(options, reference, drafted, judged.good)
        check = Check(
            model=draft.model,
            good=round(judged.good, 4),
            needed=round(min(1.0, max(0.0, needed)), 4),
            escalated=escalated,
            reasons=judged.reasons,
            signals=judged.signals,
        )
        return replace(decision, check=check)

    def settled(self, query: Query, event: UsageEvent) -> None:
        decision = event.decision
        if event.purpose != "serve" or event.outcome != "answered" or decision is None:
            return
        self._memory.settled(event)
        if decision.outlook:
            self._aims(query.tenant).answered(event.model == self._terms.reference, _counted(decision))
        if self._sessions is not None and (session := read(query).session):
            self._sessions.note(session, event.model)

    def _learned(self, query: Query) -> Learned | None:
        return self._shelf.of("" if self._terms.shared else query.tenant)

    def _read(self, query: Query, models: tuple[str, ...]) -> Asked:
        reading = read(query)
        wanted = query.request.raw.get("max_completion_tokens") or query.request.raw.get("max_tokens")
        answer_tokens = wanted or max(map(self._memory.answer_tokens, models))
        blocked = obstacles(models, self._terms.abilities, reading, query.tenant, answer_tokens, query.resting)
        kept = None
        if self._sessions is not None and reading.session and (reading.continues or reading.in_tool_loop):
            kept = self._sessions.find(reading.session, models)
        return Asked(query, reading, models, blocked, kept)

    async def _vector(self, text: str) -> Vector | None:
        if self._encoder is None:
            return None
        try:
            return await self._encoder.encode(text)
        except EncoderUnavailable:
            return None

    def _plain(self, asked: Asked, first: str, reason: str, *, degraded: str = "") -> Decision:
        """A choice without predictions."""
        return Decision(
            model=first,
            policy="default" if degraded else self.version,
            reason=reason,
            candidates=candidates_of(asked.models, asked.blocked, first=first),
            degraded=degraded,
        )

    def _unsplit(self, asked: Asked) -> Decision:
        """A tool's answer goes to the model that called the tool; where it is not known, to the reference."""
        able = asked.able
        if asked.kept in able:
            return self._plain(asked, asked.kept or "", "a tool loop stays with the model that began it")
        first = self._terms.reference if self._terms.reference in able else able[0]
        return self._plain(asked, first, "a tool loop whose model is not known, or cannot go on")

    def _weighed(self, asked: Asked, learned: Learned, vector: Vector, *, dry: bool) -> Decision:
        intent = learned.intents.classify(asked.reading.text, vector) if learned.intents is not None else None
        decision = self._by_quality(self._meant(asked, intent), learned, vector, dry=dry)
        if intent is None:
            return decision
        return replace(decision, intent=intent.name, intent_probability=round(intent.probability, 4))

    def _meant(self, asked: Asked, intent: Intent | None) -> Asked:
        """What is asked, with the models that may not answer such an intent among those that cannot."""
        name = intent.name if intent is not None else UNKNOWN
        abilities = self._terms.abilities
        blocked = {
            model: why or intent_obstacle(abilities.get(model, Ability()), name)
            for model, why in asked.blocked.items()
        }
        return replace(asked, blocked=blocked)

    def _by_quality(self, asked: Asked, learned: Learned, vector: Vector, *, dry: bool) -> Decision:
        able = asked.able
        if learned.quality is None or not able:
            return self._plain(asked, next(iter(able), asked.models[0]), "the first candidate for this intent")
        forecast = learned.quality.forecast(asked.reading.text, vector)
        options = options_of(
            able,
            forecast,
            asked.reading,
            prices=self._prices,
            memory=self._memory,
            kept=asked.kept,
            stay=self._terms.stay,
        )
        if not options:
            return self._plain(asked, able[0], "nothing is known of any candidate", degraded=NO_HEADS)
        self._begin(asked.query.tenant, learned.version, learned.quality, options)
        pick, notes, propensities = self._pick(asked, options, dry=dry)
        known = "" if forecast.known else "; it is far from all that was learned from, so this is a guess"
        return Decision(
            model=pick.option.model,
            policy=f"{self.version}/{learned.version}",
            reason=pick.reason + self._stickiness(asked, pick) + known,
            outlook=pick.outlook,
            candidates=candidates_of(
                asked.models,
                asked.blocked,
                options,
                first=pick.option.model,
                then=reference_of(options, self._terms.reference).model,
                notes=notes,
                propensities=propensities,
            ),
            nearest=tuple(Near(each.id, round(each.cosine, 4)) for each in forecast.nearest),
            otherwise=pick.otherwise,
        )

    def _begin(self, tenant: str, version: str, head: QualityHead, options: Sequence[Option]) -> None:
        """Tell a goal that is held over time what forecasts are usual, so that it need not begin by guessing."""
        if (tenant, version) in self._begun:
            return
        self._begun.add((tenant, version))
        costs = {option.model: option for option in options}
        usual = [
            [
                replace(costs[model], quality=quality)
                for model, quality in zip(head.models, row, strict=True)
                if model in costs
            ]
            for row in head.card.get(USUAL, ())
        ]
        self._aims(tenant).expect([row for row in usual if row], self._terms.reference)

    def _pick(
        self, asked: Asked, options: list[Option], *, dry: bool
    ) -> tuple[Pick, Mapping[str, str], Mapping[str, float]]:
        """The pick, why others were passed over, and the probability with which each could have been it."""
        kept, notes = within(options, self._terms.bounds)
        reference = reference_of(kept, self._terms.reference)
        explore = self._terms.explore if len(kept) > 1 and not asked.reading.continues else 0.0
        drawn = bool(explore) and not dry and self._random.random() < explore
        checkable = asked.query.request.endpoint == "chat/completions" and asked.query.request.n == 1
        pick = self._aims(asked.query.tenant).pick(
            kept,
            reference,
            sureness=self._terms.sureness,
            checks=self._checking is not None and checkable,
            dry=dry or drawn,
        )
        by_lot = explore / len(kept)
        propensities = {option.model: by_lot for option in kept}
        propensities[pick.option.model] += 1 - explore
        if drawn:
            pick = Pick(option=self._random.choice(kept), outlook="", reason="drawn by lot, to learn")
        return pick, notes, propensities

    def _stickiness(self, asked: Asked, pick: Pick) -> str:
        if asked.kept is None:
            return ""
        if pick.option.model == asked.kept:
            return f"; staying with it in this conversation counts for {self._terms.stay:.2f}"
        return f"; worth leaving {asked.kept}, which had {self._terms.stay:.2f} for having the conversation"


def _counted(decision: Decision) -> bool | None:
    """Whether the reference was decided for; None where it came to no decision."""
    if decision.outlook != "unsure":
        return decision.outlook == "hosted"
    check = decision.check
    return check.escalated if check is not None and not check.degraded else None
