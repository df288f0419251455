"""Sentences, and what of them has to be found elsewhere."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from evals.scorers.claims import Claim, alike, claims_in, named, sentences


def claim(text: str) -> Claim:
    (only,) = claims_in(text)
    return only


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("It costs $3.50 at 9.30. Cheap.", ["It costs $3.50 at 9.30.", "Cheap."]),
        ("Dr. Lind sees you at 5 p.m. on Friday.", ["Dr. Lind sees you at 5 p.m. on Friday."]),
        ("See e.g. the guide. Done.", ["See e.g. the guide.", "Done."]),
        ("El Sr. Ruiz llega. ¿Cuándo? Hoy.", ["El Sr. Ruiz llega.", "¿Cuándo?", "Hoy."]),
        ("Read no. 5. Then no. Stop.", ["Read no. 5.", "Then no.", "Stop."]),
        ("- **Free** returns\n2. Open `Settings`", ["Free returns", "Open Settings"]),
        ("返品は可能です。30日以内です。", ["返品は可能です。", "30日以内です。"]),
        ("Yes. [1] No [2].", ["Yes. [1]", "No [2]."]),
        ("See [the guide](https://x.example/a).", ["See the guide https://x.example/a."]),
    ],
)
def test_where_sentences_end(text: str, parts: list[str]) -> None:
    assert [part for part in sentences(text) if part] == parts


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("It costs $1,200.50.", {("1200.5", "$")}),
        ("1.200 euros", {("1200", "€")}),
        ("12,50 €", {("12.5", "€")}),
        ("20 % or 20 percent or 20 por ciento", {("20", "%")}),
        ("from 9:00 to 17:30", {("9", ""), ("17:30", "")}),
        ("on 2026-03-05", {("2026", ""), ("month 3", ""), ("5", "")}),
        ("on March 5th, 2026", {("2026", ""), ("month 3", ""), ("5", "")}),
        ("el 5 de marzo de 2026", {("2026", ""), ("month 3", ""), ("5", "")}),
        ("every Monday", {("weekday 1", "")}),
        ("You may march on.", set()),
        ("within three days", {("3", "")}),
        ("write to Ann@Shop.example.", {("ann@shop.example", "")}),
        ("see https://www.Shop.example/help/.", {("shop.example/help", "")}),
        ("model X200 by 30min", {("x200", ""), ("30", "")}),
        ("30日以内", {("30", "")}),
    ],
)
def test_figures_in_one_spelling(text: str, figures: set[tuple[str, str]]) -> None:
    assert set(claim(text).figures) == figures


def test_names_are_capitals_where_none_has_to_be() -> None:
    assert claim("Today Marta Lind's shop in São Paulo sells IKEA.").names == (
        "marta",
        "lind",
        "sao",
        "paulo",
        "ikea",
    )
    assert claim("Note: Returns are free, I think.").names == ()
    assert claim("iPhone owners").names == ("iphone",)


@pytest.mark.parametrize(
    "text",
    [
        "Hello!",
        "Thank you for your question.",
        "Is there anything else?",
        "¿Algo más?",
        "返品できますか？",
        "I can't help with tax advice.",
        "Sorry, I don't have that information.",
        "Lo siento, no puedo ayudarte con eso.",
        "¡Claro, con gusto!",
        "Here is how it is done:",
        "Yes.",
    ],
)
def test_what_claims_nothing(text: str) -> None:
    assert claim(text).empty


@pytest.mark.parametrize(
    "text",
    [
        "Returns are free.",
        "I can't help, but refunds take weeks.",
        "I can't refund after 90 days.",
        "Sure, returns are free.",
        "No puedo cobrar 20 €.",
        "返品は可能です。",
    ],
)
def test_what_claims_something(text: str) -> None:
    assert not claim(text).empty


@pytest.mark.parametrize(
    ("text", "negated"),
    [("It isn't free.", True), ("No es gratis.", True), ("It is free.", False), ("No, it is free.", False)],
)
def test_negation(text: str, negated: bool) -> None:
    assert claim(text).negated is negated


def test_marks_are_no_part_of_what_is_said() -> None:
    marked = claim("Returns are free [1, doc-2] here [3].")
    assert marked.cited == ("1", "doc-2", "3")
    assert marked.text == "Returns are free here."


def test_forms_of_a_word_are_alike_and_other_words_are_not() -> None:
    assert alike("returns", {"returned"})
    assert alike("pedidos", {"pedido"})
    assert not alike("password", {"passport"})
    assert not alike("tea", {"teapot"})
    assert named("monday", {"mondays"})
    assert not named("lisbon", {"lisboa"})


@given(st.text())
@example("\u0301")
def test_any_text_can_be_read(text: str) -> None:
    for said in claims_in(text):
        assert said.empty in (True, False)
        assert set(said.words) <= said.every
