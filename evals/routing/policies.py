"""Policies that are tried on recorded outcomes, each as the probability with which it asks each model.

A policy that draws by lot is told exactly, not by one drawing. The route of a configuration is in `routes.py`.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from evals.routing.recorded import Recorded, Table, Unreplayable


class Choices(Struct, frozen=True, kw_only=True):
    """What a policy chose. `probabilities` (queries, models) have rows that add up to 1.

    `gains` (queries,): by how much it expects the reference to be better than the cheapest model, where it says so.
    The more, the sooner it escalates, so they tell what it would do at any other price.
    """

    policy: str
    probabilities: Table
    gains: NDArray[np.float64] | None = None


class _Line(Struct):
    model: str
    query: str = ""
    query_id: str = ""
    gain: float | None = None


def always(recorded: Recorded, model: str) -> Choices:
    """One model for everything. Raises Unreplayable for an unknown one."""
    chosen = np.full(len(recorded.names), recorded.column(model))
    return Choices(policy=f"always {model}", probabilities=_certain(recorded, chosen))


def at_random(recorded: Recorded, share: float, *, reference: str) -> Choices:
    """The reference for a `share` of the queries, whatever they ask, and the cheapest model for the others."""
    probabilities = np.zeros(recorded.scores.shape)
    probabilities[:, recorded.column(reference)] = share
    probabilities[:, recorded.column(recorded.cheapest_beside(reference))] = 1 - share
    return Choices(policy=f"by lot ({share * 100:.4g}% {reference})", probabilities=probabilities)


def oracle(recorded: Recorded) -> Choices:
    """Who knows the scores beforehand: the best answer to each query, and the cheapest of the best ones.

    Where costs are not known, a model that is worse on average is taken to be cheaper.
    """
    best = recorded.scores >= recorded.scores.max(axis=1, keepdims=True)
    known = not np.isnan(recorded.costs).any()
    costs = recorded.costs if known else np.broadcast_to(recorded.scores.mean(axis=0), recorded.scores.shape)
    return Choices(policy="oracle", probabilities=_certain(recorded, np.where(best, costs, np.inf).argmin(axis=1)))


def from_file(recorded: Recorded, path: Path) -> Choices:
    """JSON lines of {"query" or "query_id", "model", "gain"}; the last is optional. Raises Unreplayable."""
    places = {name: place for place, name in enumerate(recorded.names)}
    places |= {query: place for place, query in enumerate(recorded.queries) if query and query not in places}
    chosen = np.full(len(recorded.names), -1)
    gains = np.full(len(recorded.names), np.nan)
    for number, line in enumerate(_read(path), 1):
        if not line.strip():
            continue
        try:
            choice = msgspec.json.decode(line, type=_Line)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise Unreplayable(f"{path}, line {number}: {error}") from error
        place = places.get(choice.query_id or choice.query)
        if place is not None:
            chosen[place] = recorded.column(choice.model)
            gains[place] = np.nan if choice.gain is None else choice.gain
    if missing := int((chosen < 0).sum()):
        raise Unreplayable(f"{path} has no choice for {missing} of {len(chosen)} queries.")
    return Choices(
        policy=str(path),
        probabilities=_certain(recorded, chosen),
        gains=None if np.isnan(gains).any() else gains,
    )


def chosen_as(recorded: Recorded, policy: str, models: Sequence[str], gains: Sequence[float | None]) -> Choices:
    """Choices that were made elsewhere: a model, and what was expected, for each query in order."""
    known = [gain for gain in gains if gain is not None]
    return Choices(
        policy=policy,
        probabilities=_certain(recorded, np.array([recorded.column(model) for model in models])),
        gains=np.array(known) if known and len(known) == len(gains) else None,
    )


def _certain(recorded: Recorded, chosen: NDArray[np.int64]) -> Table:
    return np.eye(len(recorded.models))[chosen]


def _read(path: Path) -> Sequence[bytes]:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).split(b"\n")
    except (OSError, EOFError) as error:
        raise Unreplayable(f"{path} cannot be read: {error}") from error
