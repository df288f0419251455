"""A student behind an upstream's door: the promoted version of it, in whatever engine runs its weights.

The non-obvious decision: a version comes into force only once its engine answers, beside the one in force, which is
closed when its last request has ended. So a promotion costs no request, and a student that cannot be started costs
nothing but a line in the log. Where none is in force, calls fail at once and the route's other candidates answer.
Only a shelf that says so takes the last one out of force; one that cannot be read changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from contracts.errors import ConnectionRefused
from contracts.ports import AnswerStream, Upstream, UpstreamCall, WholeAnswer
from contracts.students import CONTENT, Student, read_student
from router.upstreams.taught import as_taught

if TYPE_CHECKING:
    from router.choice.student_shelf import StudentHeads

_PATIENCE_S = 10.0
"""How long a Weir that starts waits for its student; then the others answer until it is there."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 60.0
"""Between two tries to start the same version."""
_DRAIN_S = 300.0
"""Longer than any answer of a student takes: its engine is then closed whatever is still open."""
_log = logging.getLogger(__name__)


class Engine(Upstream, Protocol):
    """What runs one version's weights."""

    @property
    def up(self) -> bool: ...


class Shelf(Protocol):
    """Where versions lie. Both block on the disk, and raise OSError or ValueError with advice."""

    def promoted(self) -> str:
        """The version that is to be in force; empty where none is to be."""

    def folder(self, version: str) -> Path: ...


