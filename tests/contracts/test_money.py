"""Money adds up, whatever the order and whatever the cut."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import QUANTUM, ZERO, plain, usd

PER_MILLION = Decimal(1_000_000)
prices = st.decimals(0, 10_000, places=6, allow_nan=False)
tokens = st.integers(0, 10**9)
costs = st.builds(lambda price, count: usd(price / PER_MILLION * count), prices, tokens)
amounts = st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False)


@given(prices, tokens)
def test_a_price_for_tokens_is_never_rounded(price: Decimal, count: int) -> None:
    with localcontext(prec=60):
        assert usd(price * count / PER_MILLION) == price * count / PER_MILLION


@given(st.lists(costs), st.randoms(use_true_random=False))
def test_sums_are_the_same_in_any_order(parts: list[Decimal], rng: object) -> None:
    shuffled = list(parts)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sum(shuffled, ZERO) == sum(parts, ZERO)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), costs)))
def test_every_cut_adds_up_to_the_same_total(rows: list[tuple[str, str, Decimal]]) -> None:
    total = sum((cost for *_, cost in rows), ZERO)
    for column in (0, 1):
        cut: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in rows:
            cut[row[column]] += row[2]
        assert sum(cut.values(), ZERO) == total
        assert sum((Decimal(plain(part)) for part in cut.values()), ZERO) == total


@given(amounts)
def test_rounding_is_to_the_nearest_quantum_and_only_once(amount: Decimal) -> None:
    rounded = usd(amount)
    assert abs(rounded - amount) <= QUANTUM / 2
    assert usd(rounded) == rounded
    assert rounded.as_tuple().exponent == -12


@pytest.mark.parametrize(
    ("amount", "rounded"), [("0.0000000000005", "0"), ("0.0000000000015", "2e-12"), ("-0.0000000000025", "-2e-12")]
)
def test_halves_go_to_the_even_side(amount: str, rounded: str) -> None:
    assert usd(Decimal(amount)) == Decimal(rounded)


@pytest.mark.parametrize("amount", ["NaN", "sNaN", "Infinity", "-Infinity"])
def test_what_is_no_amount_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        usd(Decimal(amount))


@given(amounts)
def test_printing_loses_nothing(amount: Decimal) -> None:
    text = plain(amount)
    assert Decimal(text) == amount
    assert "E" not in text
    assert text == plain(Decimal(text))


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0.000150", "0.00015"),
        ("1E+2", "100"),
        ("100", "100"),
        ("0E-12", "0"),
        ("-0.0", "0"),
        ("1E-12", "0.000000000001"),
    ],
)
def test_printing(amount: str, text: str) -> None:
    assert plain(Decimal(amount)) == text
