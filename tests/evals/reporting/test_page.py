"""A run's page: what it says, that it stands for itself, and that no text of a case becomes part of it."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path

import pytest
from msgspec.structs import replace

from evals.cases import Case
from evals.records import Row, Score
from evals.reporting.page import run_page
from evals.run_folder import Run
from evals.summary import summarise
from tests.evals.reporting.reading import Read, fetched
from tests.evals.reporting.runs import CALIBRATED, FACTS, JUDGE, answered, cases, failed, good_but, write_run

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\u202eevil"


def read(run: Run) -> Read:
    return Read(run_page(summarise(run), run))


def test_says_in_a_paragraph_what_was_asked_of_whom_and_when(tmp_path: Path) -> None:
    text = read(write_run(tmp_path / "run", cases(40), good_but(5))).text
    assert (
        "The 40 cases of the suite support (revision 1) were put to small, each once, on 24 November 2026 from "
        "09:03 to 09:10 UTC. Answers were judged by facts. The answers are by small-2026 (40)."
    ) in text


def test_its_headline_is_that_of_the_summary(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        cases(40),
        lambda case, n: failed(case) if case.id == "c7" else answered(case, n, case.id != "c0"),
    )
    rate = summarise(run).quality
    text = read(run).text
    assert f"Quality {rate.value:.1%} 95% interval {rate.low:.1%} to {rate.high:.1%}; facts, 40 cases" in text
    assert rate.value == pytest.approx(38 / 40)
    assert "Cost of an answer $0.0004000" in text
    assert "Errors 1 2.5% of 40 requests" in text


def test_fetches_nothing_and_allows_only_its_own_style_and_script(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", cases(10), good_but(5))
    page = run_page(summarise(run), run)
    found = Read(page)
    assert not fetched(page)
    _, script = found.raw["script"]
    (style,) = found.raw["style"]
    for part, text in (("script-src", script), ("style-src", style)):
        assert f"{part} 'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in found.policy
    assert "default-src 'none'" in found.policy
    assert "unsafe" not in found.policy
    assert not [name for name, _ in found.attributes if name == "style" or name.startswith("on")]


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    asked = cases(12, question=HOSTILE + " {}", segment=HOSTILE)
    plain = read(write_run(tmp_path / "plain", cases(12, segment="one"), good_but(5)))
    found = read(
        write_run(
            tmp_path / "run",
            asked,
            lambda case, repeat: answered(case, repeat, False, HOSTILE),
            target=HOSTILE,
            suite=HOSTILE,
        )
    )
    assert sorted(set(found.tags)) == sorted(set(plain.tags))
    assert found.tags.count("script") == 2
    (case, *_), shown = found.data["cases"], HOSTILE.replace("\u202e", "\ufffd")
    assert case["turns"] == [["user", f"{shown} 0"]]
    assert case["sides"][0][0]["text"] == case["segment"] == shown
    assert "\u202e" not in found.text


def test_breaks_down_by_segment_and_group(tmp_path: Path) -> None:
    text = read(write_run(tmp_path / "run", cases(60), good_but(3))).text
    assert "refunds 20 0.0%" in text  # every third case, from the first
    assert "delivery 20 100.0%" in text
    assert "By lang" in text


def test_one_segment_is_not_broken_down(tmp_path: Path) -> None:
    assert "Segments" not in read(write_run(tmp_path / "run", cases(20, segment="all"), good_but(3))).text


def test_a_calibrated_judge_has_its_corrected_rate_beside_the_raw_one(tmp_path: Path) -> None:
    def row(case: Case, repeat: int) -> Row:
        made = answered(case, repeat, True)
        return replace(made, scores=dict(made.scores) | {"helpful": Score(value=float(int(case.id[1:]) % 4 > 0))})

    run = write_run(
        tmp_path / "run", cases(80), row, scorers={**FACTS, **JUDGE}, calibrations=CALIBRATED, quality="helpful"
    )
    summary = summarise(run)
    raw, corrected = summary.overall.scores["helpful"], summary.overall.corrected["helpful"]
    text = read(run).text
    assert raw.value != pytest.approx(corrected.value, abs=0.01)
    assert f"helpful (judge) {raw.value:.1%}" in text
    assert f"{corrected.value:.1%} {corrected.low:.1%} to {corrected.high:.1%} 0.67 (0.55 to 0.78)" in text
    assert f"Quality {corrected.value:.1%}" in text
    assert "What is called quality here is helpful." in text


def test_a_run_that_goes_on_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run", cases(20), lambda case, n: answered(case, n, True) if int(case.id[1:]) < 7 else None
    )
    found = read(run)
    assert "The run is not complete: 7 of 20 are done." in found.text
    assert len(found.data["cases"]) == 7
