"""A whole house in this process, with a tenant's key, a key of the staff, and all that may be asked of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml

from ledger.keys import hash_of
from router.config.load import load
from router.main import House
from router.web.app import Front
from tests.router.web.wire import Wire

CONFIG: Mapping[str, Any] = {
    "server": {"reload_seconds": 3600, "admin_key": "${ADMIN}", "metrics_key": "${METRICS}"},
    "ledger": {"keys_refresh_seconds": 3600},
    "upstreams": {"scripted": {"kind": "scripted"}},
    "models": {"echo": {"upstream": "scripted", "price": {"input": "1", "output": "2"}}},
    "routes": {"auto": {"candidates": ["echo"]}},
    "tenants": {"acme": {"keys": {"main": {"hash": hash_of("sk-acme")}}}, "globex": {}},
    "staff": {"bob": {"hash": hash_of("sk-bob"), "role": "viewer"}},
}
ADMIN, METRICS = "sk-admin", "sk-metrics"
NOWHERE = "postgresql://postgres@127.0.0.1:1/weir"
HELLO: Mapping[str, Any] = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def house_in(folder: Path, **changes: Any) -> AsyncIterator[tuple[House, Front]]:
    """Its configuration and its state are in `folder`; `changes` replace sections of `CONFIG`."""
    path, state = folder / "weir.yaml", folder / "state"
    path.write_text(yaml.safe_dump({**CONFIG, **changes}, sort_keys=False))
    state.mkdir(exist_ok=True)
    variables = {"ADMIN": ADMIN, "METRICS": METRICS, "LEDGER": NOWHERE}
    house = House(load(path, variables), path, state=state, bound_to="127.0.0.1")
    try:
        yield house, await house.open()
    finally:
        await house.close()


async def ask(front: Front, method: str, path: str, key: str, body: object = None) -> Wire:
    pieces = [] if body is None else [orjson.dumps(body)]
    wire = Wire(*pieces, path=path, method=method, key=key, content_type="application/json")
    return await wire.through(front)
