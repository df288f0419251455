"""Whether Weir knows that it found nothing, and whether what it puts into a prompt is worth its tokens.

.venv/bin/python benchmarks/answerable.py --data DIR
.venv/bin/python benchmarks/answerable.py --data DIR --queries HOLDOUT --json
.venv/bin/python benchmarks/answerable.py --data DIR --out artefacts/rag-answerable.json

DIR is laid out as BEIR's sets are (`benchmarks/retrieval_data.py`), with `answerability` for each question: partly
answerable counts as answerable, `UNDERSPECIFIED` is left out and reported apart. On the questions of DIR, what is
reported was learned without the question's group (ten folds); with `--queries`, it is what ships. Intervals are the
bootstrap's at 95 %, over groups. `--out` learns from all questions of DIR and writes the file; it needs scipy.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.retrieval_data import SETS, Questions, documents, passage_set, questions_of
from benchmarks.retrieval_runs import RECIPES, ingest_all, shop, tenant_of
from benchmarks.targets import Target, at_least, lines, table
from contracts.retrieval import Passage, Turn
from encoder.card import BUILT
from encoder.session import Session
from rag.retrieval.answerable import SEARCH, Judge, features
from rag.retrieval.answerable_training import Example, learned
from rag.retrieval.packing import packed
from rag.retrieval.ranking import Ranking

Row = NDArray[np.float64]
FLOORS = (0.1, 0.2, 0.3, 0.4, 0.5)
SHIPPED_FLOOR = 0.2
BUDGETS = (300, 600, 1500)
FIRST = (1, 2, 3, 4, 5, 7, 10)
_MOST = 20
_FOLDS = 10
_DRAWS = 1000
_UNCLEAR = "UNDERSPECIFIED"


class Case(Struct, frozen=True):
    """A question that was searched for, in one of the sets."""

    name: str
    group: str
    example: Example
    unclear: bool


class Judged(Struct, frozen=True):
    """What was said of a case: the probability of an answer, and for each passage that it helps."""

    case: Case
    answerable: float
    helps: tuple[float, ...]


def main() -> None:
    """Told in the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="corpora, and questions that end in `dev`")
    parser.add_argument("--queries", type=Path, help="another folder of questions, which end in `holdout`")
    parser.add_argument("--encoder", type=Path, default=BUILT, help="a built encoder's folder")
    parser.add_argument("--state", type=Path, help="keep the storage here: the next run ingests only what is new")
    parser.add_argument("--out", type=Path, help="learn from all questions, and write what was learned here")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    with TemporaryDirectory() as folder, _progress() as progress:
        cases = asyncio.run(_searched(options, Path(folder), progress))
    clear = [case for case in cases if not case.unclear]
    if options.out:
        model = learned([case.example for case in clear])
        options.out.write_bytes(msgspec.json.format(msgspec.json.encode(model), indent=2) + b"\n")
        return
    judged = _by_what_ships(cases) if options.queries else _by_the_others(cases)
    result = report(judged)
    targets = _targets(result)
    print(json.dumps({**result, "targets": lines(targets)}) if options.json else _told(result, targets))


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True))


async def _searched(options: argparse.Namespace, folder: Path, progress: Progress) -> list[Case]:
    questions = questions_of(options.data, options.queries)
    sets = [passage_set(options.data, questions, name) for name in SETS]
    cases: list[Case] = []
    async with shop(Session(options.encoder), options.state or folder / "state") as store:
        # A storage that is kept is also that of benchmarks/retrieval.py, whose long documents would be deleted.
        texts = documents(options.data) if options.state else {}
        await ingest_all(store, sets, texts, folder, progress)
        for each in sets:
            asked = _lines(questions, each.name)
            right = {(tuple(one.turns), one.group): one.right for one in each.asked}
            for query in progress.track(asked, description=f"search {each.name}"):
                said = query.get("messages") or [{"role": "user", "content": query["text"]}]
                turns = tuple(Turn(one["role"], one["content"]) for one in said)
                ranking = await store.search(tenant_of(each.name), turns, RECIPES["reranked"])
                gold = right.get((turns, query["group"]), frozenset())
                if ranking.passages:
                    helps = tuple(_number(passage) in gold for passage in ranking.passages)
                    label = query["answerability"]
                    example = Example(each.name, ranking, label != "UNANSWERABLE", helps)
                    cases.append(Case(each.name, query["group"], example, label == _UNCLEAR))
    return cases


