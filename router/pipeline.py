"""The story of a request, from a client's bytes to its settled usage event. No web framework in here.

admit -> prepare -> recall -> retrieve -> route -> call -> deliver -> settle. A step that goes wrong raises a
WeirError; whatever happens after admission, the request is settled exactly once, and always before the client sees
the end of its answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

import orjson

from contracts.errors import Abandoned, InvalidRequest, LedgerUnavailable, WeirError
from contracts.money import ZERO
from contracts.ports import AnswerCache, EventLog, Keyring, SemanticAnswers, TokenCounter, WholeAnswer
from contracts.records import Key, Purpose, StoredAnswer, UsageEvent
from contracts.request import ModelRequest
from contracts.usage import TokenUsage
from router.access import bearer
from router.auditing import Audits
from router.billing import Billing
from router.calling import Began, Caller
from router.choice.fixed import default_choice
from router.delivery import Tee
from router.evidence import headers_of
from router.exchange import Exchange, Incoming, Reply
from router.keeping import Keeping
from router.learning.lessons import Lessons
from router.lookups import lookup_of, without_file_search
from router.lots import conversation_of, dear_choice, drawn, prompt_of
from router.permits import Permits
from router.recalling import Recalling
from router.replay import replay_events, replay_whole, text_of
from router.retrieving import Retrieving, note_answer, refusal_for, was_found
from router.review import Review
from router.setup import Deployment, Setup
from router.spending import Purse, Spending
from router.streams import Relayed, Replayed
from router.trail import NO_USAGE, Trail

log = logging.getLogger("weir.pipeline")

_OWN: frozenset[Purpose] = frozenset({"judge", "check", "shadow", "rewrite"})
"""Purposes for which Weir asks on its own account."""


class Pipeline:
    """Answers requests. `setup` may be replaced at any time; a request keeps the one it began with.

    `semantic` None: only equal requests share answers. `spending` None: no budgets. `status_of` gives an error's
    HTTP status; `settled` is told of every usage event once it is on disk. `retrieving` None: nothing can be looked
    up.
    """

    def __init__(
        self,
        setup: Setup,
        *,
        keys: Keyring,
        cache: AnswerCache,
        semantic: SemanticAnswers | None,
        caller: Caller,
        tokens: TokenCounter,
        events: EventLog,
        permits: Permits,
        drain_s: float,
        status_of: Callable[[BaseException], int],
        settled: Callable[[UsageEvent], None],
        spending: Spending | None = None,
        retrieving: Retrieving | None = None,
    ) -> None:
        self.setup = setup
        self._keys = keys
        self._cache = cache
        self.retrieving = retrieving or Retrieving(None)
        self.recalling = Recalling(cache, semantic, self.retrieving)
        self._keeping = Keeping(cache, semantic)
        self.audits = Audits(self.answer, semantic) if semantic else None
        self.lessons: Lessons | None = None
        """What routes that learn are taught, from when it is set."""
        self._caller = caller
        self._billing = Billing(tokens)
        self._events = events
        self._permits = permits
        self._drain_s = drain_s
        self._status_of = status_of
        self._settled = settled
        self._spending = spending

    async def answer(self, incoming: Incoming) -> Reply:
        """The reply to one request. Raises WeirError where there is none."""
        exchange = self._admit(incoming)
        if exchange.purse is not None:
            await self._count(exchange.purse)
        try:
            self._prepare(exchange)
            stored = await self.recalling.recall(exchange)
            if stored is not None:
                return self._replay(exchange, stored)
            if not await self.retrieving.ground(exchange):
                return self._refuse(exchange)
            await self._route(exchange)
            deployment, began = await self._call(exchange)
            if isinstance(began, WholeAnswer):
                return self._deliver_whole(exchange, deployment, began)
            return self._deliver_stream(exchange, deployment, *began)
        except BaseException as error:
            if not exchange.settled:
                exchange.trail.failed(error, self._status_of(error))
                self._settle(exchange, error=error)
            raise

    def recognise(self, headers: Mapping[str, str]) -> Key:
        """Whose key came with a request. Raises AccessError, or KeysUnavailable."""
        return self._keys.find(bearer(headers))

    # 1. admit: key -> tenant, body -> request, name -> plan; then a permit, given back when the request is settled.
    def _admit(self, incoming: Incoming) -> Exchange:
        setup, key = self.setup, incoming.key
        try:
            raw = orjson.loads(incoming.body)
        except orjson.JSONDecodeError as error:
            raise InvalidRequest(f"The request body is not valid JSON: {error}.") from error
        request = ModelRequest(incoming.endpoint, raw)
        # Whom Weir asks on its own account is its own choice, whatever the tenant may name.
        own = incoming.purpose in _OWN and setup.own_plan(request.model, key.tenant)
        plan = own or setup.plan(request.model, key)
        if not self._events.ready():
            raise LedgerUnavailable("Usage cannot be recorded right now, so nothing is answered.", retry_after_s=5)
        lookup = lookup_of(plan, request)
        terms = self._cache.terms(request, incoming.headers, plan.cache.rules)
        self._permits.take()
        trail = Trail(incoming.request_id, incoming.arrived, key, plan.route, request, incoming.purpose)
        trail.conversation = conversation_of(plan, key.tenant, request, incoming.headers)
        if incoming.purpose == "serve":
            trail.arm = drawn(plan, key.tenant, incoming.headers)
        purse = self._spending.purse(trail, request, incoming.left) if self._spending is not None else None
        return Exchange(
            incoming=incoming,
            setup=setup,
            request=request,
            plan=plan,
            trail=trail,
            terms=terms,
            purse=purse,
            lookup=lookup,
        )

    async def _count(self, purse: Purse) -> None:
        """Who is over a limit costs next to nothing: no event is written for what is refused here."""
        try:
            await purse.admit()
        except BaseException:
            self._permits.give_back()
            raise

    # 2. prepare: the prompt that is in force as the request begins, merged with what the client sent.
    def _prepare(self, exchange: Exchange) -> None:
        plan, request, incoming = exchange.plan, exchange.request, exchange.incoming
        named = exchange.lookup is not None and exchange.lookup.named
        exchange.body = raw = without_file_search(request.raw) if named else request.raw
        exchange.trail.policy_version = plan.policy.version
        prompt = incoming.prompt
        if prompt is None and request.endpoint == "chat/completions":  # the others have no place for one
            prompt = prompt_of(plan, exchange.trail.tenant, incoming.headers)
        exchange.prompt = prompt
        if prompt is not None:
            exchange.body = prompt.apply(raw, request.endpoint)
            exchange.trail.prompt_version = prompt.version

    # 3. recall is in `recalling`, 4. retrieve in `retrieving`: the cache's key is over the body without passages.

    # 5. route: the policy's choice among the candidates; a policy that fails costs the choice, not the answer.
    async def _route(self, exchange: Exchange) -> None:
        plan, trail = exchange.plan, exchange.trail
        if trail.arm == "dear":
            trail.decision = dear_choice(plan)
            return
        exchange.query = exchange.asked(self._caller.breakers.resting(time.perf_counter()))
        try:
            trail.decision = await plan.policy.choose(exchange.query, plan.candidates)
        except Exception:
            log.exception("the policy of route %s failed; its default model answers", plan.route)
            trail.decision = default_choice(plan.candidates, degraded="policy")
        if trail.decision.degraded:
            trail.degraded.append(trail.decision.degraded)

    # 6. call: the attempt policy, from the chosen model on.
    async def _call(self, exchange: Exchange) -> tuple[Deployment, Began]:
        decision = exchange.trail.decision
        assert decision is not None  # noqa: S101 - `_route` has set it
        models = [candidate.model for candidate in decision.candidates if candidate.eligible]
        if not models:
            reasons = "; ".join(f"{candidate.model}: {candidate.reason}" for candidate in decision.candidates)
            raise InvalidRequest(f"No model of this route can take this request. {reasons}.")
        terms = exchange.plan.policy.check if decision.outlook == "unsure" else None
        review = Review(exchange, terms, self._billing.bill) if terms is not None else None
        deployment, began = await self._caller.call(exchange, models, review)
        exchange.trail.model, exchange.trail.upstream = deployment.model, deployment.upstream.name
        return deployment, began

    # 7. deliver, in four ways: a stored answer again, a refusal, a whole answer, or a stream through the tee.
    def _replay(self, exchange: Exchange, stored: StoredAnswer) -> Reply:
        trail = exchange.trail
        trail.model, trail.retrieved = stored.model, was_found(stored)
        trail.spent(TokenUsage(source="cache", raw=stored.usage), ZERO, "cache")
        self._settle(exchange)
        if exchange.finding is not None and exchange.finding.audit and self.audits is not None:
            self.audits.submit(exchange, exchange.finding)
        return self._told(exchange, stored)

    def _refuse(self, exchange: Exchange) -> Reply:
        stored = refusal_for(exchange)
        exchange.trail.spent(NO_USAGE, ZERO, "")
        self._settle(exchange, stored if self._keeping.may_keep(exchange) else None)
        return self._told(exchange, stored)

    def _told(self, exchange: Exchange, stored: StoredAnswer) -> Reply:
        """An answer that is there already, whole or as a stream."""
        trail = exchange.trail
        reply_id, now = trail.request_id.removeprefix("req_"), int(time.time())
        if trail.stream:
            events = replay_events(
                stored, trail.endpoint, reply_id=reply_id, created=now, usage=exchange.request.wants_usage_chunk
            )
            return Reply(headers=headers_of(trail), stream=Replayed(b"".join(events)))
        return Reply(headers=headers_of(trail), body=replay_whole(stored, reply_id=reply_id, created=now))

    def _deliver_whole(self, exchange: Exchange, deployment: Deployment, answer: WholeAnswer) -> Reply:
        grounds = exchange.grounds()
        if grounds is not None:
            answer = grounds.annotated(answer)
        exchange.said = partial(text_of, answer.data)
        data = answer.data
        note_answer(exchange, deployment.model, exchange.setup.prices, grounds)
        self._billing.price(exchange, deployment, data.get("usage"), exchange.said, data.get("service_tier"))
        self._settle(exchange, self._keeping.storable(exchange, answer.body, data))
        return Reply(headers=headers_of(exchange.trail), body=answer.body)

    def _deliver_stream(self, exchange: Exchange, deployment: Deployment, tee: Tee, head: bytes) -> Reply:
        exchange.trail.first_token_ms = round(exchange.trail.elapsed_ms(), 3)
        if exchange.flight is not None:
            # The rest may take longer than those who wait may: half their time is left for calls of their own.
            exchange.flight.share_until(exchange.trail.arrived + exchange.plan.attempts.deadline_seconds / 2)
        settle = partial(self._settle_stream, exchange, deployment, tee)
        stream = Relayed(exchange, tee, head, drain_s=self._drain_s, settle=settle)
        return Reply(headers=headers_of(exchange.trail, with_cost=False), stream=stream)

    def _settle_stream(
        self, exchange: Exchange, deployment: Deployment, tee: Tee, failure: WeirError | None
    ) -> None:
        breaker = self._caller.breakers.of(deployment.model)
        if failure is None:
            breaker.record_success()
        else:
            breaker.record_failure(failure, time.perf_counter())
            exchange.trail.cut(failure)
        stored = None
        try:
            exchange.said = lambda: tee.text
            note_answer(exchange, deployment.model, exchange.setup.prices, tee.grounds)
            self._billing.price(exchange, deployment, tee.raw_usage, exchange.said, tee.tier)
            stored = self._keeping.assembled(exchange, tee) if failure is None else None
        finally:  # whatever a model sent: a request that is never settled keeps its permit and its passengers
            # Who waited for an answer that broke off tries again; others' waiting goes on.
            self._settle(exchange, stored, failure and Abandoned("The answer that was waited for broke off."))

    # 8. settle: the event on disk, then the cache, those who wait for this answer, and the budgets.
    def _settle(
        self, exchange: Exchange, stored: StoredAnswer | None = None, error: BaseException | None = None
    ) -> None:
        exchange.settled = True
        self._permits.give_back()
        event = exchange.trail.event()
        try:
            self._events.append(event)
        except LedgerUnavailable as unwritten:
            stored, error = None, unwritten
            raise
        finally:
            if stored is not None:
                self._keeping.keep(exchange, stored)
            if exchange.flight is not None:
                exchange.flight.land(stored, error)
            if exchange.purse is not None:
                exchange.purse.settle(exchange.trail, exchange.body)
            self._learn(exchange, event)
            self._settled(event)

    def _learn(self, exchange: Exchange, event: UsageEvent) -> None:
        plan, query = exchange.plan, exchange.query
        if query is None:
            return
        try:
            plan.policy.settled(query, event)
            taught = plan.learning is not None and not query.grounded  # what documents said is not for learning
            if self.lessons is not None and plan.learning is not None and taught and exchange.said is not None:
                said, doubted = exchange.said(), exchange.doubted
                self.lessons.answered(query, event, plan.learning, plan.candidates, said, doubted)
        except Exception:  # the client has its answer, whatever could be learned from it
            log.exception("nothing was learned from request %s", event.request_id)
