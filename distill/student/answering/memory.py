"""How much memory the processes take that this one started, and those that they started in turn."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def children_here() -> frozenset[int]:
    """Ids of all processes below this one. Empty where there is no /proc."""
    children = defaultdict[int, list[int]](list)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):  # it has ended meanwhile
            stat = (folder / "stat").read_text()
            children[int(stat.rpartition(")")[2].split()[1])].append(int(folder.name))
    found, left = set[int](), [os.getpid()]
    while left:
        new = children.get(left.pop(), [])
        found.update(new)
        left += new
    return frozenset(found)


def memory_mb(processes: frozenset[int]) -> float | None:
    """The most that each had resident at a time, added up, in 1,000,000 bytes; pages that two share count twice.

    None where the system does not tell.
    """
    peaks = list[int]()
    for process in processes:
        with suppress(OSError):
            if peak := _PEAK.search(Path(f"/proc/{process}/status").read_bytes()):
                peaks.append(int(peak[1]) * 1024)
    return round(sum(peaks) / 1e6, 1) if peaks else None
