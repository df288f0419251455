"""The parent of several workers, each test with processes of its own: beginnings, ends, and what passes between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PARENT = """
import logging, os, select, signal, sys, time
from router.station import Station, doors
from router.workers import Foreman, WorkersFailed

logging.basicConfig(stream=sys.stdout, format="log %(processName)s: %(message)s", force=True)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def stand(station):
    '''Until told to end, say what comes in on the line.'''
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    say("began", station.worker, os.getpid(), "again" if station.replaces else "first")
    station.listening(f"http://127.0.0.1:{station.door.getsockname()[1]}")
    while not ended:
        if select.select([station.line], [], [], 0.02)[0]:
            try:
                heard = station.line.recv(4096).decode()
            except ConnectionResetError:
                heard = ""
            if not heard:
                say("orphan", station.worker)
                return 0
            for word in heard.split():
                say("told", station.worker, word)
    say("ended", station.worker)
    return 0

WORK

foreman = Foreman(
    doors("127.0.0.1", 0, 2), work, gone=lambda worker: say("gone", worker), listening=lambda url: say("up", url),
    shutdown_s=0, grace_s=GRACE,
)
try:
    foreman.run()
except WorkersFailed as error:
    say("failed:", error)
    sys.exit(1)
say("done")
"""


class Lines:
    """What a parent and its workers say."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []

    def until(self, *beginnings: str) -> list[str]:
        """Read on until lines with all these beginnings have come, in any order; returns them, as asked."""
        found: dict[str, str] = {}
        assert self.process.stdout is not None
        while set(beginnings) - found.keys():
            line = self.process.stdout.readline()
            assert line, f"{beginnings} never came: {self.said}"
            self.said.append(line.strip())
            for beginning in beginnings:
                if line.startswith(beginning):
                    found.setdefault(beginning, line.strip())
        return [found[beginning] for beginning in beginnings]

    def rest(self) -> list[str]:
        """All that is said until the end of everything, from the beginning."""
        assert self.process.stdout is not None
        self.said += [line.strip() for line in self.process.stdout]
        self.process.wait(20)
        return self.said

    def pid(self, worker: int) -> int:
        """Of the worker's last life so far."""
        return int([line for line in self.said if line.startswith(f"began {worker}")][-1].split()[2])


@contextmanager
def parent(work: str, grace_s: float = 10) -> Iterator[Lines]:
    script = PARENT.replace("WORK", work).replace("GRACE", str(grace_s))
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    watchdog = threading.Timer(30, kill)
    watchdog.start()
    with process:
        try:
            yield Lines(process)
        finally:
            watchdog.cancel()
            kill()


@pytest.fixture
def standing() -> Iterator[Lines]:
    """A parent whose two workers do nothing but wait."""
    with parent("work = stand") as lines:
        lines.until("up")
        yield lines


def test_the_first_begins_alone_and_the_news_comes_once_all_listen() -> None:
    with parent("""
def work(station):
    time.sleep(0.1)
    return stand(station)
""") as lines:
        lines.until("up")
        words = [line.split()[:2] for line in lines.said]
        assert words[:2] == [["began", "0"], ["began", "1"]]
        assert [word for word, _ in words].count("up") == 1
        lines.process.terminate()
        said = lines.rest()
    assert {"ended 0", "ended 1", "gone 0", "gone 1", "done"} <= set(said)
    assert lines.process.returncode == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_both_signals_end_all_in_good_order(standing: Lines, number: signal.Signals) -> None:
    standing.process.send_signal(number)
    assert {"ended 0", "ended 1", "done"} <= set(standing.rest())
    assert standing.process.returncode == 0


def test_what_keeps_one_from_starting_is_said_in_its_words_and_ends_all() -> None:
    with parent("""
def work(station):
    if station.worker == 0:
        return stand(station)
    station.failed("The well is dry.\\nDig deeper.")
    return 1
""") as lines:
        said = lines.rest()
    assert said[-2:] == ["failed: The well is dry.", "Dig deeper."]
    assert "ended 0" in said
    assert not [line for line in said if line.startswith(("up", "log"))]
    assert lines.process.returncode == 1


