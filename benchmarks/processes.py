"""CPU time, memory and open sockets of a process and all its descendants, read from /proc (Linux only).

Memory is told twice: RSS of the largest process, which is what one worker needs, and PSS of all of them, where a
page that several share is counted once in all.
"""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_MB = 1024 * 1024


@dataclass(frozen=True)
class Usage:
    """What a process tree has used so far (`cpu_s`) and holds now."""

    cpu_s: float
    rss_mb: float
    pss_mb: float
    sockets: int
    processes: int


def usage(pid: int) -> Usage:
    """Of `pid` and its descendants; those that end meanwhile are passed over."""
    members = tree(pid)
    return Usage(
        cpu_s=sum(map(_cpu_s, members)),
        rss_mb=max((_memory_mb(member, "Rss") for member in members), default=0.0),
        pss_mb=sum(_memory_mb(member, "Pss") for member in members),
        sockets=sum(map(_sockets, members)),
        processes=len(members),
    )


def tree(pid: int) -> list[int]:
    """`pid` and its descendants, parents first; empty if it is gone."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    members = [pid] if _stat(pid) else []
    for member in members:  # grows while it is walked
        members += children[member]
    return members


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (field 3 of proc(5)); the name before it may hold anything."""
    with suppress(OSError):
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _cpu_s(pid: int) -> float:
    """User and system time, its own and that of the children it has waited for."""
    fields = _stat(pid)
    return sum(map(int, fields[11:15])) / _TICKS


def _memory_mb(pid: int, name: str) -> float:
    with suppress(OSError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / _MB
    return 0.0


def _sockets(pid: int) -> int:
    count = 0
    with suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                count += str(descriptor.readlink()).startswith("socket:")
    return count
