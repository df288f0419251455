"""What retrieval finds: passages of four corpora, last turns of conversations, and characters of long documents.

    .venv/bin/python benchmarks/retrieval.py --data DIR
    .venv/bin/python benchmarks/retrieval.py --data DIR --queries HOLDOUT --json
    .venv/bin/python benchmarks/retrieval.py --data DIR --state STATE --train --out artefacts/rag-ranking.json

DIR is laid out as BEIR's sets are: see `benchmarks/retrieval_data.py`. With `--queries`, questions are those of
another folder, whose files end in `holdout` for `dev`. Everything goes the way of the server: files are ingested
into the embedded storage, a tenant for each corpus, and conversations are searched there. Beside it stands plain
BM25 over the last turn, which the targets are measured from.

Intervals are the bootstrap's at 95 %, over groups of questions. `ingest` is the share of the time that the encoder
was at work: 1 is as fast as one core encodes. `--train` learns the reranker's weights on all sets but one and tells
what they are worth on that one, then on all of them; it needs scipy. With `--out` these are written to a file,
beside the other numbers that ship. 4 minutes on two cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.retrieval_data import (
    CHUNKING,
    MULTI_TURN,
    SETS,
    PassageSet,
    Questions,
    documents,
    interrupted,
    passage_set,
    questions_of,
    span_questions,
)
from benchmarks.retrieval_runs import RECIPES, Ingested, Recipe, Shop, ingest_all, ranks, shop, tenant_of
from benchmarks.retrieval_scores import MEASURES, PlainWords, Row, interval, judged, span_scores
from benchmarks.retrieval_train import train
from benchmarks.targets import Target, at_least, lines, table
from contracts.retrieval import Turn
from encoder.card import BUILT
from encoder.session import Session

MOST_WORDS = 1000
"""Of what is returned for a question about spans: five windows of 200 words."""
_FLOOR = "plain words"
_TIMED = 200
Scores = dict[str, dict[str, Row]]
"""By set and measure, a value for each question."""


def main() -> None:
    """Told in the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="corpora, and questions that end in `dev`")
    parser.add_argument("--queries", type=Path, help="another folder of questions, which end in `holdout`")
    parser.add_argument("--state", type=Path, help="keep the storage here: the next run ingests only what is new")
    parser.add_argument("--encoder", type=Path, default=BUILT, help="a built encoder's folder")
    parser.add_argument("--train", action="store_true", help="learn the reranker's weights instead")
    parser.add_argument("--out", type=Path, help="with --train: write the weights here")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args()
    if options.out and not options.train:
        parser.error("--out goes with --train")
    with TemporaryDirectory() as folder, _progress() as progress:
        work = train if options.train else _measure
        result, text = asyncio.run(work(options, Path(folder), progress))
    print(json.dumps(result) if options.json else text)


def _progress() -> Progress:
    columns = TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True))


async def _measure(options: argparse.Namespace, folder: Path, progress: Progress) -> tuple[dict[str, Any], str]:
    questions = questions_of(options.data, options.queries)
    sets = [passage_set(options.data, questions, name) for name in SETS]
    async with shop(Session(options.encoder), options.state or folder / "state") as store:
        ingested = await ingest_all(store, sets, documents(options.data), folder, progress)
        scores = {name: await _scores(store, sets, recipe, name, progress) for name, recipe in RECIPES.items()}
        scores[_FLOOR] = _floor(sets)
        turns = await _turns(store, sets, scores["reranked"], progress)
        spans = await _spans(store, questions, progress)
        queries_ms = await _query_ms(store, sets)
    result = {
        "benchmark": "retrieval",
        "part": questions.part,
        "ndcg10": {each.name: round(float(scores["reranked"][each.name]["ndcg@10"].mean()), 4) for each in sets},
        "chunking": {name: round(values[0], 4) for name, values in spans.items()},
        "recipes": {name: _intervals(sets, rows) for name, rows in scores.items()},
        "mtragun": _gains(sets, scores),
        "turns": turns,
        "spans": spans,
        "ingest": _ingest_cost(ingested),
        "query_ms": queries_ms,
    }
    targets = _targets(result)
    return {**result, "targets": lines(targets)}, f"{_told(result)}\n\n{table(targets)}"


