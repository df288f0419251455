"""`weir route explain`: what a running Weir would decide, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from heads.neighbours import query_id
from router.config.load import load
from router.learning.notebook import notebook_path
from tests.e2e.running import ACME_HASH, ADMIN_KEY, SUPPORT, RunningWeir, eventually, running_weir, write_config
from weir.route import _print, _with_texts, route

Run = Callable[..., Result]
PRICE = {"input": "1", "output": "4"}


@pytest.fixture(scope="module")
def weir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningWeir]:
    folder = tmp_path_factory.mktemp("route")
    config = write_config(
        folder,
        models={
            "large": {"upstream": "scripted", "name": "echo", "price": PRICE},
            "small": {"upstream": "scripted", "name": "echo", "price": PRICE, "context_tokens": 1500},
        },
        routes={
            "auto": {"candidates": ["large", "small"], "policy": {"kind": "learned", "goal": {"share": 0.5}}},
            "plain": {"candidates": ["small"]},
        },
        tenants={"acme": {"keys": {"demo": {"hash": ACME_HASH}}}, "globex": {"routes": ["plain"]}},
    )
    with running_weir(config, folder / "state") as weir:
        yield weir


@pytest.fixture
def run(weir: RunningWeir, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("WEIR_ADMIN_KEY", ADMIN_KEY)
    monkeypatch.setenv("COLUMNS", "200")
    where = ["--config", str(weir.config), "--base-url", weir.url]
    return lambda *arguments: CliRunner().invoke(route, ["explain", *where, *arguments])


def test_a_decision_is_shown_with_its_candidates(run: Run) -> None:
    shown = run("How do I reset my password?")
    assert shown.exit_code == 0, shown.output
    told = {line.split()[0]: line for line in shown.stdout.splitlines() if line.strip()}
    assert "large" in told["choice"]
    assert "router" in told["missing"]  # nothing was learned yet
    assert {"intent", "because", "policy", "large", "small"} <= told.keys()
    assert "not predicted" in told["small"]


def test_a_decision_is_json_for_machines(run: Run) -> None:
    found = json.loads(run("How do I reset my password?", "--json").stdout)
    assert (found["object"], found["route"]) == ("weir.preview", "auto")
    assert found["decision"]["model"] == "large"
    assert [one["model"] for one in found["decision"]["candidates"]] == ["large", "small"]


def test_the_whole_request_is_decided(run: Run) -> None:
    def small(*arguments: str) -> dict[str, Any]:
        decision = json.loads(run("Hello", "--json", *arguments).stdout)["decision"]
        return dict(next(one for one in decision["candidates"] if one["model"] == "small"))

    assert small()["eligible"]
    long = small("--system", "You are brief. " * 800)
    assert (long["eligible"], "context" in long["reason"]) == (False, True)


def test_another_route_and_tenant_may_be_named(run: Run) -> None:
    found = json.loads(run("Hello", "--route", "plain", "--tenant", "globex", "--json").stdout)
    assert (found["route"], found["decision"]["model"]) == ("plain", "small")


def test_nothing_is_sent_nor_counted(run: Run, weir: RunningWeir) -> None:
    run("Hello")
    page = weir.admin("GET", "/metrics")[1]
    assert "weir_requests_total{" not in page and "weir_attempts_total{" not in page


@pytest.mark.parametrize(
    ("arguments", "status", "advice"),
    [
        (["Hello", "--route", "nowhere"], 1, "'nowhere' does not exist"),
        (
            ["Hello", "--route", "auto", "--tenant", "globex"],
            1,
            "'auto' does not exist, or this key may not use it",
        ),
        (["Hello", "--tenant", "nobody"], 1, "There is no tenant 'nobody'"),
        (["Hello", "--tenant", "a&b=c d"], 1, "There is no tenant 'a&b=c d'"),
        (["Hello", "--base-url", "http://127.0.0.1:9"], 1, "weir serve"),
        (["Hello", "--base-url", "here"], 2, "such as http://127.0.0.1:8080"),
        (["Hello", "--config", "missing.yaml"], 1, "missing.yaml"),
        ([], 2, "QUESTION"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], status: int, advice: str) -> None:
    result = run(*arguments)
    assert result.exit_code == status, result.output
    assert advice in " ".join(result.stderr.split())


def test_a_wrong_key_is_told_where_it_came_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_ADMIN_KEY", "another")
    eventually(
        lambda: "cannot be checked" not in run("Hello").stderr
    )  # the database's keys are read after the start
    result = run("Hello")
    assert result.exit_code == 1
    assert "`server.admin_key`" in result.stderr


def test_a_configuration_without_tenants_is_told_to_have_none(run: Run, tmp_path: Path) -> None:
    result = run("Hello", "--config", str(write_config(tmp_path, tenants={})))
    assert (result.exit_code, "There are no tenants" in result.stderr) == (1, True)


CANDIDATE = {
    "model": "small",
    "eligible": True,
    "reason": "",
    "quality": 0.75,
    "deviation": 0.05,
    "interval": [0.652, 0.848],
    "cost": "0.000012",
    "latency_ms": 812.4,
    "propensity": None,
}
RESTING = {
    **CANDIDATE,
    "model": "large",
    "eligible": False,
    "reason": "it rests [now]",
    "quality": None,
    "interval": None,
}
DECISION: Mapping[str, Any] = {
    "model": "small",
    "policy": "learned:abc/v1",
    "reason": "a gain of [red] is not worth it",
    "intent": "tides",
    "intent_probability": 0.834,
    "outlook": "unsure",
    "candidates": [CANDIDATE, RESTING],
    "nearest": [{"query_id": "q17", "similarity": 0.934}],
    "otherwise": "a price of 0.1",
    "check": None,
    "degraded": "",
}


def printed(decision: Mapping[str, Any]) -> str:
    page = StringIO()
    _print(Console(width=160, file=page), decision)
    return page.getvalue()


def test_all_that_was_predicted_is_shown_as_it_is() -> None:
    shown = printed(DECISION)
    for text in (
        "tides (83%)",
        "unsure: the cheap answer is checked",
        "a gain of [red] is not worth it",
        "with a price of 0.1",
        "nearest    0.93  q17",
        "██████████████████░░░░░░ 0.75",
        "0.65 to 0.85",
        "$0.000012",
        "812 ms",
        "it rests [now]",
        "learned:abc/v1",
    ):
        assert text in shown
    assert "missing" not in shown


@pytest.mark.parametrize("outlook", ["", "local", "hosted", "unsure"])
def test_each_outlook_is_put_into_words(outlook: str) -> None:
    assert ("outlook" in printed({**DECISION, "outlook": outlook})) == bool(outlook)


def test_help_has_an_example() -> None:
    assert "weir route explain" in CliRunner().invoke(route, ["explain", "--help"]).stdout


def test_nearest_queries_are_shown_by_their_text_where_it_was_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIR_STATE_DIR", str(tmp_path))
    loaded = load(SUPPORT)
    for tenant, text in (("acme", "How do I descale it?"), ("globex", "Is that secret?")):
        path = notebook_path(tmp_path, tenant)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"query": text}) + "\n[1]\nhalf a li")
    nearest = [
        {"query_id": query_id(text), "similarity": 0.9} for text in ("How do I descale it?", "Is that secret?")
    ]
    _with_texts(nearest, loaded, "auto", "acme")
    assert [one.get("query") for one in nearest] == ["How do I descale it?", None]
