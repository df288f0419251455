"""Names of intents say what sets their questions apart."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.student.mining.naming import names_of, terms_of

GROUPS = [
    ["Where is my order?", "where can I track the order", "track my order please"],
    ["How do I reset the password?", "reset password please", "my password, reset it"],
    ["¿Dónde está mi contraseña?", "la contraseña, por favor", "olvidé la contraseña <EMAIL_1>"],
]


def test_terms_are_what_others_do_not_say_and_stand_as_in_questions() -> None:
    terms = terms_of(GROUPS)
    assert terms[0][0] == "order"
    assert {"reset", "password"} == set(terms[1][:2])
    names = names_of(GROUPS, terms)
    assert names[0].startswith(("where-track-order", "track-order"))
    assert "contrasena" in names[2]
    assert not any("email" in name for name in names)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        (" Reset Password. ", "reset-password"),
        ('"cancel_order"', "cancel-order"),
        ("I am sorry, I do not have an answer to that.", ""),
        ("", ""),
        ("??", ""),
    ],
)
def test_a_model_names_an_intent_unless_it_says_no_name(said: str, name: str) -> None:
    prompts: list[str] = []

    def ask(given: Sequence[str]) -> list[str]:
        prompts.extend(given)
        return [said]

    found = names_of([["Where is it?"]], [["where"]], ask)
    assert found == [name or "where"]
    assert "- Where is it?" in prompts[0]


@given(st.lists(st.lists(st.text(max_size=30), min_size=1, max_size=4), max_size=6))
def test_names_are_plain_and_no_two_are_alike(groups: list[list[str]]) -> None:
    names = names_of(groups, terms_of(groups))
    assert len(set(names)) == len(groups)
    assert all(re.fullmatch(r"[a-z0-9-]{1,60}", name) for name in names)
