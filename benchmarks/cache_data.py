"""The data that `benchmarks/cache.py` measures on: labelled questions in order of arrival, pairs, conversations.

A folder holds streams.jsonl.gz (query, answer_class, source), pairs.jsonl.gz (a, b, duplicate, source, kind) and
conversations.jsonl.gz (query, context, answer_class). A hit is right where the answer class is the same.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec import Struct

_NOISY = ("qqp", "hwu64")
"""Sources whose labels call some right hits wrong."""
_ANSWERS = ("qqp", "hwu64", "snips", "covid-q", "disfl-qa", "arena-hard", "mt-bench")
_INTENTS = ("clinc150", "banking77")
_TRAPS = ("adv-banking", "adv-finance")
_BY_CLASS = ("qqp", "covid-q", "disfl-qa", "t2s-")


class Lookup(Struct, frozen=True):
    """One question of a stream. `group`: what must not be both learned from and judged."""

    query: str
    answer: str
    source: str
    group: str


class Pair(Struct, frozen=True):
    """`b` is asked where `a` is stored."""

    a: str
    b: str
    same: bool
    source: str
    kind: str


class Talk(Struct, frozen=True):
    """A question that only its history makes clear."""

    context: tuple[str, ...]
    query: str
    answer: str


class CacheData(Struct, frozen=True):
    stream: tuple[Lookup, ...]
    pairs: tuple[Pair, ...]
    talks: tuple[Talk, ...]

    def named(self, name: str) -> list[Lookup]:
        """The stream A, S or I, or that of one source."""
        return [lookup for lookup in self.stream if _belongs(name, lookup.source)]

    @property
    def sources(self) -> list[str]:
        return sorted({lookup.source for lookup in self.stream})

    @property
    def traps(self) -> list[Pair]:
        """Questions of one shop that are one word apart, and not the same."""
        return [pair for pair in self.pairs if pair.source in _TRAPS and not pair.same]

    @property
    def swaps(self) -> list[Pair]:
        """Questions that differ in a value."""
        return [pair for pair in self.pairs if pair.kind == "value-swap"]


def read(folder: Path) -> CacheData:
    """Raises OSError or KeyError where the folder holds something else."""
    stream = [
        Lookup(row["query"], row["answer_class"], row["source"], _group(row))
        for row in _rows(folder / "streams.jsonl.gz")
    ]
    pairs = [
        Pair(row["a"], row["b"], bool(row["duplicate"]), row["source"], row.get("kind", ""))
        for row in _rows(folder / "pairs.jsonl.gz")
    ]
    talks = [
        Talk(tuple(row["context"]), row["query"], row["answer_class"])
        for row in _rows(folder / "conversations.jsonl.gz")
    ]
    return CacheData(tuple(stream), tuple(pairs), tuple(talks))


def halves(data: CacheData, share: float = 0.7) -> tuple[CacheData, CacheData]:
    """One folder as two, to train on the first and measure on the second: no group is in both."""

    def first(group: str) -> bool:
        digest = blake2b(group.encode(errors="replace"), digest_size=4).digest()
        return int.from_bytes(digest, "big") < share * 2**32

    def part(wanted: bool) -> CacheData:
        return CacheData(
            tuple(lookup for lookup in data.stream if first(lookup.group) is wanted),
            tuple(pair for pair in data.pairs if first(f"{pair.source}|{pair.a}") is wanted),
            tuple(talk for talk in data.talks if first(talk.query) is wanted),
        )

    return part(True), part(False)


def shuffled(stream: Sequence[Lookup], seed: int) -> list[Lookup]:
    """Another order of arrival."""
    mixed = list(stream)
    random.Random(seed).shuffle(mixed)
    return mixed


def by_source(stream: Sequence[Lookup]) -> list[Lookup]:
    """One source after the other: what users ask changes all at once, again and again."""
    return sorted(stream, key=lambda lookup: blake2b(lookup.source.encode(), digest_size=4).digest())


def zipf(stream: Sequence[Lookup], lookups: int, seed: int, exponent: float = 1.1) -> list[Lookup]:
    """Traffic with repeats: answers drawn by Zipf's law, each time in one of the ways in which they were asked."""
    asked: dict[str, list[Lookup]] = {}
    for lookup in stream:
        asked.setdefault(lookup.answer, []).append(lookup)
    draw = random.Random(seed)
    answers = sorted(asked)
    draw.shuffle(answers)
    weights = [1 / rank**exponent for rank in range(1, len(answers) + 1)]
    return [draw.choice(asked[answer]) for answer in draw.choices(answers, weights, k=lookups)]


def _belongs(name: str, source: str) -> bool:
    answers = source in _ANSWERS or source.startswith("t2s-")
    if name == "A":
        return answers
    if name == "S":
        return answers and source not in _NOISY
    return source in _INTENTS if name == "I" else source == name


def _group(row: dict[str, Any]) -> str:
    source = row["source"]
    return f"{source}|{row['answer_class'] if source.startswith(_BY_CLASS) else row['query']}"


def _rows(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]
