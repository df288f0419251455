"""What is one question, and what only resembles another."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.importing.alike import Marks, led_by, plain

if TYPE_CHECKING:
    from evals.scorers.port import Vectors


def circle(*degrees: float) -> Vectors:
    angles = np.radians(np.array(degrees))
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I pay 2 invoices?", "How do I pay 3 invoices?"),
        ("Is it two boxes?", "Is it three boxes?"),
        ("¿Puedo pedir dos cajas?", "¿Puedo pedir tres cajas?"),
        ("My Lark says E4", "My Lark says E7"),
        ("Deliver on Monday", "Deliver on Friday"),
        ("I can open it", "I can't open it"),
        ("Quiero recibir correos", "No quiero recibir correos"),
        ("How do I turn two-step sign-in on?", "How do I turn two-step sign-in off?"),
        ("enable alerts", "disable alerts"),
    ],
)
def test_a_number_a_denial_or_an_opposite_keeps_questions_apart(one: str, other: str) -> None:
    assert not Marks.of(one).agree_with(Marks.of(other))
    assert not Marks.of(other).agree_with(Marks.of(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How long is it valid?", "how long is it valid"),
        ("Is it two boxes?", "is it 2 boxes"),
        ("¿Son dos cajas?", "son 2 cajas"),
        ("where is my order", "Where's my order?"),
        ("I can't sign in", "I cannot sign in"),
    ],
)
def test_another_wording_does_not(one: str, other: str) -> None:
    assert Marks.of(one).agree_with(Marks.of(other))


def test_a_question_joins_the_first_leader_that_is_near_and_chains_do_not_form() -> None:
    # Twenty degrees are a cosine of .94; the third is near the second, which only joined the first.
    assert led_by(circle(0, 20, 40, 45, 20), 0.93) == [0, 0, 2, 2, 0]


def test_what_does_not_agree_is_not_joined() -> None:
    assert led_by(circle(0, 1, 2), 0.9, agree=lambda one, other: (one, other) != (1, 0)) == [0, 1, 0]


def test_blocks_make_no_difference() -> None:
    degrees = np.random.default_rng(1).uniform(0, 360, 1_300)
    found = led_by(circle(*degrees), 0.999)
    expected: list[int] = []
    leaders: list[int] = []
    for place, vector in enumerate(circle(*degrees)):
        near = [one for one in leaders if float(vector @ circle(degrees[one])[0]) >= 0.999]
        expected.append(near[0] if near else place)
        leaders += [] if near else [place]
    assert found == expected


def test_no_questions_have_no_leaders() -> None:
    assert led_by(np.zeros((0, 2), np.float32), 0.9) == []


def test_progress_is_told() -> None:
    told: list[int] = []
    led_by(circle(*range(600)), 1.1, step=told.append)
    assert told == [512, 600]


def test_case_and_signs_do_not_count() -> None:
    texts = ["How long?", "how long", "HOW  LONG!", "How long 2?", "?", "!"]
    assert [plain(text) for text in texts] == ["how long"] * 3 + ["how long 2", "?", "!"]


@given(st.text())
def test_any_text_has_marks_that_agree_with_themselves(text: str) -> None:
    assert Marks.of(text).agree_with(Marks.of(text))
    assert plain(plain(text)) == plain(text) or not text.strip()
