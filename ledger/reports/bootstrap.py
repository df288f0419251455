"""How much dearer one arm's requests are than the other's, with an interval, in plain Python and bounded memory.

Requests of one conversation cost alike, so whole conversations are drawn again, not requests: the pairs cluster
bootstrap of Cameron, Gelbach and Miller, "Bootstrap-Based Improvements for Inference with Clustered Errors" (Review
of Economics and Statistics 90, 2008). Lots are drawn for conversations too, and that is the level to cluster at
(Abadie, Athey, Imbens and Wooldridge, Quarterly Journal of Economics 138, 2023).

The non-obvious decision is the kind of interval: the percentile one (Efron and Tibshirani, "An Introduction to the
Bootstrap", 1993, chapter 13), widened for few clusters as Hesterberg does ("What Teachers Should Know About the
Bootstrap", American Statistician 69, 2015, section 4.1). In `benchmarks/roi_coverage.py` it contains a planted
truth more often than BCa, and where it misses, the truth is nearly always above it: its lower end, the conservative
figure, is too high in fewer than one of forty cases. All are a little short of 95 % where costs are uneven.
Draws are floats: an interval is an estimate. Sums of money are kept exactly, by the callers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from statistics import NormalDist

LEAST_CLUSTERS = 30
MOST_GROUPS = 1000
DRAWS = 2000
_NORMAL = NormalDist()

Group = list[float]
"""Dear requests, their dollars, usual requests, their dollars."""


class Clusters:
    """Both arms' requests and dollars by conversation.

    More than `most` conversations are put together at random, by a hash of their names. A group of whole
    conversations is as independent of the others as a conversation is, so the interval stays right; it only loses
    a little of what could be known of its own width.
    """

    def __init__(self, most: int = MOST_GROUPS) -> None:
        self._most = most
        self._groups: dict[str, Group] = {}
        self.grouped = False

    def add(self, cluster: str, *, dear: bool, requests: int, dollars: float) -> None:
        name = _group_of(cluster, self._most) if self.grouped else cluster
        group = self._groups.setdefault(name, [0.0, 0.0, 0.0, 0.0])
        group[0 if dear else 2] += requests
        group[1 if dear else 3] += dollars
        if len(self._groups) > self._most:
            self._put_together()

    def _put_together(self) -> None:
        alone, self._groups, self.grouped = self._groups, {}, True
        for cluster, sums in alone.items():
            group = self._groups.setdefault(_group_of(cluster, self._most), [0.0, 0.0, 0.0, 0.0])
            for index, value in enumerate(sums):
                group[index] += value

    @property
    def groups(self) -> Sequence[Group]:
        """In an order of their own, not in that in which they were read."""
        return [self._groups[name] for name in sorted(self._groups)]

    @property
    def effective(self) -> float:
        """How many equal clusters the smaller arm's are worth: (sum of n)^2 / sum of n^2.

        L. Kish, "Survey Sampling", 1965; of clusters: Carter, Schnepel and Steigerwald, Review of Economics and
        Statistics 99, 2017. A few conversations that hold most requests are worth a few.
        """
        return min(_effective(group[index] for group in self._groups.values()) for index in (0, 2))


@dataclass(frozen=True, slots=True)
class Difference:
    """Dollars that a dear request costs more than a usual one. `draws` are widened already, and not sorted."""

    middle: float
    draws: Sequence[float]


def difference(clusters: Clusters, confidence: float, seed: str, draws: int = DRAWS) -> Difference | None:
    """The difference between the arms' mean costs of a request; None where there are too few clusters to tell.

    The same clusters and `seed` give the same figures, on any machine. `confidence` is that of the interval which
    will be read from the draws: by how much they are widened depends on it.
    """
    effective = clusters.effective
    if effective < LEAST_CLUSTERS:
        return None
    groups = clusters.groups
    columns = list(zip(*groups, strict=True))
    middle = _dearer(*map(math.fsum, columns))
    wider = widening(effective, confidence)
    lots = random.Random(seed)  # noqa: S311 - a resampling, not a secret
    found: list[float] = []
    while len(found) < draws:
        drawn = lots.choices(range(len(groups)), k=len(groups))
        dear, dear_cost, usual, usual_cost = (sum(map(column.__getitem__, drawn)) for column in columns)
        if dear and usual:
            found.append(middle + wider * (_dearer(dear, dear_cost, usual, usual_cost) - middle))
    return Difference(middle, found)


def interval(draws: Iterable[float], confidence: float) -> tuple[float, float]:
    """Between the draws that leave out (1 - confidence) / 2 of them at each end."""
    ordered = sorted(draws)
    left_out = (1 - confidence) / 2
    return _quantile(ordered, left_out), _quantile(ordered, 1 - left_out)


def widening(clusters: float, confidence: float) -> float:
    """How many times as wide as the draws an interval of so many clusters has to be.

    The bootstrap divides by n where n - 1 is due, and has the normal's tails where Student's are due: Hesterberg's
    two corrections, here as one factor.
    """
    upper = _NORMAL.inv_cdf((1 + confidence) / 2)
    return math.sqrt(clusters / (clusters - 1)) * _student(upper, clusters - 1) / upper


def _dearer(dear: float, dear_cost: float, usual: float, usual_cost: float) -> float:
    return dear_cost / dear - usual_cost / usual


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear between neighbours: definition 7 of Hyndman and Fan, American Statistician 50, 1996."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _student(z: float, freedom: float) -> float:
    """The quantile of Student's t where the normal one is `z`: Abramowitz and Stegun, 26.7.5, to four terms."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def _effective(sizes: Iterable[float]) -> float:
    held = [size for size in sizes if size]
    return sum(held) ** 2 / sum(size * size for size in held) if held else 0.0


def _group_of(cluster: str, groups: int) -> str:
    digest = blake2b(cluster.encode("utf-8", "replace"), digest_size=8).digest()
    return f"{int.from_bytes(digest) % groups:06d}"
