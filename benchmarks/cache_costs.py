"""What the cache's parts cost on one core: exact hits, encoding, verifying, a whole semantic miss, memory."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cache_data import Lookup
from benchmarks.cache_replay import RULES, Bench, Remembered
from cache.exact import ENTRY_OVERHEAD
from cache.index.scopes import VectorIndexes
from cache.questions import Questions
from cache.semantic import Verifies
from contracts.ports import CacheScope, SemanticRules
from contracts.request import ModelRequest
from encoder.card import BUILT, read_card
from encoder.client import EncoderClient
from encoder.process import encoder_process
from encoder.session import Session

_NEVER = SemanticRules(max_wrong_hits=1e-9)
_SCOPE = CacheScope("bench", "auto", "fixed", "", "", ("model",))
_WORDS = "please tell me all about the long way of one parcel from our shop to my new house and back again "


def exact_hits(bench: Bench, queries: Sequence[str]) -> dict[str, float]:
    """Admission, key and find of requests that are there, in microseconds."""
    times = []
    for query in queries:
        request = ModelRequest(
            "chat/completions", {"model": "auto", "messages": [{"role": "user", "content": query}]}
        )
        began = time.perf_counter()
        bench.exact.terms(request, {}, RULES)
        bench.exact.find(bench.exact.key(_SCOPE, request.endpoint, request.raw))
        times.append((time.perf_counter() - began) * 1e6)
    return _quantiles(times, "us")


def encoding(session: Session) -> dict[str, Any]:
    """Of a question of 9 tokens and one of 256, in milliseconds."""
    long = _WORDS * 30
    return {
        "short": _quantiles(_times(lambda: session.encode(["how do i reset my password"]), 300), "ms"),
        "long": _quantiles(_times(lambda: session.encode([long]), 30), "ms"),
    }


def verifying(verifier: Verifies, texts: Sequence[str]) -> dict[str, float]:
    """A question and its three candidates, their profiles made each time, in milliseconds."""
    draws = np.random.default_rng(1).integers(0, len(texts), (1_000, 4)).tolist()
    times = []
    for query, *stored in draws:
        began = time.perf_counter()
        verifier.judge(
            verifier.profile(texts[query]), [verifier.profile(texts[one]) for one in stored], [0.9, 0.8, 0.7]
        )
        times.append((time.perf_counter() - began) * 1e3)
    return _quantiles(times, "ms")


async def misses(verifier: Verifies, vectors: dict[str, Any], stream: Sequence[Lookup]) -> dict[str, Any]:
    """A whole lookup that finds no answer, with the encoder in its process, among the questions of `stream`."""
    card = read_card(BUILT)
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "encoder.sock"
        process = encoder_process(BUILT, socket)
        client = EncoderClient(card, socket, deadline_s=5, recent_bytes=1)
        process.start()
        client.start()
        bench = Bench(
            Remembered(vectors, card.version, card.dimensions),
            verifier,
            lambda slots: Questions(VectorIndexes(card.dimensions), slots),
            _NEVER,
        )
        await bench.run(stream)
        bench.cache.encoder = client
        while not client.up:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        short = [await _miss(bench, f"{lookup.query} {place}") for place, lookup in enumerate(stream[:400])]
        long = [await _miss(bench, f"{place} {_WORDS * 18}"[:2_000]) for place in range(30)]
        await client.close()
        await process.stop()
    return {"short": _quantiles(short, "ms"), "long": _quantiles(long, "ms"), "memory": memory(bench)}


def memory(bench: Bench) -> dict[str, float]:
    """Bytes per entry, the answer left out."""
    entries = len(bench.exact)
    questions = bench.cache.questions
    keys = sum(((len(key) + 33 + 15) // 16) * 16 for key, _ in bench.exact.entries())
    vectors = questions.vector_bytes
    return {
        "entries": entries,
        "vector_and_index": vectors / max(1, entries),
        "all": (questions.bytes + keys + entries * ENTRY_OVERHEAD) / max(1, entries),
    }


async def _miss(bench: Bench, text: str) -> float:
    request = ModelRequest("chat/completions", {"model": "auto", "messages": [{"role": "user", "content": text}]})
    began = time.perf_counter()
    terms = bench.exact.terms(request, {}, RULES)
    bench.exact.find(bench.exact.key(_SCOPE, request.endpoint, request.raw))
    await bench.cache.recall(_SCOPE, request.endpoint, request.raw, _NEVER, terms)
    return (time.perf_counter() - began) * 1e3


def _times(do: Callable[[], object], times: int) -> list[float]:
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        measured.append((time.perf_counter() - began) * 1e3)
    return measured


def _quantiles(times: Sequence[float], unit: str) -> dict[str, float]:
    return {f"p{share}_{unit}": round(float(np.percentile(times, share)), 3) for share in (50, 99)}
