"""A hit of any kind is served only while what it was built on is there, and what is stale teaches nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from cache.exact import ExactCache
from cache.semantic import SemanticCache
from contracts.ports import CacheScope, CacheTerms, Finding, SemanticRules
from contracts.records import Endpoint, StoredAnswer
from router.retrieving import Retrieving
from router.setup import RetrievalRules
from tests.router.plain import KEPT, PlainUpstream, chat, plan, setup_over, whole, works_over
from tests.router.plain_library import PlainLibrary

RULES = RetrievalRules(stores=("help",))


class AllAlike:
    """`SemanticAnswers` to whom every question is like the last one that was learned."""

    def __init__(self, answers: ExactCache) -> None:
        self.learned: list[tuple[Finding, bytes]] = []
        self.judge = None
        self._answers = answers

    async def recall(
        self,
        scope: CacheScope,
        endpoint: Endpoint,
        body: Mapping[str, Any],
        rules: SemanticRules,
        terms: CacheTerms,
    ) -> Finding:
        near = self.learned[-1][1] if self.learned else b""
        found = self._answers.find(near) if near else None
        scored = (("cosine", near, 0.9),) if near else ()
        return Finding(
            found=found, near=near, best=scored, hard_key=b"k", similarity=0.9 if found else None, text="t"
        )

    def learn(self, finding: Finding, key: bytes, fresh: StoredAnswer) -> None:
        self.learned.append((finding, key))

    def audited(self, finding: Finding, fresh: StoredAnswer) -> None:
        raise AssertionError("nothing is audited here")


async def test_an_answer_to_a_like_question_dies_with_its_document_too(tmp_path: Path) -> None:
    library, upstream = PlainLibrary(returns="Returns take 30 days"), PlainUpstream("up", whole("Yes [1]."))
    cache = replace(KEPT, semantic=SemanticRules(max_wrong_hits=0.1))
    setup = setup_over({"m": upstream}, plan("help", "m", retrieval=RULES, cache=cache))
    made: list[AllAlike] = []

    def alike(answers: ExactCache) -> SemanticCache:
        made.append(AllAlike(answers))
        return cast(SemanticCache, made[0])

    async with works_over(setup, tmp_path, semantic=alike, retrieving=Retrieving(library.open)) as weir:
        verdicts = [
            (await weir.ask(chat("help", question))).headers["x-weir-cache"]
            for question in ("returns one", "returns two")
        ]
        assert verdicts == ["miss", "semantic"]
        ((_, stale),) = made[0].learned
        library.put("returns.md", "Returns take 60 days")
        assert (await weir.ask(chat("help", "returns three"))).headers["x-weir-cache"] == "miss"
        assert weir.told[-1].verdict.reason == "a document it was built on has changed"
        assert weir.cache.find(stale) is None
        finding, fresh = made[0].learned[-1]
        assert (finding.best, finding.near, finding.audit, fresh != stale) == ((), b"", False, True)
        assert (await weir.ask(chat("help", "returns four"))).headers["x-weir-cache"] == "semantic"
