"""The viewer's server: its pages, whom it answers, and that no request leads out of its folder."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from evals.reporting.viewer import Kept, Pages, Viewer, known_host
from evals.run_folder import RESULTS, Results
from tests.evals.reporting.reading import Read
from tests.evals.reporting.runs import answered, cases, good_but, write_run


@pytest.fixture
def viewer(tmp_path: Path) -> Iterator[Viewer]:
    folder = tmp_path / "runs"
    write_run(folder / "large", cases(60), good_but(10), target="large")
    write_run(folder / "nightly" / "small", cases(60), good_but(2, 3), target="small")
    write_run(folder / "other", cases(6, question="Another question {}"), good_but(2), suite="another")
    write_run(folder / "begun", cases(60), lambda _, __: None)
    write_run(folder / "torn", cases(6), good_but(2))
    (folder / "torn" / RESULTS).write_text("{}\n")
    write_run(tmp_path / "outside", cases(6), good_but(2), target="secret")
    with Viewer(Pages(folder), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(viewer: Viewer, path: str, method: str = "GET", host: str = "") -> tuple[int, str]:
    line = HTTPConnection("127.0.0.1", viewer.server_address[1], timeout=60)
    try:
        line.request(method, path, headers={"Host": host} if host else {})
        reply = line.getresponse()
        return reply.status, reply.read().decode()
    finally:
        line.close()


def test_lists_runs_and_shows_each(viewer: Viewer) -> None:
    status, page = ask(viewer, "/")
    assert status == 200
    assert all(name in page for name in ("large", "nightly/small", "torn"))
    status, page = ask(viewer, "/run?name=nightly%2Fsmall")
    assert status == 200
    assert "were put to small" in Read(page).text


def test_compares_any_two(viewer: Viewer) -> None:
    status, page = ask(viewer, "/compare?a=large&b=nightly%2Fsmall")
    assert status == 200
    assert "support: small beside large" in Read(page).text


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/run?name=../outside", 404, "There is no run"),
        ("/run?name=%2e%2e%2foutside", 404, "There is no run"),
        ("/run?name=/etc", 404, "There is no run"),
        ("/run", 404, "There is no run"),
        ("/compare?a=large", 404, "There is no run"),
        ("/../outside/run.json", 404, "There is no page"),
        ("/<script>", 404, "There is no page"),
        ("/run?name=torn", 422, "damaged"),
        ("/run?name=begun", 422, "no answers yet"),
        ("/compare?a=large&b=other", 422, "cannot be compared"),
    ],
)
def test_what_cannot_be_shown_is_said(viewer: Viewer, path: str, status: int, says: str) -> None:
    got, page = ask(viewer, path)
    found = Read(page)
    assert got == status
    assert says in found.text
    assert "secret" not in found.text
    assert found.tags.count("script") == 1


def test_a_page_is_made_anew_when_an_answer_comes(viewer: Viewer, tmp_path: Path) -> None:
    _, before = ask(viewer, "/run?name=large")
    results = Results(tmp_path / "runs" / "large")
    results.append(answered(cases(1)[0], 0, True, "A second thought: 30 days."))
    results.close()
    _, after = ask(viewer, "/run?name=large")
    assert "A second thought" not in before
    assert "A second thought" in after


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_reads(viewer: Viewer, method: str) -> None:
    assert ask(viewer, "/", method)[0] == 501


def test_a_page_that_pointed_its_own_name_here_is_told_nothing(viewer: Viewer) -> None:
    status, page = ask(viewer, "/", host="evil.example:8090")
    assert status == 403
    assert "large" not in page


@pytest.mark.parametrize(
    ("header", "host", "known"),
    [
        ("127.0.0.1:8090", "127.0.0.1", True),
        ("localhost:8090", "127.0.0.1", True),
        ("[::1]:8090", "::1", True),
        ("192.0.2.7:8090", "0.0.0.0", True),
        ("Box.lan:8090", "box.lan", True),
        ("evil.example", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("[::1", "127.0.0.1", False),
        ("", "127.0.0.1", False),
    ],
)
def test_hosts_that_are_known(header: str, host: str, known: bool) -> None:
    assert known_host(header, host) is known


def test_the_latest_things_are_kept_and_made_once() -> None:
    made: list[int] = []

    def make(thing: int) -> int:
        made.append(thing)
        return thing

    kept: Kept[int] = Kept(2)
    for thing in (1, 2, 1, 3, 1, 2):
        assert kept.get(thing, lambda thing=thing: make(thing)) == thing  # type: ignore[misc]
    assert made == [1, 2, 3, 2]
