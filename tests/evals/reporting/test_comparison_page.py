"""Two runs on a page: the verdict in words, the margin in the plots, and the cases that changed."""

from __future__ import annotations

from pathlib import Path

from evals.comparison import Comparison, compare
from evals.reporting.comparison_page import comparison_page
from evals.run_folder import Run
from tests.evals.reporting.reading import Read, fetched
from tests.evals.reporting.runs import answered, cases, failed, good_but, write_run


def pair(tmp_path: Path) -> tuple[Comparison, Run, Run]:
    """B loses every second case, and gains the tenth ones that A lost; one of its requests failed."""
    asked = cases(120)
    a = write_run(tmp_path / "a", asked, good_but(10), target="large")

    def worse(number: int) -> bool:
        return number % 10 == 0 or number % 2 == 1

    b = write_run(
        tmp_path / "b",
        asked,
        lambda case, n: failed(case) if case.id == "c2" else answered(case, n, worse(int(case.id[1:]))),
        target="small",
    )
    return compare(a, b), a, b


def test_the_verdict_comes_first_in_words(tmp_path: Path) -> None:
    made = pair(tmp_path)
    text = Read(comparison_page(*made)).text
    assert text.index("Worse.") < text.index(made[0].summary) < text.index("Outcomes")
    assert "12 cases rose from A to B, 48 fell. Requests that failed: 0 of A, 1 of B." in text


def test_each_outcome_has_its_change_margin_and_verdict(tmp_path: Path) -> None:
    made = pair(tmp_path)
    page = comparison_page(*made)
    text = Read(page).text
    quality = made[0].overall.findings["quality"]
    assert f"quality 90.0% 60.0% {100 * quality.change.value:+.1f} points" in text
    assert "-2.0 points worse" in text
    for outcome in made[0].overall.findings:
        assert f"Change of {outcome}" in text
    assert page.count("stroke-dasharray") == 2 * len(made[0].overall.findings)


def test_segments_have_verdicts_of_their_own(tmp_path: Path) -> None:
    made = pair(tmp_path)
    text = Read(comparison_page(*made)).text
    for part in made[0].segments:
        quality = part.findings["quality"]
        change = f"{100 * quality.change.value:+.1f} points"
        assert f"{part.name} {part.cases} {part.gained} {part.lost} {change}" in text
    changes = [part.findings["quality"].change.value for part in made[0].segments]
    worst = made[0].segments[changes.index(min(changes))]
    assert text.split("quality. segment", 1)[1].split("latency, verdict ")[1].startswith(worst.name)


def test_a_segments_verdict_is_short_and_the_cases_it_needs_stand_beside_it(tmp_path: Path) -> None:
    asked = cases(36)
    a, b = (write_run(tmp_path / name, asked, good_but(bad), target=name) for name, bad in (("a", 7), ("b", 5)))
    found = compare(a, b)
    needed = found.segments[0].findings["quality"].more_needed
    assert needed
    told = Read(comparison_page(found, a, b)).text.split("So many more cases")[1]
    assert f"not enough {needed:,} " in told
    assert "more needed" not in told.split("Changed cases")[0]


def test_changed_cases_have_both_answers(tmp_path: Path) -> None:
    made = pair(tmp_path)
    page = comparison_page(*made)
    data = Read(page).data
    assert not fetched(page)
    assert data["sides"] == ["A: large", "B: small"]
    held = {one["id"]: one for one in data["cases"]}
    assert set(held) == {one.case for one in made[0].changed}
    assert [held["c0"]["change"], held["c4"]["change"]] == ["gained", "lost"]
    before, after = (side[0]["text"] for side in held["c4"]["sides"])
    assert ("30 days" in before, "30 days" in after) == (True, False)
    assert held["c2"]["sides"][1][0]["error"].startswith("timeout")


def test_runs_that_agree_have_no_changed_cases(tmp_path: Path) -> None:
    asked = cases(40)
    runs = [write_run(tmp_path / name, asked, good_but(4), target=name) for name in ("a", "b")]
    found = Read(comparison_page(compare(*runs), *runs))
    assert "No case changed." in found.text
