"""A comparison in words: its sentence, and what its readers must know beside the figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evals.findings import Finding, Part
from evals.pairing import Pairs
from evals.run_folder import Run
from evals.statistics.judged import Judge
from evals.verdicts import BETTER, LEAST_CLUSTERS, NOT_WORSE, WORSE

_AS_GIVEN = (
    "A case of +1 and one of -1 are added to the differences of quality, so that runs which agree in a few cases "
    "are not taken to agree in all (Bonett and Price 2012)."
)
_SEGMENTS = (
    "Verdicts of segments are corrected for there being several (Holm); the intervals beside them are not, and "
    "each holds for its segment alone."
)


def sentence(a: str, b: str, overall: Part, together: str, level: float) -> str:
    """What came of it, for people."""
    found = overall.findings["quality"]
    change = found.change
    by = f"{points(change.value)} points ({level * 100:g} %: {points(change.low)} to {points(change.high)})"
    said = f"{_said(a, b, found)}: {by}, over {overall.cases:,} cases."
    if len(overall.findings) == 1:
        return said
    others = " and ".join(outcome for outcome in overall.findings if outcome != "quality")
    return f"{said} Together with {others}: {together}."


def points(change: float) -> str:
    """A change of quality in points of a hundred, with its sign."""
    return f"{change * 100:+.1f}"


def remarks(
    a: Run, b: Run, pairs: Pairs, overall: Part, segments: Sequence[Part], judge: Judge | None, costs_known: bool
) -> list[str]:
    """What a reader must know; nothing that does not hold here."""
    found = [_same(a, b)]
    found += [_unfinished(name, run) for name, run in (("A", a), ("B", b))]
    found += [_failed(name, run) for name, run in (("A", a), ("B", b))]
    unscored = int(np.isnan(pairs.quality).any(axis=0).sum())
    if unscored:
        found.append(f"{unscored:,} of the cases in common have no score of `{a.manifest.quality}` in both runs.")
    if a.manifest.suite_version != b.manifest.suite_version:
        found.append("The runs are of different versions of the suite: only cases that are the same are compared.")
    if not costs_known:
        found.append("Cost is left out: it is not known of each answer in both runs.")
    elif "cost" not in overall.findings:
        why = "one case tells nothing of it" if (pairs.cost[0] > 0).any() else "A's answers cost nothing"
        found.append(f"Cost is left out: {why}.")
    if "latency" not in overall.findings:
        timed = np.intersect1d(pairs.latency[0].units, pairs.latency[1].units)
        why = "one case tells nothing of it" if len(timed) else "there is none of both runs for any case"
        found.append(f"Latency is left out: {why}.")
    if overall.clusters < LEAST_CLUSTERS:
        found.append(_few(overall.clusters, overall.cases))
    found.append(_judged(a, judge))
    if segments:
        found.append(_SEGMENTS)
    if any(part.clusters == 1 and part.cases > 1 for part in segments):
        found.append(
            "Where all cases of a segment are of one cluster, they are taken one by one: what is found holds for "
            "that cluster, not for others like it."
        )
    found.append(_AS_GIVEN)
    return [note for note in found if note]


def _said(a: str, b: str, found: Finding) -> str:
    if found.verdict == BETTER:
        return f"Quality of B ({b}) is better than of A ({a})"
    if found.verdict == NOT_WORSE:
        return f"Quality of B ({b}) is not worse than of A ({a}) by {found.margin * 100:g} points"
    if found.verdict == WORSE:
        return f"Quality of B ({b}) is worse than of A ({a})"
    more = f", {found.more_needed:,} more are needed" if found.more_needed else ""
    return f"There are not enough cases to tell the quality of B ({b}) from that of A ({a}){more}"


def _same(a: Run, b: Run) -> str:
    return "A and B are the same folder: this run is beside itself." if a.is_in(b.folder) else ""


def _unfinished(name: str, run: Run) -> str:
    if run.complete:
        return ""
    whole = run.manifest.cases * run.manifest.repeats
    return (
        f"{name} is not complete: {len(run.rows):,} of {whole:,} answers are there. Resume it with `weir eval run`."
    )


def _few(clusters: int, cases: int) -> str:
    few = f"with fewer than {LEAST_CLUSTERS} nothing can be told"
    if clusters > 1 or cases == 1:
        return f"The cases are of {clusters:,} cluster{'s' if clusters > 1 else ''}: {few}."
    return (
        f"All cases are of one cluster: {few}. The intervals take them one by one, and hold for that cluster, not "
        "for others like it."
    )


def _failed(name: str, run: Run) -> str:
    errors = sum(bool(row.error) for row in run.rows)
    return (
        f"{errors:,} of {len(run.rows):,} answers of {name} never came: they count as quality 0." if errors else ""
    )


def _judged(a: Run, judge: Judge | None) -> str:
    facts = a.manifest.scorers[a.manifest.quality]
    if judge is not None:
        return (
            f"The judge's own errors are taken out: it knows {judge.sensitivity:.0%} of good answers and "
            f"{judge.specificity:.0%} of bad ones (of {judge.good:,} and {judge.bad:,} that people labelled). That "
            "it errs alike in both runs is taken for granted."
        )
    if facts.model and facts.binary:
        return (
            "The judge's own errors are not taken out: it is not calibrated in both runs, or is no better than "
            "chance. See `weir eval calibrate`."
        )
    return ""
