"""Every system that the benchmarks measure, and how each is run: Weir, its peers, and two yardsticks.

A system is started on a free loopback port in front of a mock upstream, in a process group and a folder of its own,
and counts as ready once it has answered one real request with 200. Weir runs as shipped: keys, limits, exact cache,
usage events and metrics are on. Peers run in their fastest normal setting, without a database. All get the same
request: one system message, one user message, 64 tokens at most.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.processes import tree

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".bench"
WEIR_KEY = "sk-weir-demo-acme"

_SYSTEM_MESSAGE = "You are a helpful assistant for Tolvana Coffee."
_READY_WITHIN_S = 90.0
_STOPPED_WITHIN_S = 20.0


@dataclass(frozen=True)
class Place:
    """Where one system is to run, and what it shall call. `upstream_url` is the mock's origin, without a path."""

    folder: Path
    port: int
    upstream_url: str
    workers: int = 1


@dataclass(frozen=True)
class Command:
    """`url_file` is where a program that takes no port says which one it has got."""

    arguments: list[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    url_file: Path | None = None


@dataclass(frozen=True)
class Running:
    """A system that answers. `base_url` has no path; `pid` is None where the mock upstream itself is meant."""

    base_url: str
    pid: int | None
    headers: Mapping[str, str]
    ready_s: float = 0.0
    folder: Path | None = None


@dataclass(frozen=True)
class System:
    """How a system is called and run; `command` is None for the mock upstream, which runs already."""

    name: str
    command: Callable[[Place], Command] | None
    program: Path | str = sys.executable
    advice: str = ""
    model: str = "auto"
    path: str = "/v1/chat/completions"
    headers_for: Callable[[Place], dict[str, str]] = lambda _: {}

    def installed(self) -> bool:
        """Whether it can be run here; if not, `advice` says how to get it."""
        return Path(self.program).exists() or shutil.which(self.program) is not None

    def body(self, text: str, *, stream: bool = False) -> bytes:
        """What a client sends to it, with `text` as the user's message."""
        request: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "system", "content": _SYSTEM_MESSAGE}, {"role": "user", "content": text}],
            "max_tokens": 64,
        }
        if stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        return json.dumps(request).encode()


