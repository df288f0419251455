"""`weir prices`: every tariff with its source, and what a model's hardware gets done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from contracts.records import UsageEvent
from contracts.usage import TokenUsage
from ledger.database import Database, sqlite_url
from ledger.spool import Spool
from ledger.writer import Writer
from router.composition import prices_of
from router.config.load import load
from weir.check import check
from weir.prices import prices

CONFIG = """\
upstreams: {stand-in: {kind: scripted}}
models:
  large: {upstream: stand-in, name: claude-sonnet-4-5, shutdown_date: 2026-11-30}
  stated:
    upstream: stand-in
    price:
      {input: 3, output: 15, audio_input: 40, per_request: 0.01, above: {"200000": {input: 6}}, tiers: {batch: 0.5}}
  small:
    upstream: stand-in
    price: {gpu_hour: "2.16", gpus: 2, prompt_tokens_per_second: 20000, completion_tokens_per_second: 1000}
  filed: {upstream: stand-in, name: gpt-4o}
  own: {upstream: stand-in}
routes: {support: {candidates: [small, large]}}
tenants: {acme: {}}
ledger: {prices: prices.yaml, unpriced: mark}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    Path("weir.yaml").write_text(CONFIG)
    Path("prices.yaml").write_text("filed: {input: 1, output: 2}\nstated: {input: 9, output: 9}\n")
    return lambda *arguments: CliRunner().invoke(prices, arguments)


def test_json_holds_every_part_of_every_tariff(run: Run) -> None:
    found = json.loads(run("list", "--json").stdout)
    assert found["currency"] == "USD"
    large, stated, small, filed, own = found["models"]
    assert large["priced_by"].startswith("genai-prices")
    assert (large["shutdown_date"], large["shutdown_source"]) == ("2026-11-30", "config")
    assert large["per_million_tokens"]["cache_write_1h"] == "6"
    assert large["per_million_tokens"]["above"]["200000"]["output"] == "22.5"
    assert large["per_million_tokens"]["tiers"]["batch"]["above"]["200000"]["input"] == "3"
    assert stated["priced_by"] == "config"
    assert stated["per_million_tokens"]["tiers"]["batch"]["output"] == "7.5"
    assert (stated["per_million_tokens"]["per_request"], stated["gpu"]) == ("0.01", None)
    assert small["per_million_tokens"]["output"] == "1.2"
    assert small["gpu"] == {
        "gpu_hour": "2.16",
        "gpus": 2,
        "prompt_tokens_per_second": "20000",
        "completion_tokens_per_second": "1000",
        "always_on": False,
    }
    assert (filed["priced_by"], filed["per_million_tokens"]["output"]) == ("prices.yaml", "2")
    assert (own["priced_by"], own["per_million_tokens"]) == ("unpriced", None)


def test_the_table_says_what_is_not_as_usual(run: Run) -> None:
    lines = run("list").stdout.splitlines()

    def line(model: str) -> str:
        return next(line for line in lines if line.strip().startswith(model))

    assert "2026-11-30 (config)" in line("large")
    assert "more than 200,000 tokens, batch" in line("stated")
    assert "2 GPUs at 2.16 an hour" in line("small")
    assert "unpriced" in line("own")
    assert "US dollars per million tokens" in lines[-1] + lines[-2]


def test_prices_that_are_wrong_are_told(run: Run) -> None:
    Path("prices.yaml").write_text("filed: {input: EUR 3, output: 2}\n")
    result = run("list")
    assert result.exit_code == 1
    assert "filed.input: must be a plain number" in result.stderr


def event(number: int, **changes: object) -> UsageEvent:
    values: dict[str, object] = {
        "request_id": f"r{number}",
        "at": datetime.now(UTC) - timedelta(seconds=1000 - 10 * number),
        "tenant": "acme",
        "key_id": "k",
        "route": "support",
        "endpoint": "chat/completions",
        "requested_model": "support",
        "model": "small",
        "usage": TokenUsage(prompt=1000, completion=100),
        "cost": Decimal(0),
        "latency_ms": 500.0,
    }
    return UsageEvent(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture
def ledger(run: Run) -> None:
    async def ship() -> None:
        database, spool = Database(sqlite_url(Path("state"))), Spool(Path("state/spool"))
        for number in range(30):
            spool.append(event(number))
        await Writer(spool, database).flush()
        spool.close()
        await database.close()

    asyncio.run(ship())


@pytest.mark.usefixtures("ledger")
def test_what_was_measured_is_printed_with_the_lines_to_paste(run: Run) -> None:
    result = run("measure", "small", "--since", "1h", "--ratio", "10")
    assert result.exit_code == 0, result.output
    report, _, lines = result.stdout.partition("\n\n")
    assert "30 events (0 with estimated tokens) in 30 spells of work." in report
    assert "15.0 busy seconds" in report
    assert "do not tell prompt and completion tokens apart: taken is --ratio 10" in report
    # 30,000 prompt tokens at a tenth of a completion token, and 3,000 of those, in 15 seconds
    pasted = yaml.safe_load(lines)["models"]["small"]["price"]
    assert pasted == {
        "gpu_hour": 2.16,
        "gpus": 2,
        "prompt_tokens_per_second": 4000,
        "completion_tokens_per_second": 400,
    }
    found = json.loads(run("measure", "small", "--json").stdout)
    assert (found["events"], found["fitted"], found["prompt"]) == (30, False, 30_000)


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["absent"], "not one of `models`: large, stated, small"),
        (["large"], "Send it some requests first"),
        (["small", "--since", "yesterday"], "is no time"),
        (["small", "--ratio", "0"], "--ratio"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], advice: str) -> None:
    result = run("measure", *arguments)
    assert result.exit_code != 0
    assert advice in " ".join(result.stderr.split())


@pytest.mark.usefixtures("run")
def test_the_check_warns_of_models_without_a_price_or_a_future() -> None:
    result = CliRunner().invoke(check, ["--config", "weir.yaml", "--json"])
    warnings = json.loads(result.stdout)["warnings"]
    assert "models.own: no price is known; its requests are marked so, and count as nothing in budgets" in warnings
    (shutdown,) = (warning for warning in warnings if "turned off" in warning)
    assert shutdown.startswith("models.large: ")
    assert shutdown.endswith("turned off on 2026-11-30 (config); used by support")


@pytest.mark.usefixtures("run")
def test_the_server_says_at_start_which_models_have_no_price(caplog: pytest.LogCaptureFixture) -> None:
    found = prices_of(load(Path("weir.yaml"), {}))
    assert found.unpriced == ("own",)
    assert "no price is known for own" in caplog.text


@pytest.mark.parametrize("verb", ["list", "measure"])
def test_help_has_examples(run: Run, verb: str) -> None:
    assert f"weir prices {verb}" in run(verb, "--help").stdout.partition("Examples:")[2]
