"""What is measured, and that it runs: Weir and the bare forwarder for real, in front of the streaming mock."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.mock_upstream import streaming
from benchmarks.peers import PINNED
from benchmarks.processes import tree
from benchmarks.systems import SYSTEMS, Command, Place, System, ask, process, require_programs, running, weir_metric
from tests.e2e.running import eventually

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="benchmarks need Linux")


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with streaming(0.001, 3) as url:
        yield url


def test_all_systems_are_sent_the_same_request() -> None:
    bodies = [json.loads(system.body("Hello")) for system in SYSTEMS.values()]
    assert all(body | {"model": ""} == bodies[0] | {"model": ""} for body in bodies)
    streamed = json.loads(SYSTEMS["weir"].body("Hello", stream=True))
    assert streamed == json.loads(SYSTEMS["weir"].body("Hello")) | {
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_peers_that_can_be_run_are_those_that_can_be_installed() -> None:
    assert set(SYSTEMS) - {"direct", "nginx", "bare", "weir"} == set(PINNED)
    assert {name: peer.version for name, peer in PINNED.items()} == {
        name: peer.packages[0].replace("==", "@").split("@")[-1] for name, peer in PINNED.items()
    }


def test_what_is_not_there_is_not_installed(tmp_path: Path) -> None:
    assert SYSTEMS["weir"].installed()
    assert not replace(SYSTEMS["weir"], program=tmp_path / "nowhere").installed()
    assert not replace(SYSTEMS["nginx"], program="no-such-program").installed()


@pytest.mark.parametrize("name", ["weir", "bare"])
def test_a_system_answers_until_it_is_left(name: str, mock: str) -> None:
    system = SYSTEMS[name]
    with running(system, mock) as started:
        status, _, body = ask(started.base_url + system.path, started.headers, system.body("Hello"))
        _, headers, stream = ask(started.base_url + system.path, started.headers, system.body("Hi", stream=True))
        assert started.pid is not None
        members = tree(started.pid)
    assert (status, json.loads(body)["object"]) == (200, "chat.completion")
    assert headers["content-type"].startswith("text/event-stream")
    assert stream.endswith(b"data: [DONE]\n\n")
    assert members
    assert [pid for pid in members if tree(pid)] == []


def test_weirs_own_counts_tell_hits_from_calls(mock: str) -> None:
    system = SYSTEMS["weir"]
    with running(system, mock) as weir:
        before = weir_metric(weir, "weir_requests_total")
        for text in ("one", "two", "two", "two"):
            ask(weir.base_url + system.path, weir.headers, system.body(text))
        assert weir_metric(weir, "weir_requests_total") - before == 4
        assert weir_metric(weir, "weir_requests_total", cache="exact") == 2
        assert weir_metric(weir, "weir_attempts_total") - before == 2


def test_a_system_that_ends_at_once_is_told_with_its_log(mock: str) -> None:
    def broken(place: Place) -> Command:
        return Command(["sh", "-c", "echo no such luck; exit 3"])

    with pytest.raises(RuntimeError, match="no such luck"), running(System("broken", broken), mock):
        pass


def test_what_a_system_has_started_ends_with_it(tmp_path: Path) -> None:
    with process(Command(["sh", "-c", "sleep 600 & echo $!; wait"]), tmp_path):
        child = int(eventually((tmp_path / "log").read_text))
    command_line = Path(f"/proc/{child}/cmdline")
    assert eventually(lambda: not command_line.exists() or not command_line.read_bytes())


def test_direct_is_the_mock_itself(mock: str) -> None:
    with running(SYSTEMS["direct"], mock + "/") as direct:
        assert (direct.base_url, direct.pid) == (mock, None)


def test_a_program_that_is_missing_is_named_with_advice() -> None:
    require_programs([sys.executable])
    with pytest.raises(SystemExit, match=r"^no-such-program: not installed.* apt install"):
        require_programs([sys.executable, "no-such-program"])
