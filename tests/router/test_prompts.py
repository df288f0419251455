"""Prompts in a running Weir: what is promoted serves, what is rolled back does not, and neither mixes with both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from msgspec.structs import replace

from contracts.ports import Query
from contracts.records import Decision
from ledger.keys import hash_of
from prompts.prompt import BookedPrompt, Section
from registry.prompts import PROMPT, promote, put
from registry.store import Registry
from router.choice.fixed import FixedChoice
from router.config.load import load
from router.lots import SESSION
from router.main import House
from router.preview import preview
from router.web.app import Front
from tests.router.plain import ACME, PlainUpstream, chat, incoming, plan, setup_over, text_of, whole, works_over
from tests.router.web.wire import Wire

KEYS = {name: f"sk-weir-{name}" for name in ("acme", "globex", "initech")}
FILE = "sections: [{name: tone, text: 'Brief, for {{ firm }}.'}]\nslots: {firm: nobody}\n"
PRICE = {"input": "1", "output": "2"}


def saying(text: str) -> BookedPrompt:
    return BookedPrompt(sections=(Section(name="tone", text=text),), rule="prepend", slots={"firm": "nobody"})


BETTER, RISKY = saying("Better, for {{ firm }}."), saying("Risky, for {{ firm }}.")


def write(folder: Path, file: str = FILE, **prompt: Any) -> Path:
    """A route that answers with what it was asked, and one that says how often it was asked."""
    (folder / "tone.yaml").write_text(file)
    (folder / "own.md").write_text("Own.")
    settings: Mapping[str, Any] = {
        "server": {"reload_seconds": 3600},
        "upstreams": {"scripted": {"kind": "scripted"}},
        "models": {"mirror": {"upstream": "scripted", "price": PRICE}},
        "prompts": {"tone": {"file": "tone.yaml", "slots": {"firm": "us"}, **prompt}, "own": {"file": "own.md"}},
        "routes": {"support": {"candidates": ["mirror"], "prompt": "tone"}},
        "tenants": {
            "acme": {"keys": {"main": {"hash": hash_of(KEYS["acme"])}}},
            "globex": {"keys": {"main": {"hash": hash_of(KEYS["globex"])}}, "slots": {"firm": "Globex"}},
            "initech": {"keys": {"main": {"hash": hash_of(KEYS["initech"])}}, "prompts": {"support": "own"}},
        },
    }
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@asynccontextmanager
async def house_in(folder: Path, **prompt: Any) -> AsyncIterator[tuple[House, Front]]:
    (folder / "state").mkdir(exist_ok=True)
    path = write(folder, **prompt)
    house = House(load(path, {}), path, state=folder / "state", bound_to="127.0.0.1")
    try:
        yield house, await house.open()
    finally:
        await house.close()


async def ask(front: Front, tenant: str = "acme", text: str = "Hello", **headers: str) -> tuple[str, str, str]:
    """The prompt that the model got, the version in the header, and what the cache said."""
    wire = await Wire(orjson.dumps(chat("support", text)), key=KEYS[tenant], **headers).through(front)
    assert wire.status == 200, wire.body
    messages = orjson.loads(wire.json["choices"][0]["message"]["content"])["messages"]
    return messages[0]["content"], wire.headers["x-weir-prompt"], wire.headers["x-weir-cache"]


def promoted(folder: Path, prompt: BookedPrompt, alias: str = "production", file: str = FILE) -> Registry:
    """As another process does it, over `file`."""
    registry = Registry(folder / "state/registry")
    over = load(write(folder, file), {}).prompts["tone"].content
    put(registry, "tone", prompt.content, "test")
    promote(registry, "tone", over, prompt.version, alias=alias, by="test", reason="a test")
    return registry


async def test_what_is_promoted_serves_and_a_rollback_counts_from_the_next_request_on(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (house, front):
        file, *before = await ask(front)
        assert file == "Brief, for us."
        registry = promoted(tmp_path, BETTER)
        assert await ask(front) == ("Better, for us.", BETTER.version, "miss")
        registry.rollback(PROMPT, "tone", "test", "a test")
        assert await ask(front) == (file, before[0], "exact")
        assert house.permits.taken == 0


async def test_no_answer_of_another_version_or_rendering_is_served(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (_, front):
        asked = [await ask(front, tenant) for tenant in ("acme", "globex", "initech") for _ in range(2)]
        assert [cache for _, _, cache in asked] == ["miss", "exact"] * 3
        promoted(tmp_path, BETTER)
        assert [(await ask(front, tenant))[2] for tenant in ("acme", "globex", "initech")] == [
            "miss",
            "miss",
            "exact",
        ]


async def test_tenants_have_their_own_prompts_and_slots(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (_, front):
        said = {tenant: await ask(front, tenant) for tenant in KEYS}
        assert {tenant: found[0] for tenant, found in said.items()} == {
            "acme": "Brief, for us.",
            "globex": "Brief, for Globex.",
            "initech": "Own.",
        }
        assert said["acme"][1] == said["globex"][1] != said["initech"][1]


async def test_an_edited_file_serves_itself_and_sets_the_promoted_version_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    promoted(tmp_path, BETTER)
    async with house_in(tmp_path) as (house, front):
        assert (await ask(front))[0] == "Better, for us."
        edited = FILE.replace("Brief", "Edited")
        await house.take(load(write(tmp_path, edited), {}))
        assert (await ask(front))[0] == "Edited, for us."
        assert f"its file was changed after {BETTER.version} was promoted" in caplog.text
        promoted(tmp_path, RISKY, file=edited)
        assert (await ask(front))[0] == "Risky, for us."
        await house.take(load(write(tmp_path, FILE), {}))
        assert (await ask(front))[0] == "Brief, for us."


async def test_a_reload_that_changes_nothing_of_a_prompt_leaves_it_in_force(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (house, front):
        promoted(tmp_path, BETTER)
        await house.take(load(write(tmp_path, most_tokens=77), {}))
        assert (await ask(front))[0] == "Better, for us."


async def test_a_damaged_version_keeps_the_one_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with house_in(tmp_path) as (_, front):
        registry = promoted(tmp_path, BETTER)
        assert (await ask(front))[0] == "Better, for us."
        put(registry, "tone", RISKY.content, "test")
        file = registry.get(PROMPT, "tone", RISKY.version).folder / "prompt.json"
        promoted(tmp_path, RISKY)
        file.chmod(0o600)
        file.write_bytes(b"{}")
        assert [(await ask(front))[0] for _ in range(3)] == ["Better, for us."] * 3
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        assert f"{BETTER.version} stays in force" in errors[0].message


async def test_a_canary_gets_its_share_of_conversations_and_each_keeps_what_it_got(tmp_path: Path) -> None:
    promoted(tmp_path, RISKY, "canary")
    async with house_in(tmp_path, canary_share=0.3) as (_, front):
        got = [(await ask(front, x_weir_session=f"s{number}"))[1] for number in range(200)]
        again = [(await ask(front, text="More", x_weir_session=f"s{number}"))[1] for number in range(200)]
        assert got == again
        assert 0.2 < got.count(RISKY.version) / 200 < 0.4
        unnamed = [(await ask(front))[1] for _ in range(100)]
        assert set(unnamed) == set(got)


async def test_the_page_of_metrics_says_what_is_in_force(tmp_path: Path) -> None:
    async with house_in(tmp_path, canary_share=0.5) as (house, _):
        prompts = load(tmp_path / "weir.yaml", {}).prompts
        file = f'prompt="tone",source="file",version="{prompts["tone"].version}"'
        assert f"weir_prompt_in_force{{{file}}} 1.0" in house.metrics.page().decode()
        promoted(tmp_path, RISKY, "canary")
        promoted(tmp_path, BETTER)
        page = house.metrics.page().decode()
        assert file not in page
        for source, prompt in (("registry", BETTER), ("canary", RISKY)):
            assert f'weir_prompt_in_force{{prompt="tone",source="{source}",version="{prompt.version}"}} 1.0' in page


async def test_a_rollback_fails_no_request_under_load(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (house, front):
        registry = promoted(tmp_path, RISKY)
        rolled_back = False
        early: list[str] = []
        late: list[str] = []

        async def client(number: int) -> None:
            after = 0
            while after < 5:
                began_after = rolled_back
                said, version, _ = await ask(front, text=f"{number} {after % 3}")
                assert said.startswith("Risky") == (version == RISKY.version)
                (late if began_after else early).append(version)
                after += began_after
                await asyncio.sleep(0)  # an answer from the cache waits for nothing

        clients = [asyncio.create_task(client(number)) for number in range(10)]
        while len(early) < 20:  # noqa: ASYNC110 - what is waited for is counted by the clients
            await asyncio.sleep(0)
        await asyncio.to_thread(registry.rollback, PROMPT, "tone", "test", "a test")
        rolled_back = True
        await asyncio.gather(*clients)
        assert set(early[:20]) == {RISKY.version}
        assert len(late) == 50
        assert RISKY.version not in late
        assert house.permits.taken == 0


# --- one request


class _Between:
    """The port `Prompts`: another version each time it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float]] = []

    def of(self, tenant: str, lot: float) -> Any:
        self.asked.append((tenant, lot))
        return BookedPrompt.plain(f"Version {len(self.asked)}.", "prepend").filled()