def test_one_that_cannot_begin_is_given_up_in_the_end() -> None:
    with parent("""
def work(station):
    say("tries", station.worker)
    raise RuntimeError("no water")
""") as lines:
        said = lines.rest()
    assert said.count("tries 0") == 6
    assert "tries 1" not in said
    assert said[-1] == "failed: Worker 0 ended 6 times before it could serve (status 1)."
    assert "RuntimeError: no water" in said
    assert lines.process.returncode == 1


def test_one_that_dies_is_replaced_and_the_other_does_not_notice(standing: Lines) -> None:
    before = standing.pid(1)
    os.kill(standing.pid(0), signal.SIGKILL)
    _, log, began = standing.until("gone 0", "log parent", "began 0")
    assert began.split()[3] == "again"
    assert "worker 0 ended (killed by SIGKILL); another takes its place" in log
    standing.process.terminate()
    said = standing.rest()
    assert standing.pid(1) == before
    assert "orphan 1" not in said
    assert sum(line.startswith("up") for line in said) == 1
    assert standing.process.returncode == 0


def test_one_that_ends_unasked_is_replaced_too(standing: Lines) -> None:
    os.kill(standing.pid(1), signal.SIGTERM)
    _, began = standing.until("ended 1", "began 1")
    assert began.endswith("again")


def test_one_that_cannot_come_back_at_first_does_not_end_those_who_serve(tmp_path: Path) -> None:
    dry = tmp_path / "dry"
    dry.touch()
    with parent(f"""
def work(station):
    if station.replaces and os.path.exists({str(dry)!r}):
        os.unlink({str(dry)!r})
        station.failed("The well is dry.")
        return 1
    return stand(station)
""") as lines:
        lines.until("up")
        os.kill(lines.pid(1), signal.SIGKILL)
        lines.until("log parent: worker 1 cannot serve: The well is dry.", "began 1")
        lines.process.terminate()
        assert {"ended 0", "ended 1", "done"} <= set(lines.rest())


def test_words_reach_all_others(standing: Lines) -> None:
    standing.process.send_signal(signal.SIGHUP)
    standing.until("told 0 reload", "told 1 reload")


def test_a_worker_tells_the_others_and_not_itself() -> None:
    with parent("""
def work(station):
    if station.worker == 0:
        signal.signal(signal.SIGUSR1, lambda *_: station.tell("publish"))
    return stand(station)
""") as lines:
        lines.until("up")
        os.kill(lines.pid(0), signal.SIGUSR1)
        lines.until("told 1 publish")
        lines.process.terminate()
        assert "told 0 publish" not in lines.rest()


def test_when_the_parent_is_killed_the_workers_end(standing: Lines) -> None:
    standing.process.kill()
    assert {"orphan 0", "orphan 1"} <= set(standing.rest())


def test_so_do_they_while_another_one_hangs(standing: Lines) -> None:
    """The second was forked while the first one's line was open, and must not keep it."""
    os.kill(standing.pid(1), signal.SIGSTOP)
    standing.process.kill()
    standing.until("orphan 0")


HANGS = """
def work(station):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    station.listening("nowhere")
    say("began", station.worker, os.getpid())
    time.sleep(60)
"""


def test_a_second_signal_kills_those_who_hang() -> None:
    with parent(HANGS, grace_s=60) as lines:
        lines.until("up")
        lines.process.terminate()
        time.sleep(0.1)  # two at once are one
        lines.process.terminate()
        assert lines.rest()[-1].startswith("failed: Worker")
    assert lines.process.returncode == 1


def test_so_does_the_end_of_patience() -> None:
    with parent(HANGS, grace_s=0.2) as lines:
        lines.until("up")
        lines.process.terminate()
        assert "did not end in good order (killed by SIGKILL)" in lines.rest()[-1]
    assert lines.process.returncode == 1
