"""Drives the attempt policy against real upstreams: it proposes, this calls, it hears how that went."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

from contracts.errors import SlowUpstream, UpstreamFailure
from contracts.ports import UpstreamCall, WholeAnswer
from router.assembly import Assembly
from router.attempts import Attempt, Outcome, attempts
from router.breaker import Breakers
from router.delivery import Tee
from router.exchange import Exchange
from router.setup import Deployment

Began = WholeAnswer | tuple[Tee, bytes]
"""A whole answer, or a stream that has reached its first token, with the bytes read so far."""


class Caller:
    """Calls models until one answers. `keep_bytes` bounds what a stream remembers for the cache."""

    def __init__(self, breakers: Breakers, *, keep_bytes: int) -> None:
        self.breakers = breakers
        self._keep_bytes = keep_bytes
        self._random = random.Random()  # noqa: S311 - jitter, not a secret

    async def call(self, exchange: Exchange, models: Sequence[str]) -> tuple[Deployment, Began]:
        """The first answer that `models`, in this order, can be brought to give.

        Raises the UpstreamFailure or DeadlineExceeded with which the policy gave up.
        """
        policy = attempts(
            models,
            exchange.plan.attempts,
            breakers=self.breakers,
            rng=self._random,
            started=exchange.trail.arrived,
            now=time.perf_counter(),
        )
        attempt = next(policy)
        while True:
            if attempt.pause_s:
                await asyncio.sleep(attempt.pause_s)
            deployment = exchange.setup.deployments[attempt.model]
            began_ms = exchange.trail.elapsed_ms()
            try:
                began = await self._try(exchange, deployment, attempt)
            except UpstreamFailure as failure:
                exchange.trail.attempt(attempt.model, deployment.upstream.name, began_ms, failure)
                attempt = policy.send(Outcome(failure=failure, now=time.perf_counter()))
            else:
                exchange.trail.attempt(attempt.model, deployment.upstream.name, began_ms, None)
                policy.close()
                return deployment, began

    async def _try(self, exchange: Exchange, deployment: Deployment, attempt: Attempt) -> Began:
        breaker = self.breakers.of(attempt.model)
        with breaker.watch(time.perf_counter, whole=not exchange.request.stream):
            call = UpstreamCall(
                endpoint=exchange.request.endpoint,
                body=_upstream_body(exchange, deployment),
                request_id=exchange.trail.request_id,
                first_byte_s=attempt.first_byte_s,
                stall_s=exchange.plan.attempts.stall_seconds,
            )
            if not exchange.request.stream:
                return await deployment.upstream.send(call)
            try:
                # The upstream's own limit is on the first event; the first token may be a few events on.
                async with asyncio.timeout(attempt.first_byte_s):
                    return await self._open(exchange, deployment, call)
            except TimeoutError:
                raise SlowUpstream("The model did not answer in time.") from None

    async def _open(self, exchange: Exchange, deployment: Deployment, call: UpstreamCall) -> tuple[Tee, bytes]:
        stream = await deployment.upstream.open(call)
        tee = Tee(
            stream,
            choices=exchange.request.choices,
            usage_wanted=exchange.request.wants_usage_chunk,
            assembly=Assembly(exchange.request.endpoint) if exchange.terms.store else None,
            keep_bytes=self._keep_bytes,
        )
        try:
            return tee, await tee.begin()
        except BaseException:
            await tee.close()
            raise


def _upstream_body(exchange: Exchange, deployment: Deployment) -> dict[str, Any]:
    body = {**exchange.body, "model": deployment.upstream_name}
    if exchange.request.stream:
        # Always asked for, since the bill is made from it; the client sees it only if it asked too.
        body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
    return body
