"""The data that `benchmarks/intents.py` measures on: queries with their intents, of three sources.

A folder holds clinc150, banking77 and hwu64 as NAME.*.jsonl.gz, one query a line: id, text, intent, and `oos`, true
where the query has none of the intents. The order is that of a hash of the id, so that any first part is a sample.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from distill.intents import Example
from heads.intents import UNKNOWN

SOURCES = ("clinc150", "banking77", "hwu64")


def read(folder: Path) -> dict[str, list[Example]]:
    """By source. Raises OSError or KeyError where the folder holds something else."""
    return {name: sorted(_rows(folder, name), key=lambda example: _place(example.id)) for name in SOURCES}


def cut(examples: Sequence[Example], share: float = 0.8) -> tuple[list[Example], list[Example]]:
    """In two, by the hash of the text: texts that are there twice fall on the same side."""
    first = [example for example in examples if _place(example.text) < share * 2**64]
    second = [example for example in examples if _place(example.text) >= share * 2**64]
    return first, second


def few(examples: Sequence[Example], each: int) -> list[Example]:
    """The first `each` of each intent, and no unknown ones."""
    seen: Counter[str] = Counter()
    found = []
    for example in known(examples):
        seen[example.intent] += 1
        if seen[example.intent] <= each:
            found.append(example)
    return found


def known(examples: Sequence[Example]) -> list[Example]:
    """Without the unknown ones."""
    return [example for example in examples if example.intent != UNKNOWN]


def _rows(folder: Path, name: str) -> list[Example]:
    found = sorted(folder.glob(f"{name}.*jsonl.gz"))
    if len(found) != 1:
        raise FileNotFoundError(f"{folder} has {len(found)} files of {name}, where one is needed")
    with gzip.open(found[0], "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Example(row["text"], UNKNOWN if row["oos"] else row["intent"], row["id"]) for row in rows]


def _place(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="replace"), digest_size=8).digest(), "big")
