"""Several workers in one `weir serve`: to the outside one Weir, also when one of them dies."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.slow_upstream import SlowUpstream, slow_upstream
from ledger.keys import hash_of
from tests.e2e.running import (
    ACME_HASH,
    ROOT,
    RunningWeir,
    environment,
    eventually,
    running_weir,
    stream_once,
    write_config,
)

PRICE = {"input": "1", "output": "2"}
KEY = "sk-weir-demo-acme"


def long() -> Any:
    """A question that was never asked before, and is long in the repeating."""
    return [{"role": "user", "content": f"{random.random()} " + "Say this again, word by word, please. " * 10}]


def workers_of(weir: RunningWeir) -> set[int]:
    """Process ids of the living workers: what the parent has forked."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return {int(pid) for pid, parent, state in rows if int(parent) == weir.process.pid and state[0] != "Z"}


def alive(pid: int) -> bool:
    listed = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


class Connection:
    """One connection that is kept, so that one worker answers all that is asked on it."""

    def __init__(self, weir: RunningWeir) -> None:
        self._weir = weir
        self.request_id = ""
        self._http = http.client.HTTPConnection(weir.url.removeprefix("http://"), timeout=30)

    def send(self, method: str, path: str, key: str = KEY, body: object = None) -> tuple[int, Any]:
        """Status and body, parsed where it is JSON."""
        self._http.request(
            method,
            path,
            json.dumps(body) if body is not None else None,
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        response = self._http.getresponse()
        text = response.read().decode()
        self.request_id = response.getheader("x-weir-request-id") or self.request_id
        return response.status, json.loads(text) if text.startswith(("{", "[")) else text

    def ask(self, model: str = "auto", key: str = KEY) -> int:
        """The status of a question that was never asked before."""
        text = f"Hello, {random.random()}"
        body = {"model": model, "messages": [{"role": "user", "content": text}]}
        return self.send("POST", "/v1/chat/completions", key, body)[0]

    def by_worker(self, name: str) -> Counter[str]:
        """The samples of one metric, added up for each worker. Fails where the page is not as it should be."""
        page = self.send("GET", "/metrics", self._weir.admin_key)[1]
        families = list(text_string_to_metric_families(page))
        assert len({family.name for family in families}) == len(families)
        found: Counter[str] = Counter()
        for family in families:
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels["worker"]] += sample.value
        return found

    def close(self) -> None:
        self._http.close()


@contextmanager
def one_to_each(weir: RunningWeir) -> Iterator[tuple[Connection, Connection]]:
    """Connections to the first and the second worker: asked, each shows in the metrics who it is."""
    opened: list[Connection] = []
    found: dict[str, Connection] = {}
    try:
        while len(found) < 2:
            connection = Connection(weir)
            opened.append(connection)
            before = connection.by_worker("weir_requests_total")
            assert connection.ask() == 200
            (worker,) = connection.by_worker("weir_requests_total") - before
            found[worker] = connection
        yield found["0"], found["1"]
    finally:
        for connection in opened:
            connection.close()


@pytest.fixture
def weir(tmp_path: Path) -> Iterator[RunningWeir]:
    """Two workers that look at their configuration only when told."""
    server = {"admin_key": "${WEIR_ADMIN_KEY}", "reload_seconds": 3600}
    with running_weir(write_config(tmp_path, server=server), tmp_path / "state", workers=2) as running:
        yield running


# --- one Weir to the outside


def test_metrics_are_those_of_all_workers_whichever_is_asked(weir: RunningWeir) -> None:
    with one_to_each(weir) as connections:
        before = connections[0].by_worker("weir_requests_total")
        for number, connection in enumerate(connections, 1):
            for _ in range(number):
                connection.ask()
        for connection in connections:
            after = connection.by_worker("weir_requests_total")
            assert after - before == {"0": 1, "1": 2}
            assert connection.by_worker("weir_in_flight") == {"0": 0, "1": 0}
            assert set(connection.by_worker("weir_spool_bytes")) == {"0"}


def test_a_decision_can_be_read_from_any_worker_at_once_and_by_its_own_tenant_only(tmp_path: Path) -> None:
    tenants = {
        "acme": {"keys": {"demo": {"hash": ACME_HASH}}},
        "globex": {"keys": {"one": {"hash": hash_of("sk-weir-globex")}}},
    }
    with (
        running_weir(write_config(tmp_path, tenants=tenants), tmp_path / "state", workers=2) as weir,
        one_to_each(weir) as (first, second),
    ):
        for asked, other in ((first, second), (second, first)) * 10:
            assert asked.ask() == 200
            page = f"/v1/decisions/{asked.request_id}"
            status, decision = other.send("GET", page)
            assert (status, decision["request_id"]) == (200, asked.request_id)
            assert other.send("GET", page, "sk-weir-globex")[0] == 404


