"""What is hidden, and what must survive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.importing.deidentify import Cover

EXAMPLE = Path(__file__).parents[3] / "examples/support"


def hidden(text: str, **settings: Any) -> str:
    cover = Cover(**settings)
    cover.learn(text)
    return str(cover.hide(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to ana.lopez+x@mail.co.uk.", "Write to <EMAIL_1>."),
        ("escríbeme a josé@correo.example, gracias", "escríbeme a <EMAIL_1>, gracias"),
        ("call +1 (253) 555-0142 today", "call <PHONE_1> today"),
        ("call 020 7946 0958 today", "call <PHONE_1> today"),
        ("mi móvil es 612 345 678", "mi móvil es <PHONE_1>"),
        ("my card is 4111 1111 1111 1111", "my card is <CARD_1>"),
        ("card 4111-1111-1111-1111, exp 12/27", "card <CARD_1>, exp 12/27"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN <IBAN_1> please"),
        ("iban es9121000418450200051332.", "iban <IBAN_1>."),
        ("SSN 536-90-4399", "SSN <ID_1>"),
        ("mi DNI 12345678Z", "mi DNI <ID_1>"),
        ("NI AB 12 34 56 C", "NI <ID_1>"),
        ("from 192.168.1.10 and fe80::1", "from <IP_1> and <IP_2>"),
        ("device 00:1A:2B:3C:4D:5E", "device <IP_1>"),
        ("https://shop.example/track?id=99&mail=a", "<URL_1>"),
        ("https://me:secret@shop.example/", "<URL_1>"),
        ("where is order 4521?", "where is order <NUMBER_1>?"),
        ("mi pedido número 45218 no llega", "mi pedido número <NUMBER_1> no llega"),
        ("TV-482107 is late", "<NUMBER_1> is late"),
        ("tracking 1Z999AA10123456784", "tracking <NUMBER_1>"),
        ("id 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "id <NUMBER_1>"),
        ("My name is Maria López. Where is it?", "My name is <NAME_1>. Where is it?"),
        ("me llamo José de la Cruz y espero", "me llamo <NAME_1> y espero"),
        ("hola, soy Ana", "hola, soy <NAME_1>"),
        ("hi, my name is maria lopez", "hi, my name is <NAME_1>"),
        ("I'm John Smith and it leaks", "I'm <NAME_1> and it leaks"),
        ("It leaks.\nThanks,\nJohn Smith", "It leaks.\nThanks,\n<NAME_1>"),
        ("No llega. Saludos, Ana Pérez", "No llega. Saludos, <NAME_1>"),
    ],
)
def test_what_tells_who_somebody_is_is_hidden(text: str, expected: str) -> None:
    assert hidden(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It costs $1,299.00, or 12.5 % less: $150000 for 2026.",
        "El plan cuesta 18,50 € al mes; 1.299,00 € al año.",
        "30 minutes, 48 hours, 24/7, 1-2 days, 10:30:15, at 9:05",
        "from 2026-10-05 to 11/24/2026, since 5.10.2026",
        "Version 1.2.3 of the app, Lark 2, error E4",
        "see https://tolvana.example/help/returns#opened or www.tolvana.example",
        "my name is wrong on the box",
        "I'm sorry to hear that. Thanks, Lark is fixed now.",
        "Turn the dial to 93 °C and use 250 ml for 15 g",
        "order 3 boxes, order two more, account settings",
        "the dress is 100% cotton :: really",
    ],
)
def test_prices_times_dates_and_products_stay(text: str) -> None:
    assert hidden(text) == text


def test_one_value_has_one_placeholder_in_all_of_a_case() -> None:
    talk = {
        "messages": [
            {"role": "user", "content": "I'm Ana Pérez, write to ana@mail.example"},
            {"role": "assistant", "content": "Hi Ana, is it ANA@mail.example or bob@mail.example?"},
            {"role": "user", "content": "The first; call 253-555-0142."},
        ],
        "metadata": {"phone": "+1 253 555 0142", "age": 3},
    }
    cover = Cover()
    cover.learn(talk)
    clear = cover.hide(talk)
    said = [turn["content"] for turn in clear["messages"]]
    assert said == [
        "I'm <NAME_1>, write to <EMAIL_1>",
        "Hi <NAME_1>, is it <EMAIL_1> or <EMAIL_2>?",
        "The first; call <PHONE_1>.",
    ]
    assert clear["metadata"] == {"phone": "<PHONE_1>", "age": 3}
    assert cover.counts == {"NAME": 2, "EMAIL": 3, "PHONE": 2}


def test_another_case_begins_anew() -> None:
    assert hidden("a@mail.example") == hidden("b@mail.example") == "<EMAIL_1>"


def test_the_business_own_addresses_are_kept() -> None:
    text = "Write to help@tolvana.example or me@mail.example"
    assert hidden(text, keep=frozenset({"help@tolvana.example"})) == "Write to help@tolvana.example or <EMAIL_1>"


def test_regions_say_which_bare_numbers_are_telephones() -> None:
    assert hidden("Ruf 030 123456 an", regions=("DE",)) == "Ruf <PHONE_1> an"


def test_at_most_one_in_fifty_lines_of_the_example_changes_without_a_reason() -> None:
    """Every change to the example's log and documents is an address, an order or a telephone number."""
    lines = [json.loads(line) for line in (EXAMPLE / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    kinds: set[str] = set()
    changed = 0
    for line in lines:
        cover = Cover(keep=frozenset({"help@tolvana.example"}))
        cover.learn(line["messages"])
        changed += cover.hide(line["messages"]) != line["messages"]
        kinds |= set(cover.counts)
    assert kinds <= {"EMAIL", "NUMBER"}
    assert changed <= len(lines) // 50
    knowledge = [
        json.loads(line) for line in (EXAMPLE / "knowledge.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    for answer in knowledge:
        cover = Cover()
        cover.learn(answer)
        cover.hide(answer)
        assert set(cover.counts) <= {"EMAIL", "NUMBER", "PHONE"}


@given(st.text())
def test_any_text_can_be_looked_through(text: str) -> None:
    once = hidden(text)
    assert hidden(once).count("<EMAIL_") == once.count("<EMAIL_")


@given(st.emails(domains=st.just("mail.example")))
def test_no_address_gets_through(address: str) -> None:
    assert "mail.example" not in hidden(f"Write to {address} now")