@contextmanager
def running(system: System, upstream_url: str, *, workers: int = 1) -> Iterator[Running]:
    """Start `system` in front of the upstream at `upstream_url`, and end it with all its processes afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{system.name}-") as folder:
        place = Place(Path(folder), free_port(), upstream_url.rstrip("/"), workers)
        headers = {"content-type": "application/json", **system.headers_for(place)}
        if system.command is None:
            yield Running(place.upstream_url, None, headers)
            return
        command = system.command(place)
        began = time.perf_counter()
        with process(command, place.folder) as started:
            while _alive(started) and time.perf_counter() - began < _READY_WITHIN_S:
                url = _url(place, command)
                if url and _answers(url + system.path, headers, system.body("Are you ready?")):
                    yield Running(url, started.pid, headers, time.perf_counter() - began, place.folder)
                    return
                time.sleep(0.01)
            raise RuntimeError(f"{system.name} did not start. Its log ends:\n{_ending(place)}")


@contextmanager
def process(command: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that writes to `folder`/log, ended on leaving."""
    with (folder / "log").open("wb") as log:
        started = subprocess.Popen(
            command.arguments,
            env={**os.environ, **command.variables},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    """Ask the first process to stop in good order, then make sure of all that it started."""
    members = tree(started.pid)
    started.terminate()
    with suppress(subprocess.TimeoutExpired):
        started.wait(_STOPPED_WITHIN_S)
    for member in members:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def require_programs(names: Sequence[str] = ("nginx", "wrk")) -> None:
    """Exits with advice where one of them is missing."""
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        sys.exit(f"{' and '.join(missing)}: not installed, and needed here. On Debian: apt install nginx-light wrk")


def free_port() -> int:
    """A port nobody listens on, below those that the kernel gives to outgoing connections."""
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def ask(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (names in lower case) and body of one POST."""
    request = urllib.request.Request(url, data=body, headers=dict(headers))
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def _url(place: Place, command: Command) -> str:
    if command.url_file is None:
        return f"http://127.0.0.1:{place.port}"
    return command.url_file.read_text() if command.url_file.exists() else ""


def _answers(url: str, headers: Mapping[str, str], body: bytes) -> bool:
    with suppress(OSError):
        return ask(url, headers, body)[0] == 200
    return False


def _alive(started: subprocess.Popen[bytes]) -> bool:
    return started.poll() is None


def _ending(place: Place) -> str:
    return (place.folder / "log").read_text(errors="replace")[-2000:]


# --- Weir and the yardsticks ---------------------------------------------------------------------------


def weir_config(upstream_url: str) -> dict[str, Any]:
    """One tenant, and one model behind the route `auto`; all else as Weir is shipped."""
    key_hash = f"sha256:{sha256(WEIR_KEY.encode()).hexdigest()}"
    return {
        "upstreams": {"mock": {"kind": "openai", "base_url": f"{upstream_url}/v1"}},
        "models": {"mock": {"upstream": "mock", "price": {"input": "0.15", "output": "0.6"}}},
        "routes": {"auto": {"candidates": ["mock"]}},
        "tenants": {"acme": {"keys": {"demo": {"hash": key_hash}}}},
    }


def _weir(place: Place) -> Command:
    config = place.folder / "weir.yaml"
    config.write_text(yaml.safe_dump(weir_config(place.upstream_url)), encoding="utf-8")
    arguments = [sys.executable, "-m", "weir", "serve", "--config", str(config), "--port", str(place.port)]
    if place.workers > 1:
        arguments += ["--workers", str(place.workers)]
    return Command(arguments, {"WEIR_STATE_DIR": str(place.folder / "state")})


def weir_metric(weir: Running, name: str, **labels: str) -> float:
    """What a running Weir counts under `name`, summed over the labels that are not given."""
    assert weir.folder is not None
    key = (weir.folder / "state" / "admin.key").read_text().strip()
    request = urllib.request.Request(f"{weir.base_url}/metrics", headers={"authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    samples = (sample for family in families for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def _bare(place: Place) -> Command:
    serve = f"{sys.executable} -m uvicorn benchmarks.bare:app --port {place.port} --workers {place.workers}"
    lean = "--http httptools --loop uvloop --lifespan off --no-access-log --log-level warning"
    variables = {"BARE_UPSTREAM": place.upstream_url, "PYTHONPATH": str(ROOT)}
    return Command([*serve.split(), *lean.split()], variables)


_NGINX = """\
daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_buffer_size 1m;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  upstream mock {{ server {mock}; keepalive 4096; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def _nginx(place: Place) -> Command:
    config = place.folder / "nginx.conf"
    mock = place.upstream_url.removeprefix("http://")
    text = _NGINX.format(folder=place.folder, port=place.port, workers=place.workers, mock=mock)
    config.write_text(text, encoding="utf-8")
    return Command(["nginx", "-e", f"{place.folder}/log", "-c", str(config)])


# --- the peers -----------------------------------------------------------------------------------------

_INSTALL = "{0} is not installed: .venv/bin/python benchmarks/peers.py --only {0}"
_LITELLM_KEY = f"sk-{secrets.token_hex(16)}"  # its well-known default is refused


def _litellm(place: Place) -> Command:
    parameters = {"model": "openai/mock", "api_base": f"{place.upstream_url}/v1", "api_key": "none"}
    config = place.folder / "litellm.yaml"
    models = [{"model_name": "auto", "litellm_params": parameters}]
    settings = {"master_key": _LITELLM_KEY}
    config.write_text(yaml.safe_dump({"model_list": models, "general_settings": settings}), encoding="utf-8")
    arguments = [str(PEERS / "litellm/bin/litellm"), "--config", str(config), "--host", "127.0.0.1"]
    arguments += ["--port", str(place.port), "--num_workers", str(place.workers), "--run_granian"]
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", "LITELLM_LOG": "ERROR"}
    return Command(arguments, {**quiet, "LITELLM_MODE": "PRODUCTION"})


_TENSORZERO = """\
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true

[models.mock]
routing = ["mock"]

[models.mock.providers.mock]
type = "openai"
model_name = "mock"
api_base = "{upstream_url}/v1"
api_key_location = "none"
"""

_TENSORZERO_START = """\
import pathlib, sys, threading, tensorzero
gateway = tensorzero._start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False)
url = pathlib.Path(sys.argv[2])
url.with_suffix(".new").write_text(gateway.base_url.removesuffix("/openai/v1"))
url.with_suffix(".new").rename(url)
threading.Event().wait()
"""


def _tensorzero(place: Place) -> Command:
    config, url = place.folder / "tensorzero.toml", place.folder / "url"
    config.write_text(_TENSORZERO.format(upstream_url=place.upstream_url), encoding="utf-8")
    python = str(PEERS / "tensorzero/bin/python")
    return Command([python, "-c", _TENSORZERO_START, str(config), str(url)], url_file=url)


_PORTKEY = PEERS / "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"


def _portkey(place: Place) -> Command:
    arguments = ["node", str(_PORTKEY), f"--port={place.port}", "--headless"]
    return Command(arguments, {"NODE_ENV": "production"})


def _portkey_headers(place: Place) -> dict[str, str]:
    upstream = {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{place.upstream_url}/v1"}
    return {**upstream, "authorization": "Bearer none"}


SYSTEMS: dict[str, System] = {
    system.name: system
    for system in (
        System("direct", None),
        System("nginx", _nginx, "nginx", "nginx is not installed: apt install nginx-light"),
        System("bare", _bare),
        System("weir", _weir, headers_for=lambda _: {"authorization": f"Bearer {WEIR_KEY}"}),
        System(
            "litellm",
            _litellm,
            PEERS / "litellm/bin/litellm",
            _INSTALL.format("litellm"),
            headers_for=lambda _: {"authorization": f"Bearer {_LITELLM_KEY}"},
        ),
        System("portkey", _portkey, _PORTKEY, _INSTALL.format("portkey"), headers_for=_portkey_headers),
        System(
            "tensorzero",
            _tensorzero,
            PEERS / "tensorzero/bin/python",
            _INSTALL.format("tensorzero"),
            model="tensorzero::model_name::mock",
            path="/openai/v1/chat/completions",
        ),
    )
}