class _Kept(FixedChoice):
    """Keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(None)
        self.queries: list[Query] = []

    async def choose(self, query: Query, models: Any, *, dry: bool = False) -> Decision:
        self.queries.append(query)
        return await super().choose(query, models, dry=dry)


async def test_a_request_is_rendered_filed_and_written_down_with_the_version_it_began_with(tmp_path: Path) -> None:
    prompts, upstream = _Between(), PlainUpstream("good", whole("Hello"))
    setup = setup_over({"good": upstream}, plan("support", "good", prompts=prompts))
    async with works_over(setup, tmp_path) as works:
        replies = [await works.ask(chat("support")) for _ in range(2)]
        assert len(prompts.asked) == 2
        versions = [BookedPrompt.plain(f"Version {number}.", "prepend").version for number in (1, 2)]
        assert [event.prompt_version for event in works.events] == versions
        assert [reply.headers["x-weir-prompt"] for reply in replies] == versions
        assert [call.body["messages"][0]["content"] for call in upstream.calls] == ["Version 1.", "Version 2."]
        filed = [tag for _, entry in works.cache.entries() for tag in entry.labels[2] if "prompt:" in tag]
        assert filed == [f"prompt:{version}" for version in versions]


async def test_what_has_no_place_for_a_prompt_is_said_to_have_none(tmp_path: Path) -> None:
    prompts, upstream = _Between(), PlainUpstream("good", whole("Hello"))
    setup = setup_over({"good": upstream}, plan("support", "good", prompts=prompts))
    async with works_over(setup, tmp_path) as works:
        reply = await works.ask({"model": "support", "prompt": "Hello"}, "completions")
        assert (prompts.asked, works.events[0].prompt_version) == ([], "")
        assert "x-weir-prompt" not in reply.headers


async def test_messages_that_hold_a_prompt_already_get_no_other(tmp_path: Path) -> None:
    prompts, upstream = _Between(), PlainUpstream("good", whole("Hello"))
    setup = setup_over({"good": upstream}, plan("support", "good", prompts=prompts))
    held = BookedPrompt.plain("Held.", "only-if-absent").filled()
    body = held.apply(chat("support"), "chat/completions")
    async with works_over(setup, tmp_path) as works:
        reply = await works.pipeline.answer(replace(incoming(body), prompt=held))
        assert text_of(reply.body) == "Hello"
        assert (prompts.asked, works.events[0].prompt_version) == ([], held.version)
        assert upstream.calls[0].body["messages"] == body["messages"]


async def test_a_preview_sees_what_the_request_of_that_conversation_would(tmp_path: Path) -> None:
    prompts, policy = _Between(), _Kept()
    setup = setup_over(
        {"good": PlainUpstream("good", whole())}, plan("support", "good", prompts=prompts, policy=policy)
    )
    async with works_over(setup, tmp_path) as works:
        await works.ask(chat("support"), x_weir_session="s")
        await preview(works.pipeline, ACME, chat("support"), {SESSION: "s"}, frozenset())
    assert prompts.asked[0] == prompts.asked[1]
    assert policy.queries[1].body["messages"][0]["content"] == "Version 2."
