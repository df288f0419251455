"""The handle on the reading child: started with the first file, and anew after one that brought it down.

Time is measured here and the child killed when it is up, because a child that is busy cannot be asked to end. A
child that read others before and ends without a word may have ended for a reason that is not this file's, such as a
kill while nobody asked: only a new one that ends too is the file's doing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import cast

import msgspec

from contracts.retrieval import ChunkRules
from rag.ingesting.cutting import Cut, Job, Refusal, chunker_of
from rag.ingesting.reading_child import LENGTH, OUT_OF_MEMORY
from rag.ports import Limits
from rag.reading.text import Unreadable

_HOME = str(Path(__file__).parents[2])
_MODULE = "rag.ingesting.reading_child"
_START_S = 20.0  # a new process, on a machine that is busy
_BOUND_MET = (OUT_OF_MEMORY, -signal.SIGXCPU)
_KEPT = ("PATH", "LANG", "LC_ALL", "PYTHONDONTWRITEBYTECODE")


class Reading:
    """Files to documents, one at a time. `context` says whether chunks get a line on where they stand."""

    def __init__(self, limits: Limits, *, context: bool = True) -> None:
        self._limits = limits
        self._context = context
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the child, while there is one."""
        return None if self._process is None else self._process.pid

    def chunker(self, rules: ChunkRules | None) -> str:
        return chunker_of(rules, context=self._context)

    async def cut(self, content: bytes, filename: str, rules: ChunkRules | None = None) -> Cut:
        """Raises Unreadable; OSError where no process can be started."""
        limits = self._limits
        if len(content) > limits.file_bytes:
            size = f"It has {len(content):,} bytes, and the most is {limits.file_bytes:,} (rag.max_file_bytes)."
            raise Unreadable("invalid_file", size)
        job = Job(
            filename=filename,
            content=content,
            rules=rules,
            context=self._context,
            seconds=limits.read_s,
            memory=limits.read_bytes,
            most_chunks=limits.store_chunks,
        )
        async with self._turn:
            answer = await self._answer(msgspec.msgpack.encode(job))
        if isinstance(answer, Refusal):
            raise Unreadable(answer.code, answer.message)
        return answer

    async def close(self) -> None:
        if (process := self._process) is not None:
            self._process = None
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _answer(self, frame: bytes) -> Cut | Refusal:
        if self._process is not None and self._process.returncode is None:
            try:
                return await self._answer_of(self._process, frame, self._limits.read_s)
            except _EndedEarly as ended:
                if ended.status in _BOUND_MET:
                    return self._brought_down(ended.status)
        self._process = await _start()
        try:
            return await self._answer_of(self._process, frame, self._limits.read_s + _START_S)
        except _EndedEarly as ended:
            return self._brought_down(ended.status)

    async def _answer_of(self, process: Process, frame: bytes, seconds: float) -> Cut | Refusal:
        """Raises _EndedEarly."""
        answered = False
        try:
            async with asyncio.timeout(seconds):
                answer = await _exchange(process, frame)
            answered = True
            return msgspec.msgpack.decode(answer, type=Cut | Refusal)
        except TimeoutError:
            longest = f"{self._limits.read_s:g} s (rag.read_seconds)"
            return Refusal("invalid_file", f"Reading it takes more than {longest}: split it, or raise the bound.")
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _EndedEarly(await process.wait()) from None
        finally:
            if not answered:  # cancelled, too: what it may still say is not the next one's answer
                await self.close()

    def _brought_down(self, status: int) -> Refusal:
        message = f"Reading it brought the reader down (status {status}): save it anew."
        if status == OUT_OF_MEMORY:
            most = f"{self._limits.read_bytes:,} bytes of memory (rag.read_bytes)"
            message = f"Reading it takes more than {most}: split it, or raise the bound."
        return Refusal("invalid_file", message)


class _EndedEarly(Exception):
    """The child ended before it had answered."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def _start() -> Process:
    path = os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        _MODULE,
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,
        env={**kept, "PYTHONPATH": path},
    )


async def _exchange(process: Process, frame: bytes) -> bytes:
    stdin = cast("asyncio.StreamWriter", process.stdin)
    stdout = cast("asyncio.StreamReader", process.stdout)
    stdin.write(LENGTH.pack(len(frame)) + frame)
    await stdin.drain()
    return await stdout.readexactly(LENGTH.unpack(await stdout.readexactly(LENGTH.size))[0])