async def _scores(store: Shop, sets: Sequence[PassageSet], recipe: Recipe, name: str, progress: Progress) -> Scores:
    task = progress.add_task(f"search, {name}", total=sum(len(each.asked) for each in sets))
    found: Scores = {}
    for each in sets:
        rankings = await ranks(store, tenant_of(each.name), each.asked, recipe, lambda: progress.advance(task))
        found[each.name] = judged(each.asked, rankings)
    return found


def _floor(sets: Sequence[PassageSet]) -> Scores:
    found: Scores = {}
    for each in sets:
        index = PlainWords([f"{title} {text}" for title, text in each.passages])
        found[each.name] = judged(each.asked, [index.ranking(asked.turns[-1].text) for asked in each.asked])
    return found


async def _turns(
    store: Shop, sets: Sequence[PassageSet], ruled: Scores, progress: Progress
) -> dict[str, dict[str, Any]]:
    """nDCG@10 of last turns searched with what was said before: by the rule, always, never. Of conversations that
    go on, and of questions that have nothing to do with what was said before them."""
    told: dict[str, dict[str, Any]] = {}
    going = [each for each in sets if each.name in MULTI_TURN]
    apart = [PassageSet(each.name, each.passages, interrupted(each.asked)) for each in sets if each.name == SETS[0]]
    for history in ("rule", "always", "never"):
        recipe = Recipe(history=history)
        rows = ruled if history == "rule" else await _scores(store, going, recipe, f"history {history}", progress)
        strange = await _scores(store, apart, recipe, f"history {history}, another subject", progress)
        told[history] = {"goes on": _mean(going, rows), "another subject": _mean(apart, strange)}
    return told


async def _spans(store: Shop, questions: Questions, progress: Progress) -> dict[str, tuple[float, float, float]]:
    """Recall and precision of characters, of the best chunks with `MOST_WORDS` words together."""
    asked = span_questions(questions)
    task = progress.add_task("search, spans", total=len(asked))
    rows: list[tuple[float, float]] = []
    for each in asked:
        ranking = await store.search(CHUNKING, (Turn("user", each.text),), RECIPES["reranked"])
        left = MOST_WORDS
        here: list[tuple[int, int]] = []
        elsewhere = 0
        for passage in ranking.passages:
            left -= len(passage.text.split())
            if left < 0:
                break
            if passage.filename == f"{each.document}.md":
                here.append((passage.start, passage.end))
            else:
                elsewhere += passage.end - passage.start
        rows.append(span_scores(each.spans, here, elsewhere))
        progress.advance(task)
    groups = [each.group for each in asked]
    return {
        name: interval([np.array([row[place] for row in rows])], [groups])
        for place, name in enumerate(("recall", "precision"))
    }


async def _query_ms(store: Shop, sets: Sequence[PassageSet]) -> dict[str, float]:
    """Median milliseconds of the search of a conversation's last turn, without and of encoding."""
    searching: list[float] = []
    encoding: list[float] = []
    some = [(each.name, asked) for each in sets if each.name in MULTI_TURN for asked in each.asked][:_TIMED]
    for name, asked in some:
        began = time.perf_counter()
        await store.search(tenant_of(name), asked.turns, RECIPES["reranked"])
        searching.append(time.perf_counter() - began)
        encoding.append(store.seconds_to_encode(asked.turns[-1].text))
    return {"search": _ms(searching), "encode": _ms(encoding)}


def _intervals(sets: Sequence[PassageSet], rows: Scores) -> dict[str, dict[str, tuple[float, float, float]]]:
    return {
        each.name: {name: interval([rows[each.name][name]], [_groups(each)]) for name in MEASURES} for each in sets
    }


