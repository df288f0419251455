from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.processes import tree, usage

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="benchmarks need Linux")

PROGRAM = """
import socket, subprocess, sys
held = bytearray(b"x" * int(sys.argv[2]) * 1024 * 1024)
sockets = [socket.socket() for _ in range(int(sys.argv[3]))]
if int(sys.argv[1]):
    child = subprocess.Popen([sys.executable, "-c", sys.argv[4], "0", "60", "2", ""], stdout=subprocess.PIPE)
    child.stdout.readline()
print("up", flush=True)
sys.stdin.read()
"""


@contextmanager
def running(children: int, megabytes: int, sockets: int) -> Iterator[int]:
    arguments = [str(children), str(megabytes), str(sockets), PROGRAM]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        yield process.pid


def test_a_tree_is_counted_with_its_children() -> None:
    with running(1, 20, 3) as pid:
        used = usage(pid)
        assert tree(pid)[0] == pid
        assert (used.processes, used.sockets) == (2, 5)
        assert 60 < used.rss_mb < 100  # of the child, which is the larger one
        assert used.pss_mb > 80
        assert used.cpu_s > 0


def test_what_is_gone_has_nothing() -> None:
    with running(0, 1, 0) as pid:
        pass
    used = usage(pid)
    assert (used.processes, used.rss_mb, used.pss_mb, used.cpu_s, used.sockets) == (0, 0, 0, 0, 0)


def test_cpu_time_of_children_that_ended_stays_counted() -> None:
    before = usage(os.getpid()).cpu_s
    subprocess.run([sys.executable, "-c", "for _ in range(5_000_000): pass"], check=True)
    assert usage(os.getpid()).cpu_s >= before + 0.05
