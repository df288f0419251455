"""Documents on the way of a request: found, cited, written down, and gone from answers when they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from contracts.errors import InvalidRequest, NotFound, RetrievalUnavailable
from contracts.records import UsageEvent
from contracts.sse import payloads
from router.evidence import explain
from router.exchange import Reply
from router.retrieving import Retrieving
from router.setup import RetrievalRules
from tests.router.budgeted import at_most, budgeted
from tests.router.plain import (
    DONE,
    USAGE,
    PlainUpstream,
    Script,
    Turn,
    Works,
    ask_and_read,
    chat,
    chunk,
    incoming,
    plan,
    read_out,
    setup_over,
    text_in,
    text_of,
    ticks,
    whole,
    works_over,
)
from tests.router.plain_library import PlainLibrary

LOOKS = RetrievalRules(stores=("help",), refusal="Nothing here.")
CITED = "Thirty days [1]. 🙂 Or more [7]."
TOOL = {"type": "file_search", "vector_store_ids": ["vs_1"]}


def stream(*pieces: str) -> Script:
    return Script(*map(chunk, pieces), chunk(finish="stop"), USAGE, DONE)


@asynccontextmanager
async def works(
    folder: Path, library: PlainLibrary | None, *turns: Turn, rules: RetrievalRules = LOOKS
) -> AsyncIterator[tuple[Works, PlainUpstream]]:
    """A route `help` that looks things up, and the model `m` behind it."""
    upstream = PlainUpstream("up", *(turns or (whole(CITED),)))
    setup = setup_over({"m": upstream}, plan("help", "m", retrieval=rules))
    retrieving = Retrieving(library.open if library is not None else None)
    async with works_over(setup, folder, retrieving=retrieving) as works:
        yield works, upstream


@pytest.fixture
def library() -> PlainLibrary:
    return PlainLibrary(returns="Returns take 30 days", shipping="Shipping takes a week")


def notes_of(body: bytes) -> Any:
    return orjson.loads(body)["choices"][0]["message"].get("annotations")


def notes_in(events: bytes) -> list[tuple[int, Any]]:
    """The choice and the annotations of each chunk that has some."""
    chunks = [orjson.loads(payload) for payload in payloads(events) if payload != b"[DONE]"]
    return [
        (choice["index"], choice["delta"]["annotations"])
        for each in chunks
        for choice in each["choices"]
        if "annotations" in choice["delta"]
    ]


def last(works: Works) -> UsageEvent:
    return works.told[-1]


async def test_an_answer_is_built_on_passages_and_cites_them(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        reply = await weir.ask(chat("help", "returns please"))
        (call,) = upstream.calls
        assert [message["role"] for message in call.body["messages"]] == ["system", "user"]
        assert '<passage number="1" file="returns.md"' in call.body["messages"][0]["content"]
        assert "Shipping" not in call.body["messages"][0]["content"]
        (note,) = notes_of(reply.body)
        assert note["file_citation"]["filename"] == "returns.md"
        assert text_of(reply.body)[note["start_index"] : note["end_index"]] == "[1]"
        assert (reply.headers["x-weir-retrieval"], reply.headers["x-weir-passages"]) == ("found", "1")
        (event,) = weir.events
        assert event == last(weir)
        told = event.retrieval
        assert told is not None
        assert [(one.filename, one.cited, one.score) for one in told.passages] == [("returns.md", True, 0.9)]
        assert (told.stores, told.stray, told.nothing, told.tokens, told.whole_tokens) == (
            ("vs_1",),
            1,
            False,
            4,
            40,
        )
        assert told.saved == 36 * Decimal("0.000001")
        assert event.corpus_version == "v2"
        shown = explain(event)["retrieval"]
        assert shown["saved_usd"] == "0.000036"
        assert "Returns take" not in orjson.dumps(shown).decode()


async def test_a_stream_has_its_annotations_after_its_text_and_so_has_its_replay(
    tmp_path: Path, library: PlainLibrary
) -> None:
    async with works(tmp_path, library, stream("Thirty days ", "[", "1", "].")) as (weir, upstream):
        first = await ask_and_read(weir, chat("help", "returns", stream=True))
        again = await weir.ask(chat("help", "returns", stream=True))
        assert (again.headers["x-weir-cache"], again.headers["x-weir-retrieval"]) == ("exact", "found")
        replayed = await read_out(again)
        whole_again = (await weir.ask(chat("help", "returns"))).body
        assert len(upstream.calls) == 1
    for events in (first, replayed):
        ((index, notes),) = notes_in(events)
        assert (index, notes[0]["start_index"], notes[0]["end_index"]) == (0, 12, 15)
        assert text_in(events) == "Thirty days [1]."
        assert text_in(events.partition(b"annotations")[2]) == ""
        assert events.index(b"annotations") < events.index(b'"stop"')
    assert notes_of(whole_again) == notes_in(first)[0][1]


async def test_each_choice_of_a_stream_has_its_own(tmp_path: Path, library: PlainLibrary) -> None:
    script = Script(
        chunk("A [1]."),
        chunk("Bee 🙂 ", index=1),
        chunk(finish="stop"),
        chunk("[1]", index=1, finish="stop"),  # the last text and the finish in one
        USAGE,
        DONE,
    )
    async with works(tmp_path, library, script) as (weir, _):
        events = await ask_and_read(weir, chat("help", "returns", stream=True, n=2))
    places = [(i, note["start_index"], note["end_index"]) for i, notes in notes_in(events) for note in notes]
    assert places == [(0, 2, 5), (1, 6, 9)]
    assert (text_in(events), text_in(events, 1)) == ("A [1].", "Bee 🙂 [1]")


async def test_a_changed_document_takes_its_answers_with_it_and_no_other(
    tmp_path: Path, library: PlainLibrary
) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        for question in ("returns", "shipping"):
            await weir.ask(chat("help", question))
        library.put("returns.md", "Returns take 60 days")
        reply = await weir.ask(chat("help", "returns"))
        assert reply.headers["x-weir-cache"] == "miss"
        assert last(weir).verdict.reason == "a document it was built on has changed"
        assert "60 days" in upstream.calls[-1].body["messages"][0]["content"]
        assert (await weir.ask(chat("help", "returns"))).headers["x-weir-cache"] == "exact"
        assert (await weir.ask(chat("help", "shipping"))).headers["x-weir-cache"] == "exact"
        library.delete("returns.md")
        reply = await weir.ask(chat("help", "returns"))
        assert (reply.headers["x-weir-cache"], reply.headers["x-weir-retrieval"]) == ("miss", "nothing")
        assert not notes_of(reply.body)
        assert len(upstream.calls) == 4


@pytest.mark.parametrize(
    ("said", "changed", "verdict"),
    [
        ("A month [1].", "shipping.md", "exact"),  # it was given both, and cites one
        ("A month [1].", "returns.md", "miss"),
        ("A month.", "shipping.md", "miss"),  # who knows what it was taken from
    ],
)
async def test_an_answer_depends_on_what_it_cites_or_on_all_that_it_was_given(
    tmp_path: Path, library: PlainLibrary, said: str, changed: str, verdict: str
) -> None:
    async with works(tmp_path, library, whole(said), whole(said)) as (weir, upstream):
        await weir.ask(chat("help", "returns shipping"))
        assert upstream.calls[0].body["messages"][0]["content"].count("<passage number") == 2
        library.put(changed, library.documents[changed][0])
        assert (await weir.ask(chat("help", "returns shipping"))).headers["x-weir-cache"] == verdict


async def test_a_declared_store_that_was_not_read_yet_is_not_one_without_answers(tmp_path: Path) -> None:
    rules = RetrievalRules(stores=("help",), declared={"help": frozenset({"acme"})})
    library = PlainLibrary()
    async with works(tmp_path, library, rules=rules) as (weir, _):
        with pytest.raises(RetrievalUnavailable, match="not been read yet") as caught:
            await weir.ask(chat("help", "returns"))
        assert caught.value.retry_after_s
        library.put("returns.md", "Returns take 30 days")
        assert (await weir.ask(chat("help", "returns"))).headers["x-weir-retrieval"] == "found"
    unmade = RetrievalRules(stores=("unmade",), declared={"unmade": frozenset({"acme"})})
    async with works(tmp_path, library, rules=unmade) as (weir, _):
        with pytest.raises(RetrievalUnavailable, match="not been read yet"):
            await weir.ask(chat("help", "returns"))


async def test_a_store_that_is_declared_for_others_only_is_not_there(tmp_path: Path) -> None:
    rules = RetrievalRules(stores=("unmade",), declared={"unmade": frozenset({"globex"})})
    async with works(tmp_path, PlainLibrary(), rules=rules) as (weir, _):
        with pytest.raises(NotFound):
            await weir.ask(chat("help", "returns"))


async def test_who_waited_for_an_answer_does_not_get_it_when_its_document_went(
    tmp_path: Path, library: PlainLibrary
) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        upstream.gate = asyncio.Event()
        pilot = asyncio.create_task(weir.ask(chat("help", "returns")))
        await upstream.called.wait()
        passenger = asyncio.create_task(weir.ask(chat("help", "returns")))
        await ticks(lambda: weir.pipeline.recalling.flights.passengers == 1)
        library.delete("returns.md")
        upstream.gate.set()
        assert notes_of((await pilot).body)
        late = await passenger
        assert (late.headers["x-weir-cache"], late.headers["x-weir-retrieval"]) == ("miss", "nothing")
        assert not notes_of(late.body)
        assert (await weir.ask(chat("help", "returns"))).headers["x-weir-retrieval"] == "nothing"


async def test_an_answer_that_nothing_was_found_dies_when_something_is_added(
    tmp_path: Path, library: PlainLibrary
) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        assert (await weir.ask(chat("help", "warranty"))).headers["x-weir-retrieval"] == "nothing"
        assert "Nothing was found" in upstream.calls[0].body["messages"][0]["content"]
        hit = await weir.ask(chat("help", "warranty"))
        assert (hit.headers["x-weir-cache"], hit.headers["x-weir-retrieval"]) == ("exact", "nothing")
        library.put("warranty.md", "Warranty is two years")
        assert (await weir.ask(chat("help", "warranty"))).headers["x-weir-retrieval"] == "found"


REFUSES = RetrievalRules(stores=("help",), nothing="refuse", refusal="Nothing here.")


async def test_a_route_may_refuse_without_a_model(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library, rules=REFUSES) as (weir, upstream):
        reply = await weir.ask(chat("help", "warranty"))
        data = orjson.loads(reply.body)
        assert (text_of(reply.body), data["model"], data["usage"]["total_tokens"]) == ("Nothing here.", "help", 0)
        assert (reply.headers["x-weir-cache"], reply.headers["x-weir-cost"]) == ("miss", "0")
        event = last(weir)
        assert (event.outcome, event.model, event.usage.source) == ("answered", "", "none")
        assert event.cost == 0
        streamed = await weir.ask(chat("help", "warranty", stream=True))
        assert streamed.headers["x-weir-cache"] == "exact"
        assert text_in(await read_out(streamed)) == "Nothing here."
        assert not upstream.calls
        library.put("warranty.md", "Warranty is two years")
        assert (await weir.ask(chat("help", "warranty"))).headers["x-weir-retrieval"] == "found"


async def test_a_refusal_where_json_was_asked_for_is_a_refusal(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library, rules=REFUSES) as (weir, _):
        body = chat("help", "warranty", response_format={"type": "json_object"})
        (choice,) = orjson.loads((await weir.ask(body)).body)["choices"]
        assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "Nothing here.")


async def test_the_tool_works_for_any_model_which_never_hears_of_it(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        body = chat("m", "returns", tools=[TOOL], tool_choice="required", parallel_tool_calls=True)
        reply = await weir.ask(body)
        assert notes_of(reply.body)
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & upstream.calls[0].body.keys()
        assert (await weir.ask(body)).headers["x-weir-cache"] == "exact"
        assert (await weir.ask(chat("m", "returns"))).headers["x-weir-cache"] == "miss"
        assert "x-weir-retrieval" not in (await weir.ask(chat("m", "returns"))).headers
        own = {"type": "function", "function": {"name": "f"}}
        reply = await weir.ask(chat("m", "returns", tools=[TOOL, own]))
        assert upstream.calls[-1].body["tools"] == [own]
        assert (reply.headers["x-weir-cache"], reply.headers["x-weir-retrieval"]) == ("bypass", "found")


async def test_a_store_that_is_not_there_is_an_error(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        with pytest.raises(NotFound):
            await weir.ask(chat("m", "returns", tools=[{**TOOL, "vector_store_ids": ["vs_other"]}]))
        assert not upstream.calls
        assert last(weir).error == "not_found"


async def test_a_storage_that_is_down_is_an_error(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, upstream):
        await weir.ask(chat("help", "returns"))
        library.down = True
        for question in ("returns", "shipping"):  # a stored answer cannot be trusted either
            with pytest.raises(RetrievalUnavailable):
                await weir.ask(chat("help", question))
        assert len(upstream.calls) == 1
        told = last(weir).retrieval
        assert told is not None
        assert told.degraded == "retrieval"


async def test_a_storage_that_is_down_costs_the_cache_nothing(tmp_path: Path, library: PlainLibrary) -> None:
    rules = RetrievalRules(stores=("help",), unavailable="answer")
    async with works(tmp_path, library, whole(CITED), whole("From memory."), rules=rules) as (weir, upstream):
        await weir.ask(chat("help", "returns"))
        library.down = True
        without = await weir.ask(chat("help", "returns"))
        assert (without.headers["x-weir-cache"], without.headers["x-weir-degraded"]) == ("miss", "retrieval")
        assert last(weir).verdict.reason == "whether its documents are as they were could not be told"
        library.down = False
        assert (await weir.ask(chat("help", "returns"))).headers["x-weir-cache"] == "exact"
        assert len(upstream.calls) == 2


async def test_numbers_in_json_are_no_citations(tmp_path: Path, library: PlainLibrary) -> None:
    said = '{"days": [2], "why": "It says so [1]."}'
    form = {"response_format": {"type": "json_object"}}
    async with works(tmp_path, library, whole(said), stream(*said)) as (weir, _):
        reply = await weir.ask(chat("help", "returns shipping", **form))
        (note,) = notes_of(reply.body)
        assert note["text"] == "[1]"
        streamed = await weir.ask(chat("help", "shipping returns", stream=True, **form))
        assert [note["text"] for _, notes in notes_in(await read_out(streamed)) for note in notes] == ["[1]"]


async def test_or_costs_the_documents_where_the_route_says_so(tmp_path: Path, library: PlainLibrary) -> None:
    rules = RetrievalRules(stores=("help",), unavailable="answer")
    async with works(tmp_path, library, rules=rules) as (weir, upstream):
        library.down = True
        for _ in range(2):  # it is not kept
            reply = await weir.ask(chat("help", "returns"))
            assert (reply.headers["x-weir-retrieval"], reply.headers["x-weir-cache"]) == ("unavailable", "miss")
            assert reply.headers["x-weir-degraded"] == "retrieval"
        assert [len(call.body["messages"]) for call in upstream.calls] == [1, 1]
        library.down = False
        assert (await weir.ask(chat("help", "returns"))).headers["x-weir-retrieval"] == "found"


async def test_what_was_compared_by_words_alone_is_not_kept(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, _):
        library.degraded = "encoder"
        for _ in range(2):
            reply = await weir.ask(chat("help", "returns"))
            assert (reply.headers["x-weir-cache"], reply.headers["x-weir-degraded"]) == ("miss", "encoder")


async def test_a_search_that_takes_too_long_is_given_up(tmp_path: Path, library: PlainLibrary) -> None:
    library.gate = asyncio.Event()
    setup = setup_over({"m": PlainUpstream("up", whole())}, plan("help", "m", retrieval=LOOKS))
    retrieving = Retrieving(library.open, deadline_s=0.01)
    async with works_over(setup, tmp_path, retrieving=retrieving) as weir:
        with pytest.raises(RetrievalUnavailable, match="too long"):
            await weir.ask(chat("help", "returns"))


async def test_without_the_extra_the_route_says_so_and_a_tool_is_refused(tmp_path: Path) -> None:
    async with works(tmp_path, None) as (weir, _):
        with pytest.raises(RetrievalUnavailable, match="pip install"):
            await weir.ask(chat("help", "returns"))
        with pytest.raises(InvalidRequest, match="pip install") as refused:
            await weir.ask(chat("m", "returns", tools=[TOOL]))
        assert refused.value.param == "tools"


async def test_a_turn_without_words_finds_nothing(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, _):
        image = {"type": "image_url", "image_url": {"url": "data:,"}}
        reply = await weir.ask({"model": "help", "messages": [{"role": "user", "content": [image]}]})
        assert reply.headers["x-weir-retrieval"] == "nothing"
        assert not library.searches


async def test_who_judges_answers_is_shown_whole_passages(tmp_path: Path) -> None:
    library = PlainLibrary(returns="returns " + "x" * 500)
    async with works(tmp_path, library) as (weir, _):
        asked = replace(incoming(chat("help", "returns")), purpose="eval")
        reply: Reply = await weir.pipeline.answer(asked)
        (note,) = notes_of(reply.body)
        assert len(note["file_citation"]["quote"]) == 508


async def test_a_budget_sets_passages_aside_before_a_model_is_asked(tmp_path: Path) -> None:
    library = PlainLibrary(returns=f"Returns take {'very ' * 400}long")
    setup = setup_over({"m": PlainUpstream("up", whole(CITED))}, plan("help", "m", retrieval=LOOKS))
    enough = at_most(2000, "tokens")
    async with budgeted(setup, tmp_path, enough, retrieving=Retrieving(library.open)) as under:
        await under.works.ask(chat("help", "returns"))
        ((_, amount),) = under.budgets.reserved
        assert amount.tokens > 400


async def test_other_endpoints_are_left_alone(tmp_path: Path, library: PlainLibrary) -> None:
    async with works(tmp_path, library) as (weir, _):
        await weir.ask({"model": "help", "prompt": "returns"}, "completions")
        assert not library.searches


async def test_without_retrieval_bytes_are_passed_on_as_they_came(tmp_path: Path, library: PlainLibrary) -> None:
    answer = whole("See [1].")
    async with works(tmp_path, library, answer) as (weir, _):
        assert (await weir.ask(chat("m"))).body is answer.body
        assert not library.asked
