"""`weir cache`: what it shows of a running Weir, what it takes back, and what it says where it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from tests.e2e.running import ADMIN_KEY, RunningWeir, running_weir, write_config
from weir.cache import cache

Run = Callable[..., Result]
ROUTES = {
    "auto": {"candidates": ["good"], "cache": {"semantic": {"max_wrong_hits": 0.01}}},
    "faq": {"candidates": ["good"], "cache": {"pool": "help", "pool_writers": ["acme"]}},
}


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder = tmp_path_factory.mktemp("cache")
    with running_weir(write_config(folder, routes=ROUTES), folder / "state") as weir:
        yield weir


@pytest.fixture
def run(weir: RunningWeir, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WEIR_ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("COLUMNS", "200")
    where = ["--config", str(weir.config), "--base-url", weir.url]
    return lambda verb, *arguments: CliRunner().invoke(cache, [verb, *where, *arguments])


def ask(weir: RunningWeir, text: str, model: str = "auto", **headers: str) -> str:
    """What the cache said."""
    reply = weir.client().chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": text}], extra_headers=headers
    )
    return str(reply.headers["x-weir-cache"])


def test_stats_count_answers_and_are_json_for_machines(weir: RunningWeir, run: Run) -> None:
    ask(weir, "What is a weir?")
    shown = run("stats")
    assert shown.exit_code == 0, shown.output
    assert "answers and" in shown.stdout
    found = json.loads(run("stats", "--json").stdout)
    assert (found["worker"], found["workers"]) == (0, 1)
    assert found["entries"] >= 1


def test_inspect_shows_what_is_asked_for(weir: RunningWeir, run: Run) -> None:
    ask(weir, "What is [red]?", **{"x-weir-cache-tags": "colours"})
    (entry,) = json.loads(run("inspect", "--tag", "colours", "--json").stdout)
    assert entry["owner"] == "acme"
    shown = run("inspect", "--id", entry["id"])
    assert (shown.exit_code, entry["id"] in shown.stdout, "[red]" in shown.stdout) == (0, True, True)
    assert run("inspect", "--tag", "never used").stdout == "There is no such entry.\n"
    assert json.loads(run("inspect", "--tenant", "pool:help", "--json").stdout) == []


def test_invalidated_answers_are_served_no_more(weir: RunningWeir, run: Run) -> None:
    for arguments in (
        ["--tag", "a/b"],
        ["--tag", "a/b", "--tenant", "acme"],
        ["--all"],
        ["--all", "--tenant", "acme", "--json"],
    ):
        question = f"Is it {' or '.join(arguments)}?"
        ask(weir, question, **{"x-weir-cache-tags": "a/b"})
        assert ask(weir, question) == "exact"
        done = run("invalidate", *arguments)
        assert done.exit_code == 0, done.output
        assert "revision" in done.stdout
        assert ask(weir, question) == "miss"
    (entry, *_) = json.loads(run("inspect", "--json").stdout)
    assert run("invalidate", "--entry", entry["id"]).stdout == f"Dropped {entry['id']}.\n"


def test_a_reported_answer_is_shown_to_be_in_quarantine_and_counted(weir: RunningWeir, run: Run) -> None:
    ask(weir, "Is it bad?", **{"x-weir-cache-tags": "bad"})
    reply = weir.client().chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": "Is it bad?"}]
    )
    path = f"/v1/decisions/{reply.headers['x-weir-request-id']}/report"
    assert weir.send("POST", path, "sk-weir-demo-acme", {"reason": "it is"})[1]["quarantined"]
    (entry,) = json.loads(run("inspect", "--tag", "bad", "--json").stdout)
    assert entry["quarantined"]
    assert "quarantined" in run("inspect", "--id", entry["id"]).stdout
    assert 'weir_cache_reports_total{route="auto"} 1.0' in weir.admin("GET", "/metrics")[1]


def test_a_pools_answers_are_its_own(weir: RunningWeir, run: Run) -> None:
    ask(weir, "Where are you?", "faq")
    run("invalidate", "--all", "--tenant", "acme")
    assert ask(weir, "Where are you?", "faq") == "exact"
    run("invalidate", "--all", "--tenant", "pool:help")
    assert ask(weir, "Where are you?", "faq") == "miss"


@pytest.mark.parametrize(
    ("arguments", "status", "advice"),
    [
        (["invalidate"], 2, "Name one of --tag, --entry and --all"),
        (["invalidate", "--all", "--tag", "x"], 2, "Name one of"),
        (["invalidate", "--entry", "0" * 32, "--tenant", "acme"], 2, "does not go with --entry"),
        (["invalidate", "--entry", "../x"], 2, "32 hex digits"),
        (["invalidate", "--entry", "0" * 32], 1, "There is no stored answer"),
        (["invalidate", "--tag", ""], 1, "A tag has 1 to"),
        (["invalidate", "--all", "--tenant", "nobody"], 1, "There is no tenant or pool 'nobody'"),
        (["inspect", "--tenant", "nobody"], 1, "There is no tenant or pool 'nobody'"),
        (["inspect", "--id", "x"], 1, "32 hex digits"),
        (["inspect", "--limit", "0"], 2, "--limit"),
        (["stats", "--base-url", "http://127.0.0.1:9"], 1, "weir serve"),
        (["stats", "--base-url", "here"], 2, "such as http://127.0.0.1:8080"),
        (["stats", "--base-url", "http://127.0.0.1:x"], 2, "--base-url"),
        (["stats", "--config", "missing.yaml"], 1, "missing.yaml"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], status: int, advice: str) -> None:
    result = run(*arguments)
    assert result.exit_code == status
    assert advice in " ".join(result.stderr.split())


def test_a_wrong_key_is_told_where_it_came_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_ADMIN_KEY", "another")
    result = run("stats")
    assert result.exit_code == 1
    assert "`server.admin_key`" in result.stderr
    assert "another" not in result.stderr


def test_the_key_in_the_state_folder_is_used_where_the_configuration_has_none(
    weir: RunningWeir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_STATE_DIR", str(tmp_path))
    arguments = ["stats", "--config", str(write_config(tmp_path, server={})), "--base-url", f"{weir.url}/v1/"]
    result = CliRunner().invoke(cache, arguments)
    assert result.exit_code == 1
    assert "WEIR_STATE_DIR" in result.stderr
    (tmp_path / "admin.key").write_text(f"{ADMIN_KEY}\n")
    assert CliRunner().invoke(cache, arguments).exit_code == 0


class Stranger(BaseHTTPRequestHandler):
    """A server that is no Weir; at /scopes, one that tells of scopes."""

    def do_GET(self) -> None:
        body = json.dumps(SCOPES).encode() if self.path.startswith("/scopes") else b"<html>"
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """In silence."""


COUNTS = {"entries": 2, "bytes": 2048, "max_bytes": 4096, "questions": 1, "question_bytes": 10}
SCOPE = {"owner": "acme", "route": "support", "lookups": 1000.0, "near": 400.0, "labels": 300.0, "served": 250.0}
SCOPES = {
    "worker": 1,
    "workers": 2,
    **COUNTS,
    "evicted": 0,
    "expired": 0,
    "stale": 0,
    "revision": 0,
    "scopes": [
        {
            **SCOPE,
            "max_wrong_hits": 0.01,
            "scorer": "cosine",
            "threshold": 0.913,
            "would_serve": 0.25,
            "audited": {"wrong": 0.005, "at_least": 0.001, "at_most": 0.012},
        },
        {
            **SCOPE,
            "owner": "globex",
            "max_wrong_hits": 0.01,
            "scorer": "verifier",
            "threshold": None,
            "would_serve": 0,
            "audited": None,
        },
        {**SCOPE, "route": "exact [only]"},
    ],
}


@pytest.fixture
def stranger() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_each_scope_has_learned_is_a_table_with_bars(
    run: Run, stranger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    shown = run("stats", "--base-url", f"{stranger}/scopes").stdout
    assert "Worker 1 of 2" in shown
    for text in ("0.913", "none yet", "no audits yet; allowed: 1.00 %", "exact [only]"):
        assert text in shown
    assert "  hits   ██████··················   25.00 %\n" in shown
    assert "  wrong  ██████······│············  0.50 % (0.10 % to 1.20 %); allowed: 1.00 %\n" in shown
    assert max(map(len, shown.splitlines())) <= 90


def test_what_is_no_weir_is_said_to_be_none(run: Run, stranger: str) -> None:
    result = run("stats", "--base-url", stranger)
    assert result.exit_code == 1
    assert "is no Weir" in result.stderr


@pytest.mark.parametrize("verb", ["stats", "inspect", "invalidate", "train", "evaluate"])
def test_help_has_an_example(verb: str) -> None:
    assert f"weir cache {verb}" in CliRunner().invoke(cache, [verb, "--help"]).stdout
