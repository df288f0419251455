"""Keys, tenants and budgets over the admin's API: what is taken, what is refused, and who sees what of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson
import pytest
from fastapi import FastAPI

from contracts.access import Author
from contracts.budgets import Standing
from contracts.errors import BudgetUnavailable
from contracts.records import Role
from ledger.access_doors import StoredBudgets, StoredHistory, StoredKeys, StoredTenants
from ledger.audit_log import verify
from ledger.database import Database, sqlite_url
from ledger.keys import MemoryKeyring
from ledger.stored_keys import create_key
from router.access import Operators
from router.config.schema import Config
from router.setup import Access, Setup
from router.tenancy import Tenancy
from router.web.access_pages import audit_pages, budget_pages, tenant_pages
from router.web.admin import admin_pages
from router.web.app import pages_app
from tests.router.plain import PlainUpstream, plan, setup_over, whole
from tests.router.web.wire import Wire

ADMIN = "the admin's key"
CONFIG = Config.model_validate(
    {
        "upstreams": {"scripted": {"kind": "scripted"}},
        "models": {"good": {"upstream": "scripted"}},
        "tenants": {"acme": {}, "globex": {"routes": ["support"], "models": []}},
        "budgets": {
            "all": {"usd": "100", "per": "month"},
            "globex-day": {"requests": 5, "per": "day", "tenant": "globex"},
        },
    }
)
HOSTILE = ["no-such", "a b", "a/b", "x" * 10_000, "a\nb", "\0", "pool:faq", "", "émile", "'; DROP TABLE keys; --"]


@dataclass
class Counters:
    """Standings as a counting engine would give them."""

    found: Sequence[Standing] = ()
    down: bool = False

    async def standings(self) -> Sequence[Standing]:
        if self.down:
            raise BudgetUnavailable("down")
        return self.found


@dataclass(kw_only=True)
class Desk:
    app: FastAPI
    database: Database
    keyring: MemoryKeyring
    counters: Counters
    reasons: list[str] = field(default_factory=list)

    async def send(self, method: str, path: str, body: object = None, key: str = ADMIN) -> Wire:
        raw, _, query = path.partition("?")
        pieces = [] if body is None else [orjson.dumps(body)]
        wire = Wire(*pieces, path=unquote(raw), method=method, key=key, content_type="application/json")
        wire.scope["query_string"] = query.encode()
        return await wire.through(self.app)

    async def ok(self, method: str, path: str, body: object = None, key: str = ADMIN) -> Any:
        wire = await self.send(method, path, body, key)
        assert wire.status in (200, 201), wire.json
        return wire.json

    async def staff(self, role: Role, tenant: str = "") -> str:
        _, secret = await create_key(self.database, tenant, author=Author("admin"), role=role)
        await self.keyring.refresh()
        return secret

    async def changes(self) -> list[Mapping[str, Any]]:
        return list((await self.ok("GET", "/admin/v1/audit"))["data"])


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    database = Database(sqlite_url(tmp_path))
    keyring = MemoryKeyring((), CONFIG.tenants, database)
    await keyring.refresh()
    tenancy = Tenancy()
    tenancy.declare(
        {
            "acme": Access(routes=None, models=None),
            "globex": Access(routes=frozenset({"support"}), models=frozenset()),
        }
    )
    keyring.directory.follow(lambda known: tenancy.take(known.open_tenants().values()))
    made = setup_over({"good": PlainUpstream("plain", whole())}, plan("support", "good"), plan("auto", "good"))
    setup = Setup(plans=made.plans, deployments=made.deployments, tenants=tenancy, prices=made.prices)
    operators, counters = Operators(ADMIN, None, keyring), Counters()

    async def reload() -> str:
        return "unchanged"

    app = pages_app(
        [
            admin_pages(operators, StoredKeys(database, keyring), lambda: setup, reload),
            tenant_pages(operators, StoredTenants(database, keyring), lambda: setup, lambda: CONFIG),
            budget_pages(operators, StoredBudgets(database, keyring), lambda: setup, lambda: CONFIG, counters),
            audit_pages(operators, StoredHistory(database)),
        ]
    )
    yield Desk(app=app, database=database, keyring=keyring, counters=counters)
    assert (await verify(database)).problem is None
    await database.close()


# --- tenants


async def test_a_tenant_is_made_used_changed_and_closed(desk: Desk) -> None:
    made = await desk.ok("POST", "/admin/v1/tenants?reason=new", {"name": "initech", "routes": ["support"]})
    assert (made["name"], made["from"], made["routes"], made["models"]) == (
        "initech",
        "database",
        ["support"],
        None,
    )
    key = await desk.ok("POST", "/admin/v1/keys", {"tenant": "initech", "routes": ["support"]})
    assert desk.keyring.find(key["secret"]).tenant == "initech"
    changed = await desk.ok("PATCH", "/admin/v1/tenants/initech", {"routes": None, "refused_models": ["good"]})
    assert (changed["routes"], changed["models"], changed["refused_models"]) == (None, None, ["good"])
    listed = (await desk.ok("GET", "/admin/v1/tenants"))["data"]
    assert [(one["name"], one["from"]) for one in listed] == [
        ("acme", "configuration"),
        ("globex", "configuration"),
        ("initech", "database"),
    ]
    assert (await desk.ok("DELETE", "/admin/v1/tenants/initech"))["closed_at"]
    assert (await desk.send("POST", "/admin/v1/keys", {"tenant": "initech"})).status == 400
    changes = await desk.changes()
    assert [(entry["what"], entry["by"], entry["reason"]) for entry in changes] == [
        ("tenant.created", "admin", "new"),
        ("key.created", "admin", ""),
        ("tenant.changed", "admin", ""),
        ("tenant.closed", "admin", ""),
    ]


@pytest.mark.parametrize("name", HOSTILE[1:])
async def test_a_name_that_none_may_have_is_refused(desk: Desk, name: str) -> None:
    wire = await desk.send("POST", "/admin/v1/tenants", {"name": name})
    fine = name == "a/b"  # as the configuration takes it
    assert wire.status == (201 if fine else 400)
    if not fine:
        assert wire.json["error"]["param"] == "name"
        assert len(wire.json["error"]["message"]) < 500


async def test_a_name_with_a_slash_can_be_closed_again(desk: Desk) -> None:
    await desk.ok("POST", "/admin/v1/tenants", {"name": "a/b"})
    assert (await desk.ok("DELETE", f"/admin/v1/tenants/{quote('a/b')}"))["closed_at"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "told"),
    [
        ("POST", "", {"name": "acme"}, 400, "already"),
        ("POST", "", {"name": "new", "routes": ["suport"]}, 400, "Did you mean 'support'?"),
        ("POST", "", {"name": "new", "models": ["auto"]}, 400, "There is no model 'auto'"),
        ("POST", "", {"name": "new", "refused_models": ["x"]}, 400, "There is no model 'x'"),
        ("POST", "", {"name": "new", "key": "x"}, 400, "key"),
        ("POST", "", {}, 400, "name"),
        ("PATCH", "/acme", {"routes": []}, 400, "in the configuration"),
        ("PATCH", "/nobody", {"routes": []}, 404, "There is no tenant"),
        ("PATCH", "/nobody", {}, 400, "what is to change"),
        ("PATCH", "/nobody", {"refused_models": None}, 400, "must be a list"),
        ("DELETE", "/acme", None, 400, "in the configuration"),
        ("DELETE", "/nobody", None, 404, "There is no tenant"),
        ("DELETE", "/nobody?reason=" + "x" * 513, None, 400, "reason"),
        ("DELETE", "/nobody?reason=%00", None, 400, "reason"),
    ],
)
async def test_mistakes_with_tenants_are_told(
    desk: Desk, method: str, path: str, body: object, status: int, told: str
) -> None:
    wire = await desk.send(method, f"/admin/v1/tenants{path}", body)
    assert wire.status == status
    assert told in wire.json["error"]["message"]
    assert await desk.changes() == []


async def test_a_name_is_not_given_twice(desk: Desk) -> None:
    await desk.ok("POST", "/admin/v1/tenants", {"name": "initech"})
    assert (await desk.send("POST", "/admin/v1/tenants", {"name": "initech"})).status == 400
    await desk.ok("DELETE", "/admin/v1/tenants/initech")
    wire = await desk.send("POST", "/admin/v1/tenants", {"name": "initech"})
    assert wire.status == 400
    assert "not given again" in wire.json["error"]["message"]


# --- keys


@pytest.mark.parametrize("tenant", HOSTILE)
async def test_a_key_of_an_unknown_tenant_is_refused(desk: Desk, tenant: str) -> None:
    wire = await desk.send("POST", "/admin/v1/keys", {"tenant": tenant})
    assert wire.status == 400
    assert wire.json["error"]["param"] == "tenant"
    assert len(wire.json["error"]["message"]) < 500


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tenant": "acme", "name": "x" * 10_000}, "name"),
        ({"tenant": "acme", "name": "a\x1b[31m"}, "name"),
        ({"tenant": "acme", "routes": ["good"]}, "routes"),
        ({"tenant": "acme", "models": ["support"]}, "models"),
        ({"tenant": "acme", "role": "admin"}, "role"),
        ({"tenant": "acme", "role": "viewer", "routes": ["support"]}, "role"),
        ({"role": ""}, "tenant"),
        ({"tenant": "acme", "secret": "x"}, "secret"),
        ({"tenant": None}, "tenant"),
    ],
)
async def test_mistakes_with_keys_are_told(desk: Desk, body: object, param: str) -> None:
    wire = await desk.send("POST", "/admin/v1/keys", body)
    assert (wire.status, wire.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize("key_id", [quote(name, safe="") for name in HOSTILE if name])
async def test_revoking_what_is_not_there_says_so(desk: Desk, key_id: str) -> None:
    assert (await desk.send("DELETE", f"/admin/v1/keys/{key_id}")).status == 404


async def test_only_an_approver_makes_and_revokes_keys_of_the_staff(desk: Desk) -> None:
    operator, approver = await desk.staff("operator"), await desk.staff("approver")
    new = {"role": "viewer", "name": "finance"}
    assert (await desk.send("POST", "/admin/v1/keys", new, operator)).status == 403
    made = await desk.ok("POST", "/admin/v1/keys", new, approver)
    assert (made["role"], made["tenant"]) == ("viewer", "")
    assert (await desk.send("DELETE", f"/admin/v1/keys/{made['id']}", None, operator)).status == 403
    assert await desk.ok("DELETE", f"/admin/v1/keys/{made['id']}", None, approver)
    assert desk.keyring.staff(made["secret"]) is None
    tenants = await desk.ok("POST", "/admin/v1/keys", {"tenant": "acme"}, operator)
    changes = await desk.changes()
    assert (changes[-1]["subject"], changes[-1]["by"][:4]) == (tenants["id"], "key_")


async def test_the_staff_of_one_tenant_sees_and_changes_its_keys_only(desk: Desk) -> None:
    operator, approver = await desk.staff("operator", "globex"), await desk.staff("approver", "globex")
    own = await desk.ok("POST", "/admin/v1/keys", {"tenant": "globex", "routes": ["support"]}, operator)
    other = await desk.ok("POST", "/admin/v1/keys", {"tenant": "acme"})
    of_all = await desk.ok("POST", "/admin/v1/keys", {"role": "viewer"})
    listed = (await desk.ok("GET", "/admin/v1/keys", None, operator))["data"]
    assert {key["tenant"] for key in listed} == {"globex"}
    for path in ("?tenant=acme", "?tenant=nobody"):
        wire = await desk.send("GET", f"/admin/v1/keys{path}", None, operator)
        assert (wire.status, wire.json["error"]["code"]) == (404, "not_found")
    told = {}
    for tenant in ("acme", "nobody"):
        wire = await desk.send("POST", "/admin/v1/keys", {"tenant": tenant}, operator)
        assert wire.status == 404
        told[tenant] = wire.json["error"]["message"].replace(tenant, "")
    assert told["acme"] == told["nobody"], "no word of who there is"
    for key in (other, of_all):
        wire = await desk.send("DELETE", f"/admin/v1/keys/{key['id']}", None, approver)
        assert wire.status == 404
    wire = await desk.send("POST", "/admin/v1/keys", {"tenant": "globex", "routes": ["auto"]}, operator)
    assert wire.status == 400
    assert "auto" not in wire.json["error"]["message"].partition("There are")[2], "it names what the tenant may use"
    made = await desk.ok("POST", "/admin/v1/keys", {"role": "approver"}, approver)
    assert made["tenant"] == "globex", "no further than its maker"
    assert await desk.ok("DELETE", f"/admin/v1/keys/{own['id']}", None, operator)


# --- budgets


async def test_a_budget_is_set_shown_and_removed(desk: Desk) -> None:
    made = await desk.ok("PUT", "/admin/v1/budgets/calm", {"requests": 60, "per": "minute", "each": ["key"]})
    assert (made["requests"], made["per"], made["hard"], made["each"]) == (60, "minute", True, ["key"])
    desk.counters.found = [
        Standing(
            budget="all", account={}, measure="usd", hard=True, window="month", spent=1_500_000_000,
            held=500_000_000, limit=100_000_000_000, resets_at=datetime(2026, 12, 1, tzinfo=UTC),
        ),
        Standing(
            budget="calm", account={"key": "key_1"}, measure="requests", hard=True, window="minute", spent=60,
            held=0, limit=60, resets_at=None,
        ),
    ]  # fmt: skip
    first, second, third = (await desk.ok("GET", "/admin/v1/budgets"))["data"]
    assert (first["name"], first["from"], first["usd"]) == ("all", "configuration", "100")
    assert first["accounts"] == [
        {
            "account": {}, "spent": "1.5", "held": "0.5", "left": "98",
            "limit": "100", "resets_at": "2026-12-01T00:00:00+00:00",
        }
    ]  # fmt: skip
    assert (second["name"], second["from"], second["accounts"][0]["left"]) == ("calm", "database", 0)
    assert (third["name"], third["accounts"]) == ("globex-day", [])
    desk.counters.down = True
    assert [one["accounts"] for one in (await desk.ok("GET", "/admin/v1/budgets"))["data"]] == [None] * 3
    assert await desk.ok("DELETE", "/admin/v1/budgets/calm")
    assert (await desk.send("DELETE", "/admin/v1/budgets/calm")).status == 404
    assert [entry["what"] for entry in await desk.changes()] == ["budget.created", "budget.removed"]


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("x", {"requests": 5}, "per"),
        ("x", {"per": "day"}, "exactly one of requests, tokens, usd"),
        ("x", {"per": "day", "requests": 5, "usd": 1}, "exactly one of"),
        ("x", {"per": "day", "requests": 0}, "requests"),
        ("x", {"per": "day", "tokens": -1}, "tokens"),
        ("x", {"per": "day", "usd": "-1"}, "usd"),
        ("x", {"per": "day", "usd": 0}, "usd"),
        ("x", {"per": "day", "usd": "NaN"}, "usd"),
        ("x", {"per": "day", "usd": "1e30"}, "usd"),
        ("x", {"per": "day", "usd": "0.0000000001"}, "usd"),
        ("x", {"per": "day", "requests": 2**63}, "requests"),
        ("x", {"per": "day", "tokens": 2**53}, "tokens"),
        ("x", {"per": "week", "requests": 5}, "per"),
        ("x", {"per": "day", "requests": 5, "tenant": "nobody"}, "There is no tenant 'nobody'"),
        ("x", {"per": "day", "requests": 5, "route": "supprt"}, "Did you mean 'support'?"),
        ("x", {"per": "day", "requests": 5, "model": "support"}, "There is no model 'support'"),
        ("x", {"per": "day", "requests": 5, "tag": "team"}, "tag"),
        ("x", {"per": "day", "requests": 5, "tag": "team=\x00"}, "tag"),
        ("x", {"per": "day", "requests": 5, "key": "\n"}, "key"),
        ("x", {"per": "day", "requests": 5, "warn_at": [0]}, "warn_at"),
        ("x", {"per": "day", "requests": 5, "limit": 5}, "limit"),
        ("a b", {"per": "day", "requests": 5}, "name"),
        ("x" * 10_000, {"per": "day", "requests": 5}, "name"),
        ("a\x1bb", {"per": "day", "requests": 5}, "name"),
        ("all", {"per": "day", "requests": 5}, "in the configuration"),
    ],
)
async def test_mistakes_with_budgets_are_told(desk: Desk, name: str, body: object, told: str) -> None:
    wire = await desk.send("PUT", f"/admin/v1/budgets/{quote(name)}", body)
    assert wire.status == 400
    assert told in f"{wire.json['error']['param']} {wire.json['error']['message']}"
    assert await desk.changes() == []


async def test_the_staff_of_one_tenant_sees_and_sets_its_budgets_only(desk: Desk) -> None:
    approver = await desk.staff("approver", "globex")
    await desk.ok("PUT", "/admin/v1/budgets/acme-day", {"requests": 5, "per": "day", "tenant": "acme"})
    small = {"requests": 5, "per": "day"}
    assert (await desk.send("PUT", "/admin/v1/budgets/mine", small, approver)).status == 400, "not of all"
    wire = await desk.send("PUT", "/admin/v1/budgets/mine", small | {"tenant": "acme"}, approver)
    assert wire.status == 404
    await desk.ok("PUT", "/admin/v1/budgets/mine", small | {"tenant": "globex"}, approver)
    for name in ("acme-day", "all"):
        wire = await desk.send("PUT", f"/admin/v1/budgets/{name}", small | {"tenant": "globex"}, approver)
        assert wire.status == 404, name
        assert (await desk.send("DELETE", f"/admin/v1/budgets/{name}", None, approver)).status == 404
    listed = (await desk.ok("GET", "/admin/v1/budgets", None, approver))["data"]
    assert [budget["name"] for budget in listed] == ["globex-day", "mine"]
    assert await desk.ok("DELETE", "/admin/v1/budgets/mine", None, approver)


# --- the log


async def test_changes_are_searched_by_subject_and_time(desk: Desk) -> None:
    await desk.ok("POST", "/admin/v1/tenants", {"name": "initech"})
    await desk.ok("PUT", "/admin/v1/budgets/calm", {"requests": 60, "per": "minute"})
    found = await desk.ok("GET", "/admin/v1/audit?subject=initech")
    assert [entry["number"] for entry in found["data"]] == [1]
    since = quote(found["data"][0]["at"])
    assert len((await desk.ok("GET", f"/admin/v1/audit?since={since}"))["data"]) == 2
    assert (await desk.ok("GET", "/admin/v1/audit?since=2999-01-01T00:00:00"))["data"] == []
    assert (await desk.ok("GET", "/admin/v1/audit?limit=1"))["data"][0]["what"] == "budget.created"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/admin/v1/keys?tenant=%00", 400),
        ("DELETE", "/admin/v1/keys/%00", 404),
        ("GET", "/admin/v1/audit?subject=%00", 400),
        ("DELETE", "/admin/v1/budgets/%00", 400),
        ("DELETE", "/admin/v1/tenants/%00", 400),
        ("GET", "/admin/v1/audit?since=yesterday", 400),
        ("GET", "/admin/v1/audit?limit=0", 400),
    ],
)
async def test_what_no_database_can_look_for_is_not_looked_for(
    desk: Desk, method: str, path: str, status: int
) -> None:
    assert (await desk.send(method, path)).status == status
