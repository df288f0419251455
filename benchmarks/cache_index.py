"""What a lookup among many stored questions costs: latency, recall, memory, changes; flat fp32 in the same run.

    .venv/bin/python benchmarks/cache_index.py --entries 10000,100000
    .venv/bin/python benchmarks/cache_index.py --entries 1000000 --vectors questions.npy --json

Without `--vectors` they are made: topics, questions within them, ways to ask each. With it, what the file lacks (n,
dimensions; float32) is mixed from neighbours in it, so that they stay as close to each other as real ones are. A
query is a stored vector turned aside to a cosine between 0.9 and 0.97. It counts as found when an entry as near as
the truly nearest one is among the three returned. Encoding is not part of it.

The time on the processor is told too: on a machine that does other things meanwhile, the tail of the time on the
clock is that of its scheduler. A million entries take 3 minutes and 4 GB.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.targets import Target, at_least, below, tell
from cache.index.scopes import Found, VectorIndex

Floats = NDArray[np.float32]

DIMENSIONS = 384
QUERIES = 2000
FLOOR = 0.7
K = 3
_NEAREST, _FARTHEST = 0.97, 0.9
_AT_ONCE = 20_000
_FLAT_QUERIES = 20
_CHANGES = 2000
_GROWING = 20_000
_JUDGED_FROM = 1_000_000
_NOTES = Console(stderr=True, soft_wrap=True)


def measure(entries: int, seed: int = 1, vectors: Path | None = None) -> dict[str, Any]:
    """One result. Times in milliseconds; `flat_ratio` is how many times faster than flat fp32 a lookup is."""
    draw = np.random.default_rng(seed)
    _NOTES.print(f"{entries:,} entries: making vectors and queries")
    stored = made(entries, draw) if vectors is None else mixed(np.load(vectors), entries, draw)
    queries = turned(stored[draw.integers(0, entries, QUERIES)], draw)
    best = _best(stored, queries)
    _NOTES.print(f"{entries:,} entries: adding")
    index = VectorIndex(stored.shape[1])
    began = time.perf_counter()
    index.add_many(range(entries), stored)
    index.settled()
    loaded_s = time.perf_counter() - began
    growing = VectorIndex(stored.shape[1])
    adds = _timed(range(min(entries, _GROWING)), lambda entry: growing.add(entry, stored[entry]))
    growing.close()
    _NOTES.print(f"{entries:,} entries: searching")
    found: list[Found] = []
    lookups = _timed(queries, lambda query: found.append(index.search(query, K, FLOOR)))
    hits = [
        bool(some) and max(float(stored[entry] @ query) for entry, _ in some) >= nearest - 1e-6
        for some, query, nearest in zip(found, queries, best, strict=True)
    ]
    flat = _timed(queries[:_FLAT_QUERIES], lambda query: int(np.argmax(stored @ query)))
    size = index.bytes
    changed = draw.permutation(entries)[:_CHANGES].tolist()
    used = _timed(queries, lambda query: index.search(query, K, FLOOR), time.thread_time)
    removes = _timed(changed, index.remove)
    again = _timed(changed, lambda entry: index.add(entry, stored[entry]))
    index.close()
    p50 = _quantile(lookups, 50)
    return {
        "benchmark": "cache_index",
        "entries": entries,
        "source": "made" if vectors is None else vectors.name,
        "large": index.is_large,
        "lookup_p50_ms": p50,
        "lookup_p99_ms": _quantile(lookups, 99),
        "lookup_p50_cpu_ms": _quantile(used, 50),
        "lookup_p99_cpu_ms": _quantile(used, 99),
        "recall": round(sum(hits) / len(hits), 4),
        "bytes_per_entry": round(size / entries, 1),
        "add_p50_ms": _quantile(again, 50),
        "add_p99_ms": _quantile(again, 99),
        "add_while_growing_p99_ms": _quantile(adds, 99),
        "add_while_growing_max_ms": _quantile(adds, 100),
        "remove_p50_ms": _quantile(removes, 50),
        "remove_p99_ms": _quantile(removes, 99),
        "loaded_s": round(loaded_s, 1),
        "flat_fp32_p50_ms": _quantile(flat, 50),
        "flat_ratio": round(_quantile(flat, 50) / p50, 1),
    }


def made(count: int, draw: np.random.Generator) -> Floats:
    """(count, 384) unit vectors: a tree of topics, questions and ways to ask, with directions of falling weight."""
    weights = (np.arange(1, DIMENSIONS + 1) ** -0.35).astype(np.float32)
    topics = draw.standard_normal((max(20, count // 2000), DIMENSIONS), dtype=np.float32)
    questions = 0.8 * draw.standard_normal((max(50, count // 40), DIMENSIONS), dtype=np.float32)
    questions += topics[draw.integers(0, len(topics), len(questions))]
    stored = np.empty((count, DIMENSIONS), np.float32)
    for begin in range(0, count, _AT_ONCE):
        part = stored[begin : begin + _AT_ONCE]
        part[:] = 0.7 * draw.standard_normal(part.shape, dtype=np.float32)
        part += questions[draw.integers(0, len(questions), len(part))]
        part *= weights
        _normalise(part)
    return stored


def mixed(real: Floats, count: int, draw: np.random.Generator) -> Floats:
    """(count, dimensions): real ones as far as they go, then mixes of two neighbours with some noise."""
    real = real.astype(np.float32, copy=False)
    _normalise(real)
    if count <= len(real):
        return real[draw.permutation(len(real))[:count]]
    stored = np.empty((count, real.shape[1]), np.float32)
    stored[: len(real)] = real
    finder = VectorIndex(real.shape[1])
    finder.add_many(range(len(real)), real)
    finder.settled()
    beside = np.array([[entry for entry, _ in finder.search(vector, 6)][-1] for vector in real])
    finder.close()
    for begin in range(len(real), count, _AT_ONCE):
        part = stored[begin : begin + _AT_ONCE]
        first = draw.integers(0, len(real), len(part))
        share = draw.uniform(0.25, 0.75, (len(part), 1)).astype(np.float32)
        noise = draw.standard_normal(part.shape, dtype=np.float32)
        _normalise(noise)
        part[:] = share * real[first] + (1 - share) * real[beside[first]] + 0.15 * noise
        _normalise(part)
    return stored[draw.permutation(count)]


def turned(vectors: Floats, draw: np.random.Generator) -> Floats:
    """Unit vectors that have a cosine of 0.9 to 0.97 with `vectors`, in any direction."""
    aside = draw.standard_normal(vectors.shape, dtype=np.float32)
    aside -= (aside * vectors).sum(axis=1, keepdims=True) * vectors
    _normalise(aside)
    cosines = draw.uniform(_FARTHEST, _NEAREST, (len(vectors), 1)).astype(np.float32)
    near: Floats = cosines * vectors + np.sqrt(np.float32(1) - cosines * cosines) * aside
    return near


def _normalise(vectors: Floats) -> None:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True).astype(np.float32)


def _best(stored: Floats, queries: Floats) -> Floats:
    """(queries,): the similarity of each one's nearest."""
    best = np.full(len(queries), -1, np.float32)
    for begin in range(0, len(stored), _AT_ONCE):
        np.maximum(best, (queries @ stored[begin : begin + _AT_ONCE].T).max(axis=1), out=best)
    return best


