"""A suite's cases in three parts: to learn from, to choose by, and to test on what no optimiser has seen.

The non-obvious decision: each cluster has a place between 0 and 1, and a part is a stretch of it. Within a segment,
clusters come in the order of a hash and are spread evenly; where a segment begins is drawn by a hash too. So any
stretch has its share of every segment that has several clusters, and clusters that are added later move those few
that lie where two parts meet, and no others.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from evals.cases import Case
from prompts.optimise.ports import Parts

_LEAST = 3
"""Clusters, one for each part. How many the test needs to tell anything is its interval's business."""


def part(cases: Sequence[Case], *, learn_share: Callable[[int], float], test_share: float, seed: int) -> Parts:
    """Whole clusters in each part, and in each part the order of `cases`.

    `test_share` is of the cases; `learn_share` is given the number of the others, and gives the share of them that
    an optimiser learns from. Shares hold to within half a cluster. Raises ValueError, with advice, where there are
    fewer clusters than parts.
    """
    sizes = Counter(case.cluster for case in cases)
    if len(sizes) < _LEAST:
        raise ValueError(
            f"{_LEAST} clusters of cases are needed, to learn from, to choose by and to test on, and there are "
            f"{len(sizes)}: cases of one cluster resemble each other, so a cluster cannot be divided. Add cases of "
            "other kinds, or give the cases of the suite clusters of their own."
        )
    places = _places(cases, sizes, seed)
    order = sorted(places, key=lambda cluster: (places[cluster], cluster))
    tested = _cut(order, sizes, test_share, spare=_LEAST - 1)
    rest = order[tested:]
    learned = _cut(rest, sizes, learn_share(sum(sizes[cluster] for cluster in rest)), spare=1)
    of = dict.fromkeys(order[:tested], 2) | dict.fromkeys(rest[:learned], 0) | dict.fromkeys(rest[learned:], 1)
    train, validation, test = (tuple(case for case in cases if of[case.cluster] == number) for number in range(3))
    return Parts(train=train, validation=validation, test=test)


def _places(cases: Sequence[Case], sizes: Mapping[str, int], seed: int) -> Mapping[str, float]:
    """Where each cluster lies. A cluster of several segments is of the one that most of its cases are of."""
    segments: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for case in cases:
        segments[case.cluster][case.segment] += 1
    members: defaultdict[str, list[str]] = defaultdict(list)
    for cluster, found in segments.items():
        members[min(found, key=lambda segment: (-found[segment], segment))].append(cluster)
    places = {}
    for segment, clusters in members.items():
        clusters.sort(key=lambda cluster: _drawn(seed, "cluster", cluster))
        total, begun, before = sum(sizes[cluster] for cluster in clusters), _drawn(seed, "segment", segment), 0
        for cluster in clusters:
            places[cluster] = (begun + before / total) % 1
            before += sizes[cluster]
    return places


def _cut(order: Sequence[str], sizes: Mapping[str, int], share: float, *, spare: int) -> int:
    """How many of the first clusters come nearest to `share` of the cases; one at least, and `spare` are left."""
    wanted = share * sum(sizes[cluster] for cluster in order)
    best, had = 1, 0
    nearest = float("inf")
    for many, cluster in enumerate(order[: len(order) - spare], 1):
        had += sizes[cluster]
        if abs(had - wanted) < nearest:
            best, nearest = many, abs(had - wanted)
    return best


def _drawn(seed: int, what: str, name: str) -> float:
    """From 0 to 1, the same for the same name."""
    digest = hashlib.blake2b(f"{seed}/{what}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
