"""What weights of the reranker are worth on corpora that they were not learned on; and weights learned on all."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from msgspec.structs import asdict, replace
from rich.progress import Progress

from benchmarks.retrieval_data import SETS, passage_set, questions_of
from benchmarks.retrieval_runs import RECIPES, ingest_all, shop, tenant_of
from benchmarks.retrieval_scores import judged
from encoder.session import Session
from rag.retrieval.reranking import score
from rag.retrieval.training import Found, learned
from rag.retrieval.tuned import tuned


async def train(options: argparse.Namespace, folder: Path, progress: Progress) -> tuple[dict[str, Any], str]:
    """nDCG@10 of each set with weights learned on the others, and the weights learned on all, which go
    into `options.out` together with the other numbers that ship. Needs scipy."""
    questions = questions_of(options.data, options.queries)
    sets = [passage_set(options.data, questions, name) for name in SETS]
    found: dict[str, list[tuple[Found, list[int]]]] = {}
    async with shop(Session(options.encoder), options.state or folder / "state") as store:
        await ingest_all(store, sets, {}, folder, progress)
        for each in sets:
            task = progress.add_task(f"search {each.name}", total=len(each.asked))
            found[each.name] = []
            for asked in each.asked:
                ranking = await store.search(tenant_of(each.name), asked.turns, RECIPES["fused"])
                owners = [int(passage.filename.partition(".")[0]) for passage in ranking.passages]
                right = tuple(owner in asked.right for owner in owners)
                found[each.name].append((Found(ranking.fits, right), owners))
                progress.advance(task)
    told: dict[str, Any] = {"benchmark": "retrieval_train", "ndcg10": {}}
    for each in sets:
        weights = learned([one for name, many in found.items() if name != each.name for one, _ in many])
        rankings = []
        for one, owners in found[each.name]:
            order = sorted(zip(one.fits, owners, strict=True), key=lambda pair: -score(pair[0], weights))
            rankings.append(list(dict.fromkeys(owner for _, owner in order)))
        told["ndcg10"][each.name] = {
            "ndcg10": float(judged(each.asked, rankings)["ndcg@10"].mean()),
            "weights": asdict(weights),
        }
    fit = learned([one for many in found.values() for one, _ in many])
    told["weights"] = asdict(fit)
    if options.out:
        replace(tuned(), fit=fit).write(options.out)
    return told, json.dumps(told, indent=2)
