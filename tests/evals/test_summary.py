"""What came of a run."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from evals.records import Score
from evals.statistics.interval import Interval
from evals.summary import Summary, summarise
from tests.evals.made_runs import JUDGE, SCORER, calibrated, made_case, made_cases, made_row, made_run, scored_run


def test_figures_of_all_of_segments_and_of_groups(tmp_path: Path) -> None:
    cases = [
        made_case(n, cluster=f"k{n // 2}", segment="s" if n < 60 else "t", metadata={"lang": "en"} if n % 2 else {})
        for n in range(100)
    ]
    run = scored_run(
        tmp_path, cases, [n < 80 for n in range(100)], costs=[0.001] * 60 + [0.002] * 40, groups=("lang",)
    )
    found = summarise(run)
    assert found.complete
    assert (found.quality.value, found.quality.n, found.quality.clusters) == (0.8, 100, 50)
    assert found.quality.low < 0.8 < found.quality.high
    assert [(part.name, part.cases, part.scores[SCORER].value) for part in found.segments] == [
        ("s", 60, 1.0),
        ("t", 40, 0.5),
    ]
    ((group,),) = found.groups.values()
    assert (group.name, group.cases) == ("en", 50)
    assert found.overall.total_cost == Decimal("0.14")
    assert found.overall.cost is not None
    assert found.overall.cost.value == pytest.approx(0.0014)
    assert found.overall.cost.low < 0.0014 < found.overall.cost.high
    assert found.notes == []


def test_latency_has_its_median_and_its_tail(tmp_path: Path) -> None:
    run = scored_run(tmp_path, made_cases(200), [1.0] * 200, latencies=[float(n) for n in range(1, 201)])
    found = summarise(run).overall
    assert found.latency_p50_ms is not None
    assert found.latency_p95_ms is not None
    assert (found.latency_p50_ms.value, found.latency_p95_ms.value) == (100, 190)
    assert found.latency_p50_ms.low < 100 < found.latency_p50_ms.high
    assert 180 < found.latency_p95_ms.low < 190 < found.latency_p95_ms.high <= 200


def test_repeats_are_not_more_cases(tmp_path: Path) -> None:
    cases = made_cases(20)
    once = summarise(scored_run(tmp_path / "a", cases, [n < 15 for n in range(20)])).quality
    rows = [made_row(case, float(n < 15), repeat=again) for n, case in enumerate(cases) for again in range(3)]
    found = summarise(made_run(tmp_path / "b", cases, rows, repeats=3))
    assert found.quality == once
    assert (found.overall.cases, found.overall.answers) == (20, 60)


def test_what_never_came_counts_as_nothing(tmp_path: Path) -> None:
    found = summarise(scored_run(tmp_path, made_cases(10), [None] * 5 + [1.0] * 5))
    assert (found.quality.value, found.overall.errors, found.overall.answers) == (0.5, 5, 10)
    assert found.overall.total_cost == Decimal("0.005")
    assert "5 of 10 answers never came: they count as 0." in found.notes


def test_a_run_of_nothing_but_failures_has_no_cost_and_no_latency(tmp_path: Path) -> None:
    found = summarise(scored_run(tmp_path, made_cases(10), [None] * 10)).overall
    assert (found.cost, found.total_cost, found.latency_p50_ms) == (None, None, None)
    assert found.scores[SCORER].high > 0


def test_what_nobody_waited_for_has_no_latency(tmp_path: Path) -> None:
    cases = made_cases(4)
    timed = made_run(
        tmp_path / "some", cases, [made_row(one, 1.0, latency=(None, 80.0)[n % 2]) for n, one in enumerate(cases)]
    )
    assert summarise(timed).overall.latency_p50_ms == Interval(80, 80, 80)
    batch = summarise(made_run(tmp_path / "none", cases, [made_row(one, 1.0, latency=None) for one in cases]))
    assert (batch.overall.latency_p50_ms, batch.overall.latency_p95_ms) == (None, None)
    assert batch.overall.cost is not None
    assert "4 answers came in batches, which nobody waits for: they have no latency." in batch.notes


def test_what_a_reader_must_know_is_told(tmp_path: Path) -> None:
    cases = made_cases(10)
    rows = [
        made_row(cases[0], 1.0, cost=None),
        made_row(cases[1], 1.0, recalled=True),
        made_row(cases[2], 1.0, scores={SCORER: Score(value=1.0, cost=Decimal("0.5"))}),
    ]
    found = summarise(made_run(tmp_path, cases, rows, scorers={SCORER: JUDGE}, notes=("from the runner",)))
    assert not found.complete
    assert found.overall.cost is None
    assert [note.split(":")[0] for note in found.notes] == [
        "from the runner",
        "Not complete",
        "Nobody knows what 1 of 3 answers cost, so no cost is given where they are.",
        "1 answers had been paid for by an earlier run; cost and latency are as then.",
        "Judging cost $0.5000, which is no part of the figures.",
        "`facts` is a judge and not calibrated",
    ]


def test_a_scorer_that_judges_no_case_has_no_rate(tmp_path: Path) -> None:
    cases = made_cases(3)
    rows = [made_row(case, 1.0, scores={"tone": Score(value=0.5)}) for case in cases]
    both = {SCORER: JUDGE, "tone": msgspec.structs.replace(JUDGE, binary=False)}
    found = summarise(made_run(tmp_path, cases, rows, scorers=both, quality="tone"))
    assert set(found.overall.scores) == {"tone"}
    assert found.quality.value == 0.5


@pytest.mark.parametrize(("version", "value"), [("1", (0.62 + 0.8 - 1) / 0.7), ("0", 0.62)])
def test_a_judges_rate_is_corrected_by_its_own_calibration(tmp_path: Path, version: str, value: float) -> None:
    run = scored_run(
        tmp_path,
        made_cases(100),
        [n < 62 for n in range(100)],
        scorers={SCORER: JUDGE},
        calibrations={SCORER: calibrated(version)},
    )
    found = summarise(run)
    assert found.quality.value == pytest.approx(value)
    assert found.overall.scores[SCORER].value == 0.62


def test_a_run_without_answers_has_no_figures(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no answers yet"):
        summarise(made_run(tmp_path, made_cases(3), []))


def test_it_can_be_written_down_and_read_again(tmp_path: Path) -> None:
    found = summarise(scored_run(tmp_path, made_cases(12, each=2, segments=3), [n % 3 > 0 for n in range(12)]))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Summary) == found


@pytest.mark.parametrize(("cases", "each", "told"), [(6, 6, True), (6, 3, False), (1, 1, False)])
def test_cases_of_one_cluster_are_said_to_be_so(tmp_path: Path, cases: int, each: int, told: bool) -> None:
    found = summarise(scored_run(tmp_path, made_cases(cases, each=each), [1.0] * cases))
    assert any(note.startswith("All cases are of one cluster") for note in found.notes) == told