def _lines(questions: Questions, name: str) -> list[dict[str, Any]]:
    path = questions.folder / name / f"queries.{questions.part}.jsonl"
    with path.open("rb") as file:
        return [msgspec.json.decode(line) for line in file if line.strip()]


def _number(passage: Passage) -> int:
    return int(passage.filename.partition(".")[0])


def _by_what_ships(cases: Sequence[Case]) -> list[Judged]:
    judge = Judge.load()
    return [Judged(case, *judge.of(case.example.ranking)) for case in cases]


def _by_the_others(cases: Sequence[Case]) -> list[Judged]:
    """Each case by what was learned from the other folds; those that are unclear are not learned from."""
    folds = [crc32(case.group.encode()) % _FOLDS for case in cases]
    judges: list[Judge] = []
    for fold in range(_FOLDS):
        others = [case.example for case, own in zip(cases, folds, strict=True) if own != fold and not case.unclear]
        judges.append(Judge(learned(others)))
    return [Judged(case, *judges[fold].of(case.example.ranking)) for case, fold in zip(cases, folds, strict=True)]


def report(judged: Sequence[Judged]) -> dict[str, Any]:
    """All figures, as JSON."""
    clear = [each for each in judged if not each.case.unclear]
    pools: Mapping[str, list[Judged]] = {
        "all": clear,
        **{name: [each for each in clear if each.case.name == name] for name in SETS},
        "mtragun": [each for each in clear if each.case.name != SETS[0]],
    }
    unclear = [each.answerable for each in judged if each.case.unclear]
    return {
        "benchmark": "answerable",
        "auc": {name: _areas(pool) for name, pool in pools.items()},
        "brier": {name: _brier(pool) for name, pool in pools.items()},
        "reliability": _reliability(clear),
        "refusals": [_refusals(clear, floor) for floor in FLOORS],
        "underspecified": {
            "questions": len(unclear),
            "refused": round(float(np.mean([each < SHIPPED_FLOOR for each in unclear])), 3) if unclear else None,
        },
        "passages": _passages(clear),
        "packing": _packing(clear),
    }


def _areas(pool: Sequence[Judged]) -> dict[str, tuple[float, float, float]]:
    """Area under the ROC curve of what Weir says, of each of the things it is made of, and of the reranker."""
    labels = np.array([each.case.example.answerable for each in pool])
    rows = np.array([features(each.case.example.ranking)[0] for each in pool])
    scores = {"weir": np.array([each.answerable for each in pool])}
    scores |= {name: rows[:, place] for place, name in enumerate(SEARCH)}
    scores["best cosine"] = np.array([_best_cosine(each.case.example.ranking) for each in pool])
    scores["best bm25"] = np.array(
        [max(p.words or 0.0 for p in each.case.example.ranking.passages) for each in pool]
    )
    scores["reranker"] = np.array([each.case.example.ranking.passages[0].score for each in pool])
    _, groups = np.unique([each.case.group for each in pool], return_inverse=True)
    areas = {name: _area(labels, score) for name, score in scores.items()}
    draws = {name: _drawn(labels, score, groups) for name, score in scores.items()}
    found = {name: _interval(areas[name], draws[name]) for name in scores}
    best = max((name for name in scores if name != "weir"), key=lambda name: areas[name])
    found["over the best"] = _interval(areas["weir"] - areas[best], draws["weir"] - draws[best])
    return found


def _best_cosine(ranking: Ranking) -> float:
    return max((passage.meaning for passage in ranking.passages if passage.meaning is not None), default=0.0)


def _area(labels: NDArray[np.bool_], scores: Row) -> float:
    good, bad = scores[labels][:, None], scores[~labels]
    return float((good > bad).mean() + (good == bad).mean() / 2)


def _drawn(labels: NDArray[np.bool_], scores: Row, groups: NDArray[np.intp]) -> Row:
    draw = np.random.default_rng(1)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    areas: list[float] = []
    for _ in range(_DRAWS):
        places = np.concatenate([members[at] for at in draw.integers(len(members), size=len(members))])
        areas.append(_area(labels[places], scores[places]))
    return np.array(areas)


