"""Runs on disk, as `weir eval run` leaves them, without anybody being asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from evals.cases import Case
from evals.records import Answer, Calibration, Manifest, Row, Score, ScorerFacts
from evals.run_folder import Results, Run, begin, read_run

BEGUN = datetime(2026, 11, 24, 9, 3, tzinfo=UTC)
SEGMENTS = ("refunds", "delivery", "accounts")
FACTS = {"facts": ScorerFacts(kind="contains_facts", version="1", binary=True)}
JUDGE = {"helpful": ScorerFacts(kind="judge", version="7", binary=True, model="judge-large")}
CALIBRATED = {
    "helpful": Calibration(
        scorer="helpful",
        version="7",
        good_called_good=92,
        good_called_bad=8,
        bad_called_bad=44,
        bad_called_good=16,
        kappa=0.67,
        kappa_low=0.55,
        kappa_high=0.78,
        at=BEGUN,
    )
}


def cases(count: int, *, question: str = "How long do I have, case {}?", segment: str = "") -> list[Case]:
    return [
        Case(
            id=f"c{place}",
            messages=({"role": "user", "content": question.format(place)},),
            expected={"facts": ["30 days|30 días"]},
            segment=segment or SEGMENTS[place % len(SEGMENTS)],
            cluster=f"c{place}",
            metadata={"lang": "es" if place % 4 == 0 else "en"},
        )
        for place in range(count)
    ]


def answered(case: Case, repeat: int, good: bool, text: str = "") -> Row:
    said = text or ("You have 30 days to send it back." if good else "You have some days to send it back.")
    return Row(
        key=f"{case.id}/{repeat}",
        case=case.id,
        repeat=repeat,
        segment=case.segment,
        cluster=case.cluster,
        at=BEGUN,
        answer=Answer(
            text=said,
            finish="stop",
            model="small-2026",
            prompt_tokens=120,
            completion_tokens=9,
            cost=Decimal("0.0004"),
            latency_ms=300.0 + int(case.id[1:]) % 7,
        ),
        scores={"facts": Score(value=float(good), why="" if good else "does not say: 30 days")},
    )


def failed(case: Case, repeat: int = 0) -> Row:
    return Row(
        key=f"{case.id}/{repeat}",
        case=case.id,
        repeat=repeat,
        segment=case.segment,
        cluster=case.cluster,
        at=BEGUN,
        error="timeout: no answer within 60 s",
        scores={"facts": Score(value=0.0)},
    )


def write_run(
    folder: Path,
    asked: Sequence[Case],
    row: Callable[[Case, int], Row | None],
    *,
    target: str = "small",
    suite: str = "support",
    repeats: int = 1,
    scorers: Mapping[str, ScorerFacts] = FACTS,
    calibrations: Mapping[str, Calibration] | None = None,
    quality: str = "facts",
) -> Run:
    """`row` gives what came of a case, or None where it was not asked yet."""
    manifest = Manifest(
        suite=suite,
        suite_version="sha256:0123456789abcdef",
        revision="1",
        target=target,
        target_version="t1",
        config_hash=f"config-{target}",
        request={},
        repeats=repeats,
        scorers=scorers,
        quality=quality,
        groups=("lang",),
        margin=0.02,
        cases=len(asked),
        weir="0.1.0",
        started_at=BEGUN,
        finished_at=BEGUN + timedelta(minutes=7),
        calibrations=calibrations or {},
    )
    begin(folder, manifest, asked)
    results = Results(folder)
    for case in asked:
        for repeat in range(repeats):
            if (found := row(case, repeat)) is not None:
                results.append(found)
    results.close()
    return read_run(folder)


def good_but(*bad: int) -> Callable[[Case, int], Row]:
    """All are good but every case whose number leaves 0 when divided by one of `bad`."""
    return lambda case, repeat: answered(case, repeat, all(int(case.id[1:]) % each for each in bad))
