"""What counts as stating a fact, and what a share of them is worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.scorers.contains_facts import Fact
from tests.evals.scorers.scoring import lacks, scored, scorer


def test_all_facts_or_their_share() -> None:
    facts = {"facts": ["30 minutes", "Forgot password|Olvidaste tu contraseña"]}
    half = "It takes 30 minutes."
    assert scored("contains_facts", facts, half).value == 0
    assert scored("contains_facts", facts, half, share=True).value == 0.5
    assert scored("contains_facts", facts, half).why == "does not say: Forgot password|Olvidaste tu contraseña"
    assert scored("contains_facts", facts, "Tap Forgot password; 30 minutes").value == 1
    assert (scorer("contains_facts").binary, scorer("contains_facts", share=True).binary) == (True, False)


def test_facts_that_are_none_are_refused() -> None:
    assert lacks("contains_facts", {}) == "`expected.facts`"
    for wrong in ([], "x", [1], None):
        with pytest.raises(ValueError, match=r"^expected\.facts: must be a list of texts"):
            lacks("contains_facts", {"facts": wrong})
    with pytest.raises(ValueError, match=r"^expected\.facts\.1: a fact with an empty alternative"):
        lacks("contains_facts", {"facts": ["x", "a|"]})


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        ("30 minutes", "It is valid for 30 minutes."),
        ("30 minutes|30 minutos", "Vale 30 minutos"),
        ("Turn off", 'Choose "turn  off"\nthere'),
        ("$12", "It costs $12."),
        ("$12", "$12, all in"),
        ("can't help", "I can’t help with that"),
        ("código de respaldo", "CODIGO DE RESPALDO"),
        ("2 años", "garantía de 2 an\u0303os"),
        ("7 days", "within 7\u00a0days"),
        ("20 %", "20 % off"),
        ("?", "Which one do you mean?"),
    ],
)
def test_a_fact_is_found(fact: str, answer: str) -> None:
    assert Fact.parse(fact).stated_in(answer)


@pytest.mark.parametrize(
    ("fact", "answer"),
    [
        ("2 years", "It is 12 years."),
        ("$12", "It costs $12.95."),
        ("$1", "It costs $1,200."),
        ("95", "It costs 12.95"),
        ("confirm", "a confirmation"),
        ("free", "carefree"),
        ("48 hours", "within 24 hours"),
        ("Turn on|Activar", "Turn off"),
        ("30 minutes", ""),
    ],
)
def test_a_fact_is_not_found(fact: str, answer: str) -> None:
    assert not Fact.parse(fact).stated_in(answer)


@pytest.mark.parametrize("text", ["", " ", "a|", "|a", "a| |b", "\u0301"])
def test_an_empty_alternative_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="empty alternative"):
        Fact.parse(text)


words = st.text("abcxyzáñüßç0129", min_size=1)


@given(before=words, fact=words, after=words)
def test_a_word_is_found_among_others(before: str, fact: str, after: str) -> None:
    assert Fact.parse(fact).stated_in(f"{before} {fact} {after}")
    assert Fact.parse(f"{before}|{fact}").stated_in(f"({fact.upper()}).")


@given(before=words, fact=words)
def test_a_word_is_never_found_inside_another(before: str, fact: str) -> None:
    glued = f"x{before}q{fact}z"
    assert not Fact.parse(fact).stated_in(glued)
