"""The process that reads strangers' files: it may take so much memory and time, write nothing, and knows no secret.

It takes one job after the other from standard input and answers each on standard output, in frames of a length (4
bytes) and MessagePack. Where one runs out of memory it ends without an answer, with a status that says so.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
from math import ceil
from pathlib import Path
from typing import BinaryIO

import msgspec

from rag.ingesting.cutting import Cut, Job, Refusal, cut
from rag.reading.text import Unreadable

LENGTH = struct.Struct(">I")
OUT_OF_MEMORY = 77
"""Exit status."""
_PAGES = Path("/proc/self/statm")


def main() -> None:
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    answers, sys.stdout = sys.stdout.buffer, sys.stderr  # whatever a library prints is no answer
    while (job := _next(sys.stdin.buffer)) is not None:
        _bound(job)
        try:
            answer: Cut | Refusal = cut(job)
        except Unreadable as error:
            answer = Refusal(error.code, error.message)
        except MemoryError:
            sys.exit(OUT_OF_MEMORY)
        _say(answers, answer)


def _next(jobs: BinaryIO) -> Job | None:
    length = jobs.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    return msgspec.msgpack.decode(jobs.read(LENGTH.unpack(length)[0]), type=Job)


def _say(answers: BinaryIO, answer: Cut | Refusal) -> None:
    frame = msgspec.msgpack.encode(answer)
    answers.write(LENGTH.pack(len(frame)) + frame)
    answers.flush()


def _bound(job: Job) -> None:
    """What this one job may take, over what was taken before it."""
    times = os.times()
    until = ceil(times.user + times.system + job.seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))
    if _PAGES.exists():  # elsewhere a process does not know what it has, and time alone is bounded
        taken = int(_PAGES.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + job.memory, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
