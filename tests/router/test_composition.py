"""Whose heads choose for whom: each tenant's own, found by name, believed by their card, changed while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from contracts.errors import UnknownModel
from contracts.records import Key
from encoder.card import BUILT, read_card
from ledger.keys import hash_of
from registry.prompts import StoredPrompts
from registry.routers import ROUTER, artefact_name
from registry.store import Registry
from router.choice.parts import EVERYONE, ChoiceParts, Place
from router.choice.shelf import CHECK, INTENTS, QUALITY, HeadShelf
from router.choice.student import StudentChoice
from router.composition import (
    book_of,
    head_places,
    learning_of,
    make_upstream,
    prices_of,
    require_one_worker,
    setup_of,
)
from router.config import policies, schema
from router.config.load import Loaded, load
from router.main import House
from router.setup import Learning
from router.upstreams.fleet import Fleet
from router.workers import WorkersFailed
from tests.router.choice.taught import TopicEncoder, teach
from tests.router.plain import SECRET, PlainUpstream, whole

PRICE = {"input": "1", "output": "2"}
LEARNED = {"kind": "learned", "goal": {"share": 0.5}}
CANDIDATES = ["large", "small"]


def config(folder: Path, routes: Mapping[str, Any], *tenants: str, **more: Any) -> Path:
    path = folder / "weir.yaml"
    keys = {"keys": {"main": {"hash": hash_of(SECRET)}}}
    path.write_text(
        yaml.safe_dump(
            {
                "upstreams": {"scripted": {"kind": "scripted"}},
                "models": {name: {"upstream": "scripted", "name": "echo", "price": PRICE} for name in CANDIDATES},
                "routes": {name: {"candidates": CANDIDATES, **route} for name, route in routes.items()},
                "tenants": {name: keys if name == "acme" else {} for name in tenants or ("acme",)},
                **more,
            }
        )
    )
    return path


def loaded(folder: Path, routes: Mapping[str, Any], *tenants: str) -> Loaded:
    return load(config(folder, routes, *tenants), {})


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = teach(tmp_path_factory.mktemp("heads"))
    return {name: (folder / name).read_bytes() for name in (QUALITY, INTENTS)}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "state/registry")


def promote(
    registry: Registry, files: Mapping[str, bytes], route: str, owner: str, card: Mapping[str, Any] = {}
) -> str:
    """Its version. `card` may say something else than the name does."""
    told = {"route": route, "owner": owner, "encoder": "topics-1", **card}
    version = registry.put(ROUTER, artefact_name(route, owner), files, told)
    registry.point(ROUTER, artefact_name(route, owner), "production", version, by="test", reason="a test")
    return version


def owners(found: Loaded, registry: Registry, route: str) -> dict[str, str]:
    """The versions in use, by whose they are."""
    policy = found.config.routes[route].policy
    assert isinstance(policy, policies.LearnedPolicy)
    return {owner: place.version for owner, place in head_places(found, registry)(route, policy).items()}


# --- whose heads are whose


def test_each_tenant_has_its_own_heads_on_each_route(tmp_path: Path, registry: Registry, files: Any) -> None:
    found = loaded(tmp_path, {"auto": {"policy": LEARNED}, "faq": {"policy": LEARNED}}, "acme", "globex", "initech")
    acme = promote(registry, files, "auto", "acme")
    globex = promote(registry, files, "auto", "globex")
    faq = promote(registry, files, "faq", "acme")
    assert len({acme, globex, faq}) == 3
    assert owners(found, registry, "auto") == {"acme": acme, "globex": globex}
    assert owners(found, registry, "faq") == {"acme": faq}


def test_what_is_not_promoted_is_not_in_use(tmp_path: Path, registry: Registry, files: Any) -> None:
    registry.put(ROUTER, "auto/acme", files, {"route": "auto", "owner": "acme"})
    found = loaded(tmp_path, {"auto": {"policy": LEARNED}, "new": {"policy": {**LEARNED, "alias": "canary"}}})
    promote(registry, files, "new", "acme")
    assert owners(found, registry, "auto") == {}
    assert owners(found, registry, "new") == {}


def test_an_alias_may_be_another(tmp_path: Path, registry: Registry, files: Any) -> None:
    promote(registry, files, "auto", "acme")
    version = registry.put(ROUTER, "auto/acme", files, {"route": "auto", "owner": "acme", "summary": "new"})
    registry.point(ROUTER, "auto/acme", "canary", version, by="test", reason="")
    found = loaded(tmp_path, {"auto": {"policy": {**LEARNED, "alias": "canary"}}})
    assert owners(found, registry, "auto") == {"acme": version}


def test_slashes_in_names_give_nobody_anothers_heads(tmp_path: Path, registry: Registry, files: Any) -> None:
    everyone = [("a/b", "c"), ("a", "b/c"), ("a/b/c", ""), ("a/b", ""), ("a", "b"), ("a", "")]
    assert len({artefact_name(*each) for each in everyone}) == len(everyone)
    found = loaded(tmp_path, {"a/b": {"policy": LEARNED}, "a": {"policy": LEARNED}}, "c", "b/c")
    one, other = promote(registry, files, "a/b", "c"), promote(registry, files, "a", "b/c")
    assert owners(found, registry, "a/b") == {"c": one}
    assert owners(found, registry, "a") == {"b/c": other}


def test_a_shared_route_does_not_take_a_tenants_heads_that_bear_its_name(
    tmp_path: Path, registry: Registry, files: Any
) -> None:
    shared = {"policy": LEARNED, "learning": {"shared": True}}
    found = loaded(tmp_path, {"a/b": shared, "a": {"policy": LEARNED}}, "b", "c")
    version = promote(registry, files, "a", "b")
    assert owners(found, registry, "a/b") == {}
    assert owners(found, registry, "a") == {"b": version}


@pytest.mark.parametrize(
    "card", [{"route": "other"}, {"owner": "globex"}, {"owner": ""}, {"route": None}, {"owner": None}]
)
def test_a_card_that_tells_of_another_route_or_owner_is_not_believed(
    tmp_path: Path, registry: Registry, files: Any, card: dict[str, Any]
) -> None:
    promote(registry, files, "auto", "acme", card)
    assert owners(loaded(tmp_path, {"auto": {"policy": LEARNED}}, "acme", "globex"), registry, "auto") == {}


def test_where_tenants_learn_together_there_is_one_set_and_it_ends_with_that(
    tmp_path: Path, registry: Registry, files: Any
) -> None:
    together, own = promote(registry, files, "auto", EVERYONE), promote(registry, files, "auto", "acme")
    shared = loaded(tmp_path, {"auto": {"policy": LEARNED, "learning": {"shared": True}}}, "acme", "globex")
    assert owners(shared, registry, "auto") == {EVERYONE: together}
    apart = loaded(tmp_path, {"auto": {"policy": LEARNED, "learning": {}}}, "acme", "globex")
    assert owners(apart, registry, "auto") == {"acme": own}


def test_a_damaged_artefact_costs_the_others_nothing(
    tmp_path: Path, registry: Registry, files: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = loaded(tmp_path, {"auto": {"policy": LEARNED}}, "acme", "globex")
    promote(registry, files, "auto", "acme")
    version = promote(registry, files, "auto", "globex")
    path = registry.get(ROUTER, "auto/acme").folder / QUALITY
    path.chmod(0o600)
    path.write_bytes(b"damaged")
    assert owners(found, registry, "auto") == {"globex": version}
    assert "damaged" in caplog.text


def test_a_registry_that_cannot_be_used_costs_no_start(
    tmp_path: Path, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    registry.folder.parent.mkdir()
    registry.folder.write_text("a file")
    assert owners(loaded(tmp_path, {"auto": {"policy": LEARNED}}), registry, "auto") == {}


# --- a folder in place of the registry


def in_folder(found: Loaded, registry: Registry) -> tuple[HeadShelf, Callable[[], Mapping[str, Place]]]:
    policy = found.config.routes["auto"].policy
    assert isinstance(policy, policies.LearnedPolicy)
    places = lambda: head_places(found, registry)("auto", policy)  # noqa: E731
    shelf = HeadShelf(places, "topics-1")
    shelf.refresh()
    return shelf, places


def test_a_folder_serves_all_tenants_and_a_change_of_it_is_seen(tmp_path: Path, registry: Registry) -> None:
    teach(tmp_path / "router", with_intents=False)
    found = loaded(tmp_path, {"auto": {"policy": {**LEARNED, "artefact": "router"}}})
    promote(registry, {QUALITY: b"not looked at"}, "auto", "acme")
    shelf, places = in_folder(found, registry)
    acme, globex = shelf.of("acme"), shelf.of("globex")
    assert acme is not None and acme is globex and acme.intents is None
    shelf.refresh()
    assert shelf.of("acme") is acme
    before = places()
    teach(tmp_path / "router")
    assert places() != before
    shelf.refresh()
    changed = shelf.of("acme")
    assert changed is not None and changed.intents is not None


def test_a_folder_that_was_learned_with_another_encoder_is_not_used(tmp_path: Path, registry: Registry) -> None:
    folder = teach(tmp_path / "router")
    found = loaded(tmp_path, {"auto": {"policy": {**LEARNED, "artefact": "router"}}})
    for card, used in (({"encoder": "other-2"}, False), ({"encoder": "topics-1"}, True), ({}, True), ([], True)):
        (folder / "card.json").write_bytes(orjson.dumps(card))
        shelf, _ = in_folder(found, registry)
        assert (shelf.of("acme") is not None) == used
        assert ("encoder" in shelf.faults.get(EVERYONE, "")) != used
    (folder / "card.json").write_text("{")
    assert in_folder(found, registry)[0].of("acme") is not None


def test_an_empty_folder_is_a_fault_and_no_crash(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "router").mkdir()
    shelf, _ = in_folder(loaded(tmp_path, {"auto": {"policy": {**LEARNED, "artefact": "router"}}}), registry)
    assert (len(shelf), shelf.of("acme")) == (0, None)
    assert CHECK in shelf.faults[EVERYONE]


def test_heads_of_the_registry_that_learned_with_another_encoder_are_not_used(
    tmp_path: Path, registry: Registry, files: Any
) -> None:
    found = loaded(tmp_path, {"auto": {"policy": LEARNED}}, "acme", "globex")
    promote(registry, files, "auto", "acme", {"encoder": "other-2"})
    promote(registry, files, "auto", "globex")
    shelf, _ = in_folder(found, registry)
    assert shelf.of("acme") is None
    assert shelf.of("globex") is not None
    assert "another encoder" in shelf.faults["acme"]


# --- what a route learns, and for how long its heads are known


@pytest.mark.parametrize(
    ("route", "learning"),
    [
        ({}, None),
        (
            {"learning": {}},
            Learning(reference="large", judge="", same_words=0.8, shadow_share=0.01, max_bytes=64 << 20),
        ),
        (
            {"policy": {**LEARNED, "reference": "small"}, "learning": {"judge": "large", "shadow_share": 0.5}},
            Learning(reference="small", judge="large", same_words=0.8, shadow_share=0.5, max_bytes=64 << 20),
        ),
        (
            {"policy": LEARNED, "learning": {"max_bytes": 1000}},
            Learning(reference="large", judge="", same_words=0.8, shadow_share=0.01, max_bytes=1000),
        ),
    ],
)
def test_what_a_route_writes_down(tmp_path: Path, route: dict[str, Any], learning: Learning | None) -> None:
    config = loaded(tmp_path, {"auto": route}).config
    assert learning_of(config.routes["auto"], config) == learning


@pytest.mark.parametrize(("answers", "noted"), [(True, {"acme"}), (False, set())])
def test_answers_are_those_of_tenants_who_consent_to_training(
    tmp_path: Path, answers: bool, noted: set[str]
) -> None:
    config = loaded(tmp_path, {"auto": {"learning": {"answers": answers}}}).config
    consents = {"acme": ("evals", "training"), "globex": ("evals",), "initech": ()}
    tenants = {name: schema.Tenant.model_validate({"consents": told}) for name, told in consents.items()}
    learning = learning_of(config.routes["auto"], config.model_copy(update={"tenants": tenants}))
    assert learning is not None
    assert learning.answers == noted


async def test_a_route_knows_which_of_its_stores_are_declared_and_whose(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "docs").mkdir()
    looks = {"retrieval": {"stores": ["handbook", "uploads"]}}
    stores = {"handbook": {"folder": "docs", "tenants": ["acme"]}}
    found = load(config(tmp_path, {"auto": looks, "faq": {}}, "acme", "globex", stores=stores), {})
    fleet = Fleet(lambda name, *_: PlainUpstream(name, whole()))
    await fleet.sail(found)
    parts = ChoiceParts(encoder=TopicEncoder(), sessions=None)
    book = book_of(found, StoredPrompts(registry), {})
    plans = setup_of(found, fleet, prices_of(found), parts, book).plans
    rules = plans["auto"].retrieval
    assert rules.declared == {"handbook": {"acme"}}
    assert (rules.is_declared("acme"), rules.is_declared("globex")) == (True, False)
    assert not plans["faq"].retrieval.is_declared("acme")
    await fleet.close()


async def test_a_route_that_learns_no_more_has_no_heads_on_the_shelf(tmp_path: Path, registry: Registry) -> None:
    parts = ChoiceParts(encoder=TopicEncoder(), sessions=None)
    fleet = Fleet(lambda name, *_: PlainUpstream(name, whole()))
    for routes, known in (
        ({"auto": {"policy": LEARNED}, "faq": {"policy": LEARNED}}, {"auto", "faq"}),
        ({"auto": {"policy": LEARNED}, "faq": {}}, {"auto"}),
        ({"new": {"policy": LEARNED}}, {"new"}),
    ):
        found = loaded(tmp_path, routes)
        await fleet.sail(found)
        parts.places = head_places(found, registry)
        setup_of(found, fleet, prices_of(found), parts, book_of(found, StoredPrompts(registry), {}))
        assert parts.shelves.keys() == known
        parts.refresh()
    await fleet.close()


PUPIL = {"kind": "student", "route": "auto", "tenant": "acme"}


def with_student(folder: Path, **more: Any) -> Loaded:
    """Acme's student and everyone's large model on route `auto`."""
    path = config(
        folder,
        {"auto": {"candidates": ["small", "large"], "policy": {"kind": "student"}, "learning": {}}},
        *("acme", "globex"),
        upstreams={"scripted": {"kind": "scripted"}, "pupil": PUPIL, **more},
        models={"small": {"upstream": "pupil", "price": PRICE}, "large": {"upstream": "scripted", "price": PRICE}},
    )
    return load(path, {})


async def test_a_student_is_chosen_by_its_policy_measured_by_the_other_and_named_by_its_owner(
    tmp_path: Path, registry: Registry
) -> None:
    found = with_student(tmp_path)
    parts = ChoiceParts(encoder=TopicEncoder(), sessions=None)
    fleet = Fleet(partial(make_upstream, registry=registry))
    await fleet.sail(found)
    setup = setup_of(found, fleet, prices_of(found), parts, book_of(found, StoredPrompts(registry), {}))
    plan = setup.plans["auto"]
    assert isinstance(plan.policy, StudentChoice)
    assert (plan.reference, plan.learning and plan.learning.reference) == ("large", "large")
    assert [student.version for student in plan.students] == [""]
    acme, globex = (Key(id="k", tenant=tenant, hash="") for tenant in ("acme", "globex"))
    assert setup.plan("small", acme).candidates == ("small",)
    with pytest.raises(UnknownModel):
        setup.plan("small", globex)
    assert "small" not in dict(setup.names(globex))
    assert setup.own_plan("small", "globex") is None
    assert setup.own_plan("large", "globex") is setup.plans["large"]
    await fleet.close()


def test_several_workers_do_not_each_start_a_vllm(tmp_path: Path) -> None:
    runs = {"kind": "vllm", "base_url": "http://gpu:8000/v1"}
    require_one_worker(with_student(tmp_path, far={**PUPIL, "engine": runs}), 2)
    started = {"kind": "vllm", "python": "weir.yaml"}
    for upstream in ({**PUPIL, "engine": started}, {**started, "model": "Qwen/Qwen3-4B"}):
        found = with_student(tmp_path, gpu=upstream)
        require_one_worker(found, 1)
        with pytest.raises(WorkersFailed, match=r"upstreams\.gpu: each of 2 workers .*base_url"):
            require_one_worker(found, 2)


async def test_a_promotion_is_taken_up_by_a_running_house(tmp_path: Path, registry: Registry, files: Any) -> None:
    if not (BUILT / "encoder.json").exists():
        pytest.skip("the encoder is not built: weir encoder build")
    encoder = read_card(BUILT).version
    path = config(tmp_path, {"auto": {"policy": LEARNED}}, server={"reload_seconds": 0.05})
    state = tmp_path / "state"
    state.mkdir(exist_ok=True)
    house = House(load(path, {}), path, state=state, bound_to="127.0.0.1")
    try:
        await house.open()

        def current() -> str:
            known = house.choice.shelves["auto"].of("acme")
            return known.version if known is not None else ""

        async def in_use(version: str) -> None:
            async with asyncio.timeout(20):
                while current() != version:  # noqa: ASYNC110 - it is read in a thread
                    await asyncio.sleep(0.01)

        assert current() == ""
        first = promote(registry, files, "auto", "acme", {"encoder": encoder})
        await in_use(first)
        assert house.choice.shelves["auto"].of("globex") is None
        second = promote(registry, files, "auto", "acme", {"encoder": encoder, "summary": "another"})
        await in_use(second)
        registry.rollback(ROUTER, "auto/acme", by="test", reason="a test")
        await in_use(first)
        assert b'weir_router_heads{route="auto"} 1.0' in house.metrics.page()
    finally:
        await house.close()