def _gains(sets: Sequence[PassageSet], scores: Mapping[str, Scores]) -> dict[str, tuple[float, float, float]]:
    """nDCG@10, the mean of the conversational corpora, and what is gained: all with intervals."""
    going = [each for each in sets if each.name in MULTI_TURN]
    groups = [_groups(each) for each in going]

    def gain(of: str, over: str) -> tuple[float, float, float]:
        rows = [scores[of][each.name]["ndcg@10"] - scores[over][each.name]["ndcg@10"] for each in going]
        return interval(rows, groups)

    return {
        "reranked": _mean(going, scores["reranked"]),
        "over plain words": gain("reranked", _FLOOR),
        "reranking over fusion": gain("reranked", "fused"),
        "fusion over words": gain("fused", "words"),
    }


def _mean(sets: Sequence[PassageSet], rows: Scores) -> tuple[float, float, float]:
    return interval([rows[each.name]["ndcg@10"] for each in sets], [_groups(each) for each in sets])


def _groups(each: PassageSet) -> list[str]:
    return [asked.group for asked in each.asked]


def _ingest_cost(ingested: Mapping[str, Ingested]) -> dict[str, float | None]:
    """Of the sets whose chunks were all encoded in this run."""
    ingested = {name: each for name, each in ingested.items() if each.encoded > 0.9 * each.chunks}
    if not ingested:
        return {"chunks": 0, "chunks_per_s": None, "ratio": None}
    seconds = sum(each.seconds for each in ingested.values())
    return {
        "chunks": sum(each.chunks for each in ingested.values()),
        "chunks_per_s": round(sum(each.chunks for each in ingested.values()) / seconds, 2),
        "ratio": round(sum(each.encoding_s for each in ingested.values()) / seconds, 3),
    }


def _ms(seconds: Sequence[float]) -> float:
    return round(float(np.median(seconds)) * 1000, 2)


def _targets(result: Mapping[str, Any]) -> list[Target]:
    return [
        at_least("MTRAG-UN, nDCG@10 over plain BM25", result["mtragun"]["over plain words"][0], 0.06, ""),
        at_least("ClapNQ, nDCG@10", result["ndcg10"]["clapnq"], 0.94, ""),
        at_least("spans, recall", result["chunking"]["recall"], 0.92, ""),
        at_least("spans, precision", result["chunking"]["precision"], 0.039, ""),
        at_least("ingest, against the encoder alone", result["ingest"]["ratio"], 1.0, ""),
    ]


def _told(result: Mapping[str, Any]) -> str:
    def cell(found: tuple[float, float, float]) -> str:
        return f"{found[0]:.3f} ({found[1]:.3f} to {found[2]:.3f})"

    rows = [f"| set | recipe | {' | '.join(MEASURES)} |", f"| --- | --- |{' ---: |' * len(MEASURES)}"]
    for name in SETS:
        for recipe, sets in result["recipes"].items():
            rows.append(f"| {name} | {recipe} | {' | '.join(map(cell, sets[name].values()))} |")
    turns = [
        f"| {history} | {cell(of['goes on'])} | {cell(of['another subject'])} |"
        for history, of in result["turns"].items()
    ]
    return "\n".join(
        [
            *rows,
            "\nMTRAG-UN, mean of three, nDCG@10:",
            *(f"  {what}: {cell(found)}" for what, found in result["mtragun"].items()),
            "\n| searched with history | conversation that goes on | another subject (ClapNQ) |",
            "| --- | ---: | ---: |",
            *turns,
            f"\nspans: {', '.join(f'{name} {cell(found)}' for name, found in result['spans'].items())}",
            f"ingest: {result['ingest']}",
            f"query, median ms: {result['query_ms']}",
        ]
    )


if __name__ == "__main__":
    main()
