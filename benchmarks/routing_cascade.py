"""What judging the cheap model's answer recovers of the strong model's quality, in a cascade.

    .venv/bin/python benchmarks/routing_cascade.py --data DIR --json

The non-obvious decision: of a run only what a gateway would have is shown to the head: the question, the answer (or
what was extracted of it), its length and confidence, and what one or two other cheap models answered
(`benchmarks/cascade_advisers.py` says which are asked). Outcomes of dearer models are labels, and nothing else.

APGR: the share of the gap between the two models that is recovered, over all shares of escalated queries
(RouteLLM, arXiv 2406.18665). With `--data` the folder is learned from and judged on in folds of `split_hash`.
"""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks.cascade_advisers import advisers, nearest
from distill.checks import Example, learn
from evals.curves import apgr, bootstrap, calibration_error
from heads.checks import CheckHead
from heads.signals import Signals

Rows = NDArray[np.float64]
Query = dict[str, Any]
Opinions = dict[str, list[str]]
"""Who is asked, by file."""

_RUN_A, _RUN_B = "Llama-3.1-8B-Instruct/run_a", "Llama-3.1-8B-Instruct/run_b"
_NOTES = Console(stderr=True, soft_wrap=True)


class Cascade(Struct, frozen=True):
    """A pair of models on some files."""

    name: str
    files: tuple[str, ...]
    weak: str
    strong: str


ZEROEVAL = Cascade(
    "zeroeval",
    ("zeroeval_gsm", "zeroeval_math_l5", "zeroeval_crux"),
    "Meta-Llama-3.1-8B-Instruct",
    "claude-3-5-sonnet-20241022",
)
MMLU_PRO = Cascade("mmlu_pro", ("mmlu_pro",), "Meta-Llama-3.1-8B-Instruct", "gemini-1.5-pro-002")
GPT5_B = Cascade("cascade_8b_gpt5", ("cascade_conf_8b_gpt5",), _RUN_B, "gpt-5")
GPT5_A = Cascade("cascade_8b_gpt5_run_a", ("cascade_conf_8b_gpt5",), _RUN_A, "gpt-5")


class Variant(Struct, frozen=True):
    """What is known of an answer: `signals` of a query, beside so many opinions of models that `chosen` names."""

    name: str
    opinions: int
    signals: Callable[[Query, str, Sequence[str]], Signals]
    chosen: Callable[[Sequence[Query], Cascade, int], Opinions]


def answered(query: Query, weak: str, others: Sequence[str]) -> Signals:
    """Text, extracted answer and length, beside up to two second opinions."""
    own = query["outcomes"][weak]
    opinions = [query["outcomes"].get(other, {}) for other in others]
    known = Signals(
        question=query["query"], answer=own.get("pred") or "", characters=own.get("out_chars")
    ).with_opinions(*(opinion.get("pred") for opinion in opinions), *([None] if not opinions else []))
    lengths = [opinion.get("out_chars") for opinion in opinions] + [None, None]
    return msgspec.structs.replace(known, second_characters=lengths[0], third_characters=lengths[1])


def sampled(query: Query, weak: str, others: Sequence[str]) -> Signals:
    """A run's own confidence and text, beside other samples of the same model."""
    own = query["outcomes"][weak]
    known = Signals(
        answer=own["answer"],
        characters=own["out_chars"],
        mean_logp=own.get("avg_logp"),
        entropy=own.get("avg_entropy_nats"),
        self_check=own.get("self_verify"),
    )
    for other in others:
        sample = query["outcomes"][other]
        known = msgspec.structs.replace(
            known.with_opinions(sample["answer"]), second_characters=sample["out_chars"]
        )
    return known


def confident(query: Query, weak: str, others: Sequence[str]) -> Signals:
    """The confidence alone, without the text."""
    return msgspec.structs.replace(sampled(query, weak, others), answer=None, characters=None)


def by_file(rows: Sequence[Query], cascade: Cascade, wanted: int) -> Opinions:
    """Advisers that tell most in each file, as a route would choose them for its traffic."""
    return {
        file: advisers([one for one in rows if one["dataset"] == file], cascade.weak, cascade.strong, wanted)
        for file in cascade.files
    }


def for_all(rows: Sequence[Query], cascade: Cascade, wanted: int) -> Opinions:
    """Advisers that tell most in all files together."""
    return dict.fromkeys(cascade.files, advisers(rows, cascade.weak, cascade.strong, wanted))


def by_score(rows: Sequence[Query], cascade: Cascade, wanted: int) -> Opinions:
    """The models nearest in mean score to the cheap one, whatever their agreement tells."""
    return dict.fromkeys(cascade.files, nearest(rows, cascade.weak, wanted))


def other_run(_: Sequence[Query], cascade: Cascade, wanted: int) -> Opinions:
    """The other run of the same model."""
    return dict.fromkeys(cascade.files, [run for run in (_RUN_A, _RUN_B) if run != cascade.weak][:wanted])


_BY_OPINION = (
    Variant("two second opinions", 2, answered, by_file),
    Variant("two, the same in all files", 2, answered, for_all),
    Variant("two, nearest in mean score", 2, answered, by_score),
    Variant("one second opinion", 1, answered, by_file),
    Variant("one, the same in all files", 1, answered, for_all),
    Variant("one, nearest in mean score", 1, answered, by_score),
    Variant("no second opinion", 0, answered, for_all),
)
_BY_SAMPLE = (
    Variant("its own signals and text", 0, sampled, other_run),
    Variant("a second sample beside them", 1, sampled, other_run),
    Variant("confidence alone", 0, confident, other_run),
)
_MEASURED = ((ZEROEVAL, _BY_OPINION), (MMLU_PRO, _BY_OPINION), (GPT5_B, _BY_SAMPLE), (GPT5_A, _BY_SAMPLE))


