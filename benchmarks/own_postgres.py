"""A PostgreSQL of a benchmark's own, which may be stopped hard and started again. Needs initdb and pg_ctl."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.systems import free_port

_OWNER = "postgres"
_PLACES = "/usr/lib/postgresql/*/bin"
_PATIENCE_S = 60


class NoPostgres(Exception):
    """There is none on this machine."""


class OwnPostgres:
    """One cluster in `folder`. `url` leads to its database, also while it is down."""

    def __init__(self, folder: Path) -> None:
        self._bin = _binaries()
        self._data = folder / "postgres"
        self._port = free_port()
        self.url = f"postgresql://{_OWNER}@127.0.0.1:{self._port}/postgres"
        self._data.mkdir()
        if os.geteuid() == 0:  # it does not run as root
            shutil.chown(self._data, _OWNER)
            for parent in (folder, *folder.parents):
                if parent.stat().st_mode & 0o001 == 0:
                    parent.chmod(parent.stat().st_mode | 0o011)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", _OWNER)

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -k {self._data}"
        log = str(self._data / "log")
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "-t", str(_PATIENCE_S), "start")

    def stop(self) -> None:
        """Hard, as a power cut: sessions are cut off and it recovers at the next start."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", _OWNER, "--", *command]
        done = subprocess.run(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()}")


@contextmanager
def own_postgres(folder: Path) -> Iterator[OwnPostgres]:
    """Started; stopped at the end unless it is down. Raises NoPostgres."""
    server = OwnPostgres(folder)
    server.start()
    try:
        yield server
    finally:
        with suppress(RuntimeError):  # it may be down
            server.stop()


def _binaries() -> Path:
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else sorted(Path("/").glob(_PLACES.removeprefix("/")))
    if not places:
        raise NoPostgres("There is no initdb: install a PostgreSQL server.")
    return places[-1]
