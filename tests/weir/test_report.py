"""`weir report costs`: the same exact figures as a table, as JSON and as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contracts.records import UsageEvent, Verdict
from contracts.usage import TokenUsage
from ledger.database import Database, sqlite_url
from ledger.spool import Spool
from ledger.writer import Writer
from weir.report import report

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models:
  large: {upstream: stand-in, price: {input: 1, output: 1}}
  a-model-with-a-rather-long-name: {upstream: stand-in, price: {input: 1, output: 1}}
routes: {support: {candidates: [large]}}
tenants: {acme: {}, globex: {}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "80")
    Path("weir.yaml").write_text(CONFIG)
    return lambda *arguments: CliRunner().invoke(report, arguments)


def event(number: int, tenant: str, model: str, cost: str, **changes: object) -> UsageEvent:
    values: dict[str, object] = {
        "at": datetime.now(UTC) - timedelta(hours=number),
        "usage": TokenUsage(prompt=1000, cached=400, completion=50),
    }
    return UsageEvent(
        request_id=f"r{number}",
        tenant=tenant,
        key_id="k",
        route="support",
        endpoint="chat/completions",
        requested_model="support",
        model=model,
        cost=Decimal(cost),
        **(values | changes),  # type: ignore[arg-type]
    )


@pytest.fixture
def ledger(run: Run) -> None:
    """Two events in the database, and two that a killed server left in the spool."""
    hit: dict[str, object] = {
        "tags": {"team": "search"},
        "verdict": Verdict(kind="exact"),
        "saved": Decimal("0.000123456789"),
        "usage": TokenUsage(source="cache"),
    }
    long = "a-model-with-a-rather-long-name"
    events = [
        event(0, "acme", "large", "0.000123456789"),
        event(1, "acme", "large", "0", **hit),
        event(2, "globex", long, "12.5", usage=TokenUsage(prompt=7, source="estimated")),
        event(30, "globex", "", "0", outcome="failed", usage=TokenUsage(source="none")),
    ]
    spool = Spool(Path("state/spool"))

    async def ship() -> None:
        database = Database(sqlite_url(Path("state")))
        for each in events[:2]:
            spool.append(each)
        await Writer(spool, database).flush()
        await database.close()

    asyncio.run(ship())
    for each in events[2:]:
        spool.append(each)
    spool.close()


@pytest.mark.usefixtures("ledger")
def test_json_holds_every_column_and_exact_money(run: Run) -> None:
    found = json.loads(run("costs", "--json", "--by", "tenant").stdout)
    assert [row["tenant"] for row in found["rows"]] == ["acme", "globex"]
    acme, globex = found["rows"]
    assert acme == {
        "tenant": "acme",
        "requests": 2,
        "prompt_tokens": 1000,
        "completion_tokens": 50,
        "cached_tokens": 400,
        "cost": "0.000123456789",
        "saved": "0.000123456789",
        "hits": 1,
        "hit_rate": 0.5,
        "failed": 0,
        "estimated": 0,
        "estimated_share": 0.0,
        "avoided": "0",
        "cost_per_1000": "0.0617283945",
        "other_cost": "0",
        "unpriced": 0,
    }
    assert (globex["cost"], globex["failed"], globex["estimated_share"]) == ("12.5", 1, 0.5)
    assert (found["total"]["requests"], found["total"]["cost"]) == (4, "12.500123456789")
    assert (found["by"], found["set_aside"]) == (["tenant"], 0)


@pytest.mark.usefixtures("ledger")
def test_csv_has_the_same_rows(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("costs", "--csv").stdout)))
    document = json.loads(run("costs", "--json").stdout)
    texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in document["rows"]]
    assert texts == rows
    assert sum(Decimal(row["cost"]) for row in rows) == Decimal(document["total"]["cost"])


@pytest.mark.usefixtures("ledger")
def test_the_table_fits_eighty_columns_and_prints_money_in_full(run: Run) -> None:
    result = run("costs")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    for text in ("0.000123456789", "12.500123456789", "25.0%", "total", "prompt 1,007", "cached 400"):
        assert text in result.stdout
    assert "…" not in result.stdout, "nothing is cut off"


@pytest.mark.usefixtures("ledger")
def test_a_wide_terminal_shows_tokens_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns in (100, 140, 220):
        monkeypatch.setenv("COLUMNS", str(columns))
        found = run("costs").stdout
        assert "…" not in found
        assert max(map(len, found.splitlines())) <= columns
        assert "12.500123456789" in found
    for heading in ("per 1,000 $", "prompt", "completion", "cached", "estimated"):
        assert heading in found.splitlines()[1]


@pytest.mark.usefixtures("ledger")
def test_filters(run: Run) -> None:
    def requests(*arguments: str) -> int:
        return int(json.loads(run("costs", "--json", *arguments).stdout)["total"]["requests"])

    assert requests("--tenant", "acme") == 2
    assert requests("--since", "1d") == 3
    assert requests("--since", "1h") == 1
    assert requests("--until", "1d") == 1
    assert requests("--since", "2020-01-01", "--until", "2020-02-01T10:00+02:00") == 0


@pytest.mark.usefixtures("ledger")
def test_what_was_set_aside_is_told(run: Run) -> None:
    spool = Spool(Path("state/spool"))
    spool.set_aside(b"torn", "torn or corrupt")
    spool.close()
    result = run("costs", "--csv")
    assert "1 records" in result.stderr
    assert "rejected.jsonl" in result.stderr
    assert "rejected" not in result.stdout
    assert json.loads(run("costs", "--json").stdout)["set_aside"] == 1


@pytest.mark.usefixtures("ledger")
def test_rows_are_made_by_day_and_tag_too(run: Run) -> None:
    found = json.loads(run("costs", "--json", "--by", "tag:team, day,purpose,key").stdout)
    assert found["by"] == ["tag:team", "day", "purpose", "key"]
    assert {row["tag:team"] for row in found["rows"]} == {None, "search"}
    assert sum(Decimal(row["cost"]) for row in found["rows"]) == Decimal(found["total"]["cost"])
    assert found["total"]["cost"] == "12.500123456789"


@pytest.mark.usefixtures("ledger")
def test_files_are_written_and_said(run: Run) -> None:
    result = run("costs", "--html", "costs.html", "--parquet", "costs.parquet")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "Wrote costs.html." in result.stderr
    assert "Wrote costs.parquet." in result.stderr
    assert "12.50" in Path("costs.html").read_text()
    assert "Cost by day" in Path("costs.html").read_text()
    result = run("costs", "--html", "no/such/folder.html")
    assert result.exit_code == 1
    assert "cannot be written: No such file" in result.stderr


@pytest.mark.usefixtures("ledger")
def test_a_focus_export_is_good_by_its_own_check(run: Run) -> None:
    result = run("focus", "--csv")
    assert result.exit_code == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert len(rows) in (2, 3), "one for each tenant and model, and one more in the first hours of a day"
    assert sum(Decimal(row["BilledCost"]) for row in rows) == Decimal("12.500123456789")
    assert {row["HostProviderName"] for row in rows} == {"stand-in"}
    Path("focus.csv").write_text(result.stdout)
    assert run("focus", "--parquet", "focus.parquet").exit_code == 0
    for file in ("focus.csv", "focus.parquet"):
        checked = run("focus", "--check", file)
        assert (checked.exit_code, checked.stdout) == (
            0,
            f"{file}: {len(rows)} rows, no rule of FOCUS is broken.\n",
        )


def test_an_export_that_would_break_rules_is_not_made(run: Run) -> None:
    spool = Spool(Path("state/spool"))
    spool.append(event(1, "", "large", "1"))
    spool.close()
    result = run("focus", "--csv")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "row 1: BillingAccountId: must not be null" in result.stderr


def test_a_file_that_breaks_rules_is_told_so(run: Run) -> None:
    Path("bad.csv").write_text("BilledCost,x_A\n=1,2\n")
    result = run("focus", "--check", "bad.csv")
    assert result.exit_code == 1
    assert "row 1: BilledCost: '=1' is no number" in result.stdout
    assert "the file: ChargeCategory: must be there" in result.stdout
    assert "bad.csv does not follow FOCUS" in result.stderr
    for name, content in (("bin.csv", b"\xff\xfe\x00"), ("bin.parquet", b"PAR1 not")):
        Path(name).write_bytes(content)
        result = run("focus", "--check", name)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"{name} cannot be read" in result.stderr


def test_nothing_yet_is_said_in_words(run: Run) -> None:
    result = run("costs")
    assert (result.exit_code, result.stdout) == (0, "No requests in this span.\n")
    assert json.loads(run("costs", "--json").stdout)["rows"] == []


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--by", "tenant,colour"], "tenant, route, model"),
        (["--by", "tenant,tenant"], "each once"),
        (["--since", "yesterday"], "Write 2026-11-01"),
        (["--since", "999999d"], "Write 2026-11-01"),
        (["--since", "0001-01-01T00:00+10:00"], "Write 2026-11-01"),
        (["--json", "--csv"], "one of --json and --csv"),
        (["--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_mistakes_are_answered_with_advice(run: Run, arguments: list[str], advice: str) -> None:
    result = run("costs", *arguments)
    assert result.exit_code != 0
    assert advice in " ".join(result.stderr.split())
    assert result.stdout == ""


def test_a_database_that_is_away_is_named_with_advice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_DATABASE", "postgresql://me:secret@127.0.0.1:1/weir")
    Path("weir.yaml").write_text(CONFIG + "ledger: {url: '${WEIR_DATABASE}'}\n")
    result = run("costs")
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
    assert "Is it running" in result.stderr
    assert "secret" not in result.output
    monkeypatch.setenv("WEIR_DATABASE", "mysql://h/d")
    assert "Use a postgresql:// URL" in run("costs").stderr


@pytest.mark.parametrize("name", ["costs", "focus", "audit", "roi", "summary"])
def test_a_question_that_makes_no_sense_is_refused(run: Run, ledger: None, name: str) -> None:
    for options, advice in (
        (("--tenant", "acmee"), "There is no tenant 'acmee'"),
        (("--since", "2026-12-01", "--until", "2026-11-01"), "must be before 'until'"),
    ):
        result = run(name, *options)
        assert (result.exit_code, result.stdout) == (2, "")
        assert advice in " ".join(result.stderr.split())
    assert run(name, "--tenant", "globex").exit_code == 0


def test_reports_are_listed_and_unknown_ones_refused(run: Run) -> None:
    shown = run("--help").stdout
    for name in ("costs", "focus", "audit", "roi", "summary"):
        assert name in shown
    result = run("colour")
    assert result.exit_code == 2
    assert "No such command" in result.stderr


def test_help_has_examples(run: Run) -> None:
    assert "weir report focus --check november.csv" in run("focus", "--help").stdout
    assert "weir report costs --by tenant --since 30d" in run("costs", "--help").stdout