def test_a_key_made_or_revoked_through_one_worker_counts_for_the_other(weir: RunningWeir) -> None:
    with one_to_each(weir) as (first, second):
        status, made = first.send("POST", "/admin/v1/keys", weir.admin_key, {"tenant": "acme"})
        assert status == 201
        eventually(lambda: second.ask(key=made["secret"]) == 200)
        assert second.send("DELETE", f"/admin/v1/keys/{made['id']}", weir.admin_key)[0] == 200
        assert second.ask(key=made["secret"]) == 401
        eventually(lambda: first.ask(key=made["secret"]) == 401)


@pytest.mark.parametrize("how", ["signal", "page"])
def test_a_reload_reaches_all_workers(weir: RunningWeir, how: str) -> None:
    with one_to_each(weir) as (first, second):
        weir.config.write_text(weir.config.read_text().replace("auto:", "renamed:"))
        if how == "signal":
            weir.process.send_signal(signal.SIGHUP)
        else:
            assert first.send("POST", "/admin/v1/reload", weir.admin_key)[1] == {"result": "taken"}
            assert first.ask("renamed") == 200
        for connection in (first, second):
            eventually(lambda connection=connection: connection.ask("renamed") == 200)
            assert connection.ask("auto") == 404


def config_over(folder: Path, upstream: SlowUpstream, most: int) -> Path:
    return write_config(
        folder,
        server={"admin_key": "${WEIR_ADMIN_KEY}", "max_concurrent": most},
        upstreams={"slow": {"kind": "openai", "base_url": f"{upstream.url}/v1"}},
        models={"slow": {"upstream": "slow", "price": PRICE}},
        routes={"auto": {"candidates": ["slow"], "attempts": {"retries": 0}}},
    )


def rush(weir: RunningWeir, number: int) -> Counter[int]:
    """Statuses of as many requests at once, each on a connection of its own."""

    def one(_: int) -> int:
        connection = Connection(weir)
        try:
            return connection.ask()
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        return Counter(pool.map(one, range(number)))


def test_max_concurrent_holds_for_all_workers_together(tmp_path: Path) -> None:
    with (
        slow_upstream(0.3) as upstream,
        running_weir(config_over(tmp_path, upstream, 4), tmp_path / "state", workers=2) as weir,
    ):
        statuses: Counter[int] = Counter()
        for _ in range(4):
            statuses += rush(weir, 24)
        assert set(statuses) == {200, 503}
        assert upstream.most == 4
        connection = Connection(weir)
        assert sorted(connection.by_worker("weir_requests_total")) == ["0", "1"]
        assert weir.costs()["total"]["requests"] == statuses[200]
        connection.close()


def test_what_a_dead_worker_was_answering_does_not_count_for_ever(tmp_path: Path) -> None:
    with (
        slow_upstream(0) as upstream,
        running_weir(config_over(tmp_path, upstream, 1), tmp_path / "state", workers=2) as weir,
        one_to_each(weir) as (first, second),
        ThreadPoolExecutor(1) as pool,
    ):
        upstream.pause_s = 2
        cut = pool.submit(first.ask)
        eventually(lambda: upstream.now == 1)
        assert second.ask() == 503
        os.kill(min(workers_of(weir)), signal.SIGKILL)  # the first began before the second
        with pytest.raises((OSError, http.client.HTTPException)):
            cut.result()
        upstream.pause_s = 0
        eventually(lambda: second.ask() == 200)


# --- lives and deaths


async def _stream_again_and_again(weir: RunningWeir, finished: list[str], stop: asyncio.Event) -> None:
    """One streamed question after another; what is cut is asked again. Note the ids of whole answers."""
    async with weir.async_client() as client:
        while not stop.is_set():
            try:
                await stream_once(client, finished)
            except openai.APIConnectionError as error:
                assert not isinstance(error.__cause__, httpx.ConnectError), "refused"
            except (openai.APIError, httpx.HTTPError):
                pass


def talker(folder: Path, pause_ms: int = 3) -> Path:
    return write_config(
        folder,
        models={
            "talker": {"upstream": "scripted", "name": f"slow-tokens-{pause_ms}", "price": PRICE},
            "good": {"upstream": "scripted", "name": "echo", "price": PRICE},
        },
    )


