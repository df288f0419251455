"""The metrics of all workers of one Weir on one page, whichever of them is asked.

Each sample gets a label `worker`. Nothing is written until somebody asks: the asked worker has the others write
their pages into the state folder, and joins them with its own. One that does not answer in time, as it is busy,
shows as it was when it was last asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from operator import eq
from pathlib import Path
from threading import Lock
from time import monotonic

PAGES = "workers"
"""The folder of pages, in the state folder."""
_PATIENCE_S = 0.5
_LOOK_S = 0.005


class Board:
    """`page` is this worker's own page, `ask` has the others `publish` theirs in `folder`."""

    def __init__(
        self, folder: Path, worker: int, workers: int, *, page: Callable[[], bytes], ask: Callable[[], None]
    ) -> None:
        self._mine = _file(folder, worker)
        self._worker = worker
        self._others = [_file(folder, other) for other in range(workers) if other != worker]
        self._page = page
        self._ask = ask
        self._writing = Lock()

    def publish(self) -> None:
        """Write this worker's page down, in a thread of the running loop."""
        asyncio.get_running_loop().run_in_executor(None, self._write, self._own())

    async def joined(self) -> bytes:
        """The pages of all workers as one."""
        before = self._stamps()
        until = monotonic() + _PATIENCE_S
        self._ask()
        while monotonic() < until and any(map(eq, before, self._stamps())):  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(_LOOK_S)
        return join([self._own(), *await asyncio.to_thread(lambda: list(map(_read, self._others)))])

    def _own(self) -> bytes:
        return labelled(self._page(), self._worker)

    def _write(self, page: bytes) -> None:
        draft = self._mine.with_suffix(".draft")
        with self._writing, suppress(OSError):  # a full disk: the others show what is there
            self._mine.parent.mkdir(mode=0o700, exist_ok=True)
            draft.write_bytes(page)
            draft.replace(self._mine)

    def _stamps(self) -> list[tuple[int, int] | None]:
        return [_stamp(file) for file in self._others]


def take_down(folder: Path, worker: int) -> None:
    """Remove the page of a worker that has ended."""
    with suppress(OSError):
        _file(folder, worker).unlink()


def labelled(page: bytes, worker: int) -> bytes:
    """`page`, in Prometheus's text format, with the label `worker` on every sample."""
    label = b'{worker="%d"' % worker
    return b"\n".join(_labelled(line, label) for line in page.split(b"\n"))


def _labelled(sample: bytes, label: bytes) -> bytes:
    if not sample or sample.startswith(b"#"):
        return sample
    name, brace, rest = sample.partition(b"{")
    if brace:
        return name + label + b"," + rest
    name, _, value = sample.partition(b" ")
    return name + label + b"} " + value


def join(pages: Iterable[bytes]) -> bytes:
    """One page with each family once, its samples together: the format asks for that."""
    families: dict[bytes, list[bytes]] = {}
    for page in pages:
        family: list[bytes] = []
        for line in page.split(b"\n"):
            if line.startswith(b"# HELP "):
                family = families.setdefault(line.split(b" ", 3)[2], [])
            if line and (not line.startswith(b"#") or line not in family[:2]):
                family.append(line)
    return b"".join(line + b"\n" for family in families.values() for line in family)


def _file(folder: Path, worker: int) -> Path:
    return folder / f"{worker}.prom"


def _stamp(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
