"""Two runs beside each other: the verdict follows what was planted, and says so where it cannot."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from evals.comparison import Comparison, Incomparable, compare
from evals.records import Score, ScorerFacts
from evals.run_folder import Run
from evals.verdicts import BETTER, NOT_ENOUGH, NOT_WORSE, WORSE
from tests.evals.made_runs import JUDGE, SCORER, calibrated, made_case, made_cases, made_row, made_run, scored_run


def pair(folder: Path, a: Any, b: Any, *, each: int = 1, segments: int = 1, **both: Any) -> Comparison:
    cases = made_cases(len(a), each=each, segments=segments)
    return compare(scored_run(folder / "a", cases, a, **both), scored_run(folder / "b", cases, b, **both))


def scores(seed: int, cases: int, rate: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.random.default_rng(seed).random(cases) < rate


@pytest.mark.parametrize(("rates", "verdict"), [((0.75, 0.85), BETTER), ((0.85, 0.75), WORSE)])
def test_ten_points_are_seen_in_either_direction(tmp_path: Path, rates: tuple[float, float], verdict: str) -> None:
    found = pair(tmp_path, scores(1, 1000, rates[0]), scores(2, 1000, rates[1]), each=5)
    assert (found.verdict, found.together) == (verdict, verdict)
    assert verdict in found.summary
    quality = found.overall.findings["quality"]
    assert quality.change.low < rates[1] - rates[0] < quality.change.high
    assert (found.overall.cases, found.overall.clusters) == (1000, 200)


def test_a_run_is_not_worse_than_itself(tmp_path: Path) -> None:
    same = scores(1, 400, 0.8)
    found = pair(tmp_path, same, same)
    assert {each.verdict for each in found.overall.findings.values()} == {NOT_WORSE}
    assert found.together == NOT_WORSE
    quality = found.overall.findings["quality"].change
    assert quality.low < 0 < quality.high
    assert (found.changed, found.overall.gained, found.overall.mcnemar_p) == ([], 0, 1.0)


def test_few_cases_are_not_enough_and_it_says_how_many_are(tmp_path: Path) -> None:
    found = pair(tmp_path, scores(1, 60, 0.8), scores(2, 60, 0.8))
    finding = found.overall.findings["quality"]
    assert finding.more_needed
    assert found.verdict == f"{NOT_ENOUGH} ({finding.more_needed:,} more needed)"
    assert finding.more_needed > 1000  # two points, where nearly a third of the cases differ


def test_fewer_than_five_clusters_cannot_decide(tmp_path: Path) -> None:
    nothing, all_right = [0.0] * 180, [1.0] * 180
    assert pair(tmp_path / "four", nothing, all_right, each=45).verdict == f"{NOT_ENOUGH} (45 more needed)"
    assert pair(tmp_path / "five", nothing, all_right, each=36).verdict == BETTER


def test_one_cluster_decides_nothing_however_many_its_cases(tmp_path: Path) -> None:
    found = pair(tmp_path, [0.0] * 180, [1.0] * 180, each=180)
    assert found.verdict == f"{NOT_ENOUGH} (720 more needed)"
    assert {one.verdict.startswith(NOT_ENOUGH) for one in found.overall.findings.values()} == {True}
    assert any(note.startswith("All cases are of one cluster") for note in found.notes)


def test_a_single_case_is_no_reason_to_speak_of_batches_or_of_answers_for_nothing(tmp_path: Path) -> None:
    notes = pair(tmp_path, [1.0], [1.0]).notes
    assert "Cost is left out: one case tells nothing of it." in notes
    assert "Latency is left out: one case tells nothing of it." in notes


def test_a_run_beside_itself_is_told(tmp_path: Path) -> None:
    run = scored_run(tmp_path / "a", made_cases(20), [1.0] * 20)
    other = scored_run(tmp_path / "b", made_cases(20), [1.0] * 20)
    assert [any("beside itself" in note for note in compare(run, one).notes) for one in (run, other)] == [
        True,
        False,
    ]


def test_a_small_loss_that_is_certain_is_within_the_margin(tmp_path: Path) -> None:
    a = [1.0] * 3000
    b = [0.0] * 15 + [1.0] * 2985
    found = pair(tmp_path, a, b)
    finding = found.overall.findings["quality"]
    assert finding.change.high < 0
    assert finding.p_worse < 0.025
    assert found.verdict == NOT_WORSE


def test_cost_and_latency_are_ratios(tmp_path: Path) -> None:
    lots, cases = np.random.default_rng(1), made_cases(300)
    same, costs, slow = scores(1, 300, 0.8), lots.lognormal(-7, 0.5, 300), lots.lognormal(6, 0.5, 300)
    a = scored_run(tmp_path / "a", cases, same, costs=costs, latencies=slow)
    b = scored_run(tmp_path / "b", cases, same, costs=costs * 0.5, latencies=slow * 2)
    found = compare(a, b, margins={"quality": 0.05}).overall.findings
    assert found["cost"].verdict == BETTER
    assert found["cost"].change.value == pytest.approx(0.5, rel=1e-4)
    assert found["latency"].verdict == WORSE
    assert found["latency"].change.value == pytest.approx(2)
    assert found["latency"].b == pytest.approx(2 * found["latency"].a)
    assert compare(a, b, margins={"quality": 0.05}).together == WORSE
    assert compare(a, b, margins={"latency": 1.5}).overall.findings["latency"].verdict == NOT_WORSE


def test_cheaper_and_as_good_is_better_together(tmp_path: Path) -> None:
    cases, same = made_cases(400), scores(1, 400, 0.8)
    a = scored_run(tmp_path / "a", cases, same)
    b = scored_run(tmp_path / "b", cases, same, costs=[0.0001] * 400)
    found = compare(a, b)
    assert (found.verdict, found.together) == (NOT_WORSE, BETTER)


def test_p95_needs_seventy_two_cases(tmp_path: Path) -> None:
    cases = made_cases(60)
    a = scored_run(tmp_path / "a", cases, [1.0] * 60)
    b = scored_run(tmp_path / "b", cases, [1.0] * 60, latencies=[10.0] * 60)
    assert compare(a, b).overall.findings["latency"].verdict == f"{NOT_ENOUGH} (12 more needed)"


def test_costs_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    cases = made_cases(50)
    a = scored_run(tmp_path / "a", cases, [1.0] * 50)
    rows = [made_row(case, 1.0, cost=None if case.id == "c7" else Decimal("0.01")) for case in cases]
    found = compare(a, made_run(tmp_path / "b", cases, rows))
    assert set(found.overall.findings) == {"quality", "latency"}
    assert any("Cost is left out" in note for note in found.notes)


def test_batches_are_compared_by_quality_and_cost_alone(tmp_path: Path) -> None:
    cases = made_cases(40)
    rows = [made_row(case, 1.0, latency=None) for case in cases]
    a, b = made_run(tmp_path / "a", cases, rows), scored_run(tmp_path / "b", cases, [1.0] * 40)
    found = compare(a, b)
    assert set(found.overall.findings) == {"quality", "cost"}
    assert any(note.startswith("Latency is left out") for note in found.notes)


def test_an_answer_that_never_came_is_worth_nothing(tmp_path: Path) -> None:
    found = pair(tmp_path, [1.0] * 100, [None] * 40 + [1.0] * 60)
    assert found.verdict == WORSE
    assert found.overall.findings["quality"].b == pytest.approx(0.6)
    assert found.b.errors == 40
    assert found.overall.findings["cost"].change.value == pytest.approx(1)
    assert "40 of 100 answers of B never came: they count as quality 0." in found.notes


def test_repeats_are_averaged_first(tmp_path: Path) -> None:
    cases = made_cases(30)
    rows = [made_row(case, float(repeat < 2), repeat=repeat) for case in cases for repeat in range(4)]
    a = made_run(tmp_path / "a", cases, rows, repeats=4)
    found = compare(a, scored_run(tmp_path / "b", cases, [1.0] * 30))
    assert found.overall.findings["quality"].a == pytest.approx(0.5)
    assert (found.overall.cases, found.overall.gained, found.overall.mcnemar_p) == (30, 30, None)
    assert (found.changed[0].a, found.changed[0].b) == (0.5, 1.0)


def test_only_cases_that_are_the_same_are_compared(tmp_path: Path) -> None:
    a = [made_case(number) for number in range(20)]
    b = [
        made_case(0, messages=({"role": "user", "content": "other"},)),
        made_case(1, expected={"facts": ["y"]}),
        made_case(2, metadata={"lang": "es"}),
        *(made_case(number) for number in range(3, 22)),
    ]
    one = scored_run(tmp_path / "a", a, [1.0] * 20)
    other = scored_run(tmp_path / "b", b, [1.0] * 22, suite_version="sha256:2")
    found = compare(one, other)
    assert found.overall.cases == 18
    assert found.notes[:2] == [
        "2 cases are left out: in one of the suites only.",
        "2 cases are left out: asked otherwise, or for another answer, in the other run.",
    ]


def test_what_is_not_asked_yet_is_left_out(tmp_path: Path) -> None:
    cases = made_cases(20)
    a = scored_run(tmp_path / "a", cases, [1.0] * 20)
    b = made_run(tmp_path / "b", cases, [made_row(case, 1.0) for case in cases[:12]])
    found = compare(a, b)
    assert (found.overall.cases, found.b.cases) == (12, 12)
    assert "8 cases are left out: not asked in both runs yet." in found.notes
    assert any(note.startswith("B is not complete: 12 of 20") for note in found.notes)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            {"quality": "tone", "scorers": {"tone": ScorerFacts(kind="judge", version="1", binary=True)}},
            "Quality is",
        ),
        ({"scorers": {SCORER: ScorerFacts(kind="contains_facts", version="2", binary=True)}}, "scored otherwise"),
    ],
)
def test_other_scores_cannot_be_compared(tmp_path: Path, other: dict[str, Any], said: str) -> None:
    cases = made_cases(20)
    a = scored_run(tmp_path / "a", cases, [1.0] * 20)
    b = scored_run(tmp_path / "b", cases, [1.0] * 20, **other)
    with pytest.raises(Incomparable, match=said):
        compare(a, b)


def test_scores_of_two_judges_cannot_be_compared(tmp_path: Path) -> None:
    cases = made_cases(20)
    runs = [
        made_run(
            tmp_path / judge,
            cases,
            [made_row(case, 1, scores={SCORER: Score(value=1.0, judge=judge)}) for case in cases],
            scorers={SCORER: JUDGE},
        )
        for judge in ("judge-1", "judge-2")
    ]
    with pytest.raises(Incomparable, match="judge-1 and judge-2 judged"):
        compare(*runs)
    assert compare(runs[0], runs[0]).overall.cases == 20


def test_runs_without_a_case_in_common_cannot_be_compared(tmp_path: Path) -> None:
    a = scored_run(tmp_path / "a", [made_case(1)], [1.0])
    b = scored_run(tmp_path / "b", [made_case(2)], [1.0])
    with pytest.raises(Incomparable, match="no case in common"):
        compare(a, b)


def test_a_segment_of_one_cluster_is_judged_by_its_cases(tmp_path: Path) -> None:
    cases = [made_case(n, cluster=f"k{n // 40}", segment=f"s{n // 40}") for n in range(400)]
    a = [1.0] * 400
    b = [0.0] * 30 + [1.0] * 370
    found = compare(scored_run(tmp_path / "a", cases, a), scored_run(tmp_path / "b", cases, b))
    first, *others = found.segments
    assert (first.name, first.clusters, first.findings["quality"].verdict) == ("s0", 1, WORSE)
    assert not any(part.findings["quality"].verdict == WORSE for part in others)
    assert any("taken one by one" in note for note in found.notes)


def test_segments_are_corrected_for_being_many(tmp_path: Path) -> None:
    """Seven of forty lost in one segment: alone that is worse, as one of twenty it is not."""
    cases = [made_case(n, segment=f"s{n // 40}") for n in range(800)]
    a, b = [1.0] * 800, [1.0] * 800
    b[:8] = [0.0] * 8
    found = compare(scored_run(tmp_path / "a", cases, a), scored_run(tmp_path / "b", cases, b))
    first = found.segments[0].findings["quality"]
    assert first.change.high < 0
    assert first.p_worse > 0.025
    assert first.verdict.startswith(NOT_ENOUGH)
    alone = compare(scored_run(tmp_path / "c", cases[:40], a[:40]), scored_run(tmp_path / "d", cases[:40], b[:40]))
    assert alone.verdict == WORSE
    assert alone.segments == []


def test_equal_runs_rarely_have_a_segment_that_is_better(tmp_path: Path) -> None:
    """Of ten comparisons with 40 segments a quarter of one may; uncorrected, six would."""
    cases = [made_case(n, segment=f"s{n // 20}") for n in range(800)]
    alarms = 0

    def of_quality_alone(name: str, right: Any) -> Run:
        rows = [made_row(case, one, cost=None, latency=None) for case, one in zip(cases, right, strict=True)]
        return made_run(tmp_path / name, cases, rows)

    for seed in range(10):
        found = compare(
            of_quality_alone("a", scores(seed, 800, 0.7)), of_quality_alone("b", scores(1000 + seed, 800, 0.7))
        )
        alarms += any(part.findings["quality"].verdict == BETTER for part in found.segments)
        for name in "ab":
            (tmp_path / name / "results.jsonl").unlink()
    assert alarms <= 1


def test_a_calibrated_judges_errors_are_taken_out(tmp_path: Path) -> None:
    """It knows 90 % of good answers and 80 % of bad ones: 7 of 10 points are left of each ten."""
    judged: dict[str, Any] = {"scorers": {SCORER: JUDGE}, "calibrations": {SCORER: calibrated()}}
    a, b = scores(1, 1000, 0.5), scores(2, 1000, 0.7)
    found = pair(tmp_path / "yes", a, b, **judged)
    raw = pair(tmp_path / "no", a, b, scorers={SCORER: JUDGE})
    true, seen = found.overall.findings["quality"], raw.overall.findings["quality"]
    assert true.change.value == pytest.approx(seen.change.value / 0.7)
    assert true.b == pytest.approx((seen.b + 0.8 - 1) / 0.7)
    assert true.change.high - true.change.low > (seen.change.high - seen.change.low) / 0.7
    assert true.change.low == pytest.approx(seen.change.low / 0.7, rel=0.15)
    assert any("own errors are taken out" in note for note in found.notes)
    assert any("own errors are not taken out" in note for note in raw.notes)


def test_a_calibration_of_another_version_is_no_use(tmp_path: Path) -> None:
    stale: dict[str, Any] = {"scorers": {SCORER: JUDGE}, "calibrations": {SCORER: calibrated("0")}}
    found = pair(tmp_path, [1.0] * 50 + [0.0] * 50, [1.0] * 60 + [0.0] * 40, **stale)
    assert found.overall.findings["quality"].change.value == pytest.approx(0.1)


def test_it_is_the_same_again_and_can_be_written_down(tmp_path: Path) -> None:
    cases = made_cases(90, each=3, segments=3)
    a = scored_run(tmp_path / "a", cases, scores(1, 90, 0.8))
    b = scored_run(tmp_path / "b", cases, scores(2, 90, 0.8), costs=[0.0] * 90)
    found = compare(a, b, seed=4)
    written = msgspec.json.encode(found)
    assert written == msgspec.json.encode(compare(a, b, seed=4))
    assert msgspec.json.decode(written, type=Comparison) == found
    assert found.overall.findings["cost"].change.value == 0
    assert all(math.isfinite(each.change.high) for part in found.segments for each in part.findings.values())
    assert found.changed[0].b < found.changed[-1].b
