"""`weir eval compare`: what people read, what machines read, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger.reports.quality import read_quality
from tests.evals.made_runs import made_case, scored_run
from weir.eval_compare import compare

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """In a folder with `a` and `b`: b loses 30 of 200 cases, all in the segment `refunds`, and costs half."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    segments = ["refunds"] * 50 + ["other"] * 140 + ["rare"] * 10
    cases = [made_case(n, segment=segment) for n, segment in enumerate(segments)]
    scored_run(Path("a"), cases, [1.0] * 200)
    scored_run(Path("b"), cases, [0.0] * 30 + [1.0] * 170, costs=[0.0005] * 200, target="small")
    return lambda *arguments: CliRunner().invoke(compare, arguments)


def test_the_verdict_comes_first(run: Run) -> None:
    found = run("a", "b")
    assert found.exit_code == 0
    first = " ".join(found.output.split("\n \n")[0].split())
    assert first.startswith("Quality of B (small) is worse than of A (large): -15.0")
    assert "quality rose in 0 and fell in 30" in " ".join(found.output.split())
    assert "x0.5 (0.5 to 0.5)" in found.output
    assert "refunds" in found.output


def test_of_too_few_clusters_nothing_is_said_that_they_could_show(run: Run) -> None:
    cases = [made_case(n, cluster="one") for n in range(600)]
    scored_run(Path("c"), cases, [1.0] * 600)
    scored_run(Path("d"), cases, [0.0] * 600)
    found = " ".join(run("c", "d").output.split())
    assert found.startswith("There are not enough cases")
    assert "600 cases in one cluster; quality rose in 0 and fell in 600." in found
    assert "p < 0.0001." in found
    assert "In four of five runs" not in found


def test_segments_that_tell_nothing_are_shown_when_asked_for(run: Run) -> None:
    assert "2 of 3 segments" in run("a", "b").output
    shown = run("a", "b", "--segments").output
    assert "2 of 3 segments" not in shown
    assert "rare" in shown


def test_machines_get_all_of_it(run: Run) -> None:
    found = json.loads(run("a", "b", "--json").output)
    assert (found["verdict"], found["together"]) == ("worse", "worse")
    assert found["overall"]["findings"]["cost"]["verdict"] == "better"
    assert len(found["changed"]) == 30
    assert [part["name"] for part in found["segments"]] == ["refunds", "other", "rare"]


def test_margins_can_be_given(run: Run) -> None:
    given = ("--margin", "0.3", "--cost-margin", "0.1", "--latency-margin", "0.2", "--level", "0.9")
    found = json.loads(run("a", "b", "--json", *given).output)
    assert found["verdict"] == "not worse within the margin"
    assert found["margins"] == {"quality": 0.3, "cost": 0.1, "latency": 0.2}
    assert found["level"] == 0.9


def test_what_cannot_be_compared_is_an_error(run: Run) -> None:
    scored_run(Path("c"), [made_case(900)], [1.0])
    Path("d").mkdir()
    apart, empty = run("a", "c"), run("a", "d")
    assert (apart.exit_code, empty.exit_code) == (1, 1)
    assert "no case in common" in apart.output
    assert "holds no run" in empty.output
    assert run("a", "missing").exit_code == 2


def test_a_page_and_the_change_of_quality_can_be_written(run: Run) -> None:
    done = run("a", "b", "--html", "page.html", "--quality", "quality.json")
    assert done.exit_code == 0, done.output
    assert "Wrote page.html." in done.output
    assert Path("page.html").read_text().startswith("<!doctype html>")
    found = read_quality(Path("quality.json"))
    assert (found.difference, found.source) == (-0.15, "small beside large, 200 cases by facts")
    assert found.low < -0.15 < found.high < 0
    refused = run("a", "b", "--html", "missing/page.html")
    assert (refused.exit_code, "cannot be written" in refused.output) == (1, True)
