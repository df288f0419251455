"""`weir report roi`, `audit` and `summary`: measured, supposed, and what they refuse."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pypdf import PdfReader

from contracts.records import UsageEvent
from ledger.spool import Spool
from weir.report import report

CONFIG = """
upstreams: {stand-in: {kind: scripted}}
models:
  large: {upstream: stand-in, price: {input: 1, output: 1}, shutdown_date: 2026-01-14}
  small: {upstream: stand-in, price: {input: 0.1, output: 0.1}}
routes:
  support: {candidates: [large, small], counterfactual: {share: 0.1}}
  faq: {candidates: [large]}
tenants: {acme: {}}
"""
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_STATE_DIR", "state")
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments: CliRunner().invoke(report, arguments)


@pytest.fixture
def traffic(run: Run) -> None:
    """440 requests to `support` over 44 hours, 40 of them dear; what they saved is $32."""
    Path("weir.yaml").write_text(CONFIG)
    spool = Spool(Path("state/spool"))
    begin = datetime.now(UTC) - timedelta(hours=60)
    for number in range(440):
        dear = number < 40
        spool.append(
            UsageEvent(
                request_id=f"r{number}",
                at=begin + timedelta(minutes=6 * number),
                tenant="acme",
                key_id="k",
                route="support",
                endpoint="chat/completions",
                requested_model="support",
                model="large" if dear else "small",
                cost=Decimal("0.10") if dear else Decimal("0.02"),
                arm="dear" if dear else "usual",
                priced_by="config",
            )
        )
    spool.close()


def what_if(run: Run, line: str) -> Any:
    result = run("roi", "--what-if", "--json", *line.split())
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_supposed_saving_needs_neither_ledger_nor_configuration(run: Run) -> None:
    found = what_if(run, "--monthly-cost 10000 --saving 0.30 --hours 400 --hourly-rate 70")
    figures = {
        "monthly_saving": 3000,
        "annual_saving": 36000,
        "implementation_cost": 28000,
        "first_year_net": 8000,
        "payback_months": pytest.approx(28 / 3, abs=1e-5),
    }
    assert {name: found[name] for name in figures} == figures
    assert all(type(found[name]) in (int, float) for name in figures)
    assert list(Path().iterdir()) == [], "nothing was made"


def test_a_saving_of_each_call_is_told_by_the_month(run: Run) -> None:
    found = what_if(run, "--cost-per-call 0.01 --calls-per-month 100000000 --saving 50%")
    assert (found["monthly_saving"], found["annual_saving"], found["payback_months"]) == (500_000, 6_000_000, 0)


def test_nothing_saved_never_pays_back(run: Run) -> None:
    found = what_if(run, "--monthly-cost 10000 --saving 0 --hours 1 --hourly-rate 1")
    assert (found["payback_months"], found["first_year_net"]) == (None, -1)


def test_a_supposed_saving_for_people(run: Run) -> None:
    result = run(
        "roi", "--what-if", "--monthly-cost", "10000", "--saving", "30%", "--hours", "4", "--hourly-rate", "7"
    )
    assert result.exit_code == 0
    assert "$35,972.00" in result.stdout and "Nothing here is measured" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("--monthly-cost 10 --saving 30", "Write 30%, or a share below 1 such as 0.30."),
        ("--monthly-cost -10 --saving 30%", "'-10' is negative"),
        ("--monthly-cost nan --saving 30%", "no number"),
        ("--monthly-cost 10 --saving nan", "no number"),
        ("--monthly-cost 10", "needs --saving"),
        ("--saving 30%", "needs --monthly-cost, or --cost-per-call"),
        ("--saving 30% --cost-per-call 1", "needs --monthly-cost, or --cost-per-call"),
        ("--saving 30% --monthly-cost 1 --cost-per-call 1 --calls-per-month 1", "not both"),
        ("--saving 30% --monthly-cost 1 --calls-per-month 1", "not both"),
        ("--saving 30% --monthly-cost 1 --hours 3", "--hours and --hourly-rate belong together"),
        ("--saving 30% --monthly-cost 1 --years 0", "--years must be"),
        ("--saving 30% --monthly-cost 1 --tenant acme", "--tenant is about the ledger"),
        ("--saving 30% --monthly-cost 1 --since 30d", "--since is about the ledger"),
    ],
)
def test_suppositions_that_make_no_sense_are_refused(run: Run, arguments: str, advice: str) -> None:
    result = run("roi", "--what-if", *arguments.split())
    assert result.exit_code == 2
    assert advice in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("--saving 30%", "--saving is a supposition. Add --what-if"),
        ("--confidence 20%", "from 50% to 99%"),
        ("--confidence 95", "ambiguous"),
    ],
)
def test_so_is_what_belongs_to_a_supposition(run: Run, arguments: str, advice: str) -> None:
    result = run("roi", *arguments.split())
    assert result.exit_code == 2
    assert advice in " ".join(result.output.split())


@pytest.mark.usefixtures("traffic")
def test_the_measured_return(run: Run) -> None:
    result = run("roi", "--json", "--hours", "10", "--hourly-rate", "70", "--years", "2", "--confidence", "90%")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["saving"], found["confidence"], found["implementation_cost"]) == ("32", 0.9, "700")
    days = round(439 * 6 / 60 / 24, 3)
    assert float(found["annual_net"]) == pytest.approx(32 * 365 / days, abs=0.01)
    assert [row["verdict"] for row in found["rows"]] == ["saves"]
    assert [case["case"] for case in found["cases"]] == ["conservative", "measured", "optimistic"]


@pytest.mark.usefixtures("traffic")
def test_only_one_route(run: Run) -> None:
    found = json.loads(run("roi", "--route", "faq", "--json").stdout)
    assert (found["saving"], found["rows"]) == (None, [])
    assert run("roi", "--route", "support").exit_code == 0


@pytest.mark.usefixtures("traffic")
def test_the_catalogue_knows_the_configuration(run: Run) -> None:
    found = json.loads(run("audit", "--json").stdout)
    models = {row["model"]: row for row in found["rows"]}
    assert models["large"]["routes"] == ["support", "faq"]
    assert (models["large"]["upstream"], models["large"]["priced_by"]) == ("stand-in", "config")
    assert "turned off" in models["large"]["flags"]
    assert found["next_steps"][0].startswith("Replace large, which was turned off on 2026-01-14")
    assert run("audit").exit_code == 0


@pytest.mark.usefixtures("traffic")
def test_the_summary_on_paper(run: Run) -> None:
    Path("quality.json").write_text('{"difference": -0.004, "low": -0.01, "high": 0.002, "source": "run 7"}')
    result = run("summary", "--pdf", "page.pdf", "--quality", "quality.json")
    assert result.exit_code == 0, result.output
    assert result.stdout == "", "only the file was asked for"
    (page,) = PdfReader(io.BytesIO(Path("page.pdf").read_bytes())).pages
    assert "-0.4%" in page.extract_text() and "run 7" in page.extract_text()
    both = run("summary", "--pdf", "page.pdf", "--json")
    assert json.loads(both.stdout)["saving"] == "32"
    assert "$32.00" in run("summary").stdout


@pytest.mark.usefixtures("traffic")
def test_a_summary_that_cannot_be_made_says_why(run: Run) -> None:
    missing = run("summary", "--quality", "none.json")
    assert missing.exit_code == 1 and "none.json holds no quality figures" in missing.output
    nowhere = run("summary", "--pdf", "no/such/page.pdf")
    assert nowhere.exit_code == 1 and "cannot be written" in nowhere.output


@pytest.mark.parametrize("name", ["roi", "audit", "summary"])
def test_help_has_examples(run: Run, name: str) -> None:
    assert f"weir report {name} --" in run(name, "--help").stdout
