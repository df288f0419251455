"""A small server of pages for one person at one machine: the runs in a folder, each of them, and any two compared.

The non-obvious decision: a request names a run, and never a path. Names are looked up among the runs that were
found in the folder, so that no request can lead out of it.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import parse_qs, urlsplit

from evals.comparison import Incomparable, compare
from evals.reporting.comparison_page import comparison_page
from evals.reporting.page import run_page
from evals.reporting.runs_page import Listed, folders_in, listed, runs_page, said_page, stamp
from evals.run_folder import RunUnusable, read_run
from evals.summary import summarise

_MOST_PAGES = 8
"""A page may have some 20 MB."""
_MOST_LINES = 1_000
_PATIENCE_S = 30
_HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Thing = TypeVar("Thing")


class NotThere(LookupError):
    """No run has that name; the message says so."""


class Kept(Generic[Thing]):
    """The latest things that were made, by what they were made of. One is made at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[Hashable, Thing] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """Raises what `make` raises, and then keeps nothing."""
        with self._lock:
            if key not in self._things:
                self._things[key] = make()
            self._things.move_to_end(key)
            while len(self._things) > self._most:
                self._things.popitem(last=False)
            return self._things[key]


class Pages:
    """Pages of the runs in a folder, made from the files when asked for, and kept until the files change."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages: Kept[str] = Kept(_MOST_PAGES)
        self._lines: Kept[Listed] = Kept(_MOST_LINES)

    def runs(self) -> str:
        """Raises OSError where the folder cannot be read."""
        return runs_page(self._folder, [self._line(*one) for one in folders_in(self._folder).items()])

    def run(self, name: str) -> str:
        """Raises NotThere, RunUnusable, ValueError where there are no answers yet, and OSError."""
        folder = self._of(name)
        return self._pages.get((name, stamp(folder)), lambda: _run_page(folder))

    def comparison(self, a: str, b: str) -> str:
        """Raises what `run` does, and Incomparable."""
        folders = self._of(a), self._of(b)
        return self._pages.get((a, b, *map(stamp, folders)), lambda: _comparison_page(*folders))

    def _line(self, name: str, folder: Path) -> Listed:
        return self._lines.get((name, stamp(folder)), lambda: listed(name, folder))

    def _of(self, name: str) -> Path:
        found = folders_in(self._folder).get(name)
        if found is None:
            raise NotThere(f"There is no run {name!r} in {self._folder}.")
        return found


class Viewer(ThreadingHTTPServer):
    """Serves `pages` at `host` and `port`; port 0 takes any. Raises OSError where it is taken."""

    daemon_threads = True

    def __init__(self, pages: Pages, host: str, port: int) -> None:
        self.pages = pages
        self.host = host
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Viewer
    timeout = _PATIENCE_S
    server_version = "weir"
    sys_version = ""

    def do_GET(self) -> None:
        if not known_host(self.headers.get("Host", ""), self.server.host):
            status, page = HTTPStatus.FORBIDDEN, said_page("Not here", "This server is not known by that name.")
        else:
            status, page = _answer(self.server.pages, self.path)
        body = page.encode()
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing: whoever looks sees the pages."""


def known_host(header: str, host: str) -> bool:
    """Whether a request's Host header names this server by an address, as `localhost`, or as `host`.

    Anything else is a name that somebody else may have pointed here, so that their page could read ours.
    """
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in ("localhost", host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _answer(pages: Pages, target: str) -> tuple[HTTPStatus, str]:
    parts = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
    try:
        if parts.path == "/":
            return HTTPStatus.OK, pages.runs()
        if parts.path == "/run":
            return HTTPStatus.OK, pages.run(asked.get("name", ""))
        if parts.path == "/compare":
            return HTTPStatus.OK, pages.comparison(asked.get("a", ""), asked.get("b", ""))
    except NotThere as error:
        return HTTPStatus.NOT_FOUND, said_page("No such run", str(error))
    except RunUnusable as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, said_page("This run cannot be read", str(error))
    except Incomparable as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, said_page("These runs cannot be compared", str(error))
    except ValueError as error:
        return HTTPStatus.UNPROCESSABLE_ENTITY, said_page("There is nothing to show yet", str(error))
    except OSError as error:
        return HTTPStatus.INTERNAL_SERVER_ERROR, said_page("A file cannot be read", str(error))
    return HTTPStatus.NOT_FOUND, said_page("No such page", f"There is no page {parts.path}.")


def _run_page(folder: Path) -> str:
    run = read_run(folder)
    return run_page(summarise(run), run)


def _comparison_page(a: Path, b: Path) -> str:
    run_a, run_b = read_run(a), read_run(b)
    return comparison_page(compare(run_a, run_b), run_a, run_b)
