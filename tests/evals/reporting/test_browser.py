"""Pages in Chromium: no complaint, nothing too wide, and the controls do what they say.

Runs where Playwright and a Chromium are; both are large, so neither is among the development packages.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evals.comparison import compare
from evals.reporting.comparison_page import comparison_page
from evals.reporting.page import run_page
from evals.reporting.runs_page import listed, runs_page
from evals.summary import summarise
from tests.evals.reporting.runs import answered, cases, failed, good_but, write_run

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 3
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"] if os.geteuid() == 0 else []
        )
        yield chromium
        chromium.close()


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Opens a page in a window; at the end nothing may have been complained of."""
    complaints: list[str] = []
    contexts = []

    def show(html: str, width: int = 1280, scheme: str = "light") -> Any:
        file = tmp_path / "page.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda sent: sent.url.startswith(("file:", "data:")) or complaints.append(sent.url))
        page.goto(file.as_uri())
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("runs")
    asked = [*cases(119), *cases(120, question=LONG + " </script><b> {}", segment=LONG)[119:]]
    a = write_run(folder / "a", asked, good_but(10), target="large")
    b = write_run(
        folder / LONG[:200],
        asked,
        lambda case, n: failed(case) if case.id == "c7" else answered(case, n, int(case.id[1:]) % 3 > 0),
        target=LONG,
        suite=LONG,
    )
    return {
        "run": run_page(summarise(b), b),
        "comparison": comparison_page(compare(a, b), a, b),
        "list": runs_page(folder, [listed(run.folder.name, run.folder) for run in (a, b)]),
    }


@pytest.mark.parametrize("name", ["run", "comparison", "list"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_is_wider_than_the_window(
    shown: Open, pages: dict[str, str], name: str, width: int, scheme: str
) -> None:
    page = shown(pages[name], width, scheme)
    for summary in page.locator(".case > summary").all()[:2]:
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_cases_are_filtered_and_searched(shown: Open, pages: dict[str, str]) -> None:
    page = shown(pages["run"])
    count = page.locator("#count")
    assert count.inner_text() == "120 of 120 cases"
    assert page.locator(".case").count() == 50
    page.get_by_role("button", name="Show 50 more").click()
    assert page.locator(".case").count() == 100
    page.locator("[data-filter=result]").select_option("error")
    assert count.inner_text() == "1 of 120 cases"
    page.locator("[data-filter=result]").select_option("bad")
    assert count.inner_text() == "41 of 120 cases"  # every third, and the one that failed
    page.locator("[data-filter=segment]").select_option("delivery")
    assert count.inner_text() == "1 of 120 cases"
    page.locator("[data-filter=segment]").select_option("")
    page.locator("[data-filter=result]").select_option("")
    page.locator("[data-filter=group]").select_option(label="lang: es")
    assert count.inner_text() == "30 of 120 cases"
    page.locator("[data-filter=search]").fill("CASE 100?")
    assert page.locator(".case").count() == 1


def test_a_case_is_opened_by_keyboard_and_its_texts_are_texts(shown: Open, pages: dict[str, str]) -> None:
    page = shown(pages["run"])
    page.locator("[data-filter=search]").fill("</script><b>")
    page.locator(".case > summary").focus()
    page.keyboard.press("Enter")
    detail = page.locator(".detail")
    assert f"{LONG} </script><b> 119" in detail.inner_text()
    assert "30 days|30 días" in detail.inner_text()
    assert page.locator(".detail b").count() == 0


def test_tables_are_sorted_both_ways(shown: Open, pages: dict[str, str]) -> None:
    page = shown(pages["run"])
    table = page.get_by_role("region", name="Segments")
    table.get_by_role("button", name="quality").click()
    first = table.locator("tbody tr").first
    assert first.locator("td").nth(0).inner_text() == "refunds"
    table.get_by_role("button", name="quality").click()
    assert first.locator("td").nth(0).inner_text() != "refunds"
    assert table.locator("th[aria-sort=descending]").count() == 1


def test_a_changed_case_shows_both_answers_with_the_words_that_differ(shown: Open, pages: dict[str, str]) -> None:
    page = shown(pages["comparison"])
    page.locator("[data-filter=result]").select_option("lost")
    page.locator("[data-filter=search]").fill("case 3?")
    page.locator(".case > summary").click()
    sides = page.locator(".sides > div")
    assert sides.nth(0).locator(".said").inner_text() == "You have 30 days to send it back."
    assert sides.nth(1).locator(".said").inner_text() == "You have some days to send it back."
    assert page.locator("del").all_inner_texts() == ["30"]
    assert page.locator("ins").all_inner_texts() == ["some"]
