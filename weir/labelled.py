"""Labelled questions as `weir cache train` and `evaluate` read them, and what is near what among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from msgspec import Struct

from cache.limits import SemanticLimits

if TYPE_CHECKING:
    from cache.matching.training import Labelled
    from encoder.session import Session

FLOOR = SemanticLimits().floor
"""Cosine below which nothing is near, where the configuration says nothing else."""


class Labels(Struct, frozen=True):
    """`stream`: questions in order of arrival and their answer classes.

    `pairs`: a question, one that is stored, and whether they have one answer. `files`: where all this is from.
    """

    stream: list[tuple[str, str]]
    pairs: list[tuple[str, str, bool]]
    files: list[dict[str, Any]]

    @property
    def texts(self) -> list[str]:
        """Each once."""
        asked = [query for query, _ in self.stream]
        return list(dict.fromkeys([*asked, *(text for pair in self.pairs for text in pair[:2])]))


class Near(Struct, frozen=True):
    """Labelled candidates, those of one lookup together. Repeats word by word do not count: they are exact hits."""

    pairs: list[Labelled]
    lookups: int


def read(paths: Sequence[Path]) -> Labels:
    """Raises click.ClickException, naming the line."""
    labels = Labels([], [], [])
    for path in paths:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise click.ClickException(f"{path} cannot be read: {error.strerror}.") from error
        for number, line in enumerate(data.splitlines(), start=1):
            if line.strip():
                _add(labels, line, f"{path}, line {number}")
        labels.files.append({"name": path.name, "blake2b": blake2b(data, digest_size=16).hexdigest()})
    return labels


def _add(labels: Labels, line: bytes, where: str) -> None:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise click.ClickException(f"{where}: not JSON ({error}).") from error
    match row:
        case {"query": str(query), "answer_class": str(answer)}:
            labels.stream.append((query, answer))
        case {"query": str(query), "stored": str(stored), "same": bool(same)}:
            labels.pairs.append((query, stored, same))
        case _:
            raise click.ClickException(
                f"{where}: neither {{query, answer_class}}, both text, nor {{query, stored, same}}, with `same` "
                "true or false."
            )


def near(labels: Labels, session: Session, step: Callable[[int], object], *, floor: float) -> Near:
    """What would be compared, where every question is stored. `step` is told of texts that are encoded."""
    import numpy as np

    from cache.matching.training import Labelled, mined

    texts = labels.texts
    table = np.empty((len(texts), session.card.dimensions), np.float32)
    for places, rows in session.parts(texts):
        table[places] = rows
        step(len(places))
    row = {text: place for place, text in enumerate(texts)}
    first: dict[str, str] = {}
    for query, answer in labels.stream:
        first.setdefault(query, answer)
    queries, answers = list(first), list(first.values())
    vectors = table[[row[query] for query in queries]] if queries else table[:0]
    pairs = mined(queries, answers, vectors, sources=["stream"] * len(queries), floor=floor)
    told = [
        Labelled(
            query=query,
            stored=stored,
            right=same,
            similarity=float(table[row[query]] @ table[row[stored]]),
            group=query,
            source="pairs",
        )
        for query, stored, same in labels.pairs
        if query != stored
    ]
    return Near([*pairs, *told], len(queries) + sum(1 for _ in groupby(told, key=lambda pair: pair.query)))
