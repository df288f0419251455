"""A Redis of its own for one test, which may be killed, stopped and emptied."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import redis


class RedisProcess:
    """It keeps nothing on disk: it comes back empty."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        options = {"port": str(self.port), "save": "", "bind": "127.0.0.1", "dir": str(folder)}
        self._command = [program, *(part for name, value in options.items() for part in (f"--{name}", value))]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    assert self._process.poll() is None
                else:
                    return

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def redis_program() -> str:
    found = shutil.which("redis-server")
    if found is None:
        reason = "no redis-server on the path; install one"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    return found
