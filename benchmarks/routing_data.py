"""The data that `benchmarks/routing.py` measures on: outcomes of many models, pairs of a weak and a strong one.

A folder holds pairs.json and files `<dataset>.<part>.jsonl.gz`, a query a line: query_id, query, split_hash,
outcomes. Queries of one split_hash ask the same, so folds keep them together.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.outcomes import Outcome

FOLDS = 5
WEAK, STRONG = "weak", "strong"
"""How a pair's two models are called in outcomes, so that one router may learn from several pairs."""

Vectors = Mapping[str, NDArray[np.float32]]


class Query(Struct, frozen=True):
    """One query of a dataset, and each model's score; `order` is the SHA-1 of its id, `stem` what it asks."""

    text: str
    dataset: str
    order: str
    stem: str
    scores: Mapping[str, float]
    costs: Mapping[str, float]

    @property
    def fold(self) -> int:
        return int(self.stem, 16) // 10 % FOLDS


class Pair(Struct, frozen=True):
    """A weak and a strong model, and all queries that both answered."""

    name: str
    weak: str
    strong: str
    queries: Sequence[Query]

    def rows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The weak model's scores and the strong one's."""
        return (
            np.array([query.scores[self.weak] for query in self.queries]),
            np.array([query.scores[self.strong] for query in self.queries]),
        )

    def where(self, chosen: Iterable[bool]) -> Pair:
        """With some of the queries."""
        some = [query for query, wanted in zip(self.queries, chosen, strict=True) if wanted]
        return Pair(self.name, self.weak, self.strong, some)

    def first(self, most: int) -> Pair:
        """With the first `most` by the SHA-1 of their ids."""
        some = sorted(self.queries, key=lambda query: query.order)[:most]
        return Pair(self.name, self.weak, self.strong, some)


def read_pairs(folder: Path) -> list[Pair]:
    """The goal pairs. Raises OSError, KeyError or ValueError where the folder holds something else."""
    wanted = json.loads((folder / "pairs.json").read_text(encoding="utf-8"))["goal_pairs"]
    known: dict[str, list[Query]] = {}
    pairs = []
    for name, about in wanted.items():
        for dataset in about["datasets"]:
            if dataset not in known:
                known[dataset] = _queries(folder, dataset)
        both = {about["weak"], about["strong"]}
        queries = [
            query for dataset in about["datasets"] for query in known[dataset] if both <= query.scores.keys()
        ]
        pairs.append(Pair(name, about["weak"], about["strong"], queries))
    return pairs


def outcomes_of(pair: Pair, weight: float = 1.0) -> list[Outcome]:
    """Of all models: the two of the pair by their roles, the others by name, as helpers."""
    roles = {pair.weak: WEAK, pair.strong: STRONG}
    return [
        Outcome(
            query=query.text,
            model=roles.get(model, model),
            score=min(1.0, max(0.0, score)),
            weight=weight,
            source=f"{pair.name}/{query.dataset}",
        )
        for query in pair.queries
        for model, score in query.scores.items()
    ]


def texts_of(pairs: Sequence[Pair]) -> list[str]:
    """Each text once."""
    return sorted({query.text for pair in pairs for query in pair.queries})


def _queries(folder: Path, dataset: str) -> list[Query]:
    files = sorted(folder.glob(f"{dataset}.*jsonl.gz"))
    if not files:
        raise ValueError(f"{folder} holds no file of {dataset}")
    queries = []
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            queries += [_query(json.loads(line), dataset) for line in lines]
    return queries


def _query(row: Mapping[str, Any], dataset: str) -> Query:
    return Query(
        text=row["query"],
        dataset=dataset,
        order=sha1(row["query_id"].encode()).hexdigest(),
        stem=row["split_hash"],
        scores={model: float(result["score"]) for model, result in row["outcomes"].items()},
        costs={
            model: float(result["cost_usd"]) for model, result in row["outcomes"].items() if "cost_usd" in result
        },
    )
