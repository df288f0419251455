"""The bootstrap over conversations: its figures against known ones, bounded memory, and planted truths."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from ledger.reports.bootstrap import Clusters, _student, difference, interval


def clusters(sizes: list[tuple[bool, int, float]], most: int = 1000) -> Clusters:
    found = Clusters(most)
    for number, (dear, requests, dollars) in enumerate(sizes):
        found.add(f"c{number}", dear=dear, requests=requests, dollars=dollars)
    return found


def test_costs_that_do_not_vary_leave_no_doubt() -> None:
    found = difference(clusters([(index < 40, 2, 2.0 if index < 40 else 0.5) for index in range(400)]), 0.95, "s")
    assert found is not None
    assert found.middle == pytest.approx(0.75)
    assert interval(found.draws, 0.95) == pytest.approx((0.75, 0.75))


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    """One request a conversation and a usual way that costs nothing: then it is Student's, near enough."""
    lots = random.Random(3)
    costs = [lots.gauss(10, 2) for _ in range(100)]
    given = [(True, 1, cost) for cost in costs] + [(False, 1, 0.0)] * 900
    found = difference(clusters(given), 0.9, "s", draws=4000)
    assert found is not None
    mean = sum(costs) / 100
    error = (sum((cost - mean) ** 2 for cost in costs) / 99 / 100) ** 0.5
    half = float(t.ppf(0.95, 99)) * error
    assert found.middle == pytest.approx(mean)
    assert interval(found.draws, 0.9) == pytest.approx((mean - half, mean + half), abs=0.1 * half)


def test_it_widens_as_conversations_hold_more_of_the_requests() -> None:
    """The same requests: alone, and ten to a conversation in which all cost alike."""
    lots = random.Random(5)
    costs = [lots.expovariate(1) for _ in range(60)]
    alone = clusters([(dear, 1, cost) for dear in (True, False) for cost in costs for _ in range(10)], most=2000)
    together = clusters([(dear, 10, 10 * cost) for dear in (True, False) for cost in costs])
    widths = []
    for each in (alone, together):
        found = difference(each, 0.95, "s", draws=800)
        assert found is not None
        low, high = interval(found.draws, 0.95)
        widths.append(high - low)
    assert widths[1] > 2.5 * widths[0]


def test_too_few_conversations_tell_nothing() -> None:
    usual = [(False, 1, 0.1)] * 500
    assert difference(clusters([(True, 1, 1.0)] * 29 + usual), 0.95, "s") is None
    assert difference(clusters([(True, 1, 1.0)] * 30 + usual), 0.95, "s") is not None
    assert difference(clusters([(True, 1, 1.0)] * 500), 0.95, "s") is None, "nothing to compare with"
    assert difference(Clusters(), 0.95, "s") is None


def test_one_long_conversation_is_one_however_many_short_ones_there_are() -> None:
    held = clusters([(True, 1000, 1000.0)] + [(True, 1, 1.0)] * 100 + [(False, 1, 0.1)] * 500)
    assert held.effective == pytest.approx(1100**2 / (1000**2 + 100))
    assert difference(held, 0.95, "s") is None


def test_figures_are_the_same_whatever_the_order_and_differ_with_the_seed() -> None:
    lots = random.Random(7)
    given = [(f"c{index}", index % 5 == 0, lots.random()) for index in range(300)]
    draws = []
    for order, seed in ((given, "s"), (given[::-1], "s"), (given, "other")):
        held = Clusters()
        for name, dear, dollars in order:
            held.add(name, dear=dear, requests=1, dollars=dollars)
        found = difference(held, 0.95, seed, draws=50)
        assert found is not None
        draws.append(found.draws)
    assert draws[0] == draws[1] != draws[2]


@given(
    added=st.lists(
        st.tuples(st.integers(0, 60), st.booleans(), st.integers(1, 9), st.integers(0, 10**6)), max_size=120
    ),
    most=st.integers(1, 80),
)
def test_putting_conversations_together_loses_no_request_and_no_conversation_is_torn(
    added: list[tuple[int, bool, int, int]], most: int
) -> None:
    held, names = Clusters(most), set()
    for name, dear, requests, dollars in added:
        held.add(str(name), dear=dear, requests=requests, dollars=dollars)
        names.add(name)
    assert len(held.groups) <= most
    assert held.grouped == (len(names) > most)
    for place, (dear_arm, part) in enumerate([(True, 2), (True, 3), (False, 2), (False, 3)]):
        assert sum(group[place] for group in held.groups) == sum(a[part] for a in added if a[1] == dear_arm)
    again = Clusters(most)
    for name, dear, requests, dollars in sorted(added):
        again.add(str(name), dear=dear, requests=requests, dollars=dollars)
    assert again.groups == held.groups


@settings(deadline=None)
@given(freedom=st.floats(20, 1e6), upper=st.floats(0.75, 0.995))
def test_students_quantiles(freedom: float, upper: float) -> None:
    assert _student(float(t.ppf(upper, 1e12)), freedom) == pytest.approx(float(t.ppf(upper, freedom)), abs=2e-4)


def test_grouping_keeps_the_width() -> None:
    """4,000 conversations in 250 groups: the interval is as wide as before, give or take."""
    lots = random.Random(11)
    given = [
        (lots.random() < 0.2, size := lots.choice([1, 1, 2, 5]), size * lots.expovariate(1)) for _ in range(4000)
    ]
    widths = []
    for most in (5000, 250):
        found = difference(clusters(given, most), 0.95, "s", draws=600)
        assert found is not None
        low, high = interval(found.draws, 0.95)
        widths.append(high - low)
    assert widths[1] == pytest.approx(widths[0], rel=0.25)
