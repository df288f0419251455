"""Whatever answers under an OpenAI base URL: a running Weir, a provider, vLLM, or what speaks as they do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from contracts.usage import TokenUsage
from evals.cases import canonical
from evals.records import Answer
from evals.targets.answers import answer_in, request_of
from evals.targets.port import TargetFailure
from evals.targets.prices import TariffPrice, listed_price
from evals.targets.refusals import failure_of
from evals.targets.wire import Wire
from router.replay import objects_in

PURPOSE: Mapping[str, str] = {"x-weir-purpose": "eval"}
"""By this a Weir tells evals from clients; other servers take no notice."""
_NAMES_TOLD = 30


class BaseUrlTarget:
    """Implements `evals.targets.port.Target`. `key` may be empty; `price` None: by the model's name in the list.

    A Weir says itself what an answer cost. Raises ValueError for a wrong `base_url`.
    """

    def __init__(
        self, model: str, base_url: str, key: str = "", *, price: TariffPrice | None = None, timeout_s: float
    ) -> None:
        self._wire = Wire(base_url, key, timeout_s=timeout_s)
        self._model = model
        self._prices: dict[str, TariffPrice | None] = {} if price is None else {model: price}
        self._names: Sequence[str] = ()
        said = ["base_url", self._wire.base_url, model]
        self._version = hashlib.blake2b(canonical(said), digest_size=8).hexdigest()

    @property
    def name(self) -> str:
        return self._model

    @property
    def version(self) -> str:
        return self._version

    async def start(self) -> None:
        """Asks for the list of models, which not every server has. Raises TargetFailure, fatal."""
        self._wire.open()
        try:
            reply = await self._wire.send("GET", "/models", headers=PURPOSE)
        except TargetFailure as failure:
            await self.close()
            raise TargetFailure(failure.code, failure.message, fatal=True) from failure
        if reply.status in (401, 403):
            await self.close()
            raise failure_of(reply.status, reply.headers, reply.body, secrets=self._wire.secrets)
        self._names = tuple(_names(reply.body))[:_NAMES_TOLD] if reply.status == 200 else ()

    async def ask(self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "") -> Answer:
        asked = model or self._model
        headers = {**PURPOSE, "content-type": "application/json"}
        if fresh:
            headers["cache-control"] = "no-store"  # neither take a stored answer nor leave one
        data = orjson.dumps(request_of(body, asked))
        status, told, answer, ms = await self._wire.send("POST", "/chat/completions", data=data, headers=headers)
        if status != 200:
            raise failure_of(status, told, answer, secrets=self._wire.secrets, names=self._names)

        def bill(answered: str, usage: TokenUsage) -> Decimal | None:
            price = self.price(asked) or self.price(answered)
            return price.of(usage) if price else None

        return answer_in(answer, told, model=asked, bill=bill, latency_ms=ms)

    def price(self, model: str = "") -> TariffPrice | None:
        name = model or self._model
        if name not in self._prices:
            self._prices[name] = listed_price(name)
        return self._prices[name]

    async def close(self) -> None:
        await self._wire.close()


def _names(body: bytes) -> Sequence[str]:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    listed = objects_in(data.get("data")) if isinstance(data, dict) else ()
    return [str(model["id"]) for model in listed if model.get("id")]
