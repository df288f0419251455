"""A whole Weir in this process, made from a configuration as the server makes it, with nothing listening.

The non-obvious decision: it has a state folder of its own, so that a Weir that runs on the real one is not
disturbed and no client gets an answer that an eval left behind. Two things are shared. What was learned and
promoted is read from the real folder's registry; and what is spent goes into the real ledger, through the real
folder's spool and as another worker's events would: what the database does not take now is shipped by the next
Weir. Nothing is taken up while it runs: neither a changed file nor a promotion, so all cases meet the same
configuration and the same versions of its prompts. Of those that have a canary, none gets it by lot.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from contracts.errors import UnknownModel, WeirError
from contracts.records import UNPRICED, Decision, Endpoint, Key, Purpose
from evals.cases import canonical
from evals.records import Answer
from evals.targets.answers import answer_in, request_of
from evals.targets.corpora import await_step, copy_corpora, corpora_version, searching
from evals.targets.port import Price, TargetFailure
from evals.targets.prices import RoutePrice, TariffPrice
from evals.targets.prompts import PromptFile, Replacement, booked
from evals.targets.refusals import failure_of
from ledger.prices import PriceList, PricesUnknown
from ledger.spool import segments
from registry.prompts import StoredPrompts
from registry.store import Registry
from router.composition import book_of, price_list
from router.config.load import Loaded
from router.config.policies import FixedPolicy, LearnedPolicy, StudentPolicy
from router.exchange import Incoming
from router.main import START_FAILURES, House
from router.preview import preview
from router.trail import new_request_id
from router.web.errors import body_of, headers_of, status_of

_ENCODER_S = 60.0
"""How long a route that learned may wait for its encoder; it loads within a few seconds."""
_LOOK_S = 0.05
_NEVER_S = 1e9
"""Between two looks at the configuration and the registry."""


@dataclass(frozen=True, slots=True)
class _Rendered:
    """Implements `contracts.ports.Prompt`: messages hold it already."""

    version: str

    @property
    def rendering(self) -> str:
        return self.version

    def apply(self, body: Mapping[str, Any], endpoint: Endpoint) -> Mapping[str, Any]:
        return body


class InProcessTarget:
    """Implements `evals.targets.port.Target`. `model` is a route or a model of `loaded`, asked as `tenant`.

    `prompts` are in force in place of those of the configuration. `state` is the real state folder, `purpose` what
    its events say. Raises TargetFailure, fatal, where `prompts` do not fit. Belongs to one event loop.
    """

    def __init__(
        self,
        model: str,
        loaded: Loaded,
        path: Path,
        *,
        tenant: str = "",
        prompts: Mapping[str, Replacement] | None = None,
        state: Path,
        timeout_s: float,
        purpose: Purpose = "eval",
    ) -> None:
        self._model = model
        self._path = path
        self._state = state
        self._own: Path | None = None
        self._timeout_s = timeout_s
        self._tenant = tenant or next(iter(loaded.config.tenants), "")
        self._purpose = purpose
        self._asked = prompts or {}
        registry = Registry(state / "registry")
        replaced = {name: booked(name, loaded, registry, prompt) for name, prompt in self._asked.items()}
        self._check_prompts(loaded)
        book = book_of(loaded, StoredPrompts(registry), replaced)
        self._pinned = {name: book.now(name).production for name in loaded.prompts}
        self._version = self._versioned(loaded, registry)
        self._loaded = _frozen(loaded, self._version, self._model)
        self._house: House | None = None

    @property
    def name(self) -> str:
        """With the prompts that were replaced: `support (prompt support=new.md@0123456789abcdef)`."""
        told = [
            f"prompt {name}{f'={asked.file.name}' if isinstance(asked, PromptFile) else ''}"
            f"@{self._pinned[name].version}"
            for name, asked in self._asked.items()
        ]
        return f"{self._model} ({', '.join(told)})" if told else self._model

    @property
    def version(self) -> str:
        return self._version

    async def start(self) -> None:
        """Opens everything. Raises TargetFailure, fatal."""
        ready = False
        try:
            self._house = await asyncio.to_thread(self._built)
            await self._house.open()
            await self._ready(self._house)
            ready = True
        except START_FAILURES as error:
            raise _fatal("cannot_start", f"{self._path} cannot be put to work: {error}") from error
        finally:
            if not ready:
                await self.close()

    async def ask(
        self, body: Mapping[str, Any], *, fresh: bool = True, model: str = "", rendered: str = ""
    ) -> Answer:
        """As the port says. `rendered` is the version of a prompt that the messages hold already.

        Then no other is applied, and this is what the answer's evidence and the event say.
        """
        assert self._house is not None, "start it first"  # noqa: S101
        asked = model or self._model
        incoming = Incoming(
            endpoint="chat/completions",
            key=self._key,
            body=orjson.dumps(request_of(body, asked)),
            headers={"cache-control": "no-store"} if fresh else {},
            request_id=new_request_id(),
            arrived=time.perf_counter(),
            purpose=self._purpose,
            prompt=_Rendered(rendered) if rendered else None,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._house.pipeline.answer(incoming)
        except TimeoutError:
            raise TargetFailure(
                "timeout", f"No answer within {self._timeout_s:g} seconds.", retryable=True
            ) from None
        except UnknownModel as error:
            raise self._unknown(asked) from error
        except WeirError as error:
            raise failure_of(status_of(error), headers_of(error), orjson.dumps(body_of(error))) from error
        took_ms = (time.perf_counter() - incoming.arrived) * 1000
        return answer_in(reply.body, reply.headers, model=asked, bill=_said_already, latency_ms=took_ms)

    async def decide(self, body: Mapping[str, Any]) -> Decision:
        """What would be decided about a chat request; no model is asked. Raises TargetFailure."""
        assert self._house is not None, "start it first"  # noqa: S101
        try:
            _, decision = await preview(
                self._house.pipeline, self._key, request_of(body, self._model), {}, frozenset()
            )
        except WeirError as error:
            raise failure_of(status_of(error), headers_of(error), orjson.dumps(body_of(error))) from error
        return decision

    def price(self, model: str = "") -> Price | None:
        """Of a route what its dearest candidate costs; with a check, all of them, since several may be paid.

        Raises TargetFailure, fatal, where the configuration lacks a price that it must have.
        """
        name = model or self._model
        config = self._loaded.config
        if name in config.routes:
            route = config.routes[name]
            prices = [self._price_of(candidate) for candidate in route.candidates]
            known = [price for price in prices if price is not None]
            checks = isinstance(route.policy, LearnedPolicy | StudentPolicy) and route.policy.check is not None
            return RoutePrice(known, several=checks) if known and len(known) == len(prices) else None
        return self._price_of(name) if name in config.models else None

    async def close(self) -> None:
        """Ends its processes and tasks; events are in the ledger then, or in its spool."""
        house, self._house = self._house, None
        if house is not None:
            await house.close()
        if self._own is not None:
            await asyncio.to_thread(shutil.rmtree, self._own, ignore_errors=True)
            self._own = None

    @cached_property
    def _prices(self) -> PriceList:
        try:
            return price_list(self._loaded)
        except PricesUnknown as error:
            raise _fatal("misconfigured", str(error)) from error

    @property
    def _key(self) -> Key:
        return Key(id="weir/eval", tenant=self._tenant, name="eval", hash="")

    def _price_of(self, model: str) -> TariffPrice | None:
        prices = self._prices
        return None if prices.priced_by(model) == UNPRICED else TariffPrice(lambda: prices.tariff(model))

    def _versioned(self, loaded: Loaded, registry: Registry) -> str:
        """Of all that the configuration names, of what answers in place of what, and of what was promoted."""
        said = [
            "in_process",
            loaded.digest,
            sorted(loaded.stand_ins.items()),
            self._model,
            self._tenant,
            {name: prompt.version for name, prompt in self._pinned.items()},
            registry.revision(),
        ]
        if version := corpora_version(loaded, self._model, self._state):
            said.append(version)
        return hashlib.blake2b(canonical(said), digest_size=8).hexdigest()

    def _check_prompts(self, loaded: Loaded) -> None:
        """What changes nothing would be compared with itself, and found not worse."""
        route = loaded.config.routes.get(self._model)
        tenant = loaded.config.tenants.get(self._tenant)
        for name in self._asked:
            own = tenant.prompts.get(self._model) if tenant is not None else None
            prompt = own or (route.prompt if route is not None else None)
            if route is not None and prompt != name:
                used = f"its prompt is '{prompt}'" if prompt else "it has none"
                raise _fatal(
                    "misconfigured", f"The route '{self._model}' does not use the prompt '{name}': {used}."
                )
            if route is None and self._model in loaded.config.models:
                raise _fatal("misconfigured", f"'{self._model}' is a model: only routes have prompts.")

    def _built(self) -> House:
        own = self._own = Path(tempfile.mkdtemp(prefix="weir-eval-"))
        self._open_ledger()
        for name in ("spool", "weir.db", "registry"):
            if (self._state / name).exists():
                (own / name).symlink_to((self._state / name).resolve())
        copy_corpora(self._state, own)
        # Under a name of its own, the audit log does not take it for a change of the server's configuration.
        path = Path(f"{self._path} (weir eval)")
        return House(self._loaded, path, state=own, bound_to="127.0.0.1", pinned=self._pinned)

    def _open_ledger(self) -> None:
        """Where the embedded database is not there, what waits in the spool is for another one, not to be mixed."""
        spool, database = self._state / "spool", self._state / "weir.db"
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._loaded.config.ledger.url or database.exists():
            return
        if any(segment.stat().st_size for segment in segments(spool)):
            raise _fatal(
                "misconfigured",
                f"Events in {spool} wait for a database that {self._path} does not name: give it the `ledger.url` "
                "of the Weir that left them, or set WEIR_STATE_DIR to another folder.",
            )
        database.touch(mode=0o600)  # before our own events wait there

    async def _ready(self, house: House) -> None:
        setup = house.pipeline.setup
        if self._tenant not in setup.tenants:
            raise _fatal(
                "unknown_tenant",
                f"There is no tenant '{self._tenant}'. There are: {', '.join(self._loaded.config.tenants)}.",
            )
        if self._model and self._model not in dict(setup.names(self._key)):
            raise self._unknown(self._model)
        route = self._loaded.config.routes.get(self._model)
        if route is None or (route.retrieval is None and isinstance(route.policy, FixedPolicy)):
            return
        await self._encoder_up(house)  # before, a learned route would decide, and search, without what it needs
        if route.retrieval is not None:
            await await_step(house, self._loaded, self._tenant)

    async def _encoder_up(self, house: House) -> None:
        until = time.monotonic() + _ENCODER_S
        while house.encoder is not None and not house.encoder.up:
            if time.monotonic() > until:
                raise _fatal("cannot_start", f"The encoder was not ready within {_ENCODER_S:g} seconds.")
            await asyncio.sleep(_LOOK_S)

    def _unknown(self, name: str) -> TargetFailure:
        assert self._house is not None  # noqa: S101
        names = [known for known, _ in self._house.pipeline.setup.names(self._key)]
        return _fatal(
            "model_not_found",
            f"The tenant '{self._tenant}' may name no model or route '{name}'. It may name: {', '.join(names)}.",
        )


def _frozen(loaded: Loaded, version: str, model: str) -> Loaded:
    """The configuration sharing no cache, deleting no events, taking nothing up, with the stores of one route."""
    config = loaded.config
    changed = {
        "cache": config.cache.model_copy(update={"shared": None, "warm_start": False}),
        "ledger": config.ledger.model_copy(update={"keep_events_days": None}),
        **searching(loaded, model),
        "server": config.server.model_copy(update={"reload_seconds": _NEVER_S}),
    }
    return replace(loaded, config=config.model_copy(update=changed), digest=version)


def _said_already(*_: object) -> None:
    """A Weir says in its headers what an answer cost."""


def _fatal(code: str, message: str) -> TargetFailure:
    return TargetFailure(code, message, fatal=True)
