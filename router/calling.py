"""Drives the attempt policy against real upstreams: it proposes, this calls, it hears how that went."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from contracts.errors import (
    BudgetUnavailable,
    LimitReached,
    SlowUpstream,
    UpstreamFailure,
    UpstreamRejected,
    WeirError,
)
from contracts.ports import AnswerStream, Draft, UpstreamCall, WholeAnswer
from router.assembly import Assembly
from router.attempts import Attempt, Outcome, attempts
from router.breaker import Breakers
from router.delivery import Tee
from router.drafts import LoggedStream, Logprobs, draft_of, held, without_logprobs
from router.exchange import Exchange
from router.review import Review
from router.setup import Deployment

log = logging.getLogger("weir.calling")

Began = WholeAnswer | tuple[Tee, bytes]
"""A whole answer, or a stream that has reached its first token, with the bytes read so far."""


class Drafted(Struct, frozen=True):
    """An answer, and whether a better one is to be had first."""

    deployment: Deployment
    began: Began
    doubted: bool


class Caller:
    """Calls models until one answers. `keep_bytes` bounds what a stream remembers for the cache."""

    def __init__(self, breakers: Breakers, *, keep_bytes: int) -> None:
        self.breakers = breakers
        self._keep_bytes = keep_bytes
        self._random = random.Random()  # noqa: S311 - jitter, not a secret
        self._unlogged: set[str] = set()
        """Models that refuse requests for log probabilities."""

    async def call(
        self, exchange: Exchange, models: Sequence[str], review: Review | None = None
    ) -> tuple[Deployment, Began]:
        """The first answer that `models`, in this order, can be brought to give.

        With a `review` the first model's answer is judged; one that is doubted is delivered only where no other
        model answers, and what that model rejects is left to the others. Raises the UpstreamFailure or
        DeadlineExceeded with which the policy gave up, or LimitReached or BudgetUnavailable where nothing more may
        be spent.
        """
        policy = attempts(
            models,
            exchange.plan.attempts,
            breakers=self.breakers,
            rng=self._random,
            started=exchange.trail.arrived,
            now=time.perf_counter(),
        )
        checked = models[0] if review is not None and len(models) > 1 else None
        doubted: Drafted | None = None
        try:
            attempt = next(policy)
            while True:
                drafted = await self._attempt(exchange, attempt, review if attempt.model == models[0] else None)
                if isinstance(drafted, Drafted):
                    earlier, doubted = doubted, drafted
                    if earlier is not None and review is not None:
                        await self._drop(review, earlier)
                    if not drafted.doubted:
                        policy.close()
                        return drafted.deployment, drafted.began
                failure = None if isinstance(drafted, Drafted) else drafted
                if isinstance(failure, UpstreamRejected) and attempt.model == checked:
                    failure = None  # what it cannot take, the next one may
                attempt = policy.send(Outcome(failure=failure, now=time.perf_counter()))
        except WeirError:
            if doubted is None:
                raise
            return doubted.deployment, doubted.began
        except BaseException:
            if doubted is not None and review is not None:
                await self._drop(review, doubted)
            raise

    async def _attempt(
        self, exchange: Exchange, attempt: Attempt, review: Review | None
    ) -> Drafted | UpstreamFailure | LimitReached:
        """One attempt, noted in the trail, and what `review` says of its answer.

        Raises LimitReached and BudgetUnavailable where no other model may be asked either.
        """
        if attempt.pause_s:
            await asyncio.sleep(attempt.pause_s)
        deployment = exchange.setup.deployments[attempt.model]
        began_ms = exchange.trail.elapsed_ms()
        try:
            began, draft = await self._try(exchange, deployment, attempt, review)
        except (UpstreamFailure, LimitReached, BudgetUnavailable) as failure:
            exchange.trail.attempt(attempt.model, deployment.upstream.name, began_ms, failure)
            if isinstance(failure, BudgetUnavailable):
                raise
            if isinstance(failure, LimitReached) and not _of_this_model_only(exchange, failure):
                raise
            return failure
        exchange.trail.attempt(attempt.model, deployment.upstream.name, began_ms, None)
        if draft is None or review is None:
            return Drafted(deployment, began, False)
        try:
            return Drafted(deployment, began, await review.doubts(draft))
        except BaseException:
            await self._drop(review, Drafted(deployment, began, True))
            raise

    async def _try(
        self, exchange: Exchange, deployment: Deployment, attempt: Attempt, review: Review | None
    ) -> tuple[Began, Draft | None]:
        logprobs = Logprobs.of(review.terms, exchange.request) if review is not None else None
        if logprobs is not None and attempt.model in self._unlogged:
            logprobs = Logprobs(0, logprobs.shown)
        try:
            return await self._ask(exchange, deployment, attempt, review, logprobs)
        except UpstreamRejected as rejected:
            if logprobs is None or not logprobs.wanted:
                raise
            began = await self._ask(exchange, deployment, attempt, review, Logprobs(0, logprobs.shown))
            log.warning(
                "%s takes no wish for log probabilities: its answers are judged without them", attempt.model
            )
            log.info("what it said to them: %s", rejected.message)
            self._unlogged.add(attempt.model)
            return began

    async def _ask(
        self,
        exchange: Exchange,
        deployment: Deployment,
        attempt: Attempt,
        review: Review | None,
        logprobs: Logprobs | None,
    ) -> tuple[Began, Draft | None]:
        breaker = self.breakers.of(attempt.model)
        body = _upstream_body(exchange, deployment)
        with breaker.watch(time.perf_counter, whole=not exchange.request.stream):
            if exchange.purse is not None:
                await exchange.purse.reserve(attempt.model, exchange.body, exchange.setup.prices)
            call = UpstreamCall(
                endpoint=exchange.request.endpoint,
                body=logprobs.added(body) if logprobs is not None else body,
                request_id=exchange.trail.request_id,
                first_byte_s=attempt.first_byte_s,
                stall_s=exchange.plan.attempts.stall_seconds,
            )
            if not exchange.request.stream:
                answer = await deployment.upstream.send(call)
                if logprobs is None:
                    return answer, None
                draft = draft_of(attempt.model, answer)
                return (without_logprobs(answer) if logprobs.wanted else answer), draft
            try:
                # The upstream's own limit is on the first event; the first token may be a few events on.
                async with asyncio.timeout(attempt.first_byte_s):
                    stream = await deployment.upstream.open(call)
                    logged = LoggedStream(stream, shown=logprobs.shown) if logprobs is not None else None
                    tee, head = await self._begin(exchange, logged or stream)
            except TimeoutError:
                raise SlowUpstream("The model did not answer in time.") from None
            if logged is None or review is None:
                return (tee, head), None
            return await self._hold(exchange, deployment, tee, logged, head, review)

    async def _begin(self, exchange: Exchange, stream: AnswerStream) -> tuple[Tee, bytes]:
        tee = Tee(
            stream,
            choices=exchange.request.choices,
            usage_wanted=exchange.request.wants_usage_chunk,
            assembly=Assembly(exchange.request.endpoint) if exchange.terms.store else None,
            keep_bytes=self._keep_bytes,
            grounds=exchange.grounds(),
        )
        try:
            return tee, await tee.begin()
        except BaseException:
            await tee.close()
            raise

    async def _hold(
        self,
        exchange: Exchange,
        deployment: Deployment,
        tee: Tee,
        logged: LoggedStream,
        head: bytes,
        review: Review,
    ) -> tuple[Began, Draft]:
        until, most = exchange.deadline, self._keep_bytes
        try:
            draft, head = await held(
                deployment.model, tee, logged, head, review.terms, until=until, most_bytes=most
            )
        except BaseException:
            review.lose_stream(deployment, tee)
            await tee.close()
            raise
        return (tee, head), draft

    async def _drop(self, review: Review, drafted: Drafted) -> None:
        if isinstance(drafted.began, tuple):
            self.breakers.of(drafted.deployment.model).record_success()  # as far as it was read, it was well
            await review.drop_stream(drafted.deployment, drafted.began[0])
        else:
            review.drop_whole(drafted.deployment, drafted.began)


def _of_this_model_only(exchange: Exchange, reached: LimitReached) -> bool:
    """Also for one whom a lot sent to the dear model: to measure must refuse nobody who would else be answered."""
    if exchange.trail.arm == "dear":
        return True
    return exchange.purse is not None and exchange.purse.blocks_its_model_only(reached)


def _upstream_body(exchange: Exchange, deployment: Deployment) -> dict[str, Any]:
    body = {**exchange.body, "model": deployment.upstream_name}
    if exchange.request.stream:
        # Always asked for, since the bill is made from it; the client sees it only if it asked too.
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body
