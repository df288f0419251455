"""Alerts reach a real webhook, or the log; one that is down, slow or broken holds nobody up."""

from __future__ import annotations

import asyncio
import logging
import shutil
import socket
import ssl
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from contracts.budgets import Crossing
from router.alerts import Alerts, message_of, text_of

CROSSED = Crossing(
    budget="acme-month",
    account={"tenant": "acme"},
    measure="usd",
    hard=True,
    share=0.8,
    spent=8_100_000_000,
    limit=10_000_000_000,
    window="month",
    resets_at=datetime(2026, 12, 1, tzinfo=UTC),
)
LIMITED = Crossing(
    budget="rush",
    account={},
    measure="requests",
    hard=True,
    share=1.0,
    spent=60,
    limit=60,
    window="minute",
    resets_at=None,
)


@dataclass
class Webhook:
    """Answers with `statuses`, one after the other, the last one again and again; after `pause_s`."""

    statuses: Sequence[int] = (204,)
    pause_s: float = 0.0
    url: str = ""
    got: list[Any] = field(default_factory=list)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/json"
        self.got.append(await request.json())
        self.called.set()
        status = self.statuses[min(len(self.got), len(self.statuses)) - 1]
        await asyncio.sleep(self.pause_s)
        return web.Response(status=status, headers={"location": "/elsewhere"})


@asynccontextmanager
async def listening(*statuses: int, pause_s: float = 0.0) -> AsyncIterator[Webhook]:
    hook = Webhook(statuses or (204,), pause_s)
    app = web.Application()
    app.router.add_post("/alerts", hook.answer)
    async with TestServer(app) as server:
        hook.url = str(server.make_url("/alerts?token=hidden"))
        yield hook


