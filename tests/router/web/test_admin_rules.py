"""Every path under /admin, asked by everyone there is: who may come in stands in one table, and nowhere else.

The paths are those of a whole house. One that is not in the table fails the test, and so does a row without a path.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from contracts.access import Author
from contracts.records import Role
from ledger.stored_keys import create_key
from router.access import ROLES
from router.main import House
from router.web.app import Front
from tests.router.web.houses import ADMIN, METRICS, ask, house_in
from tests.router.web.wire import Wire

ALL, ONE = "all tenants", "one tenant too"


class Rule(NamedTuple):
    """From which role on, and whether the staff of one tenant may."""

    role: Role
    scope: str


RULES: Mapping[tuple[str, str], Rule] = {
    ("GET", "/admin/v1/keys"): Rule("viewer", ONE),
    ("POST", "/admin/v1/keys"): Rule("operator", ONE),
    ("DELETE", "/admin/v1/keys/{key_id}"): Rule("operator", ONE),
    ("POST", "/admin/v1/reload"): Rule("operator", ALL),
    ("GET", "/admin/v1/tenants"): Rule("viewer", ONE),
    ("POST", "/admin/v1/tenants"): Rule("approver", ALL),
    ("PATCH", "/admin/v1/tenants/{name}"): Rule("approver", ALL),
    ("DELETE", "/admin/v1/tenants/{name}"): Rule("approver", ALL),
    ("GET", "/admin/v1/budgets"): Rule("viewer", ONE),
    ("PUT", "/admin/v1/budgets/{name}"): Rule("approver", ONE),
    ("DELETE", "/admin/v1/budgets/{name}"): Rule("approver", ONE),
    ("GET", "/admin/v1/audit"): Rule("viewer", ALL),
    ("GET", "/admin/v1/cache"): Rule("viewer", ONE),
    ("DELETE", "/admin/v1/cache"): Rule("operator", ONE),
    ("GET", "/admin/v1/cache/entries"): Rule("viewer", ONE),
    ("DELETE", "/admin/v1/cache/entries/{entry}"): Rule("operator", ONE),
    ("DELETE", "/admin/v1/cache/tags/{tag}"): Rule("operator", ONE),
    ("GET", "/admin/v1/reports"): Rule("viewer", ONE),
    ("GET", "/admin/v1/reports/{name}"): Rule("viewer", ONE),
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[tuple[House, Front]]:
    async with house_in(tmp_path) as opened:
        yield opened


async def staff_keys(house: House) -> dict[tuple[Role, str], str]:
    """A key of each role for all tenants, and one for acme."""
    made = {}
    for role in ROLES:
        for tenant in ("", "acme"):
            _, made[role, tenant] = await create_key(house.database, tenant, author=Author("admin"), role=role)
    await house.keys.refresh()
    return made


async def paths(front: Front) -> list[tuple[str, str]]:
    document = (await ask(front, "GET", "/openapi.json", ADMIN)).json
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/admin")
    ]


async def test_every_path_has_a_rule_and_every_rule_a_path(house: tuple[House, Front]) -> None:
    _, front = house
    assert sorted(await paths(front)) == sorted(RULES)


def test_the_guide_has_the_same_table() -> None:
    page = (Path(__file__).parents[3] / "docs/guides/access.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+) (/admin\S+)` \| (\w+)[^|]* \| ([^|]+) \|$", page, re.MULTILINE)
    told = {(method, path): Rule(role, ALL if whose == "no" else ONE) for method, path, role, whose in rows}
    assert told == RULES


async def test_who_may_come_in_does_and_nobody_else(house: tuple[House, Front]) -> None:
    here, front = house
    keys = await staff_keys(here)
    for method, path in await paths(front):
        rule = RULES[method, path]
        where = path.format(key_id="key_none", name="nothing", entry="0" * 32, tag="x")
        assert (await ask(front, method, where, "")).status == 401
        assert (await ask(front, method, where, "sk-unknown")).status == 401
        for key in ("sk-acme", METRICS):
            wire = await ask(front, method, where, key)
            assert wire.status in (401, 403), (method, path)
        assert (await ask(front, method, where, ADMIN)).status not in (401, 403), (method, path)
        for (role, tenant), key in keys.items():
            may = ROLES.index(role) >= ROLES.index(rule.role) and (not tenant or rule.scope == ONE)
            wire = await ask(front, method, where, key)
            assert (wire.status not in (401, 403)) is may, (method, path, role, tenant, wire.status)
            if not may:
                assert wire.json["error"]["code"] == "access_denied"


async def test_the_body_is_not_read_before_the_key(house: tuple[House, Front]) -> None:
    here, front = house
    keys = await staff_keys(here)
    for key, status in (("", 401), (keys["viewer", ""], 403), (keys["operator", ""], 400)):
        wire = await Wire(b"{", path="/admin/v1/keys", key=key, content_type="application/json").through(front)
        assert wire.status == status


async def test_no_key_of_the_staff_answers_a_request(house: tuple[House, Front]) -> None:
    here, front = house
    keys = await staff_keys(here)
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    for key in ("sk-bob", *keys.values()):
        for method, path in (
            ("POST", "/v1/chat/completions"),
            ("GET", "/v1/models"),
            ("DELETE", "/v1/cache/tags/x"),
        ):
            wire = await ask(front, method, path, key, body if method == "POST" else None)
            assert (wire.status, wire.json["error"]["code"]) == (403, "access_denied"), path
    assert (await ask(front, "POST", "/v1/chat/completions", "sk-acme", body)).status == 200


async def test_metrics_are_for_the_metrics_key_and_for_who_looks_after_all(house: tuple[House, Front]) -> None:
    here, front = house
    keys = await staff_keys(here)
    for key, status in (
        (METRICS, 200),
        (ADMIN, 200),
        ("sk-bob", 200),
        (keys["viewer", ""], 200),
        (keys["approver", "acme"], 403),
        ("sk-acme", 403),
        ("sk-unknown", 401),
        ("", 401),
    ):
        assert (await ask(front, "GET", "/metrics", key)).status == status, key


async def test_decisions_are_for_their_tenant_and_its_staff(house: tuple[House, Front]) -> None:
    here, front = house
    keys = await staff_keys(here)
    _, theirs = await create_key(here.database, "globex", author=Author("admin"))
    await here.keys.refresh()
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
    request_id = (await ask(front, "POST", "/v1/chat/completions", theirs, body)).headers["x-weir-request-id"]
    decision = f"/v1/decisions/{request_id}"
    for key, status in (
        (theirs, 200),
        (keys["viewer", ""], 200),
        (keys["approver", "acme"], 404),
        ("sk-acme", 404),
    ):
        assert (await ask(front, "GET", decision, key)).status == status
    score = {"score": 1.0}
    for key, status in ((keys["viewer", ""], 403), (keys["operator", ""], 200), (keys["operator", "acme"], 404)):
        assert (await ask(front, "POST", f"{decision}/feedback", key, score)).status == status
        assert (await ask(front, "POST", f"{decision}/report", key)).status == status
    preview = "/v1/decisions/preview"
    assert (await ask(front, "POST", preview, keys["viewer", "acme"], body)).status == 200
    assert (await ask(front, "POST", preview, keys["viewer", ""], body)).status == 400, "for whom?"


async def test_with_the_database_down_an_unknown_key_is_not_judged(tmp_path: Path) -> None:
    async with house_in(tmp_path, ledger={"url": "${LEDGER}", "keys_refresh_seconds": 3600}) as (_, front):
        assert (await ask(front, "GET", "/admin/v1/keys", "sk-unknown")).status == 503
        assert (await ask(front, "GET", "/admin/v1/keys", ADMIN)).status == 503
        assert (await ask(front, "GET", "/admin/v1/keys", "sk-acme")).status == 403
        assert (await ask(front, "GET", "/metrics", "sk-bob")).status == 200