def _timed(
    items: Iterable[Any], call: Callable[[Any], object], clock: Callable[[], float] = time.perf_counter
) -> NDArray[np.float64]:
    """Seconds of each call."""
    times = []
    for item in items:
        began = clock()
        call(item)
        times.append(clock() - began)
    return np.array(times)


def _quantile(times: NDArray[np.float64], percent: float) -> float:
    return round(float(np.percentile(times, percent)) * 1000, 4)


def targets(results: list[dict[str, Any]]) -> list[Target]:
    """Those of the largest index; latency is judged from a million entries on."""
    last = max(results, key=lambda result: int(result["entries"]))
    name = f"at {last['entries']:,} entries"
    big = last["entries"] >= _JUDGED_FROM
    return [
        below(f"lookup P50 {name}", last["lookup_p50_ms"] if big else None, 0.3, "ms"),
        below(f"lookup P99 {name}", last["lookup_p99_ms"] if big else None, 0.5, "ms"),
        at_least(f"recall of neighbours from 0.9 on, {name}", last["recall"], 0.99, ""),
        below(f"vector and index {name}", last["bytes_per_entry"] if big else None, 550, "bytes per entry"),
    ]


def markdown(results: list[dict[str, Any]]) -> str:
    """A row for each size."""
    columns = {
        "entries": "entries",
        "lookup P50": "lookup_p50_ms",
        "P99": "lookup_p99_ms",
        "P99 on the processor": "lookup_p99_cpu_ms",
        "recall": "recall",
        "bytes per entry": "bytes_per_entry",
        "add P50": "add_p50_ms",
        "remove P50": "remove_p50_ms",
        "flat fp32": "flat_fp32_p50_ms",
        "ratio": "flat_ratio",
    }
    rows = ["| " + " | ".join(_cell(name, result[name]) for name in columns.values()) + " |" for result in results]
    return "\n".join(["| " + " | ".join(columns) + " |", "| " + " | ".join(["---:"] * len(columns)) + " |", *rows])


def _cell(name: str, value: float) -> str:
    return f"{value:,}" + (" ms" if name.endswith("_ms") else "x" if name == "flat_ratio" else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entries", default="1000,10000,100000", help="default: %(default)s")
    parser.add_argument("--vectors", type=Path, help="an .npy file of real ones; without it they are made")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--json", action="store_true", help="one JSON line per size, and one per target")
    args = parser.parse_args()
    results = [measure(int(count), args.seed, args.vectors) for count in args.entries.split(",")]
    tell(results, markdown(results), targets(results), as_json=args.json)


if __name__ == "__main__":
    main()
