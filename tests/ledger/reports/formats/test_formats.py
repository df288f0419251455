"""A report says the same in every format, and nothing that a client named itself does anything there."""

from __future__ import annotations

import builtins
import csv
import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ledger.reports.document import Column, Fact, Kind, Plot, Report, Table
from ledger.reports.formats.as_csv import as_written, to_csv
from ledger.reports.formats.as_html import to_html
from ledger.reports.formats.as_json import to_json
from ledger.reports.formats.as_parquet import ReportsExtraMissing, read_parquet, write_parquet
from ledger.reports.formats.terminal import print_report
from ledger.reports.formats.values import exact, shown, with_unit

NASTY = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    '=HYPERLINK("http://evil", "click")',
    "+1",
    "-1+1",
    "@SUM(A1)",
    "'quoted",
    "\t=1",
    "＝1+1",
    "[red]markup[/red]",
    "\x1b[31mescape\x07",
    "left \u202eright\u202c",
    "שלום",
    "🎉👩‍👩‍👧",
    'a,b\n"c"',
    "\ud800 half",
    "\0",
    "",
)
texts = st.sampled_from(NASTY) | st.text(max_size=40)
VOID = ("meta", "br", "img", "link", "hr", "input")
DAYS = [date(2026, 11, day) for day in range(1, 29)]


def report(*names: str, **changes: Any) -> Report:
    """A row for each name, which stands wherever a text may."""
    columns = (
        Column(name="tenant", kind="text"),
        Column(name="requests", kind="count"),
        Column(name="hit_rate", kind="share", heading="hits"),
        Column(name="cost", kind="usd", heading="cost $"),
        Column(name="at", kind="time", wide=True),
        Column(name="day", kind="day", wide=True),
        Column(name="p95", kind="ms", wide=True),
        Column(name="tokens", kind="number", wide=True),
    )
    rows = [
        {
            "tenant": name,
            "requests": number,
            "hit_rate": 0.5,
            "cost": Decimal("0.000123456789") * number,
            "at": datetime(2026, 11, 1, 9, 30, tzinfo=UTC),
            "day": date(2026, 11, 1),
            "p95": 12.5,
            "tokens": Decimal("1.000001"),
        }
        for number, name in enumerate(names, 1)
    ]
    name = names[0] if names else "none"
    values: dict[str, Any] = {
        "name": "costs",
        "title": f"Costs of {name}",
        "since": datetime(2026, 11, 1, tzinfo=UTC),
        "until": None,
        "tenant": name,
        "facts": [
            Fact(name="spent", heading=name, value=Decimal("1234.5678"), kind="usd", note=name),
            Fact(name="by", heading="", value=[name], kind="text"),
            Fact(name="saving", heading="Saving", value=Decimal("36000.00"), kind="usd", as_number=True),
            Fact(name="unknown", heading="Unknown", value=None, kind="usd"),
        ],
        "tables": [
            Table(name="rows", heading=name, columns=columns, rows=rows, total={"requests": 7, "cost": Decimal(7)}),
            Table(name="more", heading=name, columns=columns[:1], rows=[{"tenant": name}]),
        ],
        "plots": [
            Plot(
                heading=name, kind="bars", unit="$", series={name: [(day, 1) for day in DAYS], "b": [(DAYS[0], -2)]}
            ),
            Plot(heading=name, kind="lines", unit="%", series={name: [(name, 0.1), ("x", 0.2)]}),
            Plot(heading=name, kind="intervals", unit="ms", series={name: [(name, (-1, 2, 3))]}),
        ],
        "notes": [name],
        "next_steps": [name],
    }
    return Report(**(values | changes))


