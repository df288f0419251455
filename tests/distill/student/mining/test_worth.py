"""What intents are worth, and which of them a student should learn."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from distill.student.mining.plot import svg
from distill.student.mining.questions import first_questions
from distill.student.mining.traffic import Request
from distill.student.mining.worth import Intent, Purse, Rule, agreement_of, likeness_of, picked
from evals.targets.prices import stated_price

RULE = Rule(least_requests=5, least_distinct=3, least_agreement=0.8, least_likeness=0.1, most_intents=9, share=1.0)


def intent(name: str, **more: Any) -> Intent:
    told = {
        "requests": 10,
        "conversations": 9,
        "distinct": 4,
        "share": 0.1,
        "repetitiveness": 0.6,
        "agreement": 1.0,
    }
    money = {"spend_usd": Decimal(2), "saved_usd": Decimal(1), "likeness": 0.5, "langs": {"en": 10}}
    return Intent(**{"intent": name, **told, **money, **more})


def asked(text: str, answer: str, number: int = 0, **more: Any) -> Request:
    said = {"tenant": "acme", "conversation": f"c{number}", "turn": 1, "lang": "en"}
    messages = ({"role": "user", "content": text},)
    return Request(**{"id": f"{number}", "messages": messages, "answer": answer, **said, **more})


@pytest.mark.parametrize(
    ("figures", "why"),
    [
        ({"name": "unknown"}, "no intent"),
        ({"requests": 4}, "least_requests"),
        ({"distinct": 2}, "least_distinct"),
        ({"likeness": 0.05}, "least_likeness"),
        ({"agreement": None}, "learning.answers"),
        ({"agreement": 0.79}, "least_agreement"),
        ({"saved_usd": Decimal(0)}, "save nothing"),
    ],
)
def test_what_is_not_picked_says_why(figures: dict[str, Any], why: str) -> None:
    found = picked([intent(**{"name": "bad", **figures}), intent("good")], RULE)
    (bad,) = (one for one in found if one.intent != "good")
    assert [one.intent for one in found if one.picked] == ["good"]
    assert why in bad.why


def test_the_most_worth_come_first_until_there_are_enough() -> None:
    intents = [
        intent("rich but unsure", saved_usd=Decimal(10), agreement=0.8),
        intent("richest", saved_usd=Decimal(9)),
        intent("poor", saved_usd=Decimal(1)),
    ]
    found = picked(intents, RULE)
    assert [one.intent for one in found] == ["richest", "rich but unsure", "poor"]
    few = picked(intents, replace(RULE, most_intents=1))
    assert [one.picked for one in few] == [True, False, False]
    assert "most_intents" in few[1].why
    half = picked(intents, replace(RULE, share=0.5))
    assert [one.picked for one in half] == [True, True, False]
    assert "50% of the spend" in half[2].why


def test_without_prices_requests_count() -> None:
    none: dict[str, Any] = {"spend_usd": None, "saved_usd": None}
    found = picked([intent("few", requests=6, **none), intent("many", requests=9, **none)], RULE)
    assert [(one.intent, one.picked) for one in found] == [("many", True), ("few", True)]


def test_money_is_what_was_paid_or_what_the_price_says() -> None:
    paid = asked("How long?", "a" * 40, cost_usd=Decimal("0.5"))
    unpaid = asked("How long?", "a" * 40)
    free = Purse(None, None)
    assert (free.spend([paid]), free.spend([paid, unpaid]), free.saved([unpaid])) == (Decimal("0.5"), None, None)
    purse = Purse(stated_price("input=0,output=100000"), stated_price("input=0,output=50000"))
    assert purse.spend([paid, unpaid]) == Decimal("1.5")
    assert purse.saved([paid, unpaid]) == Decimal("0.5")
    assert purse.spend([asked("How long?", "")]) == Decimal(20)


def test_answers_agree_by_words_or_by_meaning_within_a_language() -> None:
    answered = {"It takes an hour.": [1, 0], "One hour.": [0.6, 0.8], "Una hora.": [0, 1], "7": [1, 0], "8": [1, 0]}
    vectors = {text: np.array(at, np.float32) for text, at in answered.items()}

    def agreed(*answers: tuple[str, str]) -> float | None:
        told = [asked(f"q{place}", text, place, lang=lang) for place, (text, lang) in enumerate(answers)]
        return agreement_of(first_questions(told), vectors)

    assert agreed(("It takes an hour.", "en"), ("It takes an hour.", "en")) == 1.0
    assert agreed(("It takes an hour.", "en"), ("One hour.", "en"), ("Una hora.", "es")) == pytest.approx(0.6)
    assert agreed(("7", "en"), ("8", "en")) == 0.0
    assert agreed(("7", "en"), ("Una hora.", "es")) is None
    assert agreed(("7", "en")) is None


def test_likeness_is_the_mean_cosine_of_two() -> None:
    assert likeness_of(np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)) == pytest.approx((0.6 + 0 + 0.8) / 3)
    assert likeness_of(np.array([[1, 0]], np.float32)) == 1.0


def test_the_plot_marks_what_was_picked_and_sums_the_rest() -> None:
    found = picked([intent(f"<{number}>", spend_usd=Decimal(99 - number)) for number in range(50)], RULE)
    drawn = svg(found)
    assert drawn.count('class="yes" x=') == 9
    assert drawn.count("<rect") == 1 + 40 + 1
    assert "10 more" in drawn
    assert "&lt;0&gt;" in drawn
    assert "prefers-color-scheme" in drawn
    assert "requests, by intent; 0 picked" in svg([intent("a", spend_usd=None)])
    assert "0 picked" in svg([])