def certificate_in(folder: Path) -> Path:
    """A key, and a certificate by it for `localhost`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = folder / "localhost.pem"
    options = f"req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout {file} -out {file}.crt"
    names = ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(["openssl", *options.split(), *names], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + Path(f"{file}.crt").read_bytes())
    return file


class Told(Counter[str]):
    """What became of alerts, and a way to wait for it."""

    def add(self, result: str) -> None:
        self[result] += 1

    async def all(self, number: int) -> dict[str, int]:
        async with asyncio.timeout(20):
            while self.total() < number:  # noqa: ASYNC110 - what is waited for is on the other side of a socket
                await asyncio.sleep(0.005)
        return dict(self)


def alerts_to(url: str, told: Told, timeout_s: float = 5) -> Alerts:
    return Alerts(url, timeout_s=timeout_s, told=told.add, pause_s=0.001)


async def test_an_alert_arrives_as_json() -> None:
    async with listening() as hook:
        told = Told()
        alerts = alerts_to(hook.url, told)
        alerts.crossed(CROSSED)
        assert await told.all(1) == {"sent": 1}
        assert hook.got == [
            {
                "kind": "budget",
                "budget": "acme-month",
                "account": {"tenant": "acme"},
                "measure": "usd",
                "share": 0.8,
                "spent": "8.1",
                "limit": "10",
                "window": "month",
                "hard": True,
                "resets_at": "2026-12-01T00:00:00Z",
                "text": text_of(CROSSED),
            }
        ]
        await alerts.close()


@pytest.mark.parametrize(
    ("crossing", "text"),
    [
        (
            CROSSED,
            "Budget acme-month (tenant acme) has passed 80% of its limit: "
            "8.1 of 10 US dollars are spent this month.",
        ),
        (
            LIMITED,
            "Budget rush has passed 100% of its limit: 60 of 60 requests are spent this minute, "
            "and more is refused.",
        ),
    ],
)
def test_its_text_is_one_plain_sentence(crossing: Crossing, text: str) -> None:
    assert text_of(crossing) == text


def test_a_budget_that_refuses_before_it_is_spent_says_so() -> None:
    full = Crossing(
        budget="b",
        account={},
        measure="tokens",
        hard=True,
        share=1.0,
        spent=90,
        limit=100,
        window="total",
        resets_at=None,
    )
    assert text_of(full) == "Budget b refuses what would exceed it: 90 of 100 tokens are spent so far."
    assert message_of(full)["resets_at"] is None


async def test_several_wait_their_turn_and_all_arrive() -> None:
    async with listening() as hook:
        told = Told()
        alerts = alerts_to(hook.url, told)
        for _ in range(20):
            alerts.crossed(CROSSED)
        assert await told.all(20) == {"sent": 20}
        alerts.crossed(LIMITED)  # its task has ended, and begins again
        await told.all(21)
        assert len(hook.got) == 21


async def test_one_that_fails_for_a_moment_is_tried_again() -> None:
    async with listening(500, 429, 200) as hook:
        told = Told()
        alerts_to(hook.url, told).crossed(CROSSED)
        assert await told.all(1) == {"sent": 1}
        assert len(hook.got) == 3


@pytest.mark.parametrize(("status", "tries"), [(500, 4), (404, 1), (302, 1)])
async def test_one_that_goes_on_failing_is_given_up_and_in_the_log(
    caplog: pytest.LogCaptureFixture, status: int, tries: int
) -> None:
    async with listening(status) as hook:
        told = Told()
        alerts = alerts_to(hook.url, told)
        for _ in range(3):
            alerts.crossed(CROSSED)
        assert await told.all(3) == {"failed": 3}
        assert len(hook.got) == 3 * tries
    faults = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(faults) == 1
    assert f"it answered {status}" in caplog.text
    assert caplog.text.count("has passed 80%") == 3
    assert "hidden" not in caplog.text


async def test_a_webhook_that_is_back_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "weir.alerts")
    async with listening(400, 204) as hook:
        told = Told()
        alerts = alerts_to(hook.url, told)
        for _ in range(3):
            alerts.crossed(CROSSED)
        assert await told.all(3) == {"failed": 1, "sent": 2}
    assert caplog.text.count("reach the webhook again") == 1


async def test_one_that_is_down_or_no_address_at_all(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        for url in (down, "not an address"):
            told = Told()
            alerts_to(url, told).crossed(CROSSED)
            assert await told.all(1) == {"failed": 1}
    assert "ClientConnectorError" in caplog.text
    assert "its address is none" in caplog.text


async def test_one_that_is_slow_is_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async with listening(pause_s=0.5) as hook:
        told = Told()
        alerts = alerts_to(hook.url, told, timeout_s=0.02)
        alerts.crossed(CROSSED)
        assert await told.all(1) == {"failed": 1}
    assert "did not answer within 0.02 s" in caplog.text


async def test_what_there_is_no_room_for_is_dropped_and_counted() -> None:
    async with listening(pause_s=60) as hook:
        told = Told()
        alerts = alerts_to(hook.url, told)
        for _ in range(1005):
            alerts.crossed(CROSSED)
        assert told == {"dropped": 5}
        await hook.called.wait()
        await alerts.close(grace_s=0)
        assert told == {"dropped": 1005}
        assert "alerts" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_what_waits_is_sent_before_the_end() -> None:
    async with listening() as hook:
        told = Told()
        alerts = alerts_to(hook.url, told)
        for _ in range(5):
            alerts.crossed(CROSSED)
        await alerts.close()
        assert (told, len(hook.got)) == ({"sent": 5}, 5)
        await alerts.close()


async def test_without_a_webhook_the_log_has_it(caplog: pytest.LogCaptureFixture) -> None:
    told = Told()
    alerts = alerts_to("", told)
    alerts.crossed(CROSSED)
    assert text_of(CROSSED) in caplog.text
    assert told == {"logged": 1}
    await alerts.close()


async def test_another_address_holds_from_the_next_alert_on() -> None:
    async with listening() as old, listening() as new:
        told = Told()
        alerts = alerts_to(old.url, told)
        alerts.crossed(CROSSED)
        await told.all(1)
        alerts.configure(new.url, timeout_s=5)
        alerts.crossed(LIMITED)
        await told.all(2)
        assert [len(hook.got) for hook in (old, new)] == [1, 1]


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_webhook_over_https_gets_alerts_only_where_its_certificate_is_trusted(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = certificate_in(tmp_path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/alerts", hook.answer)
    server = TestServer(app, scheme="https", host="localhost")
    await server.start_server(ssl=context)
    try:
        told = Told()
        alerts_to(str(server.make_url("/alerts")), told).crossed(CROSSED)
        assert await told.all(1) == {"sent" if trusted else "failed": 1}
        assert len(hook.got) == trusted
        assert ("Certificate" in caplog.text) is not trusted
    finally:
        await server.close()
