"""What every target is: something that answers chat requests, whoever stands behind it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Protocol

from evals.records import Answer


class TargetFailure(Exception):
    """No answer. `code` is for machines: a Weir's or provider's error code, `timeout`, `unreachable`, `malformed`.

    `retryable`: the same may go well later, at the soonest after `retry_after_s` seconds where that is known.
    `slow_down`: the target asks everybody to wait, not only this request. `fatal`: no other case would fare better,
    such as with a wrong key, so the run ends with the message, which says what to do.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after_s: float | None = None,
        slow_down: bool = False,
        fatal: bool = False,
    ) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.retryable = retryable
        self.retry_after_s = retry_after_s
        self.slow_down = slow_down
        self.fatal = fatal

    def __str__(self) -> str:
        return self.message


class Target(Protocol):
    """Something that answers. `name` is for people, `version` a hash of what is known to change its answers."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    async def start(self) -> None:
        """Get ready. Raises TargetFailure, always fatal, with advice."""

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        """Send a chat request without its `model`, which the target adds; `model` names another one, a judge's.

        `fresh`: no stored answer will do. Raises TargetFailure. Cancelling gives the connection up.
        """

    def price(self, model: str = "") -> Price | None:
        """What an answer of `model` (by default the target's own) costs by the token; None where nobody knows."""

    async def close(self) -> None: ...


class Price(Protocol):
    """Dollars for tokens."""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> Decimal: ...
