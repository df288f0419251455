"""What a new configuration starts, keeps and lets go, and that one that cannot start changes nothing."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.errors import ConnectionRefused
from contracts.ports import Upstream
from router.config import schema
from router.config.load import Loaded, load
from router.upstreams.fleet import Fleet
from tests.router.plain import PlainUpstream, whole

PRICE = {"input": 1, "output": 2}
ENVIRON = {"HOSTED_KEY": "sk-one", "TEAM": "blue"}
HOSTED = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "${HOSTED_KEY}"}
TEAMED = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "headers": {"x-team": "${TEAM}"}}
LIBRARY = {"kind": "litellm", "provider": "anthropic", "options": {"api_version": "1"}}
SCRIPTED = {"kind": "scripted", "knowledge": "faq.jsonl"}
GGUF = {"kind": "gguf", "path": "tiny.gguf"}
EVERY: Mapping[str, Mapping[str, Any]] = {
    "hosted": HOSTED,
    "teamed": TEAMED,
    "library": LIBRARY,
    "scripted": SCRIPTED,
    "gguf": GGUF,
}


class Yard:
    """Makes plain upstreams, in `made`; those named in `unfit` cannot be started, those in `slow` take a while."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[PlainUpstream] = []
        self.unfit: set[str] = set()
        self.slow: set[str] = set()
        self.fleet = Fleet(self._make)
        (folder / "faq.jsonl").write_text('{"questions": ["a"], "answer": "b"}\n')
        (folder / "tiny.gguf").write_bytes(b"GGUF")

    def _make(self, name: str, upstream: schema.Upstream, loaded: Loaded) -> Upstream:
        self.made.append(_Ship(name, whole(), yard=self))
        return self.made[-1]

    def loaded(
        self, upstreams: Mapping[str, Any], environ: Mapping[str, str] = ENVIRON, unused: tuple[str, ...] = ()
    ) -> Loaded:
        """A configuration of `upstreams`, each with one model unless it is `unused`."""
        models = {f"of-{name}": {"upstream": name, "price": PRICE} for name in upstreams if name not in unused}
        path = self.folder / "weir.yaml"
        path.write_text(
            yaml.safe_dump(
                {
                    "upstreams": {name: dict(upstream) for name, upstream in upstreams.items()},
                    "models": models,
                    "tenants": {},
                }
            )
        )
        return load(path, environ)


class _Ship(PlainUpstream):
    def __init__(self, name: str, *turns: Any, yard: Yard) -> None:
        super().__init__(name, *turns)
        self._yard = yard

    async def start(self) -> None:
        if self.name in self._yard.unfit:
            raise ConnectionRefused(f"{self.name} cannot start")
        if self.name in self._yard.slow:
            await asyncio.sleep(0.01)
        await super().start()

    async def close(self) -> None:
        await super().close()
        self.started = 0


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


async def test_what_models_use_is_started_once(yard: Yard) -> None:
    assert await yard.fleet.sail(yard.loaded(EVERY)) == []
    assert set(yard.fleet.running) == set(EVERY)
    assert [upstream.started for upstream in yard.made] == [1] * len(EVERY)


async def test_what_no_model_uses_is_not(yard: Yard) -> None:
    await yard.fleet.sail(yard.loaded(EVERY, unused=("gguf", "library")))
    assert set(yard.fleet.running) == {"hosted", "teamed", "scripted"}


async def test_a_stand_in_is_started_in_place_of_what_has_no_key(yard: Yard) -> None:
    upstreams = {"hosted": {**HOSTED, "stand_in": "scripted"}, "scripted": SCRIPTED}
    await yard.fleet.sail(yard.loaded(upstreams, {}, unused=("scripted",)))
    assert set(yard.fleet.running) == {"scripted"}
    gone = await yard.fleet.sail(yard.loaded(upstreams, unused=("scripted",)))
    assert set(yard.fleet.running) == {"hosted"}
    assert [upstream.name for upstream in gone] == ["scripted"]


