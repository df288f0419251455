"""The gate itself: a run, rules, and where there is one a baseline, to a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from evals.comparison import Comparison, Incomparable, compare
from evals.gating.bounds import Bound, exactly
from evals.gating.checks import Beside, checks_of
from evals.gating.rules import Rules
from evals.gating.verdict import Check, Verdict, summed_up
from evals.run_folder import Run
from evals.summary import Summary, summarise

_ITSELF = "The baseline is the run itself, which is never worse: give another folder with --baseline."
_NO_BASELINE = "This rule compares with a baseline: give one with --baseline."


def judge(run: Run, rules: Rules, baseline: Run | None = None, *, seed: int = 0) -> Verdict:
    """The verdict on `run`. The same runs, rules and seed give the same verdict.

    Raises ValueError, with advice, where the run holds no answers at all.
    """
    whole = [_whole(run, "run.complete", baseline)]
    if baseline is not None:
        whole.append(_whole(baseline, "baseline.complete"))
        if run.is_in(baseline.folder):
            whole[-1] = Bound(rule="baseline.other", unit="cases", side="at least", limit=1).untold(_ITSELF)
    return verdict_of(
        summarise(run),
        rules,
        _beside(run, rules, baseline, seed),
        run=str(run.folder),
        baseline=str(baseline.folder) if baseline else "",
        before=whole,
    )


def verdict_of(
    summary: Summary, rules: Rules, beside: Beside, *, run: str, baseline: str = "", before: Sequence[Check] = ()
) -> Verdict:
    """The verdict on figures that are known; `before` are checks of the runs themselves."""
    checks = sorted([*before, *checks_of(rules, summary, beside)], key=lambda check: check.passed)
    failed = [check for check in checks if not check.passed]
    segments = list(dict.fromkeys(check.segment for check in failed if check.segment))
    groups = list(dict.fromkeys(check.group for check in failed if check.group))
    about = summary.manifest
    return Verdict(
        passed=not failed,
        summary=summed_up(checks, segments, groups),
        run=run,
        target=about.target,
        config_hash=about.config_hash,
        suite=about.suite,
        suite_version=about.suite_version,
        baseline=baseline,
        level=summary.level,
        segments=segments,
        groups=groups,
        checks=checks,
        rules=rules.model_dump(mode="json", exclude_defaults=True),
        notes=[*summary.notes, *(beside.notes if isinstance(beside, Comparison) else ())],
    )


def _beside(run: Run, rules: Rules, baseline: Run | None, seed: int) -> Beside:
    if baseline is None:
        return _NO_BASELINE
    margin = rules.quality.margin if rules.quality else None
    try:
        return compare(baseline, run, margins=None if margin is None else {"quality": margin}, seed=seed)
    except Incomparable as error:
        return str(error)


def _whole(run: Run, rule: str, baseline: Run | None = None) -> Check:
    """Also of a run of a part of the suite, where `baseline` shows that there is more of it."""
    wanted = run.manifest.cases * run.manifest.repeats
    bound = Bound(rule=rule, unit="cases", side="at least", limit=wanted)
    if not run.complete:
        there = f"{len(run.rows):,} of {wanted:,} answers are there."
        return bound.untold(f"{there} Resume the run: give `weir eval run` the same folder again.")
    same_suite = baseline is not None and baseline.manifest.suite_version == run.manifest.suite_version
    if baseline is not None and same_suite and (missing := len(baseline.cases.keys() - run.cases.keys())):
        return bound.untold(f"{missing:,} cases of the baseline were never asked. Run the whole suite.")
    return bound.check(exactly(len(run.rows)))
