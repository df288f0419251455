"""The wiring: what a configuration becomes, and a whole house that opens, reloads and closes in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from contracts.errors import ConnectionRefused
from contracts.records import DIRECT, Key
from contracts.usage import TokenUsage
from ledger.keys import hash_of
from ledger.prices import PricesUnknown
from prompts.book import PromptBook
from registry.prompts import StoredPrompts
from registry.store import Registry
from router.choice.parts import ChoiceParts
from router.composition import book_of, declared_keys, make_upstream, operators_of, prices_of, setup_of
from router.config.load import Loaded, load
from router.main import House
from router.setup import Access
from router.upstreams.fleet import Fleet
from router.upstreams.gguf import GGUFUpstream
from router.upstreams.litellm_library import LiteLLMUpstream
from router.upstreams.openai_http import OpenAIUpstream
from router.upstreams.scripted import ScriptedUpstream
from router.upstreams.student import StudentUpstream
from router.upstreams.vllm import VLLMUpstream
from router.web.app import Front
from tests.router.plain import PlainUpstream, chat, whole
from tests.router.web.wire import Wire

PRICE = {"input": "1", "output": "2"}
PARTS = ChoiceParts(encoder=None, sessions=None)
MAIN, LIMITED = "sk-weir-main", "sk-weir-limited"
ACME = {"acme": {"keys": {"main": {"hash": hash_of(MAIN)}}}}
CONFIG: Mapping[str, Any] = {
    "server": {"reload_seconds": 3600},  # a test reloads when it wants to
    "upstreams": {
        "hosted": {
            "kind": "openai",
            "base_url": "http://127.0.0.1:9/v1",
            "api_key": "${HOSTED_KEY}",
            "stand_in": "scripted",
        },
        "scripted": {"kind": "scripted"},
    },
    "models": {
        "large": {"upstream": "hosted", "name": "gpt-large", "price": PRICE},
        "echo": {"upstream": "scripted", "price": PRICE},
        "listed": {"upstream": "scripted", "price": {"listed_as": "gpt-4.1-nano"}},
    },
    "prompts": {"brief": {"file": "brief.txt"}},
    "routes": {
        "auto": {"candidates": ["echo"]},
        "support": {
            "candidates": ["large", "echo"],
            "policy": {"kind": "fixed", "choose": "echo"},
            "prompt": "brief",
            "cache": {"ttl_seconds": 60, "max_temperature": 0.5, "pool": "faq", "pool_writers": ["acme"]},
            "attempts": {"retries": 3},
        },
        "fresh": {"candidates": ["echo"], "cache": {"enabled": False}},
    },
    "tenants": {
        "acme": {
            "keys": {
                "main": {"hash": hash_of(MAIN)},
                "limited": {"hash": hash_of(LIMITED), "routes": ["auto"], "models": []},
            }
        },
        "globex": {"routes": ["auto", "support"], "models": ["echo"]},
    },
}


def write(folder: Path, **changes: Any) -> Path:
    """`CONFIG` on disk; `changes` replace whole sections."""
    (folder / "brief.txt").write_text("Be brief.")
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    return path


def loaded(folder: Path, environ: Mapping[str, str] = {"HOSTED_KEY": "sk-1"}, **changes: Any) -> Loaded:
    return load(write(folder, **changes), environ)


# --- the admin key


def test_an_admin_key_is_made_once_for_nobody_else_to_read(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    operators = operators_of(found, tmp_path)
    file = tmp_path / "admin.key"
    assert file.stat().st_mode & 0o777 == 0o600
    key = file.read_text().strip()
    assert key.startswith("sk-weir-admin-")
    assert len(key) > 40
    assert operators.is_admin(key)
    assert operators_of(found, tmp_path).is_admin(key)
    assert file.read_text().strip() == key


def test_a_blank_one_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    file.write_text("\n")
    assert not operators_of(loaded(tmp_path), tmp_path).is_admin("")
    assert file.read_text().startswith("sk-weir-admin-")


def test_those_of_the_configuration_come_first_and_nothing_is_written(tmp_path: Path) -> None:
    server = {"admin_key": "${ADMIN}", "metrics_key": "${METRICS}"}
    operators = operators_of(
        loaded(tmp_path, {"ADMIN": "a", "METRICS": "m", "HOSTED_KEY": "k"}, server=server), tmp_path
    )
    assert operators.is_admin("a")
    assert not operators.is_admin("m")
    operators.require_metrics({"authorization": "Bearer m"})
    assert not (tmp_path / "admin.key").exists()


# --- what a configuration becomes


def test_declared_keys_are_known_by_hash_and_carry_their_limits(tmp_path: Path) -> None:
    assert declared_keys(loaded(tmp_path).config) == [
        Key(id="acme/main", tenant="acme", name="main", hash=hash_of(MAIN)),
        Key(
            id="acme/limited",
            tenant="acme",
            name="limited",
            hash=hash_of(LIMITED),
            routes=frozenset({"auto"}),
            models=frozenset(),
        ),
    ]


def booked(found: Loaded) -> PromptBook:
    """With nothing promoted."""
    return book_of(found, StoredPrompts(Registry(found.folder / "none")), {})


async def sailed(found: Loaded) -> Fleet:
    fleet = Fleet(lambda name, *_: PlainUpstream(name, whole()))
    await fleet.sail(found)
    return fleet


async def test_routes_and_models_become_plans(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    fleet = await sailed(found)
    setup = setup_of(found, fleet, prices_of(found), PARTS, booked(found))
    assert set(setup.plans) == {"auto", "support", "fresh", "large", "echo", "listed"}
    support = setup.plans["support"]
    assert (support.route, support.candidates) == ("support", ("large", "echo"))
    assert support.resolved == (
        f"large={fleet.version_of('hosted')}/gpt-large",
        f"echo={fleet.version_of('scripted')}/echo",
    )
    assert support.policy.version == "fixed:echo"
    assert support.prompts is not None
    assert (support.cache.enabled, support.cache.ttl_s, support.cache.rules.max_temperature) == (True, 60, 0.5)
    assert (support.cache.pool, setup.plans["auto"].cache.pool) == ("faq", "")
    assert not setup.plans["fresh"].cache.enabled
    assert (support.attempts.retries, setup.plans["auto"].attempts.retries) == (3, 1)
    direct = setup.plans["large"]
    assert (direct.route, direct.candidates, direct.policy.version, direct.prompts) == (
        DIRECT,
        ("large",),
        "named",
        None,
    )
    assert setup.deployments["large"].upstream is fleet.running["hosted"]
    assert setup.deployments["large"].upstream_name == "gpt-large"
    assert setup.deployments["echo"].upstream_name == "echo"
    assert setup.tenants == {
        "acme": Access(routes=None, models=None),
        "globex": Access(routes=frozenset({"auto", "support"}), models=frozenset({"echo"})),
    }


async def test_without_a_key_the_stand_in_answers_and_answers_of_the_two_are_kept_apart(tmp_path: Path) -> None:
    plans = []
    for environ in ({}, {"HOSTED_KEY": "sk-1"}):
        found = loaded(tmp_path, environ)
        setup = setup_of(found, await sailed(found), prices_of(found), PARTS, booked(found))
        plans.append((setup.deployments["large"].upstream.name, setup.plans["support"].scope("acme", None)))
    assert [name for name, _ in plans] == ["scripted", "hosted"]
    assert plans[0][1] != plans[1][1]


def test_prices_are_the_configurations_or_the_lists(tmp_path: Path) -> None:
    prices = prices_of(loaded(tmp_path))
    usage = TokenUsage(prompt=1_000_000, completion=1_000_000)
    assert (prices.cost("large", usage), prices.priced_by("large")) == (Decimal(3), "config")
    assert prices.cost("listed", usage) > 0
    assert prices.priced_by("listed").startswith("genai-prices")
    unpriced = {**CONFIG["models"], "x": {"upstream": "scripted"}, "y": {"upstream": "scripted"}}
    with pytest.raises(PricesUnknown) as refusal:
        prices_of(loaded(tmp_path, models=unpriced))
    assert "x" in str(refusal.value)
    assert "y" in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "headers": {"x-team": "${TEAM}"}}, OpenAIUpstream),
        ({"kind": "litellm", "provider": "anthropic", "api_key": "${HOSTED_KEY}"}, LiteLLMUpstream),
        ({"kind": "gguf", "path": "brief.txt"}, GGUFUpstream),
        ({"kind": "vllm", "python": "brief.txt", "model": "Qwen/Qwen3-4B"}, VLLMUpstream),
        ({"kind": "student", "route": "auto"}, StudentUpstream),
        ({"kind": "student", "route": "auto", "artefact": "."}, StudentUpstream),
        ({"kind": "scripted"}, ScriptedUpstream),
    ],
)
def test_every_kind_of_upstream_is_made(tmp_path: Path, settings: dict[str, Any], kind: type) -> None:
    found = loaded(
        tmp_path, {"TEAM": "blue", "HOSTED_KEY": "k"}, upstreams={**CONFIG["upstreams"], "new": settings}
    )
    made = make_upstream("new", found.config.upstreams["new"], found, Registry(tmp_path / "registry"))
    assert type(made) is kind
    assert made.name == "new"


# --- a house


@asynccontextmanager
async def house_on(path: Path, state: Path, bound_to: str = "127.0.0.1") -> AsyncIterator[tuple[House, Front]]:
    state.mkdir(exist_ok=True)  # noqa: ASYNC240
    house = House(load(path, {}), path, state=state, bound_to=bound_to)
    try:
        front = await house.open()
        await house.keys.refresh()  # it is in the background that keys are read otherwise
        yield house, front
    finally:
        await house.close()


async def ask(front: Front, key: str = MAIN, **body: Any) -> Wire:
    return await Wire(orjson.dumps(chat(**body)), key=key).through(front)


async def get(front: Front, path: str, key: str = MAIN) -> Wire:
    return await Wire(path=path, method="GET", key=key).through(front)


async def test_a_house_answers_explains_counts_and_is_ready(tmp_path: Path) -> None:
    async with house_on(write(tmp_path), tmp_path / "state") as (house, front):
        wire = await ask(front, model="auto")
        assert wire.json["choices"][0]["message"]["content"] == "Hello"
        request_id = wire.headers["x-weir-request-id"]
        assert (await get(front, f"/v1/decisions/{request_id}")).json["model"] == "echo"
        assert [model["id"] for model in (await get(front, "/v1/models", LIMITED)).json["data"]] == ["auto"]
        assert (await ask(front, LIMITED, model="echo")).status == 404
        assert (await get(front, "/readyz", "")).json["ready"]
        admin = (tmp_path / "state" / "admin.key").read_text().strip()
        page = (await get(front, "/metrics", admin)).body.decode()
        assert 'weir_requests_total{cache="miss",model="echo",route="auto",status="200"} 1.0' in page
        assert "weir_in_flight 0.0" in page
        assert "weir_cache_entries 1.0" in page
        assert 'weir_breaker_open{model="echo"} 0.0' in page
        assert 'weir_refused_total{code="model_not_found"} 1.0' in page
        assert (await get(front, "/openapi.json", admin)).status == 200
        assert house.permits.taken == 0


async def test_what_was_answered_is_explained_by_the_next_house_on_that_state(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with house_on(path, tmp_path / "state") as (_, front):
        request_id = (await ask(front, model="auto")).headers["x-weir-request-id"]
    async with house_on(path, tmp_path / "state") as (_, front):
        assert (await get(front, f"/v1/decisions/{request_id}")).json["request_id"] == request_id


async def test_demo_keys_work_on_loopback_only(tmp_path: Path) -> None:
    demo = "sk-weir-demo-acme"
    path = write(tmp_path, tenants={"acme": {"keys": {"demo": {"hash": hash_of(demo)}}}})
    for address, status in (("127.0.0.1", 200), ("0.0.0.0", 401)):
        async with house_on(path, tmp_path / "state", address) as (_, front):
            assert (await ask(front, demo, model="auto")).status == status


async def test_a_reload_changes_routes_keys_and_upstreams_at_once(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with house_on(path, tmp_path / "state") as (house, front):
        kept = house.fleet.running["scripted"]
        new = "sk-weir-new"
        tenants = {"acme": {"keys": {"new": {"hash": hash_of(new)}}}}
        await house.take(load(write(tmp_path, routes={"other": {"candidates": ["echo"]}}, tenants=tenants), {}))
        assert house.fleet.running["scripted"] is kept
        assert (await ask(front, new, model="other")).status == 200
        assert (await ask(front, new, model="auto")).status == 404
        assert (await ask(front, MAIN, model="other")).status == 401
        assert b'weir_config_reloads_total{result="taken"} 1.0' in house.metrics.page()


async def test_one_that_cannot_be_put_in_force_changes_nothing(tmp_path: Path) -> None:
    path = write(tmp_path)
    async with house_on(path, tmp_path / "state") as (house, front):
        before = house.pipeline.setup
        running = dict(house.fleet.running)
        with pytest.raises(PricesUnknown):
            await house.take(
                load(write(tmp_path, models={"echo": {"upstream": "scripted"}}, routes={}, tenants=ACME), {})
            )
        (tmp_path / "faq.jsonl").write_text("no JSON")
        broken = {"scripted": {"kind": "scripted", "knowledge": "faq.jsonl"}}
        models = {"echo": CONFIG["models"]["echo"]}
        with pytest.raises(ConnectionRefused):
            await house.take(load(write(tmp_path, upstreams=broken, models=models, routes={}, tenants=ACME), {}))
        assert house.pipeline.setup is before
        assert house.fleet.running == running
        assert (await ask(front, model="auto")).status == 200