def _interval(value: float, draws: Row) -> tuple[float, float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return round(value, 4), round(float(low), 4), round(float(high), 4)


def _brier(pool: Sequence[Judged]) -> tuple[float, float]:
    """Of what Weir says, and of the share of answerable questions, said of each."""
    labels = np.array([each.case.example.answerable for each in pool], float)
    said = np.array([each.answerable for each in pool])
    return round(float(((said - labels) ** 2).mean()), 4), round(float(labels.var()), 4)


def _reliability(pool: Sequence[Judged]) -> list[tuple[float, int, float, float]]:
    """From, questions, said on average, true on average."""
    said = np.array([each.answerable for each in pool])
    labels = np.array([each.case.example.answerable for each in pool])
    rows: list[tuple[float, int, float, float]] = []
    for low in np.arange(0, 1, 0.1):
        inside = (said >= low) & (said < low + 0.1)
        if inside.any():
            true = float(labels[inside].mean())
            rows.append(
                (round(float(low), 1), int(inside.sum()), round(float(said[inside].mean()), 3), round(true, 3))
            )
    return rows


def _refusals(pool: Sequence[Judged], floor: float) -> dict[str, float | None]:
    refused = np.array([each.answerable < floor for each in pool])
    labels = np.array([each.case.example.answerable for each in pool])
    return {
        "floor": floor,
        "precision": round(float((~labels[refused]).mean()), 3) if refused.any() else None,
        "recall": round(float(refused[~labels].mean()), 3),
        "answerable refused": round(float(refused[labels].mean()), 3),
    }


def _passages(pool: Sequence[Judged]) -> dict[str, float]:
    """How well passages' probabilities tell those that help."""
    said = np.concatenate([each.helps[:_MOST] for each in pool])
    true = np.concatenate([each.case.example.helps[:_MOST] for each in pool])
    brier = float(((said - true) ** 2).mean())
    return {"auc": round(_area(true, said), 4), "brier": round(brier, 4), "base": round(float(true.var()), 4)}


def _packing(pool: Sequence[Judged]) -> dict[str, tuple[float, float]]:
    """By way to choose: the share of the right documents that are in, and tokens, of answerable questions."""
    ways: dict[str, Callable[[Sequence[Passage]], Sequence[Passage]]] = {
        **{f"packed to {budget}": partial(packed, token_budget=budget, most=_MOST) for budget in BUDGETS},
        **{f"first {most}": partial(_first, most=most) for most in FIRST},
        **{f"whole documents, {most}": partial(_whole, most=most) for most in FIRST[:5]},
    }
    rows: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for each in pool:
        example = each.case.example
        right = {p.filename for p, helps in zip(example.ranking.passages, example.helps, strict=True) if helps}
        found = [replace(p, score=score) for p, score in zip(example.ranking.passages, each.helps, strict=True)]
        for way, choose in ways.items() if right else ():
            chosen = choose(found)
            kept = len(right & {passage.filename for passage in chosen}) / len(right)
            rows[way].append((kept, sum(passage.tokens for passage in chosen)))
    return {
        way: (round(float(k), 4), round(float(t), 1))
        for way, row in rows.items()
        for k, t in [np.mean(row, axis=0)]
    }


def _first(found: Sequence[Passage], most: int) -> Sequence[Passage]:
    return found[:most]


def _whole(found: Sequence[Passage], most: int) -> list[Passage]:
    documents = {passage.filename: passage for passage in reversed(found)}
    order = dict.fromkeys(passage.filename for passage in found)
    return [replace(documents[name], tokens=documents[name].document_tokens) for name in list(order)[:most]]


def _targets(result: Mapping[str, Any]) -> list[Target]:
    return [
        at_least(
            "area under the curve, over the best single score", result["auc"]["all"]["over the best"][0], 0, ""
        )
    ]


def _told(result: Mapping[str, Any], targets: Sequence[Target]) -> str:
    names = list(result["auc"]["all"])
    cells = [
        f"| {name} | " + " | ".join(f"{a:.3f} ({b:.3f} to {c:.3f})" for a, b, c in (areas[n] for n in names)) + " |"
        for name, areas in result["auc"].items()
    ]
    parts = [
        f"| set | {' | '.join(names)} |",
        f"| --- |{' ---: |' * len(names)}",
        *cells,
        f"\nBrier, and of the base rate: {result['brier']}",
        "\n| said | questions | mean said | true |\n| ---: | ---: | ---: | ---: |",
        *(f"| from {low} | {number} | {said} | {true} |" for low, number, said, true in result["reliability"]),
        "",
        *(f"refusing: {row}" for row in result["refusals"]),
        f"underspecified: {result['underspecified']}",
        f"passages: {result['passages']}",
        "\n| chosen | right documents | tokens |\n| --- | ---: | ---: |",
        *(f"| {way} | {kept} | {tokens} |" for way, (kept, tokens) in result["packing"].items()),
        "",
        table(targets),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