def cascade_goals(
    train_dir: Path, test_dir: Path | None, progress: Callable[[str], object] = lambda _: None
) -> dict[str, Any]:
    """APGR of the three cascades, under their names, and `details` of each variant with 95 % intervals.

    Learned on one folder and judged on the other, or cross-validated on the first. The goals: two second opinions
    for zeroeval and mmlu_pro; for cascade_8b_gpt5 run_b's own signals (log-probability, entropy, text), without
    run_a, which is a variant. Raises OSError, KeyError or ValueError where a folder holds something else.
    """
    goals: dict[str, Any] = {}
    details: dict[str, Any] = {}
    for cascade, variants in _MEASURED:
        train = rows_of(train_dir, cascade)
        test = rows_of(test_dir, cascade) if test_dir else None
        shown: dict[str, Any] = {}
        for variant in variants:
            progress(f"{cascade.name}, {variant.name}")
            shown[variant.name] = measured(cascade, variant, train, test)
        details[cascade.name] = shown
        goals[cascade.name] = shown[variants[0].name]["apgr"]
    goals.pop(GPT5_A.name)
    return {**goals, "details": details}


def measured(
    cascade: Cascade, variant: Variant, train: Sequence[Query], test: Sequence[Query] | None
) -> dict[str, Any]:
    """Learn, and judge the queries of `test`, or those of `train` cross-fitted; beside it, without labels."""
    opinions = variant.chosen(train, cascade, variant.opinions)
    learned = learn(examples(cascade, variant, train, opinions), provenance={"cascade": cascade.name})
    rows = train if test is None else test
    signals = [variant.signals(query, cascade.weak, opinions[query["dataset"]]) for query in rows]
    scores, good = learned.scores, learned.good
    if test is not None:
        checked = [learned.head.judge(one, query["task"]) for one, query in zip(signals, rows, strict=True)]
        scores, good = np.array([one.score for one in checked]), np.array([one.good for one in checked])
    unlearned = CheckHead.default()
    guessed = np.array([unlearned.judge(one).score for one in signals])
    weak, strong = _scores(rows, cascade.weak), _scores(rows, cascade.strong)
    reached = bootstrap(apgr, scores, weak, strong)
    return {
        "apgr": round(reached.value, 4),
        "low": round(reached.low, 4),
        "high": round(reached.high, 4),
        "by_failure": round(apgr(1 - good, weak, strong), 4),
        "before_any_label": round(apgr(guessed, weak, strong), 4),
        "calibration_error": round(calibration_error(good, weak), 4),
        "queries": len(rows),
        "opinions": opinions,
    }


def examples(cascade: Cascade, variant: Variant, rows: Sequence[Query], opinions: Opinions) -> list[Example]:
    """Labelled answers, grouped by the question."""
    return [
        Example(
            signals=variant.signals(query, cascade.weak, opinions[query["dataset"]]),
            good=query["outcomes"][cascade.weak]["score"],
            strong=query["outcomes"][cascade.strong]["score"],
            task=query["task"],
            group=query["split_hash"],
        )
        for query in rows
    ]


def rows_of(folder: Path, cascade: Cascade) -> list[Query]:
    """The queries of a cascade's files for which both models have an outcome."""
    found = []
    for name in cascade.files:
        path = next(iter(sorted(folder.glob(f"{name}.*jsonl.gz"))), None)
        if path is None:
            raise FileNotFoundError(f"{folder} has no {name}.*.jsonl.gz")
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            found += [json.loads(line) for line in lines]
    return [query for query in found if {cascade.weak, cascade.strong} <= query["outcomes"].keys()]


def _scores(rows: Sequence[Query], model: str) -> Rows:
    return np.array([query["outcomes"][model]["score"] for query in rows], np.float64)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="one folder, cross-validated")
    parser.add_argument("--train", type=Path, help="folder to learn from")
    parser.add_argument("--test", type=Path, help="folder to judge on")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    given = parser.parse_args()
    if bool(given.data) == bool(given.train and given.test):
        parser.error("name either --data DIR, or --train DIR and --test DIR")
    with Progress(console=_NOTES, disable=not _NOTES.is_terminal) as bar:
        task = bar.add_task("cascades", total=sum(len(variants) for _, variants in _MEASURED))

        def step(what: str) -> None:
            bar.update(task, advance=1, description=what)
            if not _NOTES.is_terminal:
                _NOTES.print(what)

        goals = cascade_goals(given.data or given.train, given.test, step)
    print(json.dumps(goals) if given.json else shown(goals))


def shown(goals: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = [
        "| cascade | what is known | APGR | 95 % | by failure | no labels | ECE | opinions |",
        "|" + " --- |" * 8,
    ]
    lines += [
        f"| {name} | {variant} | {one['apgr']:.3f} | {one['low']:.3f}..{one['high']:.3f} | "
        f"{one['by_failure']:.3f} | "
        f"{one['before_any_label']:.3f} | {one['calibration_error']:.3f} | "
        f"{'; '.join(dict.fromkeys(', '.join(names) for names in one['opinions'].values()))} |"
        for name, variants in goals["details"].items()
        for variant, one in variants.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
