"""The OpenAPI document describes what is served, the hot endpoints included, and is shown to key holders only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi import FastAPI

from contracts.errors import InvalidRequest
from contracts.records import Endpoint
from contracts.request import ModelRequest
from router.access import Operators
from router.health import Health
from router.metrics import Metrics
from router.web.app import pages_app
from router.web.openapi import document, openapi_page
from router.web.pages import operator_pages
from tests.router.plain import PlainUpstream, Works, setup_over, whole, works_over
from tests.router.web.wire import Wire

OPERATORS = Operators("the admin's key", "the metrics key")
ENDPOINTS: tuple[Endpoint, ...] = get_args(Endpoint)


@pytest.fixture
async def works(tmp_path: Path) -> AsyncIterator[Works]:
    async with works_over(setup_over({"good": PlainUpstream("plain", whole())}), tmp_path) as works:
        yield works


@pytest.fixture
def app(works: Works) -> FastAPI:
    health = Health(
        keys=works.keys,
        events=works.spool,
        permits=works.permits,
        upstreams=dict,
        database_up=lambda: True,
    )

    async def metrics() -> bytes:
        return Metrics().page()

    app = pages_app([operator_pages(health, metrics, OPERATORS)])
    app.include_router(openapi_page(app, works.keys, OPERATORS))
    return app


def schema_of(whole: dict[str, Any], endpoint: str) -> dict[str, Any]:
    body = whole["paths"][f"/v1/{endpoint}"]["post"]["requestBody"]
    return dict(body["content"]["application/json"]["schema"])


@pytest.mark.parametrize(
    ("key", "status"), [("the admin's key", 200), ("sk-weir-of-acme", 200), ("the metrics key", 503), ("", 401)]
)
async def test_it_is_shown_to_the_admin_and_to_tenants(app: FastAPI, works: Works, key: str, status: int) -> None:
    wire = await Wire(path="/openapi.json", method="GET", key=key).through(app)
    assert wire.status == status  # 503: no key of a tenant, as far as is known before the database was read
    if status == 200:
        assert wire.json["openapi"].startswith("3.1")


async def test_every_hot_endpoint_is_in_it(app: FastAPI) -> None:
    whole = document(app)
    for endpoint in ENDPOINTS:
        operation = whole["paths"][f"/v1/{endpoint}"]["post"]
        assert operation["operationId"] == endpoint.replace("/", "_")
        assert {"200", "400", "401", "413", "429", "503", "504"} <= set(operation["responses"])


async def test_everything_asks_for_a_key_except_health(app: FastAPI) -> None:
    whole = document(app)
    assert whole["security"] == [{"key": []}]
    assert whole["components"]["securitySchemes"]["key"] == {"type": "http", "scheme": "bearer"}
    without = {
        path
        for path, operations in whole["paths"].items()
        for operation in operations.values()
        if operation.get("security") == []
    }
    assert without == {"/healthz", "/readyz"}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_what_it_requires_is_what_is_required(app: FastAPI, endpoint: Endpoint) -> None:
    schema = schema_of(document(app), endpoint)
    samples = {"model": "auto", "messages": [{"role": "user"}], "prompt": "Hello", "input": "Hello"}
    good = {name: samples[name] for name in schema["required"]}
    ModelRequest(endpoint, good)
    for name in schema["required"]:
        with pytest.raises(InvalidRequest):
            ModelRequest(endpoint, {field: value for field, value in good.items() if field != name})
    assert schema["additionalProperties"] is True


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_the_bounds_it_states_are_the_bounds(app: FastAPI, endpoint: Endpoint) -> None:
    good = {"model": "auto", "messages": [{"role": "user"}], "prompt": "Hello", "input": "Hello"}
    for name, rule in schema_of(document(app), endpoint)["properties"].items():
        for side in ("minimum", "maximum"):
            if side in rule:
                ModelRequest(endpoint, {**good, name: rule[side]})
        if "maximum" in rule:
            with pytest.raises(InvalidRequest):
                ModelRequest(endpoint, {**good, name: rule["maximum"] + 1})
