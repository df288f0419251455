"""A real Weir in a process of its own, as a user would start it."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from openai import AsyncOpenAI, OpenAI

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "examples/support/weir.yaml"
ADMIN_KEY = "sk-weir-admin-for-tests"
UNWANTED = {"torch", "dspy", "sklearn", "scipy", "lightgbm", "transformers", "ray", "litellm"}
"""What no serving process imports, unless it is configured to."""
ACME_HASH = f"sha256:{sha256(b'sk-weir-demo-acme').hexdigest()}"


@dataclass
class RunningWeir:
    """`url` has no path; `state` outlives the process, so that another can be started on it."""

    process: subprocess.Popen[str]
    url: str
    config: Path
    state: Path
    variables: dict[str, str] = field(default_factory=dict)
    clients: dict[str, OpenAI] = field(default_factory=dict)

    @property
    def admin_key(self) -> str:
        """Of the configuration, or the one that Weir made where it has none."""
        made = self.state / "admin.key"
        return made.read_text().strip() if made.exists() else ADMIN_KEY

    def client(self, key: str = "sk-weir-demo-acme") -> OpenAI:
        """The official client, closed with this Weir."""
        if key not in self.clients:
            self.clients[key] = OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)
        return self.clients[key]

    def async_client(self, key: str = "sk-weir-demo-acme") -> AsyncOpenAI:
        return AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=30)

    def get(self, path: str, key: str | None = "sk-weir-demo-acme") -> tuple[int, Any]:
        """Status and parsed body of a GET."""
        return self.send("GET", path, key)

    def send(self, method: str, path: str, key: str | None = None, body: object = None) -> tuple[int, Any]:
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        if key is not None:
            request.add_header("Authorization", f"Bearer {key}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                status, text = error.code, error.read().decode()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def admin(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.send(method, path, self.admin_key, body)

    def decision(self, request_id: str, key: str | None = None) -> dict[str, Any]:
        """Explained to `key`, or to the admin."""
        status, body = self.get(f"/v1/decisions/{request_id}", key or self.admin_key)
        assert status == 200, body
        return dict(body)

    def weir(self, *arguments: str) -> str:
        """Standard output of `weir ...` on this one's state."""
        return subprocess.run(
            [sys.executable, "-m", "weir", *arguments],
            check=True,
            capture_output=True,
            text=True,
            env=environment(self.state, **self.variables),
            cwd=ROOT,
        ).stdout

    def costs(self) -> dict[str, Any]:
        return dict(json.loads(self.weir("report", "costs", "--config", str(self.config), "--json")))

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


async def stream_once(client: AsyncOpenAI, finished: list[str]) -> None:
    """Ask the model `talker` a question that was never asked; note the id of its answer once that is whole."""
    reply = await client.chat.completions.with_raw_response.create(
        model="talker", messages=[{"role": "user", "content": f"Talk, please: {random.random()}"}], stream=True
    )
    async for chunk in reply.parse():
        if chunk.choices and chunk.choices[0].finish_reason:
            finished.append(reply.headers["x-weir-request-id"])


def environment(state: Path, **more: str) -> dict[str, str]:
    """This process's and `more`, without what would send a test to a real provider."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**kept, "WEIR_STATE_DIR": str(state), "WEIR_ADMIN_KEY": ADMIN_KEY, **more}


@contextmanager
def running_weir(
    config: Path, state: Path, *, host: str = "127.0.0.1", port: int = 0, workers: int = 1, **variables: str
) -> Iterator[RunningWeir]:
    """Start one, wait until it listens, and end it afterwards. `variables` go into its environment."""
    address = ["--host", host, "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(
        [sys.executable, "-m", "weir", "serve", "--config", str(config), *address],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(state, **variables),
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        url = next((line.split()[-1] for line in process.stdout if "Base URL" in line), "")
        assert url, "Weir did not start"
        weir = RunningWeir(process, url.removesuffix("/v1"), config, state, variables)
        yield weir
        for client in weir.clients.values():
            client.close()
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
        process.stdout.close()


def imported_by(config: Path, state: Path, use: Callable[[RunningWeir], None]) -> set[str]:
    """Every module that a serving process imports while it is used: Python itself reports them, late ones too."""
    state.mkdir(parents=True, exist_ok=True)
    log = state / "imports"
    with log.open("w") as imports:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "weir", "serve", "--config", str(config), "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=imports,
            text=True,
            env=environment(state),
            cwd=ROOT,
        )
        with process:
            try:
                assert process.stdout is not None
                url = next(line.split()[-1] for line in process.stdout if "Base URL" in line).removesuffix("/v1")
                weir = RunningWeir(process, url, config, state)
                use(weir)
                weir.client().close()
                weir.stop()
            finally:
                process.kill()
    return {line.rsplit("|", 1)[-1].strip() for line in log.read_text().splitlines() if "|" in line}


def write_config(folder: Path, **changes: Any) -> Path:
    """A small configuration on the scripted upstream; `changes` replace whole sections."""
    config = {
        "server": {"admin_key": "${WEIR_ADMIN_KEY}"},
        "upstreams": {"scripted": {"kind": "scripted"}},
        "models": {
            "good": {"upstream": "scripted", "name": "echo", "price": {"input": "1", "output": "4"}},
        },
        "routes": {"auto": {"candidates": ["good"]}},
        "tenants": {"acme": {"keys": {"demo": {"hash": ACME_HASH}}}},
        **changes,
    }
    path = folder / "weir.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path


def eventually(check: Any, seconds: float = 10) -> Any:
    """The first true value of `check()`; for what happens in the background."""
    end = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < end, f"{check} never came true"
        time.sleep(0.05)
    return value
