"""Sends labelled questions through the cache as it ships: admission, keys, encoder, index, verifier, acceptance.

The answer to a question is a word that stands for its answer class, so the cache's own comparison labels it. A miss
stores, a hit does not; an answer that is audited is a hit, and its label is known afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
from msgspec import Struct
from numpy.typing import NDArray

from benchmarks.cache_data import Lookup, Pair, Talk
from cache.exact import ExactCache
from cache.limits import SemanticLimits
from cache.questions import Questions
from cache.semantic import SemanticCache, Verifies
from cache.slots import Slots
from contracts.ports import CacheRules, CacheScope, Encoder, Filing, SemanticRules
from contracts.records import StoredAnswer
from contracts.request import ModelRequest

RULES = CacheRules(personal=False)
"""Questions of public data hold no one's secrets, and their labels do not change with the hour."""


class Remembered:
    """An `Encoder` of texts that have been encoded before, by the encoder that ships."""

    def __init__(self, vectors: Mapping[str, NDArray[np.float32]], version: str, dimensions: int) -> None:
        self.version = version
        self.dimensions = dimensions
        self.up = True
        self._vectors = vectors

    async def encode(self, text: str) -> NDArray[np.float32]:
        return self._vectors[text]


class Outcome(Struct, kw_only=True):
    """Counts of lookups; `exact` hits are right by construction. `wrong_by_source` are semantic hits."""

    lookups: int = 0
    exact: int = 0
    hits: int = 0
    wrong: int = 0
    audits: int = 0
    refused: int = 0
    by_source: dict[str, list[int]]

    @property
    def hit_share(self) -> float:
        """Semantic hits among all lookups."""
        return self.hits / max(1, self.lookups)

    @property
    def wrong_share(self) -> float:
        return self.wrong / max(1, self.lookups)

    @property
    def wrong_of_hits(self) -> float:
        return self.wrong / max(1, self.hits)

    def shown(self) -> dict[str, Any]:
        return {
            "lookups": self.lookups,
            "exact": self.exact,
            "hits": round(self.hit_share, 5),
            "wrong": round(self.wrong_share, 5),
            "wrong_of_hits": round(self.wrong_of_hits, 5),
            "audits": self.audits,
            "refused": self.refused,
        }


class Bench:
    """One cache over one scope, named `tenant`. `evidence` is the state of an `Evidence`, or empty."""

    def __init__(
        self,
        encoder: Encoder,
        verifier: Verifies,
        questions: Callable[[Slots], Questions],
        rules: SemanticRules,
        *,
        evidence: bytes = b"",
        admission: CacheRules = RULES,
        limits: SemanticLimits | None = None,
        tenant: str = "bench",
        seed: int = 1,
    ) -> None:
        self.exact = ExactCache(max_bytes=8 << 30, max_answer_bytes=1 << 20)
        self.cache = SemanticCache(
            self.exact, questions(self.exact.slots), encoder, verifier, limits=limits, seed=seed
        )
        self.evidence = self.cache.evidence(tenant, "auto")
        if evidence:
            self.evidence.restore(evidence)
        self._rules = rules
        self._admission = admission
        self._scope = CacheScope(tenant, "auto", "fixed", "", "", ("model",))

    async def run(self, stream: Iterable[Lookup], step: Callable[[], object] = lambda: None) -> Outcome:
        """`step` is called after each lookup."""
        outcome = Outcome(by_source={})
        for lookup in stream:
            outcome.lookups += 1
            served = await self.ask([{"role": "user", "content": lookup.query}], lookup.answer, outcome)
            counts = outcome.by_source.setdefault(lookup.source, [0, 0, 0])
            counts[0] += 1
            if served is not None:
                counts[1] += 1
                counts[2] += not served
            step()
        return outcome

    async def talk(self, talks: Sequence[Talk]) -> Outcome:
        """The same for questions with a history."""
        outcome = Outcome(by_source={})
        for talk in talks:
            outcome.lookups += 1
            turns = [
                {"role": "user" if place % 2 == 0 else "assistant", "content": said}
                for place, said in enumerate(talk.context)
            ]
            await self.ask([*turns, {"role": "user", "content": talk.query}], talk.answer, outcome)
        return outcome

    async def pairs(self, pairs: Sequence[Pair]) -> list[bool]:
        """For each pair, whether its second question is given the answer of the first. Each is in a scope alone.

        Nothing is learned from the second question: one pair's label would be another one's threshold.
        """
        served = []
        for place, pair in enumerate(pairs):
            system = {"role": "system", "content": f"pair {place}"}
            await self.ask([system, {"role": "user", "content": pair.a}], "a", Outcome(by_source={}))
            body = {"model": "auto", "messages": [system, {"role": "user", "content": pair.b}]}
            request = ModelRequest("chat/completions", body)
            terms = self.exact.terms(request, {}, self._admission)
            finding = await self.cache.recall(self._scope, request.endpoint, request.raw, self._rules, terms)
            served.append(finding.found is not None)
        return served

    async def ask(self, messages: Sequence[Mapping[str, Any]], answer: str, outcome: Outcome) -> bool | None:
        """Whether a semantic hit was right; None where there was none."""
        request = ModelRequest("chat/completions", {"model": "auto", "messages": list(messages)})
        terms = self.exact.terms(request, {}, self._admission)
        if not terms.lookup:
            outcome.refused += 1
            return None
        key = self.exact.key(self._scope, request.endpoint, request.raw)
        if self.exact.find(key) is not None:
            outcome.exact += 1
            return None
        finding = await self.cache.recall(self._scope, request.endpoint, request.raw, self._rules, terms)
        fresh = _answer(answer)
        if finding.found is None:
            self.exact.store(key, fresh, Filing(ttl_s=1e9, owner=self._scope.tenant, asked=True))
            self.cache.learn(finding, key, fresh)
            await self.cache.idle()
            return None
        outcome.hits += 1
        right = finding.found.answer.body == fresh.body
        outcome.wrong += not right
        if finding.audit:
            outcome.audits += 1
            self.cache.audited(finding, fresh)
            await self.cache.idle()
        return right


def _answer(answer_class: str) -> StoredAnswer:
    digest = blake2b(answer_class.encode(errors="replace"), digest_size=12).hexdigest()
    word = digest.translate(str.maketrans("0123456789", "ghijklmnop"))
    body = orjson.dumps({"choices": [{"message": {"content": word}, "finish_reason": "stop"}]})
    return StoredAnswer(body=body, pieces=(), model="model", usage=None, cost=Decimal(0))
