"""docs/reference/postures.md, with the part really down: what is refused, and what goes on without it."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from tests.e2e.running import SUPPORT, RunningWeir, eventually, running_weir, write_config

HELLO = [{"role": "user", "content": "Hello"}]
PRICE = {"input": "1", "output": "2"}
SERVER = {"admin_key": "${WEIR_ADMIN_KEY}"}


@pytest.fixture
def nowhere() -> str:
    """The URL of a database that is down: a port on which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"postgresql://weir@127.0.0.1:{taken.getsockname()[1]}/weir"


def ask(weir: RunningWeir, model: str = "auto", key: str = "sk-weir-demo-acme") -> openai.APIStatusError | str:
    """The text of an answer, or the error in its place."""
    try:
        answer = weir.client(key).chat.completions.create(
            model=model, messages=HELLO, extra_headers={"Cache-Control": "no-store"}
        )
    except openai.APIStatusError as error:
        return error
    return answer.choices[0].message.content or ""


def test_a_dead_database_is_a_503_for_unknown_keys_and_nothing_for_declared_ones(
    tmp_path: Path, nowhere: str
) -> None:
    config = write_config(tmp_path, ledger={"url": "${WEIR_DATABASE_URL}"})
    with running_weir(config, tmp_path / "state", WEIR_DATABASE_URL=nowhere) as weir:
        assert ask(weir) == "Hello"
        error = ask(weir, key="sk-weir-perhaps-a-good-one")
        assert isinstance(error, openai.APIStatusError)
        assert (error.status_code, error.code) == (503, "keys_unavailable")
        assert error.response.headers["retry-after"]
        status, report = weir.get("/readyz", None)
        assert (status, report["ready"]) == (503, False)
        assert report["parts"]["database"] != "ok"
        for method, path in [
            ("GET", "/admin/v1/keys"),
            ("POST", "/admin/v1/keys"),
            ("GET", f"/v1/decisions/req_{0:032x}"),
        ]:
            status, body = weir.admin(method, path, {"tenant": "acme"} if method == "POST" else None)
            assert (status, body["error"]["type"]) == (503, "server_error"), path
        eventually(lambda: {"weir_database_up 0.0", "weir_spool_events 1.0"} <= set(metrics(weir)))


def metrics(weir: RunningWeir) -> list[str]:
    page: str = weir.get("/metrics", weir.admin_key)[1]
    return page.splitlines()


def test_a_full_spool_refuses_before_a_model_is_paid(tmp_path: Path, nowhere: str) -> None:
    config = write_config(tmp_path, ledger={"url": "${WEIR_DATABASE_URL}", "spool_max_bytes": 5000})
    with running_weir(config, tmp_path / "state", WEIR_DATABASE_URL=nowhere) as weir:
        answers = [ask(weir) for _ in range(20)]
        refused = [answer for answer in answers if isinstance(answer, openai.APIStatusError)]
        assert answers[0] == "Hello"
        assert {(error.status_code, error.code) for error in refused} == {(503, "ledger_unavailable")}
        assert weir.get("/readyz", None)[1]["parts"]["spool"] != "ok"
        answered = len(answers) - len(refused)
        page = weir.get("/metrics", weir.admin_key)[1]
        assert f'weir_attempts_total{{model="good",result="answered"}} {answered}' in page.replace(".0", "")


async def test_events_that_waited_for_the_database_arrive_once(tmp_path: Path, nowhere: str, postgres: str) -> None:
    config = write_config(tmp_path, ledger={"url": "${WEIR_DATABASE_URL}"})
    state = tmp_path / "state"
    with running_weir(config, state, WEIR_DATABASE_URL=nowhere) as weir:
        assert [ask(weir) for _ in range(3)] == ["Hello"] * 3
    with running_weir(config, state, WEIR_DATABASE_URL=postgres) as weir:
        assert ask(weir) == "Hello"
        eventually(lambda: "weir_events_written_total 4.0" in weir.get("/metrics", weir.admin_key)[1])
        assert weir.costs()["total"]["requests"] == 4


