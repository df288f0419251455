"""What is served from the cache is asked again now and then, for everybody to see in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import ServerFault
from contracts.money import ZERO
from contracts.ports import CacheRules, Prompts, SemanticRules
from prompts.prompt import BookedPrompt, FilledPrompt
from router.setup import CacheRule
from tests.cache.semantics import semantic_over
from tests.router.plain import PlainUpstream, Works, chat, plan, read_out, setup_over, whole, works_over

ALWAYS = CacheRule(
    enabled=True, ttl_s=3600, rules=CacheRules(), semantic=SemanticRules(max_wrong_hits=0.5, audit_share=1)
)
ASKED, REWORDED = "how do I pay by card", "by card how do I pay"


@asynccontextmanager
async def opened(
    upstream: PlainUpstream, folder: Path, most: int = 100, prompts: Prompts | None = None
) -> AsyncIterator[Works]:
    """A route that has learned enough to serve, and audits every hit."""
    setup = setup_over({"good": upstream}, plan("support", "good", cache=ALWAYS, prompts=prompts))
    async with works_over(setup, folder, most=most, semantic=semantic_over) as works:
        assert works.semantic is not None
        scope = works.semantic.evidence("acme", "support")
        for _ in range(400):
            scope.look(0.99)
            scope.label(0.99, wrong=False)
        await ask(works, ASKED)
        yield works
        assert works.pipeline.audits is not None
        await works.pipeline.audits.close()


async def ask(works: Works, text: str, **fields: Any) -> str:
    reply = await works.ask(chat("support", text, **fields))
    await read_out(reply)
    assert works.semantic is not None
    await works.semantic.idle()
    return reply.headers["x-weir-cache"]


async def audited(works: Works) -> tuple[float, float, float] | None:
    assert works.semantic is not None
    assert works.pipeline.audits is not None
    await works.pipeline.audits.idle()
    await works.semantic.idle()
    return works.semantic.evidence("acme", "support").audited(0.95)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_hit_is_asked_again_and_its_cost_is_in_the_ledger(tmp_path: Path, stream: bool) -> None:
    upstream = PlainUpstream("good", whole("Choose card."))
    async with opened(upstream, tmp_path) as works:
        assert await ask(works, REWORDED, stream=stream) == "semantic"
        assert (await audited(works) or (1,))[0] == 0
        first, hit, audit = works.events
        assert (first.purpose, hit.purpose, audit.purpose) == ("serve", "serve", "audit")
        assert (hit.verdict.audited, hit.cost, hit.saved > ZERO) == (True, ZERO, True)
        assert (audit.cost > ZERO, audit.tenant, audit.route, audit.stream) == (True, "acme", "support", False)
        assert len(upstream.calls) == 2
        assert await ask(works, REWORDED, stream=stream) == "exact"  # the fresh answer is kept


class Changing:
    """The port `Prompts`: another version each time it is asked, as if one was promoted in between."""

    def __init__(self) -> None:
        self.asked = 0

    def of(self, tenant: str, lot: float) -> FilledPrompt:
        self.asked += 1
        return BookedPrompt.plain(f"Version {self.asked // 3}.", "prepend").filled()


async def test_an_audit_asks_under_the_prompt_that_was_served(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole("Choose card."))
    async with opened(upstream, tmp_path, prompts=Changing()) as works:
        assert await ask(works, REWORDED) == "semantic"
        await audited(works)
        assert {call.body["messages"][0]["content"] for call in upstream.calls} == {"Version 0."}
        assert len({event.prompt_version for event in works.events}) == 1


async def test_an_answer_that_was_wrong_is_counted(tmp_path: Path) -> None:
    async with opened(PlainUpstream("good", whole("Choose card."), whole("Ask the bank.")), tmp_path) as works:
        assert await ask(works, REWORDED) == "semantic"
        wrong, low, high = await audited(works) or (0, 0, 0)
        assert 0 < low < wrong <= high
        assert works.semantic is not None
        assert works.semantic.labels_unsure == 1


async def test_an_audit_that_fails_costs_nobody_an_answer(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole("Choose card."), ServerFault("down"))
    async with opened(upstream, tmp_path) as works:
        assert await ask(works, REWORDED) == "semantic"
        assert await audited(works) is None
        assert works.pipeline.audits is not None
        assert works.pipeline.audits.skipped == 1
        assert works.events[-1].outcome == "failed"


async def test_audits_wait_for_no_room(tmp_path: Path) -> None:
    gate = asyncio.Event()
    upstream = PlainUpstream("good", whole("Choose card."))
    async with opened(upstream, tmp_path) as works:
        upstream.gate = gate
        for _ in range(20):
            assert await ask(works, REWORDED) == "semantic"
        assert works.pipeline.audits is not None
        assert works.pipeline.audits.skipped == 12
        gate.set()
        await audited(works)


async def test_closing_ends_audits_under_way_and_settles_them(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole("Choose card."))
    async with opened(upstream, tmp_path) as works:
        upstream.gate = asyncio.Event()
        await ask(works, REWORDED)
        assert works.pipeline.audits is not None
        await asyncio.sleep(0)
        await works.pipeline.audits.close()
        assert (works.events[-1].purpose, works.events[-1].outcome) == ("audit", "failed")


async def test_an_exact_hit_is_not_audited(tmp_path: Path) -> None:
    upstream = PlainUpstream("good", whole("Choose card."))
    async with opened(upstream, tmp_path) as works:
        assert await ask(works, ASKED) == "exact"
        assert await audited(works) is None
        assert len(upstream.calls) == 1
