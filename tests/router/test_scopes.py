"""Nothing crosses a scope: each part of the hard key is varied, over both tiers and both ways to answer."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from contracts.ports import CacheRules, Prompt, SemanticRules, UpstreamCall
from contracts.records import Key
from router.choice.fixed import FixedChoice
from router.exchange import Reply
from router.setup import Access, CacheRule, Plan, Setup
from tests.cache.semantics import semantic_over
from tests.router.plain import (
    ACME,
    HELLO_STREAM,
    OnePrompt,
    PlainUpstream,
    Script,
    Works,
    incoming,
    plan,
    read_out,
    setup_over,
    whole,
    works_over,
)

GLOBEX = Key(id="globex/main", tenant="globex", name="main", hash="0" * 64)
OPEN = CacheRule(
    enabled=True, ttl_s=3600, rules=CacheRules(), semantic=SemanticRules(max_wrong_hits=0.5, audit_share=1e-9)
)
ASKED = "how do I pay by card"
REWORDED = "by card how do I pay"
SYSTEM = {"role": "system", "content": "Be brief."}
HISTORY = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]


@dataclass
class Text:
    """A prompt that stands before everything."""

    version: str

    @property
    def rendering(self) -> str:
        return f"{self.version}.0"

    def apply(self, body: Mapping[str, Any], endpoint: str) -> Mapping[str, Any]:
        return {**body, "messages": [{"role": "system", "content": "Weir's"}, *body.get("messages", [])]}


class Counting(PlainUpstream):
    """Each answer is another one, whole or streamed."""

    async def _turn(self, call: UpstreamCall) -> Any:
        self.calls.append(call)
        if call.body.get("stream"):
            return Script(*HELLO_STREAM)
        return whole(f"answer {len(self.calls)}")


@dataclass
class Way:
    """Who asks whom for what, and how."""

    body: dict[str, Any]
    key: Key = ACME
    setup: Setup | None = None
    locale: str = ""
    endpoint: Any = "chat/completions"


def setup(upstream: PlainUpstream, **support: Any) -> Setup:
    made = setup_over(
        {"good": upstream, "other": upstream},
        plan("support", "good", **{"cache": OPEN, "prompt": Text("p1"), **support}),
        plan("sales", "good", cache=OPEN, prompt=Text("p1")),
        named=OPEN,
    )
    made.tenants["globex"] = Access(routes=None, models=None)  # type: ignore[index]
    return made


def question(text: str = ASKED, **fields: Any) -> dict[str, Any]:
    messages = [SYSTEM, *HISTORY, {"role": "user", "content": text}]
    return {"model": "support", "messages": messages, "temperature": 0.5, "top_p": 0.9, "seed": 7, **fields}


def picture(text: str, url: str) -> dict[str, Any]:
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": text}]
    return question(messages=[{"role": "user", "content": content}])


def turns(*before: dict[str, Any], text: str = REWORDED, **last: Any) -> dict[str, Any]:
    return question(messages=[*before, {"role": "user", "content": text, **last}])


VARIANTS: dict[str, dict[str, Any]] = {
    "requested model": question(REWORDED, model="good"),
    "route": question(REWORDED, model="sales"),
    "system message": turns({**SYSTEM, "content": "Be long."}, *HISTORY),
    "no system message": turns(*HISTORY),
    "developer message": turns({**SYSTEM, "role": "developer"}, *HISTORY),
    "earlier user turn": turns(SYSTEM, {"role": "user", "content": "Hey"}, HISTORY[1]),
    "earlier assistant turn": turns(SYSTEM, HISTORY[0], {"role": "assistant", "content": "Yes?"}),
    "no history": turns(SYSTEM),
    "a name": turns(SYSTEM, *HISTORY, name="ada"),
    "an image": picture(REWORDED, "data:a"),
    "temperature": question(REWORDED, temperature=0.6),
    "top_p": question(REWORDED, top_p=0.8),
    "seed": question(REWORDED, seed=8),
    "max_tokens": question(REWORDED, max_tokens=5),
    "max_completion_tokens": question(REWORDED, max_completion_tokens=5),
    "stop": question(REWORDED, stop=["."]),
    "response_format": question(REWORDED, response_format={"type": "json_object"}),
    "tool_choice": question(REWORDED, tool_choice="none"),
    "logit_bias": question(REWORDED, logit_bias={"1": 1}),
    "logprobs": question(REWORDED, logprobs=True),
    "penalties": question(REWORDED, presence_penalty=1),
    "reasoning_effort": question(REWORDED, reasoning_effort="low"),
    "service_tier": question(REWORDED, service_tier="flex"),
    "a field of a vendor": question(REWORDED, x_vendor={"a": 1}),
}


class Scene:
    def __init__(self, works: Works, upstream: Counting) -> None:
        self.works, self.upstream = works, upstream
        semantic = works.semantic
        assert semantic is not None
        for owner in ("acme", "globex", "pool:a", "pool:b"):
            for route in ("support", "sales", "direct"):
                scope = semantic.evidence(owner, route)
                for _ in range(400):
                    scope.look(0.99)
                    scope.label(0.99, wrong=False)

    async def ask(self, way: Way, *, stream: bool) -> tuple[str, Reply]:
        if way.setup is not None:
            self.works.pipeline.setup = way.setup
        body = {**way.body, "stream": True} if stream else way.body
        headers = {"accept_language": way.locale} if way.locale else {}
        asked = replace(incoming(body, way.endpoint, **headers), key=way.key)
        reply = await self.works.pipeline.answer(asked)
        await read_out(reply)
        assert self.works.semantic is not None
        await self.works.semantic.idle()
        return reply.headers["x-weir-cache"], reply


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    upstream = Counting("good")
    async with works_over(setup(upstream), tmp_path, semantic=semantic_over) as works:
        yield Scene(works, upstream)


@pytest.mark.parametrize("stored_as_stream", [False, True])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_scope_is_a_hit_in_both_tiers(scene: Scene, stream: bool, stored_as_stream: bool) -> None:
    assert (await scene.ask(Way(question()), stream=stored_as_stream))[0] == "miss"
    assert (await scene.ask(Way(question()), stream=stream))[0] == "exact"
    verdict, reply = await scene.ask(Way(question(REWORDED)), stream=stream)
    assert verdict == "semantic"
    assert len(reply.headers["x-weir-cache-entry"]) == 32
    assert float(reply.headers["x-weir-cache-similarity"]) > 0.98


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
async def test_each_part_of_a_request_keeps_answers_apart(scene: Scene, name: str, stream: bool) -> None:
    await scene.ask(Way(question()), stream=False)
    varied = VARIANTS[name]
    assert (await scene.ask(Way(varied), stream=stream))[0] == "miss"
    again = orjson.loads(orjson.dumps(varied).replace(REWORDED.encode(), ASKED.encode()))
    assert (await scene.ask(Way(again), stream=stream))[0] == "semantic"  # within the varied scope
    assert (await scene.ask(Way(question(REWORDED)), stream=stream))[0] == "semantic"  # and within the first


@pytest.mark.parametrize("stream", [False, True])
async def test_tenants_locales_and_endpoints_keep_answers_apart(scene: Scene, stream: bool) -> None:
    await scene.ask(Way(question()), stream=False)
    for text in (ASKED, REWORDED):
        assert (await scene.ask(Way(question(text), key=GLOBEX), stream=stream))[0] != "exact"
    assert (await scene.ask(Way(question(), locale="de"), stream=stream))[0] == "miss"
    assert (await scene.ask(Way(question(REWORDED), locale="fr"), stream=stream))[0] == "miss"
    entries = {entry.labels[0] for _, entry in scene.works.cache.entries()}
    assert entries == {"acme", "globex"}


@pytest.mark.parametrize("stream", [False, True])
async def test_another_tenant_never_gets_the_first_ones_answer(scene: Scene, stream: bool) -> None:
    await scene.ask(Way(question()), stream=False)
    calls = len(scene.upstream.calls)
    verdict, _ = await scene.ask(Way(question(REWORDED), key=GLOBEX), stream=stream)
    assert verdict == "miss"
    assert len(scene.upstream.calls) == calls + 1


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "changed",
    [{"prompt": Text("p2")}, {"policy": "other"}, {"resolved": ("good=v2/good",)}, {"pool": "a"}, {"pool": "b"}],
    ids=["prompt", "policy", "resolved model", "a pool", "another pool"],
)
async def test_versions_and_pools_keep_answers_apart(scene: Scene, changed: dict[str, Any], stream: bool) -> None:
    await scene.ask(Way(question()), stream=False)
    await scene.ask(Way(question(), setup=_with(scene, {"pool": "c"})), stream=False)
    other = _with(scene, changed)
    assert (await scene.ask(Way(question(), setup=other), stream=stream))[0] == "miss"
    assert (await scene.ask(Way(question(REWORDED), setup=other), stream=stream))[0] == "semantic"


class _Policy(FixedChoice):
    def __init__(self) -> None:
        super().__init__(None)
        self.version = "other"


def _with(scene: Scene, changed: dict[str, Any]) -> Setup:
    """The setup with another version of the route `support`."""
    before = setup(scene.upstream)
    support: Plan = before.plans["support"]
    if "prompt" in changed:
        prompt: Prompt = changed["prompt"]
        support = dataclasses.replace(support, prompts=OnePrompt(prompt))
    if "policy" in changed:
        support = dataclasses.replace(support, policy=_Policy())
    if "resolved" in changed:
        support = dataclasses.replace(support, resolved=changed["resolved"])
    if "pool" in changed:
        cache = dataclasses.replace(OPEN, pool=changed["pool"], writers=frozenset({"acme"}))
        support = dataclasses.replace(support, cache=cache)
    return dataclasses.replace(before, plans={**before.plans, "support": support})


async def test_only_writers_fill_a_pool_and_an_entry_is_named_to_its_writer_alone(scene: Scene) -> None:
    pooled = _with(scene, {"pool": "a"})
    assert (await scene.ask(Way(question(), key=GLOBEX, setup=pooled), stream=False))[0] == "miss"
    assert (await scene.ask(Way(question(), key=GLOBEX), stream=False))[0] == "miss"  # was not kept
    assert (await scene.ask(Way(question()), stream=False))[0] == "miss"
    verdict, reply = await scene.ask(Way(question(REWORDED), key=GLOBEX), stream=False)
    assert verdict == "semantic"
    assert "x-weir-cache-entry" not in reply.headers
    assert "x-weir-cache-similarity" not in reply.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_images_beside_text_and_several_choices(scene: Scene, stream: bool) -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    for body in (question(tools=tools), question(n=2)):
        if not stream or "n" not in body:
            assert (await scene.ask(Way(body), stream=stream))[0] == "bypass"
    await scene.ask(Way(picture(ASKED, "data:a")), stream=stream)
    assert (await scene.ask(Way(picture(REWORDED, "data:a")), stream=stream))[0] == "semantic"
    assert (await scene.ask(Way(picture(REWORDED, "data:b")), stream=stream))[0] == "miss"


texts = st.sampled_from([ASKED, REWORDED, "card by pay I do how"])
ways = st.fixed_dictionaries(
    {
        "text": texts,
        "name": st.sampled_from(["", *VARIANTS]),
        "tenant": st.sampled_from([ACME, GLOBEX]),
        "locale": st.sampled_from(["", "de"]),
        "stream": st.booleans(),
    }
)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(asked=st.lists(ways, min_size=2, max_size=12))
def test_whatever_is_asked_in_whatever_order_no_answer_leaves_its_scope(
    asked: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every answer names its call; a hit's call was made from the same scope."""

    async def story() -> None:
        upstream = Counting("good")
        async with works_over(setup(upstream), tmp_path_factory.mktemp("w"), semantic=semantic_over) as works:
            scene = Scene(works, upstream)
            made: dict[str, tuple[Any, ...]] = {}
            for each in asked:
                scope = (each["name"], each["tenant"].tenant, each["locale"])
                varied = VARIANTS.get(each["name"], question(REWORDED))
                body = orjson.loads(orjson.dumps(varied).replace(REWORDED.encode(), each["text"].encode()))
                verdict, reply = await scene.ask(Way(body, key=each["tenant"], locale=each["locale"]), stream=False)
                said = orjson.loads(reply.body)["choices"][0]["message"]["content"]
                if verdict == "miss":
                    made[said] = scope
                assert made[said] == scope, (verdict, said)

    asyncio.run(story())
