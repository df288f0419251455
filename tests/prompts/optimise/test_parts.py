from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.cases import Case
from evals.suite import read_suite
from prompts.optimise.parts import part
from prompts.optimise.ports import Parts

EXAMPLE = Path(__file__).parents[3] / "examples/support/suite"


def made(sizes: Sequence[tuple[int, int]]) -> list[Case]:
    """A cluster for each of `sizes`, which are its cases and the number of its segment."""
    return [
        Case(
            id=f"{number}-{one}",
            messages=({"role": "user", "content": f"{number} {one}"},),
            expected={},
            segment=f"segment {segment}",
            cluster=f"cluster {number}",
            metadata={},
        )
        for number, (size, segment) in enumerate(sizes)
        for one in range(size)
    ]


def halves(cases: Sequence[Case], seed: int = 0, test_share: float = 0.4) -> Parts:
    return part(cases, learn_share=lambda _: 0.5, test_share=test_share, seed=seed)


def part_of(parts: Parts) -> dict[str, str]:
    return {case.cluster: name for name, cases in parts._asdict().items() for case in cases}


clusters = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=3, max_size=60)
seeds = st.integers(0, 99)


@given(clusters, seeds, st.floats(0.05, 0.9), st.floats(0.05, 0.95))
def test_each_case_is_in_one_part_and_each_cluster_too(
    sizes: list[tuple[int, int]], seed: int, test_share: float, learn_share: float
) -> None:
    cases = made(sizes)
    parts = part(cases, learn_share=lambda _: learn_share, test_share=test_share, seed=seed)
    assert sorted(case.id for one in parts for case in one) == sorted(case.id for case in cases)
    assert sum(len({case.cluster for case in one}) for one in parts) == len(sizes)
    assert all(parts)


@given(clusters, seeds)
def test_shares_hold_as_far_as_clusters_allow(sizes: list[tuple[int, int]], seed: int) -> None:
    cases = made(sizes)
    told: list[int] = []

    def half(rest: int) -> float:
        told.append(rest)
        return 0.5

    parts = part(cases, learn_share=half, test_share=0.4, seed=seed)
    rest, largest = len(cases) - len(parts.test), max(size for size, _ in sizes)
    assert told == [rest]
    assert abs(len(parts.test) - 0.4 * len(cases)) <= largest
    assert abs(len(parts.train) - 0.5 * rest) <= largest


@given(clusters, seeds)
def test_the_same_cases_give_the_same_parts_in_any_order(sizes: list[tuple[int, int]], seed: int) -> None:
    cases = made(sizes)
    assert part_of(halves(cases, seed)) == part_of(halves(cases[::-1], seed))


@given(clusters.filter(lambda sizes: len(sizes) >= 10), seeds, st.tuples(st.integers(1, 9), st.integers(0, 6)))
def test_a_new_cluster_moves_only_those_where_parts_meet(
    sizes: list[tuple[int, int]], seed: int, new: tuple[int, int]
) -> None:
    before = part_of(halves(made(sizes), seed))
    after = part_of(halves(made([*sizes, new]), seed))
    moved = [cluster for cluster in before if before[cluster] != after[cluster]]
    assert len(moved) <= new[0] * 3 + 4, "three borders, each moved by no more than the new cases"


def test_new_clusters_move_few_of_many() -> None:
    sizes = [(4, number % 8) for number in range(200)]
    before = part_of(halves(made(sizes)))
    after = part_of(halves(made([*sizes, *[(4, number % 8) for number in range(10)]])))
    assert 0 < sum(before[cluster] != after[cluster] for cluster in before) < 25  # 124 where they are drawn anew


def test_each_part_has_its_share_of_a_segment_with_several_clusters() -> None:
    cases = made([(2, number % 4) for number in range(80)])
    for seed in range(20):
        shares = Counter(
            (name, case.segment) for name, one in halves(cases, seed)._asdict().items() for case in one
        )
        assert all(14 <= shares["test", f"segment {number}"] <= 18 for number in range(4))  # of 40
        assert all(10 <= shares["train", f"segment {number}"] <= 14 for number in range(4))


def test_another_seed_draws_other_parts() -> None:
    cases = made([(1, 0)] * 30)
    assert len({frozenset(case.id for case in halves(cases, seed).test) for seed in range(10)}) == 10


def test_the_example_keeps_its_shares() -> None:
    cases = read_suite(EXAMPLE).cases
    for seed in range(10):
        train, validation, test = map(len, halves(cases, seed))
        assert abs(test - 0.4 * 294) <= 4
        assert abs(train - validation) <= 8


def test_too_few_clusters_are_refused_with_what_is_needed() -> None:
    with pytest.raises(ValueError, match=r"3 clusters .* there are 2: .* Add cases of other kinds"):
        halves(made([(40, 0), (40, 1)]))
