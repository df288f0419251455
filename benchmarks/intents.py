"""How often a query's intent is found, and a query that has none is noticed.

    .venv/bin/python benchmarks/intents.py --data DIR
    .venv/bin/python benchmarks/intents.py --train DIR --test DIR --json --keep DIR

With `--data`, figures are cross-fitted: each query is judged by a head that learned from four fifths of the others'
texts. What says `cut` was learned from four fifths and judged on the rest, once. One recipe for all sources.

Accuracy is that of the likeliest intent, of the queries that have one, whether or not it would be accepted. Unknown
ones caught: the share below the confidence under which 5 % of the known queries judged are; beside it, what happens
at the threshold that was chosen where it was learned. The goals are those of heads that learned from the unknown
examples too where a source has some (clinc150); what a head knows that never saw one stands beside. Brackets are
95 % bootstrap intervals. The last line of `--json` has all goals.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks.cache_study import encoded
from benchmarks.intents_data import SOURCES, cut, few, known, read
from benchmarks.targets import at_least, table
from distill.intents import Example, Predictions, judge, learn, learn_plainly, measured
from encoder.card import BUILT
from encoder.session import Session
from evals.curves import bootstrap
from evals.statistics.interval import Interval
from heads.intents import UNKNOWN, IntentHead

REJECTED = 0.05
EACH = (10, 20, 50)
"""Examples of each intent in the few-shot curve."""
TARGETS = {
    "clinc150_accuracy": ("CLINC150, accuracy", 97.3),
    "clinc150_oos_caught": ("CLINC150, unknown caught with 5 % rejected", 88.0),
    "banking77_accuracy": ("BANKING77, accuracy", 92.5),
    "hwu64_accuracy": ("HWU64, accuracy", 91.0),
}
_TIMED = 1_000
_NOTES = Console(stderr=True, soft_wrap=True)

Vectors = dict[str, NDArray[np.float32]]
Step = Callable[[str], object]


def source_figures(
    train: Sequence[Example], test: Sequence[Example], vectors: Vectors, step: Step
) -> dict[str, Any]:
    """All figures of one source; with no `test`, those of cross-fitting and of one cut."""
    learned = learn(train, _rows(train, vectors), progress=lambda done, total: step(f"head {done} of {total}"))
    predictions = judge(learned.head, test, _rows(test, vectors)) if test else learned.predictions
    figures = {"all": shown(predictions), "cost": cost(learned.head, test or train, vectors)}
    figures["all"]["cross_fitted"] = {
        name: learned.evidence[name] for name in ("accuracy", "rejected", "unknown_caught", "calibration_error")
    }
    figures["all"]["share"], figures["all"]["temperature"] = learned.head.card["share"], learned.head.temperature
    first, second = (train, test) if test else cut(train)
    where = "" if test else ", cut"
    if any(example.intent == UNKNOWN for example in train):
        step("a head that saw no unknown examples")
        figures[f"no unknown learned{where}"] = _plainly(known(first), second, vectors)
    for each in EACH:
        step(f"{each} examples of each intent")
        figures[f"{each} of each{where}"] = _plainly(few(first, each), second, vectors)
    return figures


def shown(predictions: Predictions) -> dict[str, Any]:
    """Figures in percent, with intervals."""
    truth = predictions.truth >= 0
    right = (predictions.taken == predictions.truth)[truth].astype(np.float64)
    plain = measured(predictions)
    found: dict[str, Any] = {
        "accuracy": _percent(bootstrap(lambda row: float(row.mean()), right)),
        "calibration_error": plain["calibration_error"],
        "known": int(truth.sum()),
        "unknown": int((~truth).sum()),
        "rejected_at_threshold": round(100 * plain["rejected"], 2),
    }
    if not truth.all():
        sure = predictions.confidence.astype(np.float64)
        found["caught"] = _percent(bootstrap(caught, sure, truth.astype(np.float64)))
        found["caught_at_threshold"] = round(100 * plain["unknown_caught"], 2)
    return found


def caught(confidences: NDArray[np.float64], is_known: NDArray[np.float64]) -> float:
    """The share of unknown queries below the confidence under which `REJECTED` of the known ones are."""
    of_known, of_unknown = confidences[is_known > 0], confidences[is_known <= 0]
    if not len(of_known) or not len(of_unknown):
        raise ValueError("known and unknown queries are needed")
    return float((of_unknown < np.quantile(of_known, REJECTED)).mean())


def cost(head: IntentHead, examples: Sequence[Example], vectors: Vectors) -> dict[str, float]:
    """Bytes of the artefact, and milliseconds of a query, its encoding aside."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "intents.npz"
        head.write(file)
        size, head = file.stat().st_size, IntentHead.read(file)
    taken = []
    for example in examples[:_TIMED]:
        vector = vectors[example.text.strip()]
        start = time.perf_counter()
        head.classify(example.text, vector)
        taken.append(1_000 * (time.perf_counter() - start))
    low, high = np.quantile(taken, [0.5, 0.99])
    return {"artefact_bytes": size, "p50_ms": round(float(low), 3), "p99_ms": round(float(high), 3)}


