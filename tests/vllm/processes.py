"""The processes of a vLLM, as the system tells of them."""

from __future__ import annotations

from pathlib import Path

START_S = 600
"""Seconds. It starts in half a minute on an idle machine, and was seen to take 100 s on one that also trained."""


def descendants(of: int) -> dict[int, bytes]:
    """Command lines of all processes that descend from one, by pid."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found, ring = dict[int, bytes](), {of}
    while ring := {pid for pid, parent in parents.items() if parent in ring}:
        found |= {pid: _command_line(pid) for pid in ring}
    return found


def address_of(pid: int) -> tuple[str, str]:
    """The base URL and the key of a vLLM that Weir has started."""
    words = _command_line(pid).decode().split("\0")
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    key = next(each for each in variables if each.startswith("VLLM_API_KEY="))
    return f"http://127.0.0.1:{words[words.index('--port') + 1]}/v1", key.partition("=")[2]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def of_vllm(found: dict[int, bytes]) -> list[int]:
    return [pid for pid, line in found.items() if b"vllm.entrypoints" in line]
