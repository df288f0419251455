"""Tells somebody that a budget is running out: a message to a webhook, or a line in the log.

The non-obvious decision: alerts wait in a queue that a task of its own empties, so no request waits for one. Where
more come than can be sent, the newest are dropped and counted: the first ones tell what is happening.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import Any

import orjson

from contracts.budgets import Crossing, Measure, dollars
from contracts.money import plain

log = logging.getLogger("weir.alerts")

_MOST_WAITING = 1000
_TRIES = 4
_FIRST_PAUSE_S = 1.0
"""Before the second try; it doubles."""
_PASSING = (408, 429)
"""Statuses below 500 that may be others a moment later."""
_SINCE = {"minute": "this minute", "day": "today", "month": "this month", "total": "so far"}


class Alerts:
    """Sends what it is given to `webhook`, by POST; empty: into the log. `told` counts what became of each.

    Results are `sent`, `logged`, `failed` and `dropped`. `timeout_s` bounds one try.
    """

    def __init__(
        self,
        webhook: str,
        *,
        timeout_s: float,
        told: Callable[[str], None] = lambda _: None,
        pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self.configure(webhook, timeout_s=timeout_s)
        self._told = told
        self._pause_s = pause_s
        self._waiting: asyncio.Queue[Crossing] = asyncio.Queue(_MOST_WAITING)
        self._sender: asyncio.Task[None] | None = None
        self._failing = False

    def configure(self, webhook: str, *, timeout_s: float) -> None:
        """For alerts that are sent from now on."""
        self._webhook = webhook
        self._timeout_s = timeout_s

    def crossed(self, crossing: Crossing) -> None:
        """A budget's account has passed a share of its limit. Returns at once."""
        if not self._webhook:
            log.warning("%s", text_of(crossing))
            self._told("logged")
            return
        try:
            self._waiting.put_nowait(crossing)
        except asyncio.QueueFull:
            self._told("dropped")
            return
        if self._sender is None or self._sender.done():
            self._sender = asyncio.create_task(self._send_all(), name="alerts")

    async def close(self, grace_s: float = 5.0) -> None:
        """Send what waits, for so many seconds at most."""
        if self._sender is None:
            return
        await asyncio.wait([self._sender], timeout=grace_s)
        self._sender.cancel()
        await asyncio.wait([self._sender])
        while not self._waiting.empty():
            self._waiting.get_nowait()
            self._told("dropped")

    async def _send_all(self) -> None:
        """Everything that waits. The task ends with the queue, with nothing awaited in between."""
        while not self._waiting.empty():
            crossing = self._waiting.get_nowait()
            try:
                self._note(crossing, await self._send(orjson.dumps(message_of(crossing))))
            except asyncio.CancelledError:
                self._told("dropped")
                raise

    async def _send(self, body: bytes) -> str:
        """What kept the message from arriving, after several tries; empty where it arrived."""
        fault = ""
        for number in range(_TRIES):
            if number:
                await asyncio.sleep(self._pause_s * 2 ** (number - 1))
            fault, passes = await self._try(body)
            if not fault or not passes:
                break
        return fault

    async def _try(self, body: bytes) -> tuple[str, bool]:
        """What went wrong, or ""; and whether it may go better in a moment."""
        trusted = await asyncio.to_thread(_prepared)
        import aiohttp

        headers = {"content-type": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout_s)) as session,
                session.post(
                    self._webhook, data=body, headers=headers, allow_redirects=False, ssl=trusted
                ) as answer,
            ):
                fault = "" if answer.status < 300 else f"it answered {answer.status}"
                return fault, answer.status in _PASSING or answer.status >= 500
        except TimeoutError:
            return f"it did not answer within {self._timeout_s:g} s", True
        except aiohttp.InvalidURL:
            return "its address is none", False
        except (aiohttp.ClientError, OSError) as error:
            return type(error).__name__, True

    def _note(self, crossing: Crossing, fault: str) -> None:
        """The address may hold a secret, so it is not named."""
        self._told("failed" if fault else "sent")
        if fault:
            log.warning("%s", text_of(crossing))
        if fault and not self._failing:
            log.error("alerts do not reach the webhook: %s; until they do, they are in this log", fault)
        elif self._failing and not fault:
            log.info("alerts reach the webhook again")
        self._failing = bool(fault)


def _prepared() -> ssl.SSLContext:
    """The library is only loaded where there is something to send; that takes long, as certificates do."""
    import aiohttp  # noqa: F401

    return ssl.create_default_context()


def message_of(crossing: Crossing) -> dict[str, Any]:
    """What the webhook gets. Amounts as exact text: requests, tokens or dollars, as `measure` says."""
    resets_at = crossing.resets_at
    return {
        "kind": "budget",
        "budget": crossing.budget,
        "account": dict(crossing.account),
        "measure": crossing.measure,
        "share": crossing.share,
        "spent": _amount(crossing.measure, crossing.spent),
        "limit": _amount(crossing.measure, crossing.limit),
        "window": crossing.window,
        "hard": crossing.hard,
        "resets_at": resets_at.isoformat().replace("+00:00", "Z") if resets_at is not None else None,
        "text": text_of(crossing),
    }


def text_of(crossing: Crossing) -> str:
    """One plain sentence. A budget may be full before it is spent: the next request would have exceeded it."""
    whose = ", ".join(f"{part} {name}" for part, name in crossing.account.items())
    named = f"Budget {crossing.budget}{f' ({whose})' if whose else ''}"
    spent, limit = (_amount(crossing.measure, amount) for amount in (crossing.spent, crossing.limit))
    unit = "US dollars" if crossing.measure == "usd" else crossing.measure
    stands = f"{spent} of {limit} {unit} are spent {_SINCE[crossing.window]}"
    full = crossing.hard and crossing.share >= 1
    if full and crossing.spent < crossing.limit:
        return f"{named} refuses what would exceed it: {stands}."
    then = ", and more is refused" if full else ""
    return f"{named} has passed {crossing.share:.0%} of its limit: {stands}{then}."


def _amount(measure: Measure, amount: int) -> str:
    return plain(dollars(amount)) if measure == "usd" else str(amount)