def goals(figures: dict[str, Any]) -> dict[str, float]:
    """Each figure that the issue of intents sets a goal for, in percent."""
    found = {f"{name}_accuracy": figures[name]["all"]["accuracy"][0] for name in SOURCES}
    return found | {"clinc150_oos_caught": figures["clinc150"]["all"]["caught"][0]}


def report(figures: dict[str, Any]) -> str:
    """All figures as Markdown."""
    lines = [
        "| source | learned from | accuracy, % | unknown caught, % | calibration error | rejected, caught at "
        "the threshold, % |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, kinds in figures.items():
        for kind, one in kinds.items():
            if "accuracy" in one:
                at_threshold = f"{one.get('rejected_at_threshold', '-')}, {one.get('caught_at_threshold', '-')}"
                lines.append(
                    f"| {name} | {kind} | {_interval(one['accuracy'])} | {_interval(one.get('caught'))} | "
                    f"{one.get('calibration_error', '-')} | {at_threshold} |"
                )
    lines += ["", "| source | artefact, bytes | classify P50, ms | P99, ms |", "| --- | ---: | ---: | ---: |"]
    costs = {name: kinds["cost"] for name, kinds in figures.items()}
    lines += [
        f"| {name} | {one['artefact_bytes']:,} | {one['p50_ms']} | {one['p99_ms']} |" for name, one in costs.items()
    ]
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="one folder, cross-validated")
    parser.add_argument("--train", type=Path, help="folder to learn from")
    parser.add_argument("--test", type=Path, help="folder to judge on")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument("--keep", type=Path, help="folder that keeps vectors for the next run")
    given = parser.parse_args()
    if bool(given.data) == bool(given.train and given.test):
        parser.error("name either --data DIR, or --train DIR and --test DIR")
    train = read(given.data or given.train)
    test = read(given.test) if given.test else {name: [] for name in SOURCES}
    texts = sorted({example.text for part in (train, test) for some in part.values() for example in some})
    vectors = encoded(texts, Session(BUILT), given.keep, _NOTES.print)
    figures: dict[str, Any] = {}
    with Progress(console=_NOTES, disable=not _NOTES.is_terminal) as bar:
        task = bar.add_task("learning", total=len(SOURCES))
        for name in SOURCES:

            def step(what: str, name: str = name) -> None:
                bar.update(task, description=f"{name}: {what}")
                if not _NOTES.is_terminal:
                    _NOTES.print(f"{name}: {what}")

            figures[name] = source_figures(train[name], test[name], vectors, step)
            bar.advance(task)
    reached = goals(figures)
    targets = [at_least(what, reached[name], target, "%") for name, (what, target) in TARGETS.items()]
    if given.json:
        print(json.dumps({"benchmark": "intents", "goals": reached, "details": figures}))
    else:
        print(f"{report(figures)}\n\n{table(targets)}")


def _plainly(train: Sequence[Example], test: Sequence[Example], vectors: Vectors) -> dict[str, Any]:
    """Figures of a head that was not calibrated, and has no threshold."""
    figures = shown(judge(learn_plainly(train, _rows(train, vectors)), test, _rows(test, vectors)))
    return {name: figures[name] for name in ("accuracy", "caught", "known", "unknown") if name in figures}


def _rows(examples: Sequence[Example], vectors: Vectors) -> NDArray[np.float32]:
    return np.array([vectors[example.text.strip()] for example in examples], np.float32)


def _percent(interval: Interval) -> list[float]:
    return [round(100 * each, 2) for each in (interval.value, interval.low, interval.high)]


def _interval(figure: Sequence[float] | None) -> str:
    return "-" if figure is None else f"{figure[0]:.2f} [{figure[1]:.2f}, {figure[2]:.2f}]"


if __name__ == "__main__":
    main()
