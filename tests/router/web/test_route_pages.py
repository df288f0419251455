"""What would be decided is shown to whoever may ask, counting nothing; how good an answer was is learned."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from fastapi import FastAPI
from msgspec.structs import replace

from contracts.records import DIRECT, Key
from ledger.database import Database, sqlite_url
from ledger.doors import StoredEvents
from ledger.keys import hash_of
from router.access import Operators
from router.choice.aims import ShareAim
from router.choice.opinions import Opinions
from router.evidence import RecentDecisions
from router.judging import ModelJudge
from router.learning.lessons import Lessons
from router.learning.notebook import Notebook, notebook_path
from router.setup import Access, Learning, Setup
from router.share import ShareController
from router.web.app import pages_app
from router.web.pages import Decisions
from router.web.route_pages import feedback_pages, preview_pages
from tests.router.choice.taught import choice, teach
from tests.router.plain import (
    ACME,
    SECRET,
    PlainUpstream,
    Works,
    chat,
    incoming,
    plan,
    setup_over,
    whole,
    works_over,
)
from tests.router.web.wire import Wire

ADMIN, OTHER = "the admin's key", "sk-weir-of-globex"
GLOBEX = Key(id="globex/main", tenant="globex", name="main", hash=hash_of(OTHER))
LEARNING = Learning(reference="large", judge="", same_words=0.8, shadow_share=0.0, max_bytes=1 << 20)
PREVIEW = "/v1/decisions/preview"
COOKING, BRAKES = "About cooking: why does it boil?", "About brakes: what squeals?"


@dataclass(kw_only=True)
class Desk:
    works: Works
    app: FastAPI
    lessons: Lessons
    share: ShareController
    upstream: PlainUpstream
    folder: Path
    told: list[str] = field(default_factory=list)

    async def post(self, path: str, body: object, key: str = SECRET, **headers: str) -> Wire:
        sent = body if isinstance(body, bytes) else orjson.dumps(body)
        wire = Wire(sent, path=path.partition("?")[0], key=key, **headers)
        wire.scope["query_string"] = path.partition("?")[2].encode()
        return await wire.through(self.app)

    async def ask(self, route: str, key: Key = ACME) -> str:
        """The id of an answered request."""
        reply = await self.works.pipeline.answer(replace(incoming(chat(route, COOKING)), key=key))
        return reply.headers["x-weir-request-id"]

    async def feedback(self, request_id: str, body: object, key: str = SECRET) -> Wire:
        return await self.post(f"/v1/decisions/{request_id}/feedback", body, key)

    def lines(self, tenant: str = "acme") -> list[dict[str, Any]]:
        self.lessons.notebook.flush()
        path = notebook_path(self.folder, tenant)
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def setup(upstream: PlainUpstream, heads: Path, share: ShareController) -> Setup:
    """`auto` predicts, for acme alone, and learns; `plain` does neither."""
    policy = choice({"acme": heads}, ShareAim(share), sureness=0.0)
    learns = dataclasses.replace(plan("auto", "large", "small", policy=policy), learning=LEARNING)
    made = setup_over({"large": upstream, "small": upstream}, learns, plan("plain", "small"))
    everything, some = Access(routes=None, models=None), Access(routes=frozenset({"auto"}), models=frozenset())
    return dataclasses.replace(made, tenants={"acme": everything, "globex": some})


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teach(tmp_path_factory.mktemp("heads"))


@pytest.fixture
async def desk(tmp_path: Path, heads: Path) -> AsyncIterator[Desk]:
    upstream, share = PlainUpstream("plain", whole()), ShareController(0.5)
    async with works_over(setup(upstream, heads, share), tmp_path) as works:
        works.keys.configure([ACME, GLOBEX], ["acme", "globex"])
        pipeline, told = works.pipeline, list[str]()
        lessons = pipeline.lessons = Lessons(
            Notebook(tmp_path), Opinions(pipeline.answer), lambda model: ModelJudge(model, pipeline.answer)
        )
        database, operators = Database(sqlite_url(tmp_path)), Operators(ADMIN)
        await database.prepare()
        await works.keys.refresh()
        decisions = Decisions(RecentDecisions(0), StoredEvents(database, works.folder), works.keys, operators)
        pages = [
            preview_pages(pipeline, works.keys, operators, works.breakers),
            feedback_pages(pipeline, decisions, lessons, told=told.append),
        ]
        yield Desk(
            works=works,
            app=pages_app(pages),
            lessons=lessons,
            share=share,
            upstream=upstream,
            folder=tmp_path,
            told=told,
        )
        await lessons.close()
        await database.close()


# --- previews


async def test_a_preview_says_what_would_be_decided_and_why(desk: Desk) -> None:
    wire = await desk.post(PREVIEW, chat("auto", BRAKES))
    assert wire.status == 200
    assert (wire.json["object"], wire.json["route"]) == ("weir.preview", "auto")
    decision = wire.json["decision"]
    assert (decision["intent"], decision["policy"]) == ("brakes", "learned:test/v1")
    assert {each["model"] for each in decision["candidates"]} == {"large", "small"}
    small = next(each for each in decision["candidates"] if each["model"] == "small")
    low, high = small["interval"]
    assert 0 <= low < small["quality"] < high <= 1
    assert float(small["cost"]) > 0
    assert decision["nearest"]


async def test_a_preview_asks_and_counts_nothing(desk: Desk) -> None:
    await desk.ask("auto")
    calls, events, lines = len(desk.upstream.calls), len(desk.works.events), desk.lines()
    state = (desk.share.owed, desk.share.threshold())
    for _ in range(5):
        assert (await desk.post(PREVIEW, chat("auto", BRAKES))).status == 200
    assert (len(desk.upstream.calls), len(desk.works.events), desk.lines()) == (calls, events, lines)
    assert (desk.share.owed, desk.share.threshold()) == state
    assert (desk.works.permits.taken, desk.told) == (0, [])


async def test_a_preview_is_of_the_whole_request(desk: Desk) -> None:
    tools = [{"type": "function", "function": {"name": "look"}}]
    talk = [
        {"role": "user", "content": BRAKES},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "look"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "42"},
    ]
    wire = await desk.post(PREVIEW, chat("auto", messages=talk, tools=tools))
    assert "not known" in wire.json["decision"]["reason"]  # which model called the tool


async def test_a_tenant_is_shown_its_own_decisions_whatever_it_asks_for(desk: Desk) -> None:
    ours = await desk.post(f"{PREVIEW}?tenant=acme", chat("auto", COOKING), OTHER)
    assert ours.json["decision"]["degraded"] == "router"  # acme's heads are not globex's
    assert (await desk.post(PREVIEW, chat("auto", COOKING))).json["decision"]["degraded"] == ""


async def test_the_admin_names_a_tenant(desk: Desk) -> None:
    acme = await desk.post(f"{PREVIEW}?tenant=acme", chat("auto", COOKING), ADMIN)
    globex = await desk.post(f"{PREVIEW}?tenant=globex", chat("auto", COOKING), ADMIN)
    assert (acme.json["decision"]["degraded"], globex.json["decision"]["degraded"]) == ("", "router")
    for query in ("", "?tenant=", "?tenant=nobody"):
        wire = await desk.post(f"{PREVIEW}{query}", chat("auto", COOKING), ADMIN)
        assert (wire.status, wire.error["param"]) == (400, "tenant")


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        (b"{", 400, "invalid_request", "not valid JSON"),
        (b"", 400, "invalid_request", "not valid JSON"),
        (b"[]", 400, "invalid_request", "a JSON object"),
        (b'"auto"', 400, "invalid_request", "a JSON object"),
        (b"{}", 400, "invalid_request", "model"),
        (b'{"model": "auto"}', 400, "invalid_request", "messages"),
        (orjson.dumps(chat("missing")), 404, "model_not_found", "missing"),
    ],
)
async def test_a_request_that_would_be_refused_is_refused(
    desk: Desk, body: bytes, status: int, code: str, said: str
) -> None:
    for key in (SECRET, ADMIN):
        path = PREVIEW if key == SECRET else f"{PREVIEW}?tenant=acme"
        wire = await desk.post(path, body, key)
        assert (wire.status, wire.error["code"]) == (status, code)
        assert said in wire.error["message"]


async def test_what_a_tenant_may_not_address_it_may_not_preview(desk: Desk) -> None:
    assert (await desk.post(PREVIEW, chat("plain"), OTHER)).status == 404
    assert (await desk.post(PREVIEW, chat("large"), OTHER)).status == 404
    assert (await desk.post(PREVIEW, chat("large"))).json["route"] == DIRECT


async def test_a_preview_too_large_is_not_read(desk: Desk) -> None:
    wire = await desk.post(PREVIEW, chat("auto", "x" * (4 << 20)))
    assert (wire.status, wire.error["code"]) == (413, "request_too_large")
    announced = await desk.post(PREVIEW, b"{}", content_length=str(1 << 40))
    assert announced.status == 413


@pytest.mark.parametrize("path", [PREVIEW, "/v1/decisions/req_1/feedback"])
async def test_without_a_good_key_nothing_is_read(desk: Desk, path: str) -> None:
    for key in ("", "sk-weir-unknown"):
        wire = Wire(b"not read", path=path, key=key)
        await wire.through(desk.app)
        assert wire.status == 401
        assert wire.unread


async def test_a_client_that_leaves_half_way_is_let_go(desk: Desk) -> None:
    wire = Wire(b'{"model": ', b'"auto"}', path=PREVIEW)
    wire.leave_after(1)
    async with asyncio.timeout(5):
        await wire.through(desk.app)
    assert wire.status == 499


# --- feedback


@pytest.mark.parametrize("score", [0, 0.0, 0.25, 1, 1.0])
async def test_a_score_is_learned_for_the_model_that_answered(desk: Desk, score: float) -> None:
    request_id = await desk.ask("auto")
    wire = await desk.feedback(request_id, {"score": score})
    assert (wire.status, wire.json) == (200, {"request_id": request_id, "learned": True})
    asked, told = desk.lines()
    assert (told["request_id"], told["score"], told["source"]) == (request_id, score, "feedback")
    assert told["model"] == asked["model"]
    assert desk.told == ["auto"]


async def test_what_no_route_learns_from_is_counted_all_the_same(desk: Desk) -> None:
    for name, route in (("plain", "plain"), ("large", DIRECT)):
        wire = await desk.feedback(await desk.ask(name), {"score": 1})
        assert (wire.status, wire.json["learned"]) == (200, False)
        assert desk.told[-1] == route
    assert desk.lines() == []


async def test_a_stored_answer_teaches_nothing(desk: Desk) -> None:
    await desk.ask("auto")
    again = await desk.ask("auto")
    assert (await desk.feedback(again, {"score": 0})).json["learned"] is False
    assert len(desk.lines()) == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"score": -0.1}, "score"),
        ({"score": 1.1}, "score"),
        (b'{"score": NaN}', None),
        (b'{"score": 1e999}', None),
        ({"score": "good"}, "score"),
        ({"score": None}, "score"),
        ({}, "score"),
        ({"score": 1, "tenant": "globex"}, "tenant"),
        (b"[1]", None),
        (b"{", None),
        (b"", None),
    ],
)
async def test_what_is_no_score_is_refused(desk: Desk, body: object, param: str | None) -> None:
    wire = await desk.feedback(await desk.ask("auto"), body)
    assert (wire.status, wire.error["code"]) == (400, "invalid_request")
    assert param is None or wire.error["param"] == param
    assert '{"score": 0.0 to 1.0}' in wire.error["message"]
    assert (len(desk.lines()), desk.told) == (1, [])


async def test_feedback_too_large_is_refused(desk: Desk) -> None:
    assert (await desk.feedback(await desk.ask("auto"), b" " * 20_000)).status == 413


async def test_another_tenants_request_is_as_unknown_as_one_that_never_was(desk: Desk) -> None:
    theirs = await desk.ask("auto", GLOBEX)
    never = f"req_{'0' * 32}"
    refused = await desk.feedback(theirs, {"score": 0})
    unknown = await desk.feedback(never, {"score": 0})
    assert (refused.status, unknown.status) == (404, 404)
    assert refused.error["message"].replace(theirs, never) == unknown.error["message"]
    assert (len(desk.lines("globex")), desk.lines("acme"), desk.told) == (1, [], [])


@pytest.mark.parametrize("request_id", ["x", "..", "req_1", "%C3%A9"])
async def test_an_odd_id_is_unknown(desk: Desk, request_id: str) -> None:
    assert (await desk.feedback(request_id, {"score": 1})).status == 404


async def test_the_admin_may_score_for_a_tenant(desk: Desk) -> None:
    theirs = await desk.ask("auto", GLOBEX)
    assert (await desk.feedback(theirs, {"score": 0.5}, ADMIN)).json["learned"] is True
    assert desk.lines("globex")[-1]["score"] == 0.5
    assert desk.lines("acme") == []
