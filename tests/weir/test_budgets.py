"""`weir budgets`: set, listed and removed on the command line, by the rules of the configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from contracts.records import UsageEvent
from contracts.usage import TokenUsage
from ledger.spool import Spool
from weir.budgets import budgets

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models: {large: {upstream: stand-in, price: {input: 1, output: 1}}}
routes: {support: {candidates: [large]}}
tenants: {acme: {}, globex: {}}
budgets: {all: {usd: 100, per: month}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "160")
    Path("weir.yaml").write_text(CONFIG)
    return lambda *arguments: CliRunner().invoke(budgets, arguments)


def test_a_budget_is_set_listed_and_removed(run: Run) -> None:
    done = run("set", "search", "--tokens", "5000000", "--per", "day", "--tag", "team=search", "--soft")
    assert done.stdout == "Set search: at most 5,000,000 tokens a day (soft), tag team=search.\n"
    set_ = run("set", "acme", "--usd", "2.50", "--per", "month", "--tenant", "acme", "--each", "key", "--json")
    made = json.loads(set_.stdout)
    assert (made["usd"], made["tenant"], made["each"], made["warn_at"]) == ("2.50", "acme", ["key"], [0.8, 1.0])
    listed = json.loads(run("list", "--json").stdout)
    assert [(one["name"], one["from"]) for one in listed] == [
        ("acme", "database"),
        ("all", "configuration"),
        ("search", "database"),
    ]
    assert listed[2]["hard"] is False
    assert [one["name"] for one in json.loads(run("list", "--tenant", "acme", "--json").stdout)] == ["acme"]
    table = run("list").stdout
    assert "$2.50 a month" in table
    assert "for each key" in table
    assert run("remove", "acme").stdout == "Removed acme.\n"
    assert [one["name"] for one in json.loads(run("list", "--json").stdout)] == ["all", "search"]


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["set", "x", "--per", "day"], "exactly one of requests, tokens, usd"),
        (["set", "x", "--per", "day", "--usd", "1", "--tokens", "2"], "exactly one of requests, tokens, usd"),
        (["set", "x", "--usd", "1"], "--per"),
        (["set", "x", "--per", "day", "--usd", "-1"], "'usd'"),
        (["set", "x", "--per", "day", "--usd", "0"], "'usd'"),
        (["set", "x", "--per", "day", "--usd", "$5"], "'usd'"),
        (["set", "x", "--per", "day", "--usd", "nan"], "'usd'"),
        (["set", "x", "--per", "day", "--requests", "1.5"], "'requests'"),
        (["set", "x", "--per", "day", "--requests", "5", "--warn-at", "80%"], "'warn_at.0'"),
        (["set", "x", "--per", "day", "--requests", "5", "--tenant", "nobody"], "There is no tenant 'nobody'"),
        (["set", "x", "--per", "day", "--requests", "5", "--route", "suport"], "Did you mean 'support'?"),
        (["set", "x", "--per", "day", "--requests", "5", "--model", "x"], "There is no model 'x'"),
        (["set", "x", "--per", "day", "--requests", "5", "--tag", "team"], "'tag'"),
        (["set", "a b", "--per", "day", "--requests", "5"], "letters, digits"),
        (["set", "x" * 10_000, "--per", "day", "--requests", "5"], "1 to 128"),
        (["set", "all", "--per", "day", "--requests", "5"], "in the configuration: change it there"),
        (["remove", "all"], "in the configuration: change it there"),
        (["remove", "x"], "weir budgets list"),
        (["list", "--base-url", "http://127.0.0.1:9"], "No Weir answers"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], advice: str) -> None:
    Path("state").mkdir()
    Path("state/admin.key").write_text("sk-admin")
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert advice in " ".join(result.stderr.split())
    assert "Traceback" not in result.output


def test_no_budgets_are_said_in_words(run: Run) -> None:
    Path("weir.yaml").write_text(CONFIG.partition("budgets:")[0])
    assert "weir budgets set NAME" in run("list").stdout


def test_what_is_spent_is_added_up_from_the_ledger(run: Run) -> None:
    run("set", "acme-keys", "--tokens", "1000", "--per", "total", "--tenant", "acme", "--each", "key")
    run("set", "nobody", "--requests", "7", "--per", "total", "--tenant", "globex")
    Path("weir.yaml").write_text(CONFIG.replace("per: month", "per: total"))
    spool = Spool(Path("state/spool"))
    for number, key_id in enumerate(("key_1", "key_2", "key_2")):
        spool.append(
            UsageEvent(
                request_id=f"r{number}", at=datetime.now(UTC), tenant="acme", key_id=key_id, route="support",
                endpoint="chat/completions", requested_model="support", model="large",
                usage=TokenUsage(prompt=100, completion=10), cost=Decimal("0.25"),
            )
        )  # fmt: skip
    spool.close()
    keys, all_, nobody = json.loads(run("list", "--json").stdout)
    assert [(one["account"], one["spent"], one["left"]) for one in keys["accounts"]] == [
        ({"key": "key_1"}, 110, 890),
        ({"key": "key_2"}, 220, 780),
    ]
    assert [(one["spent"], one["left"]) for one in all_["accounts"]] == [("0.75", "99.25")]
    assert [(one["spent"], one["left"], one["resets_at"]) for one in nobody["accounts"]] == [(0, 7, None)]
    assert "99.25" in run("list").stdout


class Answering(BaseHTTPRequestHandler):
    """A Weir that has one budget with two accounts."""

    def do_GET(self) -> None:
        one = {"account": {"tenant": "hooli", "key": "key_1"}, "spent": "1.5", "left": "8.5"}
        accounts = [one, {**one, "account": {"tenant": "hooli", "key": "key_2"}, "left": "7.25"}]
        budget = {
            "name": "acme",
            "from": "database",
            "tenant": "hooli",
            "usd": "10",
            "per": "day",
            "accounts": accounts,
        }
        body = json.dumps({"data": [budget]}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Answering)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_running_weir_is_asked_what_is_left(run: Run, url: str) -> None:
    Path("state").mkdir()
    Path("state/admin.key").write_text("sk-admin")
    table = run("list", "--base-url", url).stdout
    for told in ("acme", "$10 a day", "key_1", "8.5", "key_2", "7.25"):
        assert told in table
    assert table.count("hooli") == 1, "whose all accounts are stands once"


@pytest.mark.parametrize("verb", ["set", "list", "remove"])
def test_help_has_an_example(run: Run, verb: str) -> None:
    assert f"weir budgets {verb}" in run(verb, "--help").stdout