async def test_the_example_runs_on_postgresql_with_the_same_figures(tmp_path: Path, postgres: str) -> None:
    folder = tmp_path / "support"
    folder.mkdir()
    for file in SUPPORT.parent.iterdir():
        (folder / file.name).symlink_to(file)
    config = folder / "weir.yaml"
    text = config.read_text()
    config.unlink()
    config.write_text(text + "\nledger:\n  url: ${WEIR_DATABASE_URL}\n")
    with running_weir(config, tmp_path / "state", WEIR_DATABASE_URL=postgres) as weir:
        spent = Decimal(0)
        for question in ("Where is my parcel?", "How do I cancel?", "Where is my parcel?"):
            reply = weir.client().chat.completions.with_raw_response.create(
                model="support", messages=[{"role": "user", "content": question}]
            )
            spent += Decimal(reply.headers["x-weir-cost"])
        assert spent > 0
        assert Decimal(weir.costs()["total"]["cost"]) == spent
        made = weir.admin("POST", "/admin/v1/keys", {"tenant": "globex"})[1]
        assert weir.get("/v1/models", made["secret"])[0] == 200
        eventually(lambda: "weir_spool_events 0.0" in weir.get("/metrics", weir.admin_key)[1])
    with running_weir(config, tmp_path / "another replica", WEIR_DATABASE_URL=postgres) as weir:
        assert Decimal(weir.costs()["total"]["cost"]) == spent
        eventually(lambda: weir.get("/v1/models", made["secret"])[0] == 200)


def test_a_full_house_is_a_503_at_once(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        server={**SERVER, "max_concurrent": 1},
        models={"slow": {"upstream": "scripted", "name": "slow-1500", "price": PRICE}},
        routes={},
    )
    with running_weir(config, tmp_path / "state") as weir, ThreadPoolExecutor() as pool:
        first = pool.submit(ask, weir, "slow")
        eventually(lambda: "weir_in_flight 1.0" in weir.get("/metrics", weir.admin_key)[1])
        second = ask(weir, "slow")
        assert isinstance(second, openai.APIStatusError)
        assert (second.status_code, second.code) == (503, "overloaded")
        assert second.response.headers["retry-after"] == "1"
        assert isinstance(first.result(), str)
        assert isinstance(ask(weir, "slow"), str)


def test_a_model_that_keeps_failing_is_left_alone_also_when_it_is_the_only_one(tmp_path: Path) -> None:
    attempts = {"retries": 0, "deadline_seconds": 5}
    config = write_config(
        tmp_path,
        breaker={"failures": 3, "rest_seconds": 60},
        models={
            "bad": {"upstream": "scripted", "name": "error-500", "price": PRICE},
            "good": {"upstream": "scripted", "name": "echo", "price": PRICE},
        },
        routes={
            "alone": {"candidates": ["bad"], "attempts": attempts},
            "guarded": {"candidates": ["bad", "good"], "attempts": attempts},
        },
    )
    with running_weir(config, tmp_path / "state") as weir:
        seen = [ask(weir, "alone") for _ in range(5)]
        assert [(error.status_code, error.code) for error in seen if isinstance(error, openai.APIStatusError)] == [
            (502, "upstream_server_error")
        ] * 3 + [(503, "upstream_resting")] * 2
        assert isinstance(seen[-1], openai.APIStatusError)
        assert 1 <= int(seen[-1].response.headers["retry-after"]) <= 60
        assert 'weir_breaker_open{model="bad"} 1.0' in weir.get("/metrics", weir.admin_key)[1]
        assert ask(weir, "guarded") == "Hello"
        assert (
            'weir_attempts_total{model="bad",result="upstream_server_error"} 3.0'
            in (weir.get("/metrics", weir.admin_key)[1])
        )


def test_no_upstream_that_answers_is_not_ready(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        base_url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
    config = write_config(
        tmp_path,
        upstreams={"gone": {"kind": "openai", "base_url": base_url}},
        models={"good": {"upstream": "gone", "price": PRICE}},
    )
    with running_weir(config, tmp_path / "state") as weir:
        status, report = weir.get("/readyz", None)
        assert (status, report["parts"]["upstreams"]) == (503, "none answers")
        assert report["upstreams"] == {"gone": "upstream_refused_connection"}
        assert weir.get("/healthz", None)[0] == 200
