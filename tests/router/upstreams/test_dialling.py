"""Whom a URL names, and how a connection to them is made or fails."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from router.upstreams.dialling import Dialler, Origin, trusting
from router.upstreams.http1 import Connection, NotConnected, NotSecure, head
from tests.router.upstreams.wire import http

ASKED = head("GET", "/", {"host": "up"}) + b"\r\n"


async def answering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(http(b"{}"))
    await reader.read()
    writer.close()


async def reached(dialler: Dialler) -> bytes:
    """The body of an answer from whom `dialler` reaches."""
    due = asyncio.get_running_loop().time() + 10
    lost = asyncio.Event()
    connection = Connection(lambda _: lost.set())
    await dialler.dial(connection, due)
    await connection.ask(ASKED, b"", due)
    body = await connection.read()
    connection.abort()
    await lost.wait()
    return body


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://localhost/v1", Origin("localhost", 80, False), "localhost"),
        ("http://localhost:8000/v1", Origin("localhost", 8000, False), "localhost:8000"),
        ("https://API.example.com", Origin("api.example.com", 443, True), "api.example.com"),
        ("https://api.example.com:443/v1", Origin("api.example.com", 443, True), "api.example.com"),
        ("https://api.example.com:80/v1", Origin("api.example.com", 80, True), "api.example.com:80"),
        ("http://[::1]:8000/v1", Origin("::1", 8000, False), "[::1]:8000"),
        ("https://[2001:db8::1]/v1", Origin("2001:db8::1", 443, True), "[2001:db8::1]"),
        ("http://bücher.example/v1", Origin("xn--bcher-kva.example", 80, False), "xn--bcher-kva.example"),
        ("http://model_server:1/v1", Origin("model_server", 1, False), "model_server:1"),
    ],
)
def test_whom_a_url_names(url: str, origin: Origin, authority: str) -> None:
    assert Origin.of(urlsplit(url)) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "v1",
        "https:///v1",
        "ftp://up/v1",
        "http://a:b@up/v1",
        "http://a b/v1",
        "http://a..b/",
        "http://u:99999/",
    ],
)
def test_what_names_nobody_is_refused(url: str) -> None:
    with pytest.raises(ValueError):
        Origin.of(urlsplit(url))


async def test_an_ipv6_address_is_reached() -> None:
    try:
        server = await asyncio.start_server(answering, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await reached(Dialler(Origin("::1", port, False), 5)) == b"{}"


class Resolving(asyncio.SelectorEventLoop):
    """Every name stands for these addresses. It is written down who asks for them, and what is tried."""

    addresses: tuple[tuple[str, int], ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.tried: list[Any] = []

    async def sock_connect(self, sock: Any, address: Any) -> None:
        self.tried.append(address)
        await super().sock_connect(sock, address)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in self.addresses]


async def reached_beside(*dead: tuple[str, int]) -> None:
    """A name whose `dead` addresses come before the one that answers."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Resolving)
    async with await asyncio.start_server(answering, "127.0.0.1", 0) as server:
        answers = server.sockets[0].getsockname()
        loop.addresses = (*dead, answers)
        dialler = Dialler(Origin("up", 1, False), connect_s=0.5)
        assert [await reached(dialler) for _ in range(3)] == [b"{}"] * 3
    assert loop.asked == ["up"], "what is known is not asked again"
    assert loop.tried == [*dead, answers, answers, answers], "what worked comes first"


def test_a_name_is_reached_where_one_of_its_addresses_answers() -> None:
    with socket.socket() as bound, asyncio.Runner(loop_factory=Resolving) as runner:
        bound.bind(("127.0.0.1", 0))
        runner.run(reached_beside(bound.getsockname(), bound.getsockname()))


def test_an_address_that_is_silent_leaves_time_for_the_next() -> None:
    with socket.socket() as full, asyncio.Runner(loop_factory=Resolving) as runner:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for other in waiting:  # fills the queue of connections that nobody accepts
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        runner.run(reached_beside(full.getsockname()))
        for other in waiting:
            other.close()


def test_a_name_without_addresses_is_not_reached() -> None:
    with asyncio.Runner(loop_factory=Resolving) as runner, pytest.raises(NotConnected, match="up:1"):
        runner.run(reached(Dialler(Origin("up", 1, False), 5)))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key, and a certificate by it for `localhost`."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    pem = tmp_path / "localhost.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    options += f" -addext subjectAltName=DNS:localhost -keyout {pem} -out {pem}.public"
    subprocess.run(["openssl", *options.split()], check=True, capture_output=True)
    pem.write_text(pem.read_text() + Path(f"{pem}.public").read_text())
    return pem


@pytest.mark.parametrize("trusted", [True, False])
async def test_a_server_must_be_who_it_says(
    trusted: bool, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusting.cache_clear()
    try:
        async with await asyncio.start_server(answering, "127.0.0.1", 0, ssl=context) as server:
            dialler = Dialler(Origin("localhost", server.sockets[0].getsockname()[1], True), 5)
            if trusted:
                assert await reached(dialler) == b"{}"
            else:
                with pytest.raises(NotSecure, match="certificate"):
                    await reached(dialler)
    finally:
        trusting.cache_clear()
