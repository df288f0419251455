"""The step that looks documents up: a request in, passages in its prompt out, and what is told of it.

The non-obvious decision: what an answer is built on goes with it into the cache, and every hit is asked whether all
of that is still as it was. So no document that has changed lives on in answers, whichever process changed it, and
answers about others stay.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

import orjson
from msgspec.structs import replace

from contracts.errors import InvalidRequest, NotFound, RetrievalUnavailable
from contracts.money import ZERO
from contracts.ports import Prices
from contracts.records import PassageRecord, Retrieval, StoredAnswer
from contracts.retrieval import Findings, Library, Rewriting, Turn
from contracts.usage import TokenUsage
from router.documents import MISSING
from router.exchange import Exchange
from router.grounding.annotating import Grounds, found_in
from router.grounding.contract import grounded, is_structured
from router.lookups import Lookup, turns_of
from router.rewriter import Rewriter

log = logging.getLogger("weir.retrieval")

UNAVAILABLE = "retrieval"
"""The part that failed where nothing could be searched."""
_UNREAD = (
    "The documents of this route have not been read yet. Try again in a moment; where that lasts, the log and "
    "`weir rag status` say why."
)
_READ_AGAIN_S = 2


class Retrieving:
    """Looks things up in what `library` opens; None: that is not installed. A search takes `deadline_s` at most."""

    def __init__(self, library: Callable[[], Awaitable[Library]] | None, *, deadline_s: float = 2.0) -> None:
        self._library = library
        self.rewriter: Rewriter | None = None
        """Asked for routes that name a model for it, from when it is set."""
        self._deadline_s = deadline_s

    async def current(self, exchange: Exchange, answer: StoredAnswer) -> bool | None:
        """Whether a stored answer may be served: all that it was built on is as it was. None: that cannot be told
        now, so it may not, but nor has it outlived anything."""
        if not answer.basis:
            return True
        if self._library is None:
            return None
        try:
            async with asyncio.timeout(self._deadline_s):
                library = await self._library()
                return await library.current(exchange.trail.tenant, answer.basis)
        except (RetrievalUnavailable, TimeoutError):
            return None

    async def ground(self, exchange: Exchange) -> bool:
        """Look up what `exchange` asks for and put it into its body. False where nothing was found and the route
        wants no model to answer then.

        Raises NotFound, InvalidRequest and RetrievalUnavailable.
        """
        lookup, trail = exchange.lookup, exchange.trail
        if lookup is None:
            return True
        began = time.perf_counter()
        try:
            findings = await self._find(exchange, lookup)
        except RetrievalUnavailable as unavailable:
            took_ms = _since(began)
            trail.retrieval = Retrieval(stores=lookup.stores, took_ms=took_ms, degraded=UNAVAILABLE)
            if lookup.rules.unavailable == "refuse":
                raise
            log.warning("route %s answers without documents: %s", trail.route, unavailable.message)
            trail.degraded.append(UNAVAILABLE)
            trail.retrieved = "unavailable"
            exchange.lookup = None
            exchange.terms = replace(exchange.terms, store=False)
            return True
        given = found_in(findings, lookup.rules.floor)
        exchange.passages, exchange.basis = given.passages, given.basis
        if findings.degraded:
            trail.degraded.append(findings.degraded)
        if findings.degraded or not exchange.basis:
            exchange.terms = replace(exchange.terms, store=False)
        self._note(exchange, lookup, findings, given, _since(began))
        if not given.passages and lookup.rules.nothing == "refuse":
            return False
        exchange.body = grounded(exchange.body, given.passages)
        return True

    async def _find(self, exchange: Exchange, lookup: Lookup) -> Findings:
        if self._library is None:
            if lookup.named:
                raise InvalidRequest(MISSING, param="tools")
            raise RetrievalUnavailable(MISSING)
        turns: Sequence[Turn] = turns_of(exchange.request)
        if not turns:
            return Findings(passages=(), stores=(), answerable=0.0, queries=())
        is_declared = lookup.rules.is_declared(exchange.trail.tenant)
        try:
            async with asyncio.timeout(self._deadline_s):
                library = await self._library()
            turns, rewriting = await self._stand_alone(exchange, lookup, library, turns)
            async with asyncio.timeout(self._deadline_s):
                findings = await library.search(exchange.trail.tenant, lookup.search(turns, rewriting))
        except TimeoutError:
            raise RetrievalUnavailable("Searching the documents took too long.", retry_after_s=1) from None
        except NotFound:
            if lookup.named or not is_declared:
                raise
            raise RetrievalUnavailable(_UNREAD, retry_after_s=_READ_AGAIN_S) from None
        if is_declared and not any(state.revision for state in findings.stores):
            raise RetrievalUnavailable(_UNREAD, retry_after_s=_READ_AGAIN_S)
        if rewriting == "off" and lookup.rules.rewriting != "off":
            return replace(findings, rewritten=True)
        return findings

    async def _stand_alone(
        self, exchange: Exchange, lookup: Lookup, library: Library, turns: Sequence[Turn]
    ) -> tuple[Sequence[Turn], Rewriting]:
        """The conversation as it is searched for: the last turn in a model's words, where it needs the others and
        the route names a model to ask."""
        rules, tenant = lookup.rules, exchange.trail.tenant
        if rules.rewriting == "off" or rules.rewriter is None or self.rewriter is None or len(turns) < 2:
            return turns, rules.rewriting
        async with asyncio.timeout(self._deadline_s):
            if await library.rewrite(tenant, turns) is None:
                return turns, rules.rewriting
        said = await self.rewriter.rewrite(tenant, rules.rewriter, turns)
        return (turns, rules.rewriting) if said is None else ((Turn("user", said),), "off")

    def _note(
        self, exchange: Exchange, lookup: Lookup, findings: Findings, given: Findings, took_ms: float
    ) -> None:
        trail = exchange.trail
        trail.retrieved = "found" if given.passages else "nothing"
        trail.corpus_version = _version(findings)
        trail.retrieval = Retrieval(
            stores=tuple(state.id for state in findings.stores) or lookup.stores,
            passages=tuple(
                PassageRecord(
                    store_id=passage.store_id,
                    file_id=passage.file_id,
                    filename=passage.filename,
                    start=passage.start,
                    end=passage.end,
                    score=round(passage.score, 4),
                )
                for passage in given.passages
            ),
            answerable=round(findings.answerable, 4),
            nothing=not given.passages,
            rewritten=findings.rewritten,
            tokens=given.tokens,
            whole_tokens=given.whole_tokens,
            took_ms=took_ms,
            degraded=findings.degraded,
        )


def note_answer(exchange: Exchange, model: str, prices: Prices, grounds: Grounds | None) -> None:
    """Write down what `model`'s answer cites, and what its passages saved against their documents whole.

    An answer that cites depends on what it cites alone; one that cites nothing, on all that it was given.
    """
    retrieval = exchange.trail.retrieval
    if retrieval is None or grounds is None:
        return
    passages = tuple(
        replace(passage, cited=True) if number in grounds.cited else passage
        for number, passage in enumerate(retrieval.passages, 1)
    )
    if grounds.cited:
        exchange.basis = tuple(
            dict.fromkeys(exchange.passages[number - 1].basis for number in sorted(grounds.cited))
        )
    spared = max(0, retrieval.whole_tokens - retrieval.tokens)
    exchange.trail.retrieval = replace(
        retrieval,
        passages=passages,
        stray=grounds.stray,
        saved=prices.cost(model, TokenUsage(prompt=spared)),
    )


def was_found(answer: StoredAnswer) -> str:
    """What is said of a stored answer: built on passages, on that there were none, or (empty) on no documents."""
    if not answer.basis:
        return ""
    return "found" if any("/" in each for each in answer.basis) else "nothing"


def refusal_for(exchange: Exchange) -> StoredAnswer:
    """The answer that no model gives: as text, or as a refusal where JSON was asked for."""
    lookup = exchange.lookup
    said = lookup.rules.refusal if lookup is not None else ""
    told = {"content": None, "refusal": said} if is_structured(exchange.body) else {"content": said}
    choices = [
        {"index": index, "message": {"role": "assistant", **told}, "finish_reason": "stop"}
        for index in range(exchange.request.n)
    ]
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    named = {"id": "", "object": "chat.completion", "created": 0, "model": exchange.request.model}
    return StoredAnswer(
        body=orjson.dumps({**named, "choices": choices, "usage": usage}),
        pieces=(),
        model="",
        usage=usage,
        cost=ZERO,
        basis=exchange.basis,
    )


def _version(findings: Findings) -> str:
    """One for all stores that were searched, equal where they hold the same."""
    versions = sorted(state.version for state in findings.stores)
    if not versions:
        return ""
    return versions[0] if len(versions) == 1 else blake2b("/".join(versions).encode(), digest_size=16).hexdigest()


def _since(began: float) -> float:
    return round((time.perf_counter() - began) * 1000, 3)