class Page(HTMLParser):
    """What a browser would see: elements with attributes, and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


@given(texts.filter(bool))
def test_a_page_holds_no_more_than_its_own_elements(name: str) -> None:
    page, plain = Page(to_html(report(name))), Page(to_html(report("plain")))
    assert page.open == []
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert [set(attributes) for _, attributes in page.elements] == [
        set(attributes) for _, attributes in plain.elements
    ]
    text = "".join(page.text)
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069]", text), "nothing turns the text round"


def test_a_page_fetches_nothing_and_runs_nothing() -> None:
    html = to_html(report(*NASTY))
    page = Page(html)
    assert {tag for tag, _ in page.elements}.isdisjoint(
        {"script", "img", "link", "iframe", "object", "form", "base"}
    )
    for _, attributes in page.elements:
        assert not any(name.startswith("on") or name in ("src", "href", "action") for name in attributes)
    assert "url(" not in html
    assert "@import" not in html
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html


def test_a_page_shows_all_there_is() -> None:
    html = to_html(report("acme"))
    assert html.count("<svg") == 3
    for text in (
        "Costs of acme",
        "$1,234.57",
        "Unknown",
        "–",
        "0.0001235",
        "50.0%",
        "2026-11-01 09:30",
        "total",
        "7.00",
    ):
        assert text in html
    assert 'title="0.000123456789"' in html, "the exact figure is there too"
    assert "Nothing in this span." in to_html(report())


def test_what_is_not_there_is_not_drawn() -> None:
    empty = [Plot(heading="Nothing here", kind="bars", unit="$", series={"a": []})]
    flat = [Plot(heading="Flat", kind="lines", unit="%", series={"a": [("x", 0)]})]
    assert "Nothing here" not in to_html(report("acme", plots=empty))
    assert "Flat" in to_html(report("acme", plots=flat))


@given(st.lists(texts, max_size=5))
def test_csv_gives_back_every_text_and_holds_no_formula(names: list[str]) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report(*names)), newline="")))
    wanted = [name.encode("utf-8", "replace").decode() for name in names]
    assert [as_written(row["tenant"]) for row in rows] == wanted
    assert not any(
        row["tenant"].startswith(("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")) for row in rows
    )


def test_csv_leaves_numbers_alone() -> None:
    loss = Table(
        name="rows", heading="", columns=[Column(name="cost", kind="usd")], rows=[{"cost": Decimal("-0.5")}]
    )
    assert to_csv(report(tables=[loss])) == "cost\n-0.5\n"
    unknown = Table(name="rows", heading="", columns=[Column(name="cost", kind="usd")], rows=[{"cost": None}])
    assert to_csv(report(tables=[unknown])) == 'cost\n""\n'
    assert to_csv(report(tables=[])) == ""


@given(texts)
def test_json_holds_exact_money_and_every_text(name: str) -> None:
    found = json.loads(to_json(report(name)))
    written = name.encode("utf-8", "replace").decode()
    assert list(found) == [
        "name", "since", "until", "tenant", "spent", "by", "saving", "unknown", "rows", "total", "more", "notes",
        "next_steps",
    ]  # fmt: skip
    assert found["rows"][0] == {
        "tenant": written,
        "requests": 1,
        "hit_rate": 0.5,
        "cost": "0.000123456789",
        "at": "2026-11-01T09:30:00Z",
        "day": "2026-11-01",
        "p95": 12.5,
        "tokens": "1.000001",
    }
    assert (found["total"], found["more"]) == ({"requests": 7, "cost": "7"}, [{"tenant": written}])
    assert (found["by"], found["notes"], found["saving"], found["unknown"]) == ([written], [written], 36000, None)


def test_parquet_holds_the_same_rows_with_exact_types(tmp_path: Path) -> None:
    path = tmp_path / "r.parquet"
    write_parquet(report(*NASTY), path)
    types, rows = read_parquet(path)
    assert types == {
        "tenant": "string",
        "requests": "int64",
        "hit_rate": "double",
        "cost": "decimal128(38, 12)",
        "at": "timestamp[us, tz=UTC]",
        "day": "date32[day]",
        "p95": "double",
        "tokens": "decimal128(38, 12)",
    }
    assert [row["tenant"] for row in rows] == [name.encode("utf-8", "replace").decode() for name in NASTY]
    assert rows[1]["cost"] == Decimal("0.000246913578")
    assert rows[0]["at"] == datetime(2026, 11, 1, 9, 30, tzinfo=UTC)
    write_parquet(report(), path)
    assert read_parquet(path)[1] == []


def test_what_is_no_parquet_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_text("PAR1 not really")
    with pytest.raises(ValueError, match="no Parquet file"):
        read_parquet(tmp_path / "no.parquet")


def test_without_its_library_parquet_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "pyarrow":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(ReportsExtraMissing, match=r"pip install 'weir\[reports\]'"):
        write_parquet(report("acme"), tmp_path / "r.parquet")


def printed(made: Report, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    print_report(made, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(texts)
def test_a_terminal_is_not_steered_by_names(name: str) -> None:
    found = printed(report(name), 80)
    assert not set(found) & {"\x1b", "\x07", "\0", "\u202e", "\x08", "\r"}
    assert max(map(len, found.splitlines())) <= 80


def test_a_narrow_terminal_tells_the_totals_of_what_is_left_out() -> None:
    columns = [
        Column(name="tenant", kind="text"),
        Column(name="prompt_tokens", kind="count", heading="prompt", wide=True),
    ]
    table = Table(
        name="rows",
        heading="",
        columns=columns,
        rows=[{"tenant": "a" * 72, "prompt_tokens": 5}],
        total={"prompt_tokens": 5},
    )
    made = report(tables=[table])
    assert "In all: prompt 5." in printed(made, 80)
    wide = printed(made, 140)
    assert "In all" not in wide
    assert "prompt" in wide


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (Decimal("0.000123456789"), "usd", "$0.0001235"),
        (Decimal("-0.5"), "usd", "-$0.5000"),
        (Decimal("1234.5678"), "usd", "$1,234.57"),
        (Decimal(0), "usd", "$0.00"),
        (1234567, "count", "1,234,567"),
        (0.4567, "share", "45.7%"),
        (12.4, "ms", "12 ms"),
        (None, "ms", "–"),
        (True, "text", "yes"),
        ({"team": "a", "on": False}, "text", "team=a, on=no"),
        (["a", "b"], "text", "a, b"),
        ("", "text", "-"),
        (date(2026, 1, 2), "day", "2026-01-02"),
        (Decimal("12.50"), "number", "12.5"),
    ],
)
def test_values_are_written_for_people(value: object, kind: Kind, text: str) -> None:
    assert with_unit(value, kind) == text


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=12))
def test_no_digit_of_money_is_lost(amount: Decimal) -> None:
    assert Decimal(exact(amount, "usd")) == amount
    assert Decimal(shown(amount, "usd")) == amount
