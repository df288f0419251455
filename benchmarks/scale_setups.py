"""The Weirs that `benchmarks/scale.py` measures: as shipped, but for the ledger's database and a second tenant.

One tenant is for the load, whose answers wrk does not read; the other for the requests that are counted to the last
digit.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import yaml
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.systems import WEIR_KEY, Command, process, weir_config
from ledger.database import driver_url

KEY = WEIR_KEY
COUNTED_KEY = "sk-weir-demo-counted"
LOADED, COUNTED = "acme", "counted"
"""The tenants, by name."""

_READY_WITHIN_S = 30.0


@dataclass(frozen=True)
class Weir:
    """One `weir serve`. `variables` are those of its environment that lead to its ledger."""

    url: str
    pid: int
    config: Path
    variables: Mapping[str, str]

    def headers(self, key: str) -> dict[str, str]:
        return {"content-type": "application/json", "authorization": f"Bearer {key}"}


@contextmanager
def new_folder() -> Iterator[Path]:
    """Removed at the end, with all that is in it."""
    with tempfile.TemporaryDirectory(prefix="bench-scale-") as name:
        yield Path(name)


@contextmanager
def serving(
    folder: Path, upstream_url: str, *, workers: int, database: str | None = None, **server: Any
) -> Iterator[Weir]:
    """Start one on a free port, wait until it listens, end it afterwards. Its books stay in `folder`.

    `database` is the URL of the ledger; None means SQLite. `server` is that section of the configuration.
    """
    variables = {"WEIR_STATE_DIR": str(folder / "state"), "WEIR_DATABASE_URL": database or ""}
    config = folder / "weir.yaml"
    config.write_text(yaml.safe_dump(_config(upstream_url, database, server)), encoding="utf-8")
    arguments = f"-m weir serve --config {config} --port 0 --workers {workers} --log-level warning"
    with process(Command([sys.executable, *arguments.split()], variables), folder) as started:
        yield Weir(_url(started, folder / "log"), started.pid, config, variables)


def _config(upstream_url: str, database: str | None, server: Mapping[str, Any]) -> dict[str, Any]:
    config = weir_config(upstream_url)
    key_hash = f"sha256:{sha256(COUNTED_KEY.encode()).hexdigest()}"
    config["tenants"][COUNTED] = {"keys": {"demo": {"hash": key_hash}}}
    ledger = {"url": "${WEIR_DATABASE_URL}"} if database else {}
    return {**config, "ledger": ledger, "server": dict(server)}


def _url(started: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + _READY_WITHIN_S
    while started.poll() is None and time.monotonic() < until:
        for line in log.read_text(errors="replace").splitlines():
            if "Base URL" in line:
                return line.split()[-1].removesuffix("/v1")
        time.sleep(0.01)
    raise RuntimeError(f"Weir did not start. Its log:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def fresh_database(server: str) -> Iterator[str | None]:
    """The URL of a new database of the PostgreSQL at `server`, dropped afterwards; None where there is none."""
    name = f"weir_scale_{token_hex(6)}"
    if not _said(server, f"CREATE DATABASE {name} TEMPLATE template0"):
        yield None
        return
    try:
        yield f"{server.rstrip('/')}/{name}"
    finally:
        _said(server, f"DROP DATABASE {name} WITH (FORCE)")


def _said(server: str, statement: str) -> bool:
    """Whether the server did it."""

    async def say() -> None:
        engine = create_async_engine(
            driver_url(f"{server.rstrip('/')}/postgres"), isolation_level="AUTOCOMMIT", connect_args={"timeout": 5}
        )
        try:
            async with engine.connect() as connection:
                await connection.execute(text(statement))
        finally:
            await engine.dispose()

    try:
        asyncio.run(say())
    except (OSError, TimeoutError, ModuleNotFoundError, SQLAlchemyError):
        return False
    return True
