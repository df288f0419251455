"""A PostgreSQL of a benchmark's own, which may be stopped hard and started again. Needs initdb and pg_ctl.

It leaves the disk to the system (fsync is off), since nobody pulls the plug of the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.systems import free_port

_OWNER = "postgres"
_PLACES = "/usr/lib/postgresql/*/bin"
_PATIENCE_S = 120


class NoPostgres(Exception):
    """There is none on this machine."""


class OwnPostgres:
    """One cluster in `folder`. `url` leads to its database, also while it is down."""

    def __init__(self, folder: Path) -> None:
        self._bin = _binaries()
        self._data = folder
        self._port = free_port()
        self.url = f"postgresql://{_OWNER}@127.0.0.1:{self._port}/postgres"
        if os.geteuid() == 0:  # it does not run as root
            shutil.chown(folder, _OWNER)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", _OWNER, "--no-sync")

    def start(self) -> None:
        options = f"-p {self._port} -c listen_addresses=127.0.0.1 -c fsync=off -k {self._data}"
        log = str(self._data / "log")
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "-t", str(_PATIENCE_S), "start")

    def stop(self) -> None:
        """Hard, as if it were killed: sessions are cut off and it recovers at the next start."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command: Sequence[str] = [str(self._bin / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", _OWNER, "--", *command]
        done = subprocess.run(
            command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=2 * _PATIENCE_S
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.decode()}")


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    """Started; stopped at the end unless it is down. Raises NoPostgres.

    Its folder is no caller's, since its user must be able to walk to it.
    """
    with tempfile.TemporaryDirectory(prefix="own-postgres-") as folder:
        server = OwnPostgres(Path(folder))
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
