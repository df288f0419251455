"""What came of a case, over its repeats."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from evals.reporting.judged import bad, judged
from tests.evals.reporting.runs import answered, cases, failed, write_run


def test_scores_are_means_over_repeats_and_an_answer_that_never_came_counts_as_0(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        cases(2),
        lambda case, n: (
            failed(case, n) if (case.id, n) == ("c1", 1) else answered(case, n, n > 0 or case.id == "c1")
        ),
        repeats=4,
    )
    first, second = judged(run)
    assert (first.scores, first.failed) == ({"facts": 0.75}, False)
    assert (second.scores, second.failed) == ({"facts": 0.75}, True)


def test_a_failure_without_a_score_counts_where_the_scorer_judged_another_repeat(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        cases(1),
        lambda case, n: replace(failed(case, n), scores={}) if n else answered(case, n, True),
        repeats=2,
    )
    assert judged(run)[0].scores == {"facts": 0.5}


def test_bad_is_less_than_half_and_what_nobody_judged_is_not_bad(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", cases(3), lambda case, n: answered(case, n, case.id == "c1"))
    assert [one.case.id for one in filter(bad("facts"), judged(run))] == ["c0", "c2"]
    assert not any(map(bad("another"), judged(run)))
