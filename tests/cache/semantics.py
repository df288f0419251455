"""A semantic cache for tests: real but for the encoder, which needs no model, and for what looks at words."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from cache.exact import ExactCache
from cache.index.scopes import VectorIndexes
from cache.limits import SemanticLimits
from cache.matching.cosine import CosineVerifier
from cache.questions import Questions
from cache.semantic import SemanticCache
from contracts.ports import CacheScope, CacheTerms, Filing, Finding, Judge, SemanticRules
from contracts.records import StoredAnswer
from tests.router.plain_encoder import WordEncoder

RULES = SemanticRules(max_wrong_hits=0.05, audit_share=1e-9)
WELCOME = CacheTerms(lookup=True, store=True)
SCOPE = CacheScope("acme", "support", "fixed", "", "", ("small",))


def chat_body(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "support", "messages": [{"role": "user", "content": text}], **fields}


def stored(text: str) -> StoredAnswer:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}
    return StoredAnswer(body=orjson.dumps(body), pieces=(), model="small", usage=None, cost=Decimal("0.01"))


def semantic_over(answers: ExactCache, encoder: WordEncoder | None = None, **more: Any) -> SemanticCache:
    encoder = encoder or WordEncoder()
    questions = Questions(VectorIndexes(encoder.dimensions), answers.slots)
    return SemanticCache(answers, questions, encoder, CosineVerifier(), seed=1, **more)


@dataclass
class Scene:
    """One tenant's route. `ask` goes the way of a request: exact, then by meaning, then to a model."""

    judge: Judge | None = None
    rules: SemanticRules = RULES
    limits: SemanticLimits = field(default_factory=lambda: SemanticLimits(floor=0.5))
    answers: ExactCache = field(default_factory=lambda: ExactCache(max_bytes=10**7, max_answer_bytes=10**5))
    encoder: WordEncoder = field(default_factory=WordEncoder)

    def __post_init__(self) -> None:
        self.cache = semantic_over(self.answers, self.encoder, judge=self.judge, limits=self.limits)

    def key(self, text: str, scope: CacheScope = SCOPE, **fields: Any) -> bytes:
        return self.answers.key(scope, "chat/completions", chat_body(text, **fields))

    async def find(
        self, text: str, scope: CacheScope = SCOPE, terms: CacheTerms = WELCOME, **fields: Any
    ) -> Finding:
        return await self.cache.recall(scope, "chat/completions", chat_body(text, **fields), self.rules, terms)

    async def ask(self, text: str, answer: str, scope: CacheScope = SCOPE, **fields: Any) -> Finding:
        """What the cache found; where it served nothing, a model gives `answer`, which is kept and learned from."""
        finding = await self.find(text, scope, **fields)
        if finding.found is None:
            key, fresh = self.key(text, scope, **fields), stored(answer)
            self.answers.store(key, fresh, Filing(ttl_s=60, owner=scope.tenant, writer=scope.tenant, asked=True))
            self.cache.learn(finding, key, fresh)
            await self.cache.idle()
        return finding

    async def prove(self, times: int = 60) -> None:
        """Have so many near lookups turn out right that the scope opens."""
        for place in range(times):
            await self.ask(f"seen before number w{place} x{place} y{place}", f"answer {place}", **{"seed": -1})
            await self.ask(f"number w{place} x{place} y{place} seen before", f"answer {place}", **{"seed": -1})