def test_a_killed_worker_is_replaced_and_no_finished_answer_lacks_its_event(tmp_path: Path) -> None:
    finished: list[str] = []

    async def more(number: int) -> None:
        goal = len(finished) + number
        while len(finished) < goal:  # noqa: ASYNC110 - any of the streams may be the one
            await asyncio.sleep(0.02)

    async def kill_while_streaming(weir: RunningWeir) -> None:
        stop = asyncio.Event()
        streams = [asyncio.create_task(_stream_again_and_again(weir, finished, stop)) for _ in range(16)]
        for victim in sorted(workers_of(weir)):
            await more(16)
            os.kill(victim, signal.SIGKILL)
        await more(64)
        stop.set()
        await asyncio.gather(*streams)

    with running_weir(talker(tmp_path), tmp_path / "state", workers=2) as weir:
        before = workers_of(weir)
        asyncio.run(kill_while_streaming(weir))
        after = eventually(lambda: len(found := workers_of(weir)) == 2 and found)
        assert not before & after
        for request_id in finished:
            weir.decision(request_id)
        with one_to_each(weir):
            pass
        weir.stop()
        assert weir.costs()["total"]["requests"] >= len(finished)
    assert Counter(finished).most_common(1)[0][1] == 1


def answers(weir: RunningWeir, model: str) -> set[int]:
    """Statuses on twenty new connections, one after the other."""
    found = set()
    for _ in range(20):
        connection = Connection(weir)
        found.add(connection.ask(model))
        connection.close()
    return found


def test_a_new_worker_begins_with_the_configuration_in_force_and_those_who_come_wait_for_it(
    weir: RunningWeir,
) -> None:
    weir.config.write_text(weir.config.read_text().replace("auto:", "renamed:"))
    weir.process.send_signal(signal.SIGHUP)
    eventually(lambda: answers(weir, "renamed") == {200})
    for victim in workers_of(weir):
        os.kill(victim, signal.SIGKILL)
        assert answers(weir, "renamed") == {200}


def test_when_the_parent_is_killed_the_workers_end_and_nothing_is_lost(tmp_path: Path) -> None:
    config, state = talker(tmp_path, pause_ms=10), tmp_path / "state"
    with running_weir(config, state, workers=2) as weir:
        workers = workers_of(weir)
        with one_to_each(weir) as connections:
            stream = weir.client().chat.completions.create(model="talker", messages=long(), stream=True)
            next(iter(stream))
            weir.kill()
            assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "stop"
            eventually(lambda: not any(map(alive, workers)))
            with pytest.raises(OSError):
                connections[0].ask()
    with running_weir(config, state, workers=2) as weir:
        eventually(lambda: weir.costs()["total"]["requests"] >= 3)


def test_open_streams_are_finished_before_all_end(tmp_path: Path) -> None:
    with running_weir(talker(tmp_path, pause_ms=10), tmp_path / "state", workers=2) as weir:
        operator = Connection(weir)
        streams = []
        while len(in_flight := operator.by_worker("weir_in_flight")) < 2 or min(in_flight.values()) < 2:
            streams.append(weir.client().chat.completions.create(model="talker", messages=long(), stream=True))
            next(iter(streams[-1]))
        assert sum(in_flight.values()) == len(streams)
        operator.close()
        workers = workers_of(weir)
        weir.process.terminate()
        for stream in streams:
            assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "stop"
        assert weir.process.wait(30) == 0
        assert not any(map(alive, workers))
        assert weir.costs()["total"]["requests"] == len(streams)
        assert not list((weir.state / "workers").glob("*.prom"))


# --- beginnings


def start(config: Path, state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "weir", "serve", "--config", str(config), "--workers", "2", *arguments],
        capture_output=True,
        text=True,
        env=environment(state),
        cwd=ROOT,
        timeout=60,
    )


def test_a_taken_port_is_one_line_of_advice(weir: RunningWeir, tmp_path: Path) -> None:
    """Also one that another Weir's workers share."""
    port = weir.url.rpartition(":")[2]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for one in (port, str(taken.getsockname()[1])):
            failed = start(weir.config, tmp_path / "other", "--port", one)
            assert (failed.returncode, failed.stdout) == (1, "")
            assert failed.stderr.startswith(f"Error: 127.0.0.1:{one} cannot be had: ")
            assert len(failed.stderr.splitlines()) == 1


def test_an_upstream_that_cannot_start_is_one_line_of_advice(tmp_path: Path) -> None:
    (tmp_path / "faq.jsonl").write_text("no JSON")
    config = write_config(tmp_path, upstreams={"scripted": {"kind": "scripted", "knowledge": "faq.jsonl"}})
    failed = start(config, tmp_path / "state", "--port", "0")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("Error: ")
    assert len(failed.stderr.splitlines()) == 1


def test_so_is_a_model_without_a_price(tmp_path: Path) -> None:
    config = write_config(tmp_path, models={"mystery": {"upstream": "scripted"}}, routes={})
    failed = start(config, tmp_path / "state", "--port", "0")
    assert failed.returncode == 1
    assert failed.stderr.startswith("Error: ")
    assert "mystery" in failed.stderr
    assert "Traceback" not in failed.stderr
