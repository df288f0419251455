"""Which number an answer comes to, and whether it is the right one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evals.scorers.numeric import number_in
from tests.evals.scorers.scoring import lacks, right, scored, scorer, unhurried


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("42", "42"),
        ("It is 42.", "42"),
        ("First 12, then 30, so 42", "42"),
        ("The answer is 42 (see page 7).", "42"),
        ("The answer is **42**, not 41.", "42"),
        ("The answer is 5 + 3 = 8.", "8"),
        ("answer: none yet. So 3", "3"),
        ("La respuesta es 42, no 41.", "42"),
        ("#### 1,000\nChecked in 2 ways", "1000"),
        (r"so \boxed{42} as in step 3", "42"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        (r"-\frac{1}{2}", "-0.5"),
        ("1,234.5", "1234.5"),
        ("12,345,678", "12345678"),
        ("12,34,567", "1234567"),
        ("1'000", "1000"),
        ("1\u202f000", "1000"),
        ("1,2,3", "3"),
        ("5 300 ml bottles", "300"),
        ("1 1/2", "1.5"),
        ("1½", "1.5"),
        ("3/4 cup", "0.75"),
        ("on 1/2/2024", "2024"),
        ("-5", "-5"),
        ("−5", "-5"),
        ("x=-3", "-3"),
        ("10-5", "5"),
        ("- 5", "5"),
        ("-$5.50", "-5.5"),
        ("$-5", "-5"),
        ("Rs.5", "5"),
        (".5", "0.5"),
        ("3.2e5", "320000"),
        ("3.2 × 10^5", "320000"),
        ("3.2×10⁻²", "0.032"),
        (r"3.2 \times 10^{5}", "320000"),
        ("1e400", "1e400"),
        ("٣٤", "34"),
        ("5kg", "5"),
        ("12 m²", "12"),
        ("H2O weighs 18", "18"),
    ],
)
def test_the_number_that_an_answer_comes_to(text: str, number: str) -> None:
    found = number_in(text)
    assert found is not None
    assert found.value == Decimal(number)


@pytest.mark.parametrize(
    ("text", "number"), [("1.234,5", "1234.5"), ("1 234,5 €", "1234.5"), ("3,14", "3.14"), ("2.000", "2000")]
)
def test_a_decimal_comma(text: str, number: str) -> None:
    assert right("numeric", {"number": number}, text, decimal=",")


@pytest.mark.parametrize("text", ["", "none", "1/0", "v1.2.3", "H2O", "1e123456"])
def test_an_answer_without_a_number(text: str) -> None:
    assert scored("numeric", {"number": 1}, text).why == "there is no number in the answer"


@pytest.mark.parametrize(
    ("expected", "text", "is_right"),
    [
        (0.5, "50%", True),
        (50, "50 percent", True),
        ("50%", "0.5", True),
        ("50%", "50", True),
        ("50%", "50 %", True),
        ("50%", "0.5%", False),
        ("0.5%", "50%", False),
        (5, "50%", False),
        (0.3, "0.30", True),
        ("1/3", "2/6", True),
        (1e22, "10000000000000000000000", True),
        (10**30, str(10**30 + 1), False),
        (12, "twelve", False),
    ],
)
def test_percentages_and_exactness(expected: Any, text: str, is_right: bool) -> None:
    assert right("numeric", {"number": expected}, text) is is_right


@pytest.mark.parametrize(
    ("settings", "text", "is_right"),
    [
        ({}, "100.1", False),
        ({"tolerance": 0.1}, "100.1", True),
        ({"tolerance": 0.1}, "99.89", False),
        ({"relative": 0.01}, "99", True),
        ({"relative": 0.01}, "98.9", False),
        ({"relative": 0.01, "tolerance": 2}, "98.9", True),
    ],
)
def test_tolerance(settings: dict[str, Any], text: str, is_right: bool) -> None:
    assert right("numeric", {"number": 100}, text, **settings) is is_right


def test_the_reason_says_both_as_they_were_written() -> None:
    assert scored("numeric", {"number": 1000}, "It is 1,001.").why == "comes to 1,001, not 1000"


def test_where_the_number_comes_from() -> None:
    assert lacks("numeric", {"answer": "1,000"}) == ""
    assert lacks("numeric", {"answer": "about 5"}) == lacks("numeric", {}) == "`expected.number`"
    for wrong in ("five", None, True, [1], "5 or 6", float("inf")):
        with pytest.raises(ValueError, match=r"^expected\.number: "):
            lacks("numeric", {"number": wrong})


@pytest.mark.parametrize("wrong", [{"tolerance": -1}, {"relative": "inf"}, {"decimal": ";"}])
def test_wrong_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        scorer("numeric", **wrong)


numbers = st.decimals(-(10**9), 10**9, places=3)


@unhurried
@given(numbers)
def test_a_number_is_its_own_answer(number: Decimal) -> None:
    assert right("numeric", {"number": str(number)}, f"{number:,}")
    assert right("numeric", {"number": float(number)}, f"So the answer is {number:f}.")


@unhurried
@given(numbers, numbers)
def test_a_wrong_number_never_scores(number: Decimal, other: Decimal) -> None:
    assume(number != other)
    assert not right("numeric", {"number": str(number)}, f"It is {other:,}.")
