"""US dollars as `Decimal`, exact to a millionth of a millionth of a dollar.

Providers quote prices per million tokens with at most six decimals, so the price of one token is a whole
number of `QUANTUM`: token-priced requests are never rounded, and any cut of them adds up to the same total.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal

QUANTUM = Decimal("1e-12")
ZERO = Decimal(0)
_EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def usd(amount: Decimal) -> Decimal:
    """`amount` in dollars, rounded half-even to `QUANTUM`. Raises ValueError unless finite."""
    if not amount.is_finite():
        raise ValueError(f"not an amount of money: {amount}")
    return amount.quantize(QUANTUM, context=_EXACT)


def plain(amount: Decimal) -> str:
    """`amount` without exponent or trailing zeros: what headers and exports print ("0.00015", "0")."""
    text = format(amount, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text
