"""A Weir of its own on the example's files, for replays: its configuration, its verbs, and requests as clients send
them, each with what Weir says of it afterwards.

The non-obvious decision: what an answer cost and who wrote it is read from `/v1/decisions`, for streams and whole
answers alike; the headers of a stream are sent before anybody knows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

NOTES = Console(stderr=True)
ROUTE = "support"
_CONFIG = "weir.replay.yaml"
_CONNECTS_S = 2.0
"""The encoder is connected to in the background."""
_TRIES, _PAUSE_S = 50, 0.02
"""A stream's decision is there a moment after its last byte."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`cost` in dollars. `cache` is the verdict; `decision` what was chosen and checked, None where nothing was."""

    text: str
    model: str
    cost: float
    cache: str
    decision: Mapping[str, Any] | None

    @property
    def degraded(self) -> bool:
        return bool(self.decision and self.decision.get("degraded"))

    @property
    def escalated(self) -> bool:
        return bool(self.decision and (self.decision.get("check") or {}).get("escalated"))


def config_of(example: Path) -> dict[str, Any]:
    """The example's own, to be changed."""
    config: dict[str, Any] = yaml.safe_load((example / "weir.yaml").read_text(encoding="utf-8"))
    return config


@contextmanager
def weir_on(example: Path, state: Path, config: Mapping[str, Any]) -> Iterator[tuple[str, Path]]:
    """A Weir with `config`, whose paths are relative to `example`; yields its address and its configuration."""
    path = written(example, config)
    process = subprocess.Popen(
        [sys.executable, "-m", "weir", "serve", "--config", str(path), "--port", "0", "--log-level", "warning"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "WEIR_STATE_DIR": str(state)},
    )
    try:
        assert process.stdout is not None
        url = next((line.split()[-1] for line in process.stdout if "Base URL" in line), "")
        if not url:
            raise SystemExit("Weir did not start; its message stands above.")
        time.sleep(_CONNECTS_S)
        yield url, path
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def written(example: Path, config: Mapping[str, Any]) -> Path:
    """`config` as a file in `example`."""
    path = example / _CONFIG
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    return path


def weir(state: Path, *arguments: str, fails: bool = False) -> Any:
    """What a verb prints as JSON. `fails`: it may end with 1 and print it all the same."""
    done = subprocess.run(
        [sys.executable, "-m", "weir", *arguments, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "WEIR_STATE_DIR": str(state)},
    )
    if done.returncode and not (fails and done.returncode == 1 and done.stdout.strip()):
        NOTES.print(done.stdout, done.stderr, markup=False)
        raise SystemExit(f"weir {' '.join(arguments[:2])} failed")
    return json.loads(done.stdout)


def ask(url: str, messages: Sequence[Mapping[str, Any]], *, tenant: str, stream: bool = False) -> Answered:
    """Raises urllib.error.HTTPError where it is not answered."""
    body = json.dumps({"model": ROUTE, "messages": messages, "stream": stream}).encode()
    with urllib.request.urlopen(_request(f"{url}/chat/completions", tenant, body), timeout=60) as reply:
        data, known_as = reply.read(), reply.headers["x-weir-request-id"]
    told = _decision(url, known_as, tenant)
    return Answered(
        text=_streamed(data) if stream else json.loads(data)["choices"][0]["message"]["content"],
        model=told["model"],
        cost=float(told["cost_usd"]),
        cache=told["cache"]["verdict"],
        decision=told["decision"],
    )


def _request(url: str, tenant: str, body: bytes | None = None) -> urllib.request.Request:
    headers = {"authorization": f"Bearer sk-weir-demo-{tenant}", "content-type": "application/json"}
    return urllib.request.Request(url, data=body, headers=headers)


def _decision(url: str, known_as: str, tenant: str) -> dict[str, Any]:
    for left in reversed(range(_TRIES)):
        try:
            with urllib.request.urlopen(_request(f"{url}/decisions/{known_as}", tenant), timeout=60) as reply:
                told: dict[str, Any] = json.loads(reply.read())
                return told
        except urllib.error.HTTPError as error:
            if error.code != 404 or not left:
                raise
        time.sleep(_PAUSE_S)
    raise AssertionError("the last try returns or raises")


def _streamed(data: bytes) -> str:
    """The text of a stream of server-sent events."""
    events = [json.loads(line[6:]) for line in data.splitlines() if line.startswith(b"data: {")]
    deltas = [choice["delta"] for one in events for choice in one.get("choices") or ()]
    return "".join(delta.get("content") or "" for delta in deltas)