async def test_what_stays_as_it_was_goes_on(yard: Yard) -> None:
    await yard.fleet.sail(yard.loaded(EVERY))
    before = dict(yard.fleet.running)
    assert await yard.fleet.sail(yard.loaded(EVERY)) == []
    assert dict(yard.fleet.running) == before
    assert len(yard.made) == len(EVERY)
    assert not any(upstream.closed for upstream in yard.made)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("hosted", {"connect_seconds": 9}),
        ("teamed", {"headers": {}}),
        ("library", {"options": {"api_version": "2"}}),
        ("gguf", {"threads": 2}),
    ],
)
async def test_what_is_set_differently_is_replaced_alone(yard: Yard, name: str, changes: dict[str, Any]) -> None:
    await yard.fleet.sail(yard.loaded(EVERY))
    before = dict(yard.fleet.running)
    gone = await yard.fleet.sail(yard.loaded({**EVERY, name: {**EVERY[name], **changes}}))
    assert gone == [before[name]]
    assert {kept for kept in EVERY if yard.fleet.running[kept] is before[kept]} == set(EVERY) - {name}


@pytest.mark.parametrize(("variable", "name"), [("HOSTED_KEY", "hosted"), ("TEAM", "teamed")])
async def test_so_is_one_whose_secret_has_another_value(yard: Yard, variable: str, name: str) -> None:
    await yard.fleet.sail(yard.loaded(EVERY))
    gone = await yard.fleet.sail(yard.loaded(EVERY, {**ENVIRON, variable: "new"}))
    assert [upstream.name for upstream in gone] == [name]


@pytest.mark.parametrize(("file", "name"), [("faq.jsonl", "scripted"), ("tiny.gguf", "gguf")])
async def test_and_one_whose_file_has_changed(yard: Yard, file: str, name: str) -> None:
    await yard.fleet.sail(yard.loaded(EVERY))
    os.utime(yard.folder / file, ns=(1, 1))
    gone = await yard.fleet.sail(yard.loaded(EVERY))
    assert [upstream.name for upstream in gone] == [name]


async def test_what_is_no_longer_used_is_handed_over_still_open(yard: Yard) -> None:
    await yard.fleet.sail(yard.loaded(EVERY))
    gone = await yard.fleet.sail(yard.loaded({"hosted": HOSTED}))
    assert {upstream.name for upstream in gone} == set(EVERY) - {"hosted"}
    assert set(yard.fleet.running) == {"hosted"}
    assert not any(upstream.closed for upstream in yard.made)


async def test_one_that_cannot_start_changes_nothing(yard: Yard) -> None:
    await yard.fleet.sail(yard.loaded({"hosted": HOSTED}))
    before = yard.fleet.running
    yard.unfit.add("scripted")
    with pytest.raises(ConnectionRefused, match="scripted cannot start"):
        await yard.fleet.sail(yard.loaded({"scripted": SCRIPTED, "teamed": TEAMED}))
    assert yard.fleet.running is before
    hosted, *others = yard.made
    assert (hosted.started, hosted.closed) == (1, 0)
    assert [upstream.closed for upstream in others] == [1, 1]
    assert await yard.fleet.sail(yard.loaded({"hosted": HOSTED})) == []


async def test_and_leaves_none_running_that_was_still_starting(yard: Yard) -> None:
    yard.unfit.add("scripted")
    yard.slow.add("gguf")
    with pytest.raises(ConnectionRefused):
        await yard.fleet.sail(yard.loaded({"scripted": SCRIPTED, "gguf": GGUF}))
    await asyncio.sleep(0.05)
    assert [upstream.started for upstream in yard.made] == [0, 0]


async def test_a_start_that_is_cancelled_leaves_none_running_either(yard: Yard) -> None:
    yard.slow.add("gguf")
    sailing = asyncio.create_task(yard.fleet.sail(yard.loaded({"scripted": SCRIPTED, "gguf": GGUF})))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    sailing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sailing
    assert yard.fleet.running == {}
    assert [upstream.closed for upstream in yard.made] == [1, 1]


async def test_closing_closes_what_runs(yard: Yard) -> None:
    await yard.fleet.sail(yard.loaded(EVERY))
    await yard.fleet.close()
    assert [upstream.closed for upstream in yard.made] == [1] * len(EVERY)
