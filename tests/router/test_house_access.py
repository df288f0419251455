"""What is changed in the database counts in the running house at once, and outlives the database."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from contracts.access import Author
from ledger.audit_log import CONFIGURATION, list_entries
from ledger.stored_keys import create_key
from ledger.stored_tenants import close_tenant
from tests.router.web.houses import ADMIN, CONFIG, HELLO, ask, house_in

CHAT = "/v1/chat/completions"


async def test_a_tenant_of_the_database_is_served_until_it_is_closed(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (house, front):
        setup = house.pipeline.setup
        assert (
            await ask(front, "POST", "/admin/v1/tenants", ADMIN, {"name": "initech", "models": []})
        ).status == 201
        made = (await ask(front, "POST", "/admin/v1/keys", ADMIN, {"tenant": "initech"})).json
        assert (await ask(front, "POST", CHAT, made["secret"], HELLO)).status == 200
        listed = (await ask(front, "GET", "/v1/models", made["secret"])).json
        assert [one["id"] for one in listed["data"]] == ["auto"], "it may name no model"
        assert (await ask(front, "PATCH", "/admin/v1/tenants/initech", ADMIN, {"routes": []})).status == 200
        assert (await ask(front, "POST", CHAT, made["secret"], HELLO)).status == 404
        assert house.pipeline.setup is setup, "no new one is needed"
        assert (await ask(front, "DELETE", "/admin/v1/tenants/initech", ADMIN)).status == 200
        assert (await ask(front, "POST", CHAT, made["secret"], HELLO)).status == 401


async def test_a_reload_keeps_the_tenants_of_the_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADMIN", "METRICS"):  # a reload reads the environment
        monkeypatch.setenv(name, f"sk-{name.lower()}")
    async with house_in(tmp_path) as (house, front):
        await ask(front, "POST", "/admin/v1/tenants", ADMIN, {"name": "initech"})
        made = (await ask(front, "POST", "/admin/v1/keys", ADMIN, {"tenant": "initech"})).json
        (tmp_path / "weir.yaml").write_text(yaml.safe_dump({**CONFIG, "tenants": {"hooli": {}}}, sort_keys=False))
        assert await house.reload() == "taken"
        assert (await ask(front, "POST", CHAT, made["secret"], HELLO)).status == 200
        assert (await ask(front, "POST", CHAT, "sk-acme", HELLO)).status == 401
        await house.keys.directory.first_look()
        told = [entry for entry in await list_entries(house.database) if entry.what == CONFIGURATION]
        assert [entry.subject for entry in told] == [str(tmp_path / "weir.yaml")] * 2
        assert told[0].after == told[1].before != told[1].after


async def test_a_start_without_the_database_serves_whom_it_knew(tmp_path: Path) -> None:
    by = Author("admin")
    async with house_in(tmp_path) as (house, front):
        await ask(front, "POST", "/admin/v1/tenants", ADMIN, {"name": "initech", "routes": ["auto"]})
        _, good = await create_key(house.database, "initech", author=by)
        _, other = await create_key(house.database, "hooli", author=by)
        _, viewer = await create_key(house.database, "", author=by, role="viewer")
        await house.keys.refresh()
    for file in (tmp_path / "state").glob("weir.db*"):
        file.unlink()
    (tmp_path / "state/weir.db").mkdir()  # no database can be there now
    async with house_in(tmp_path) as (house, front):
        assert not house.keys.database_up
        assert (await ask(front, "POST", CHAT, good, HELLO)).status == 200
        assert (await ask(front, "POST", CHAT, other, HELLO)).status == 401, "of no tenant"
        assert (await ask(front, "POST", CHAT, "sk-weir-made-since", HELLO)).status == 503
        assert (await ask(front, "GET", "/metrics", viewer)).status == 200
        assert (await ask(front, "GET", "/readyz", "")).json["parts"]["keys"] == "ok"


async def test_what_another_process_closed_is_closed_here(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (house, front):
        await ask(front, "POST", "/admin/v1/tenants", ADMIN, {"name": "initech"})
        made = (await ask(front, "POST", "/admin/v1/keys", ADMIN, {"tenant": "initech"})).json
        await close_tenant(house.database, "initech", author=Author("cli:ada"))
        await house.keys.refresh()
        assert (await ask(front, "POST", CHAT, made["secret"], HELLO)).status == 401