class FolderShelf:
    """One student in a folder, which the configuration names. Who changes its files has it read as another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def promoted(self) -> str:
        files = sorted(file for file in self._folder.iterdir() if file.is_file())
        stamps = [(file.name, stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()]]
        return blake2b(repr(stamps).encode(), digest_size=8).hexdigest()

    def folder(self, version: str) -> Path:
        return self._folder


class Serving(Struct, frozen=True):
    """A version that answers, with what it may answer and how sure it must be. `heads` None: nobody reads them."""

    version: str
    student: Student
    heads: StudentHeads | None


class StudentUpstream:
    """Serves the student that `shelf` says is promoted, and looks every `look_s` seconds whether another one is.

    `engine` makes what runs a version in a folder, not yet started; ValueError where the student has no weights for
    it. `read_heads` reads what stands beside the weights. `owner` is whose student it may be, beside everyone's.
    """

    def __init__(
        self,
        name: str,
        shelf: Shelf,
        engine: Callable[[str, Path, Student], Engine],
        read_heads: Callable[[Path, Student], StudentHeads | None],
        *,
        owner: str,
        look_s: float,
    ) -> None:
        self.name = name
        self._shelf = shelf
        self._engine = engine
        self._read_heads = read_heads
        self._owner = owner
        self._look_s = look_s
        self._in_force: _Version | None = None
        self._fault = "nothing has been looked for yet"
        self._looked = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._leaving: dict[asyncio.Task[None], _Version] = {}
        self.withdrawn = False
        """Whether nobody is to be asked, as the shelf said when it was last read."""

    @property
    def version(self) -> str:
        """Of what is in force, whether or not its engine runs just now; empty where nothing is."""
        return self._in_force.serving.version if self._in_force is not None else ""

    @property
    def serving(self) -> Serving | None:
        """What would answer a call that begins now; None where nothing would."""
        found = self._in_force
        return found.serving if found is not None and found.engine.up else None

    async def start(self) -> None:
        """Raises nothing: a student that is not there yet is no reason not to serve."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name=f"student {self.name}")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._looked.wait(), _PATIENCE_S)

    async def send(self, call: UpstreamCall) -> WholeAnswer:
        async with self._held().lent() as engine:
            return await engine.send(as_taught(call))

    async def open(self, call: UpstreamCall) -> AnswerStream:
        version = self._held()
        version.take()
        try:
            return _LentStream(await version.engine.open(as_taught(call)), version)
        except BaseException:
            version.give_back()
            raise

    async def probe(self) -> None:
        await self._held().engine.probe()

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)  # from here on none comes into force
        leaving = dict(self._leaving)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        # Those that leave, too: a task that is cancelled before it began does nothing.
        versions = filter(None, [*leaving.values(), self._in_force])
        await asyncio.gather(*(version.engine.close() for version in versions))

    def _held(self) -> _Version:
        if self._in_force is None:
            state = "is withdrawn" if self.withdrawn else "is not there yet"
            raise ConnectionRefused(f"The student '{self.name}' {state}.", detail=self._fault)
        return self._in_force

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        failed, again, pause_s = "", 0.0, _FIRST_PAUSE_S
        while True:
            version = await self._promoted()
            if version == "":
                self._withdraw()
            elif version not in (None, self.version) and (version != failed or loop.time() >= again):
                pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s) if version == failed else _FIRST_PAUSE_S
                if await self._begin(version):
                    failed = ""
                else:
                    failed, again = version, loop.time() + pause_s
            self._looked.set()
            await asyncio.sleep(self._look_s)

    async def _promoted(self) -> str | None:
        """None where that cannot be read."""
        try:
            version = await asyncio.to_thread(self._shelf.promoted)
        except (OSError, ValueError) as error:
            self._tell(str(error))
            return None
        self.withdrawn = not version
        return version

    def _withdraw(self) -> None:
        before, self._in_force, self._fault = self._in_force, None, "no version of it is promoted"
        if before is not None:
            _log.warning("%s: version %s is withdrawn; none is in force", self.name, before.serving.version)
            self._let_go(before)

    async def _begin(self, version: str) -> bool:
        """Put `version` in force; given up where the shelf says otherwise before it has started, minutes later."""
        starting = asyncio.create_task(self._put_in_force(version), name=f"start {self.name}")
        try:
            while not (await asyncio.wait({starting}, timeout=self._look_s))[0]:
                if await self._promoted() not in (None, version):
                    return False
            return starting.result()
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _put_in_force(self, version: str) -> bool:
        """Whether `version` answers now. Else what did so before still does."""
        engine: Engine | None = None
        try:
            serving, folder = await asyncio.to_thread(self._read, version)
            engine = self._engine(version, folder, serving.student)
            await engine.start()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, what is in force goes on
            if engine is not None:
                await engine.close()
            old = f"; {self.version} stays in force" if self.version else ""
            self._tell(f"version {version} cannot serve: {error or type(error).__name__}{old}")
            return False
        except BaseException:  # closed meanwhile, or no longer wanted
            if engine is not None:
                await engine.close()
            raise
        before, self._in_force, self._fault = self._in_force, _Version(serving, engine), ""
        _log.info("%s: version %s is in force", self.name, version)
        if before is not None:
            self._let_go(before)
        return True

    def _let_go(self, version: _Version) -> None:
        leaving = asyncio.create_task(version.leave(), name=f"old student {self.name}")
        self._leaving[leaving] = version
        leaving.add_done_callback(self._leaving.pop)

    def _read(self, version: str) -> tuple[Serving, Path]:
        """Blocks. Raises OSError or ValueError where it cannot be used."""
        folder = self._shelf.folder(version)
        student = read_student((folder / CONTENT).read_bytes())
        if student.owner not in ("", self._owner):
            raise ValueError(
                f"it learned from the traffic of {student.owner}: set `upstreams.{self.name}.tenant` to that"
            )
        return Serving(version, student, self._read_heads(folder, student)), folder

    def _tell(self, fault: str) -> None:
        if fault != self._fault:
            _log.error("%s: %s", self.name, fault)
            self._fault = fault


class _Version:
    """One version in its engine, and how many calls it has in hand."""

    def __init__(self, serving: Serving, engine: Engine) -> None:
        self.serving = serving
        self.engine = engine
        self._calls = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def take(self) -> None:
        self._calls += 1
        self._idle.clear()

    def give_back(self) -> None:
        self._calls -= 1
        if not self._calls:
            self._idle.set()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[Engine]:
        self.take()
        try:
            yield self.engine
        finally:
            self.give_back()

    async def leave(self) -> None:
        """Close the engine after the last call; cancelled, at once."""
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), _DRAIN_S)
        finally:
            await self.engine.close()


class _LentStream:
    """A stream that gives its version back when it is closed."""

    def __init__(self, stream: AnswerStream, version: _Version) -> None:
        self._stream = stream
        self._version: _Version | None = version

    async def read(self) -> bytes:
        return await self._stream.read()

    async def close(self) -> None:
        version, self._version = self._version, None
        try:
            await self._stream.close()
        finally:
            if version is not None:
                version.give_back()
