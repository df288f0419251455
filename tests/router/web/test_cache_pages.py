"""Stored answers are shown to the admin, taken back by their owner, and no more served once they were reported."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from msgspec.structs import replace

from cache.control import CacheControl
from cache.exact import ExactCache
from cache.semantic import SemanticCache
from cache.sharing.changes import Change, Quarantined
from contracts.ports import CacheRules, SemanticRules
from contracts.records import Key, UsageEvent
from ledger.database import Database, sqlite_url
from ledger.doors import StoredEvents
from ledger.keys import hash_of
from router.access import Operators
from router.evidence import RecentDecisions
from router.exchange import Reply
from router.setup import Access, CacheRule, Setup
from router.web.app import pages_app
from router.web.cache_pages import cache_admin_pages, cache_pages
from router.web.pages import Decisions
from tests.cache.semantics import semantic_over
from tests.router.plain import ACME, PlainUpstream, Works, chat, incoming, plan, setup_over, whole, works_over
from tests.router.web.wire import Wire

ADMIN, OTHER = "the admin's key", "sk-weir-of-globex"
GLOBEX = Key(id="globex/main", tenant="globex", name="main", hash=hash_of(OTHER))
QUESTION, ALIKE = "How do I reset my password?", "how do I reset my password"
SEMANTIC = SemanticRules(max_wrong_hits=0.1, audit_share=1e-9)
BY_MEANING = CacheRule(enabled=True, ttl_s=3600, rules=CacheRules(), semantic=SEMANTIC)
POOLED = CacheRule(enabled=True, ttl_s=3600, rules=CacheRules(), pool="faq", writers=frozenset({"acme"}))


@dataclass(kw_only=True)
class Desk:
    """A pipeline with its cache, and the pages over both."""

    works: Works
    app: FastAPI
    control: CacheControl
    semantic: SemanticCache
    decisions: RecentDecisions
    changes: list[Change]
    reported: list[str] = field(default_factory=list)

    async def ask(self, text: str, model: str = "support", key: Key = ACME, tags: str = "") -> Reply:
        asked = replace(incoming(chat(model, text), x_weir_cache_tags=tags), key=key)
        reply = await self.works.pipeline.answer(asked)
        await self.semantic.idle()
        return reply

    async def send(self, method: str, path: str, key: str = ADMIN, body: bytes = b"") -> Wire:
        wire = Wire(*([body] if body else []), path=path.partition("?")[0], method=method, key=key)
        wire.scope["query_string"] = path.partition("?")[2].encode()
        return await wire.through(self.app)

    async def entries(self, query: str = "") -> list[dict[str, Any]]:
        wire = await self.send("GET", f"/admin/v1/cache/entries?{query}")
        assert wire.status == 200
        return list(wire.json["data"])

    async def report(self, reply: Reply, key: str = "sk-weir-of-acme", body: bytes = b"") -> Wire:
        return await self.send("POST", f"/v1/decisions/{reply.headers['x-weir-request-id']}/report", key, body)

    def trust(self, owner: str = "acme", route: str = "support") -> None:
        """Let what has been learned open the scope."""
        acceptance = self.semantic.evidence(owner, route)
        for score in (0.05, 0.5, 0.9, 0.99, 0.999):
            for _ in range(100):
                acceptance.look(score)
                acceptance.label(score, wrong=False)


def setup() -> Setup:
    model = PlainUpstream("plain", whole("Click on 'forgotten'."))
    routes = [plan("support", "good", cache=BY_MEANING), plan("pooled", "good", cache=POOLED), plan("auto", "good")]
    made = setup_over({"good": model}, *routes)
    everything = Access(routes=None, models=None)
    return Setup(
        plans=made.plans,
        deployments=made.deployments,
        tenants={"acme": everything, "globex": everything},
        prices=made.prices,
    )


@asynccontextmanager
async def desk_in(folder: Path) -> AsyncIterator[Desk]:
    caches: list[SemanticCache] = []

    def semantic(answers: ExactCache) -> SemanticCache:
        caches.append(semantic_over(answers))
        return caches[0]

    async with works_over(setup(), folder, semantic=semantic) as works:
        works.keys.configure([ACME, GLOBEX], ["acme", "globex"])
        changes: list[Change] = []
        control = CacheControl(works.cache, caches[0], None, changes.append)
        recent, operators = RecentDecisions(100), Operators(ADMIN)
        database = Database(sqlite_url(folder))
        decisions = Decisions(recent, StoredEvents(database, works.folder), works.keys, operators)
        reported: list[str] = []
        in_force: Callable[[], Setup] = lambda: works.pipeline.setup  # noqa: E731
        app = pages_app(
            [
                cache_pages(works.keys, control, decisions, in_force, reported=reported.append),
                cache_admin_pages(operators, control, in_force),
            ]
        )
        yield Desk(
            works=works,
            app=app,
            control=control,
            semantic=caches[0],
            decisions=recent,
            changes=changes,
            reported=reported,
        )
        await caches[0].close()
        await database.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with desk_in(tmp_path) as desk:
        yield desk


# --- what the admin sees


async def test_the_state_of_the_cache_says_what_each_scope_has_learned(desk: Desk) -> None:
    await desk.ask(QUESTION)
    wire = await desk.send("GET", "/admin/v1/cache")
    assert wire.status == 200
    assert (wire.json["worker"], wire.json["workers"]) == (0, 1)
    assert (wire.json["entries"], wire.json["questions"]) == (1, 1)
    (scope,) = wire.json["scopes"]
    assert (scope["owner"], scope["route"], scope["lookups"]) == ("acme", "support", 1)
    assert (scope["max_wrong_hits"], scope["threshold"]) == (0.1, None)


async def test_entries_are_found_by_tenant_tag_and_id(desk: Desk) -> None:
    await desk.ask(QUESTION, tags="passwords")
    await desk.ask("Where are you?", "auto")
    await desk.ask("Where are you?", "pooled")
    pooled, plain, tagged = await desk.entries()
    assert (tagged["question"], tagged["answer"]) == (QUESTION, "Click on 'forgotten'.")
    assert tagged["tags"] == ["route:support", "model:good", "passwords"]
    assert (plain["question"], pooled["owner"], pooled["writer"]) == (None, "pool:faq", "acme")
    assert [entry["id"] for entry in await desk.entries("tag=passwords")] == [tagged["id"]]
    assert [entry["id"] for entry in await desk.entries(f"id={plain['id']}")] == [plain["id"]]
    assert [entry["id"] for entry in await desk.entries("tenant=pool:faq")] == [pooled["id"]]
    assert [entry["id"] for entry in await desk.entries("tenant=acme&limit=1")] == [plain["id"]]
    assert await desk.entries("tenant=globex") == []


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("tenant=nobody", "tenant"),
        ("id=xyz", "id"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("id=%C3%A9", "id"),
    ],
)
async def test_a_wrong_question_is_told_what_is_wrong(desk: Desk, query: str, param: str) -> None:
    wire = await desk.send("GET", f"/admin/v1/cache/entries?{query}")
    assert (wire.status, wire.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/admin/v1/cache"),
        ("DELETE", "/admin/v1/cache"),
        ("GET", "/admin/v1/cache/entries"),
        ("DELETE", f"/admin/v1/cache/entries/{'0' * 32}"),
        ("DELETE", "/admin/v1/cache/tags/route:support"),
    ],
)
async def test_a_tenants_key_opens_none_of_it(desk: Desk, method: str, path: str) -> None:
    await desk.ask(QUESTION)
    wire = await desk.send(method, path, "sk-weir-of-acme")
    assert (wire.status, wire.error["code"]) == (403, "access_denied")
    assert len(await desk.entries()) == 1
    assert (await desk.ask(QUESTION)).headers["x-weir-cache"] == "exact"


# --- taking answers back


@pytest.mark.parametrize("key", [ADMIN, "sk-weir-of-acme"])
async def test_an_entry_is_dropped_by_its_owner_or_the_admin(desk: Desk, key: str) -> None:
    await desk.ask(QUESTION)
    (entry,) = await desk.entries()
    root = "/admin/v1" if key == ADMIN else "/v1"
    wire = await desk.send("DELETE", f"{root}/cache/entries/{entry['id']}", key)
    assert (wire.status, wire.json) == (200, {"id": entry["id"], "dropped": True})
    assert (await desk.send("DELETE", f"{root}/cache/entries/{entry['id']}", key)).status == 404
    assert (await desk.ask(QUESTION)).headers["x-weir-cache"] == "miss"


async def test_nobody_drops_what_is_anothers_or_a_pools(desk: Desk) -> None:
    await desk.ask(QUESTION)
    await desk.ask(QUESTION, "pooled")
    pooled, own = await desk.entries()
    for key, entry in ((OTHER, own), (OTHER, pooled), ("sk-weir-of-acme", pooled)):
        wire = await desk.send("DELETE", f"/v1/cache/entries/{entry['id']}", key)
        assert (wire.status, wire.error["code"]) == (404, "not_found")
    assert len(await desk.entries()) == 2


@pytest.mark.parametrize("entry", ["x", "0" * 31, "g" * 32, "0" * 33, "%00", "é", "0" * 32])
@pytest.mark.parametrize(("root", "key"), [("/admin/v1", ADMIN), ("/v1", "sk-weir-of-acme")])
async def test_what_is_no_entry_is_not_found(desk: Desk, root: str, key: str, entry: str) -> None:
    wire = await desk.send("DELETE", f"{root}/cache/entries/{entry}", key)
    assert (wire.status, wire.error["code"]) == (404, "not_found")


async def test_a_tag_is_made_stale_for_its_own_tenant_only(desk: Desk) -> None:
    for key in (ACME, GLOBEX):
        await desk.ask(QUESTION, key=key)
    wire = await desk.send("DELETE", "/v1/cache/tags/route:support", OTHER)
    assert (wire.status, wire.json) == (200, {"tag": "route:support", "revision": 1})
    assert (await desk.ask(QUESTION)).headers["x-weir-cache"] == "exact"
    assert (await desk.ask(QUESTION, key=GLOBEX)).headers["x-weir-cache"] == "miss"


@pytest.mark.parametrize(
    ("query", "kept"), [("", []), ("?tenant=globex", ["acme", "pool"]), ("?tenant=pool:faq", ["acme", "globex"])]
)
@pytest.mark.parametrize("path", ["/admin/v1/cache", "/admin/v1/cache/tags/model:good", "/admin/v1/cache/tags/*"])
async def test_the_admin_makes_stale_what_is_one_tenants_a_pools_or_everybodys(
    desk: Desk, path: str, query: str, kept: list[str]
) -> None:
    asked = {"acme": ("support", ACME), "globex": ("support", GLOBEX), "pool": ("pooled", ACME)}
    for model, key in asked.values():
        await desk.ask(QUESTION, model, key)
    wire = await desk.send("DELETE", path + query)
    assert (wire.status, wire.json["revision"]) == (200, 1)
    answers = {name: await desk.ask(QUESTION, model, key) for name, (model, key) in asked.items()}
    assert [name for name, reply in answers.items() if reply.headers["x-weir-cache"] == "exact"] == kept


async def test_a_tag_may_hold_a_slash_and_must_not_be_empty(desk: Desk) -> None:
    await desk.ask(QUESTION, tags="docs/faq.md")
    assert (await desk.send("DELETE", "/v1/cache/tags/docs/faq.md", "sk-weir-of-acme")).json["tag"] == "docs/faq.md"
    assert (await desk.ask(QUESTION)).headers["x-weir-cache"] == "miss"
    for path in ("/v1/cache/tags/", f"/v1/cache/tags/{'x' * 513}"):
        wire = await desk.send("DELETE", path, "sk-weir-of-acme")
        assert (wire.status, wire.error["param"]) == (400, "tag")
    wire = await desk.send("DELETE", "/admin/v1/cache/tags/x?tenant=nobody")
    assert (wire.status, wire.error["param"]) == (400, "tenant")


async def test_without_a_key_nothing_happens(desk: Desk) -> None:
    for method, path in (
        ("DELETE", f"/v1/cache/entries/{'0' * 32}"),
        ("DELETE", "/v1/cache/tags/x"),
        ("POST", "/v1/decisions/req_1/report"),
        ("GET", "/admin/v1/cache"),
    ):
        assert (await desk.send(method, path, "")).status == 401
    assert desk.changes == []


# --- reports


async def test_a_reported_exact_hit_is_served_no_more(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weir.cache")
    await desk.ask(QUESTION, "auto")
    hit = await desk.ask(QUESTION, "auto")
    assert hit.headers["x-weir-cache"] == "exact"
    wire = await desk.report(hit, body=orjson.dumps({"reason": "out of\ndate"}))
    assert (wire.status, wire.json["quarantined"]) == (200, True)
    assert (await desk.ask(QUESTION, "auto")).headers["x-weir-cache"] == "miss"
    assert desk.reported == ["auto"]
    assert isinstance(desk.changes[-1], Quarantined)
    assert "'out of\\ndate'" in caplog.text
    (entry,) = await desk.entries()
    assert entry["quarantined"]


async def test_a_reported_semantic_hit_counts_as_wrong_too(desk: Desk) -> None:
    desk.trust()
    await desk.ask(QUESTION)
    hit = await desk.ask(ALIKE)
    assert hit.headers["x-weir-cache"] == "semantic"
    before = desk.semantic.evidence("acme", "support").labels
    assert (await desk.report(hit)).json["quarantined"]
    assert desk.semantic.evidence("acme", "support").labels == before + 1
    assert (await desk.ask(ALIKE)).headers["x-weir-cache"] == "miss"


async def test_a_pools_answer_is_reported_by_whoever_was_given_it(desk: Desk) -> None:
    await desk.ask(QUESTION, "pooled")
    hit = await desk.ask(QUESTION, "pooled", GLOBEX)
    assert (await desk.report(hit)).status == 404  # acme's key, which got no such answer
    assert (await desk.report(hit, OTHER)).json["quarantined"]
    assert (await desk.ask(QUESTION, "pooled")).headers["x-weir-cache"] == "miss"


@pytest.mark.parametrize("model", ["support", "good"])
async def test_a_fresh_answer_may_be_reported_and_had_no_entry(desk: Desk, model: str) -> None:
    fresh = await desk.ask(QUESTION, model)
    assert (await desk.report(fresh)).json["quarantined"] is False
    assert desk.reported == ["direct" if model == "good" else "support"]
    hit = await desk.ask(QUESTION, model)
    assert (await desk.report(hit, ADMIN)).json["quarantined"]


async def test_recent_events_come_first_and_those_that_are_gone_from_there_are_found_in_the_archive(
    desk: Desk,
) -> None:
    await desk.ask(QUESTION)
    hit = await desk.ask(QUESTION)
    event: UsageEvent = desk.works.told[-1]
    desk.decisions.add(replace(event, route="renamed since"))
    assert (await desk.report(hit)).json["quarantined"]
    assert desk.reported == ["renamed since"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 200),
        (b" ", 200),
        (b"{}", 200),
        (b"{", 400),
        (b"[]", 400),
        (b'{"reason": 1}', 400),
        (b'{"why": ""}', 400),
    ],
)
async def test_a_report_may_give_a_reason_and_nothing_else(desk: Desk, body: bytes, status: int) -> None:
    wire = await desk.report(await desk.ask(QUESTION), body=body)
    assert wire.status == status
    assert desk.reported == ["support"] * (status == 200)


async def test_a_report_is_small(desk: Desk) -> None:
    wire = await desk.report(await desk.ask(QUESTION), body=b'{"reason": "' + b"x" * 20_000 + b'"}')
    assert (wire.status, wire.error["code"]) == (413, "request_too_large")
    wire = await desk.report(await desk.ask(QUESTION), body=b'{"reason": "' + b"x" * 1001 + b'"}')
    assert (wire.status, wire.error["param"]) == (400, "reason")
    assert desk.reported == []


@pytest.mark.parametrize("request_id", ["req_0", "0" * 32, "é", "..%2f"])
async def test_a_request_that_nobody_knows_cannot_be_reported(desk: Desk, request_id: str) -> None:
    wire = await desk.send("POST", f"/v1/decisions/{request_id}/report", "sk-weir-of-acme")
    assert (wire.status, wire.error["code"]) == (404, "not_found")
