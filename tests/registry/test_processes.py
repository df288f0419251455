"""Processes that are killed in between, and several that change the registry at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from contracts.artefacts import PREVIOUS, PRODUCTION
from registry.store import Registry
from tests.registry.putting import KIND, NAME, put

KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from registry.store import Registry

begun, source = Path(sys.argv[1], "0"), Path(sys.argv[1], "b")
source.write_bytes(b"2")
FILES, CARD = {"a.npz": b"1" * 100_000, "b.npz": source}, {"summary": "new"}

def change(folder):
    registry = Registry(folder)
    version = registry.put("router", "support/acme", FILES, CARD)
    registry.point("router", "support/acme", "production", version, by="child", reason="new")

def die_before(step, folder):
    left = step
    def watch(event, arguments):
        nonlocal left
        if event in ("open", "os.mkdir", "os.rename", "os.remove", "os.truncate"):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)
    change(folder)
    os._exit(0)

registry = Registry(begun)
old = registry.put("router", "support/acme", {"a.npz": b"0"}, {"summary": "old"})
registry.point("router", "support/acme", "production", old, by="parent", reason="old")
for step in range(1, 200):
    folder = shutil.copytree(begun, Path(sys.argv[1], str(step)))
    child = os.fork()
    if not child:
        die_before(step, folder)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(code)
    if code >= 0:
        break
"""


def test_a_process_that_is_killed_leaves_nothing_half(tmp_path: Path) -> None:
    """At each of its accesses to the folder in turn."""
    codes = run(KILLED, tmp_path)
    assert codes[-1] == 0
    assert codes[:-1] == [-signal.SIGKILL] * (len(codes) - 1)
    assert len(codes) > 20
    outcomes = set()
    for step in range(1, len(codes) + 1):
        registry = Registry(tmp_path / str(step))
        found = registry.get(KIND, NAME)
        before = [registry.get(KIND, NAME, version) for version in registry.versions(KIND, NAME)]
        (old,) = [artefact.version for artefact in before if artefact.card == {"summary": "old"}]
        new = registry.put(KIND, NAME, {"a.npz": b"1" * 100_000, "b.npz": b"2"}, {"summary": "new"})
        moved = registry.aliases(KIND, NAME)
        assert moved in ({PRODUCTION: old}, {PRODUCTION: new, PREVIOUS: old})
        assert found.version in (old, moved[PRODUCTION])
        entries = list(registry.log.entries())
        assert moved[PRODUCTION] == [entry.version for entry in entries if entry.what == "point"][-1]
        assert registry.revision() == [entry.number for entry in entries if entry.what == "point"][-1]
        assert [entry.version for entry in entries if entry.what == "put"] == [old, new]
        assert registry.log.verify() == []
        outcomes.add((len(before), moved[PRODUCTION] == new, found.version == moved[PRODUCTION]))
    assert outcomes == {(1, False, True), (2, False, True), (2, True, False), (2, True, True)}


def run(program: str, folder: Path) -> list[int]:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        check=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    return [int(code) for code in done.stdout.split()]


def point_often(folder: Path, versions: list[str], by: str, times: int) -> None:
    registry = Registry(folder)
    for turn in range(times):
        registry.point(KIND, NAME, PRODUCTION, versions[turn % len(versions)], by=by, reason=str(turn))


class TestTogether:
    def test_processes_take_turns_and_leave_a_whole_log(self, registry: Registry) -> None:
        versions = [put(registry, bytes([content])) for content in range(4)]
        context = multiprocessing.get_context("spawn")
        processes = [
            context.Process(target=point_often, args=(registry.folder, versions[by : by + 2], f"by-{by}", 15))
            for by in range(3)
        ]
        for process in processes:
            process.start()
        seen = {registry.revision()}
        while any(process.is_alive() for process in processes):
            seen.add(registry.revision())
            if registry.aliases(KIND, NAME):
                registry.get(KIND, NAME)
        for process in processes:
            process.join()
            assert process.exitcode == 0
        assert registry.log.verify() == []
        entries = [entry for entry in registry.log.entries() if entry.what == "point"]
        assert {entry.by for entry in entries} == {"by-0", "by-1", "by-2"}
        for before, after in pairwise(entries):
            assert after.before == before.version
        assert registry.aliases(KIND, NAME) == {PRODUCTION: entries[-1].version, PREVIOUS: entries[-1].before}
        assert registry.revision() == entries[-1].number
