"""The cache's benchmark reads its data, keeps what is learned and what is judged apart, and counts honestly."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cache_data import CacheData, Lookup, Pair, Talk, by_source, halves, read, shuffled, zipf
from benchmarks.cache_goals import goals, judged
from benchmarks.cache_replay import Bench
from benchmarks.systems import ROOT
from cache.evidence import Evidence
from cache.index.scopes import VectorIndexes
from cache.limits import SemanticLimits
from cache.matching.cosine import CosineVerifier
from cache.questions import Questions
from contracts.ports import SemanticRules
from tests.router.plain_encoder import WordEncoder

SAME = ("how do I pay by card", "by card how do I pay")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    streams = [
        {"query": f"{words} in shop {shop}", "answer_class": f"covid-q:{shop}", "source": source}
        for shop in range(40)
        for words, source in zip(SAME, ("covid-q", "covid-q"), strict=True)
    ] + [{"query": "play a song", "answer_class": "snips:play", "source": "snips"}]
    write(tmp_path / "streams.jsonl.gz", streams)
    write(
        tmp_path / "pairs.jsonl.gz",
        [
            {"a": "a one", "b": "a two", "duplicate": 0, "source": "adv-banking", "kind": "id"},
            {"a": "b one", "b": "b two", "duplicate": 0, "source": "t2s-atis", "kind": "value-swap"},
        ],
    )
    talks = [{"query": "and then?", "context": ["Hello", "Hi"], "answer_class": "x", "source": "canard"}]
    write(tmp_path / "conversations.jsonl.gz", talks)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_a_folder_is_read(folder: Path) -> None:
    data = read(folder)
    assert len(data.named("A")) == 81
    assert len(data.named("snips")) == 1
    assert data.named("I") == []
    assert data.traps == [Pair("a one", "a two", False, "adv-banking", "id")]
    assert data.swaps == [Pair("b one", "b two", False, "t2s-atis", "value-swap")]
    assert data.talks == (Talk(("Hello", "Hi"), "and then?", "x"),)


def test_what_is_learned_from_is_not_judged(folder: Path) -> None:
    data = read(folder)
    train, test = halves(data)
    assert len(train.stream) + len(test.stream) == len(data.stream)
    assert {lookup.answer for lookup in train.stream}.isdisjoint(lookup.answer for lookup in test.stream)
    assert 0.4 < len(train.stream) / len(data.stream) < 0.95


def test_other_orders_hold_the_same(folder: Path) -> None:
    stream = read(folder).named("A")
    assert shuffled(stream, 1) != stream
    for other in (shuffled(stream, 1), by_source(stream)):
        assert sorted(other, key=repr) == sorted(stream, key=repr)
    sources = [lookup.source for lookup in by_source(stream)]
    assert sources in (["snips", *["covid-q"] * 80], [*["covid-q"] * 80, "snips"])
    assert zipf(stream, 50, 1) == zipf(stream, 50, 1)
    assert len({lookup.query for lookup in zipf(stream, 50, 1)}) < 50


def bench(evidence: bytes = b"") -> Bench:
    encoder = WordEncoder()
    return Bench(
        encoder,
        CosineVerifier(),
        lambda slots: Questions(VectorIndexes(encoder.dimensions), slots),
        SemanticRules(max_wrong_hits=0.5, audit_share=1e-9),
        evidence=evidence,
        limits=SemanticLimits(floor=0.5),
    )


def trusting() -> bytes:
    scope = Evidence()
    for _ in range(1000):
        scope.look(0.999)
        scope.label(0.999, wrong=False)
    return scope.state()


async def test_hits_are_right_where_the_class_is_the_same() -> None:
    stream = [Lookup(SAME[0], "pay", "a", "g"), Lookup(SAME[1], "pay", "a", "g"), Lookup(SAME[1], "pay", "b", "g")]
    wrong = [Lookup(SAME[0], "pay", "a", "g"), Lookup(SAME[1], "other", "a", "g")]
    outcome = await bench(trusting()).run(stream)
    assert (outcome.lookups, outcome.hits, outcome.wrong, outcome.exact) == (3, 2, 0, 0)
    assert outcome.by_source == {"a": [2, 1, 0], "b": [1, 1, 0]}
    outcome = await bench(trusting()).run(wrong)
    assert (outcome.hits, outcome.wrong, outcome.wrong_of_hits) == (1, 1, 1.0)
    outcome = await bench().run([*stream, stream[0]])
    assert (outcome.hits, outcome.exact) == (0, 2)


async def test_pairs_are_asked_each_in_a_scope_alone_and_talks_with_their_history() -> None:
    pairs = [Pair(*SAME, True, "s", ""), Pair(SAME[0], "close my account", False, "s", "")]
    assert await bench(trusting()).pairs(pairs) == [True, False]
    talks = [Talk(("Hello",), SAME[0], "x"), Talk(("Bye",), SAME[1], "y"), Talk(("Hello",), SAME[1], "x")]
    outcome = await bench(trusting()).talk(talks)
    assert (outcome.hits, outcome.wrong) == (1, 0)


def test_a_bound_that_is_broken_is_named() -> None:
    def result(stream: str, wrong: float) -> dict[str, Any]:
        seen = {"stream": stream, "order": "arrival", "asked": 0.01, "hits": 0.2, "wrong": wrong, "lookups": 100}
        return {"benchmark": "cache", **seen}

    rest = [
        {"benchmark": "cache", "kind": "2 % of hits", "stream": "S", "hits": 0.1, "wrong_of_hits": 0.01},
        {"benchmark": "cache", "kind": "traps", "served": 0.0},
        {"benchmark": "cache", "kind": "value swaps", "served": 0.01},
        {"benchmark": "cache", "kind": "conversations", "stream": "conversations", "wrong": 0.0},
    ]
    figures = goals([result("A", 0.009), result("S", 0.011), result("I", 0.0), *rest])
    assert not figures["kept"]
    assert figures["broken"] == ["S arrival 0.01: 0.0110 of 100"]
    verdicts = {target.what: target.met for target in judged(figures)}
    assert verdicts["bound kept on every stream and in every order"] is False
    assert verdicts["hits on S, 1 % wrong allowed"] is True
    assert verdicts["value swaps served"] is False
    assert verdicts["encode a short question P50, ms"] is None


def test_its_name_hides_no_package_from_the_other_benchmarks() -> None:
    for script in ("cache.py", "cache_index.py"):
        run = subprocess.run(
            [sys.executable, ROOT / "benchmarks" / script, "--help"], capture_output=True, check=False
        )
        assert run.returncode == 0, run.stderr.decode()


def test_empty_data_is_no_data() -> None:
    assert CacheData((), (), ()).sources == []
