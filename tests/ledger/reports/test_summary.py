"""The page for those who decide: its figures, its sheet of paper, and what it says where nothing is known."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from msgspec.structs import replace
from pypdf import PdfReader

from contracts.records import UsageEvent, Verdict
from ledger.database import Database
from ledger.reports.catalogue import Catalogue, ListedModel, ListedRoute
from ledger.reports.document import Column, Fact, Plot, Report, Table
from ledger.reports.formats.as_html import to_html
from ledger.reports.formats.as_json import to_json
from ledger.reports.pdf import to_pdf
from ledger.reports.quality import Quality, QualityUnusable, read_quality
from ledger.reports.single_events import Span
from ledger.reports.summary import summary_report
from ledger.spool import Spool
from ledger.writer import Writer

MakeEvent = Callable[..., UsageEvent]
NOON = datetime(2026, 11, 5, 12, tzinfo=UTC)
TODAY = date(2026, 11, 25)
D = Decimal
CATALOGUE = Catalogue(
    models={"large": ListedModel(upstream="openai", owner="Ada", priced_by="config")},
    routes={
        "support": ListedRoute(
            candidates=("large",), reference="large", semantic=True, learned=True, measured=True
        ),
        "faq": ListedRoute(candidates=("large",), reference="large", semantic=True, learned=True),
    },
)


async def made(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent, quality: Quality | None = None
) -> Report:
    """400 usual requests of $0.02 and 40 dear ones of $0.10; 30 to another route, half of which fail."""
    for number in range(440):
        dear = number < 40
        hit = Verdict(kind="exact") if number >= 240 else Verdict(kind="miss")
        cost, at = D("0.10") if dear else D("0.02"), NOON + timedelta(hours=number / 10)
        spool.append(make_event(arm="dear" if dear else "usual", cost=cost, at=at, latency_ms=100.0, verdict=hit))
    for number in range(30):
        outcome = "failed" if number % 2 else "answered"
        spool.append(make_event(route="faq", outcome=outcome, cost=D("0.5"), at=NOON, latency_ms=1000.0))
    spool.append(make_event(purpose="judge", cost=D(1)))
    await Writer(spool, database).flush()
    return await summary_report(database, folder, Span(), CATALOGUE, TODAY, quality=quality)


async def test_its_figures(database: Database, spool: Spool, folder: Path, make_event: MakeEvent) -> None:
    quality = Quality(difference=-0.004, low=-0.012, high=0.005, source="suite support, run 7")
    report = await made(database, spool, folder, make_event, quality)
    found = orjson.loads(to_json(report))
    assert (found["spend"], found["requests"]) == ("28", 470)
    assert (found["saving"], found["saving_low"], found["saving_high"]) == ("32", "32", "32")
    assert (found["quality"], found["quality_low"], found["quality_high"]) == (-0.004, -0.012, 0.005)
    assert found["p50_ms"] == pytest.approx(100, rel=0.03)
    assert found["p95_ms"] == pytest.approx(1000, rel=0.03) == found["p99_ms"]
    assert found["failed"] == pytest.approx(15 / 470)
    assert [row["route"] for row in found["rows"]] == ["faq", "support"], "the dearest first"
    assert found["rows"][1]["saving"] == "32" and found["rows"][0]["saving"] is None
    assert found["rows"][1]["hit_rate"] == pytest.approx(200 / 440)
    (incident,) = found["incidents"]
    assert (incident["route"], incident["hours"], incident["failed"]) == ("faq", 1, 15)
    assert incident["worst"] == 0.5
    (step,) = found["next_steps"]
    assert step.startswith("Turn on routes.faq.counterfactual")
    assert any("not measured: faq" in note for note in found["notes"])
    (plot,) = report.plots
    assert sum(value for _, value in plot.series["spent"]) == pytest.approx(28)


async def test_what_is_not_known_says_so(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    spool.append(make_event())
    report = await summary_report(database, folder, Span(), CATALOGUE, TODAY)
    facts = {fact.name: fact for fact in report.facts}
    assert (facts["saving"].value, facts["saving"].note) == (None, "not measured: turn on `counterfactual`")
    assert facts["quality"].value is None and "--quality" in facts["quality"].note
    spool.append(make_event(arm="dear"))
    report = await summary_report(database, folder, Span(), CATALOGUE, TODAY)
    assert {fact.name: fact.note for fact in report.facts}["saving"] == "not enough measured yet to tell"
    empty = await summary_report(database, folder, Span(since=NOON + timedelta(days=9)), CATALOGUE, TODAY)
    assert len(PdfReader(io.BytesIO(to_pdf(empty))).pages) == 1
    assert {fact.name: fact.value for fact in empty.facts}["p50_ms"] is None


async def test_the_sheet_and_the_page_tell_the_same(
    database: Database, spool: Spool, folder: Path, make_event: MakeEvent
) -> None:
    report = await made(database, spool, folder, make_event)
    (page,) = PdfReader(io.BytesIO(to_pdf(report))).pages
    text, html = page.extract_text(), to_html(report)
    for told in ("$28.00", "$32.00", "100 ms", "470", "3.2%", "support", "faq", "50.0%"):
        assert told in text and told in html
    assert "95% interval $32.00 to $32.00" in text
    assert to_pdf(report) == to_pdf(report), "the same report is the same file"


def crowded(text: str, rows: int, notes: int) -> Report:
    names = ("a", "b", "c", "d", "e", "f", "g", "h")
    table = Table(
        name="t",
        heading=text,
        columns=[Column(name=name, kind="text", heading=text) for name in names],
        rows=[dict.fromkeys(names, text)] * rows,
    )
    return Report(
        name="summary", title=text, since=None, until=None, tenant=text,
        facts=[Fact(name=name, heading=text, value=text, kind="text", note=text) for name in names] * 3,
        tables=[table] * 5,
        plots=[Plot(heading=text, kind="bars", unit="$", series={"x": [(day, day) for day in range(rows)]})] * 3,
        notes=[text] * notes, next_steps=[text] * 9,
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["short", "long words " * 200, "x" * 5000, "<b>&amp;", "שלום עולם", "日本語 🦀", "a\nb\x1b[2J\0", ""]
)
@pytest.mark.parametrize(("rows", "notes"), [(0, 0), (1, 1), (500, 200)])
def test_it_is_one_sheet_whatever_is_on_it(text: str, rows: int, notes: int) -> None:
    (page,) = PdfReader(io.BytesIO(to_pdf(crowded(text, rows, notes)))).pages
    assert (round(page.mediabox.width), round(page.mediabox.height)) == (595, 842)
    lowest: list[float] = []
    page.extract_text(visitor_text=lambda text, _cm, tm, *_: lowest.append(tm[5]) if text.strip() else None)
    assert min(lowest, default=842) >= 36, "nothing is written below the margin"


def test_a_sheet_without_figures() -> None:
    bare = replace(crowded("short", 1, 1), facts=(), tables=(), plots=(), notes=(), next_steps=())
    assert len(PdfReader(io.BytesIO(to_pdf(bare))).pages) == 1


GOOD: dict[str, Any] = {"difference": 0, "low": -0.1, "high": 0.1, "source": "run 7"}


def test_quality_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "quality.json"
    path.write_text(json.dumps(GOOD))
    assert read_quality(path) == Quality(difference=0, low=-0.1, high=0.1, source="run 7")


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        ({"low": 0.05}, "must rise"),
        ({"high": 2}, "must rise"),
        ({"source": " "}, "`source` must say"),
        ({"difference": "0"}, "no quality figures"),
        ({"difference": None}, "no quality figures"),
        ({"more": 1}, "no quality figures"),
    ],
)
def test_quality_that_means_nothing_is_refused(tmp_path: Path, change: dict[str, Any], advice: str) -> None:
    path = tmp_path / "quality.json"
    path.write_text(json.dumps(GOOD | change))
    with pytest.raises(QualityUnusable, match=advice):
        read_quality(path)
    with pytest.raises(QualityUnusable, match="no quality figures"):
        read_quality(tmp_path / "none.json")
