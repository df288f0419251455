"""Languages are told from ids that differ only in them."""

from __future__ import annotations

import pytest

from router.upstreams.scripted_languages import Languages

PAIRED = [
    ("returns.en", "How do I return my order? The label is in the box."),
    ("returns.de", "Wie schicke ich meine Bestellung zurück? Der Aufkleber ist im Karton."),
    ("hours.en", "When are you open? We are open in the week."),
    ("hours.de", "Wann habt ihr geöffnet? Wir haben in der Woche auf."),
    ("follow", "Und wann ist der Karton da?"),
    ("alone.fr", "When is the order in the box?"),
]


def test_entries_are_in_the_language_of_their_id_or_of_their_words() -> None:
    assert Languages(PAIRED).entries == ("en", "de", "en", "de", "de", "en")


@pytest.mark.parametrize(
    ("text", "language"),
    [("When is my order in?", "en"), ("Wann ist der Karton da?", "de"), ("", "en"), ("xyzzy", "en")],
)
def test_a_message_is_in_the_language_of_its_words(text: str, language: str) -> None:
    assert Languages(PAIRED).of(text) == language


def test_without_pairs_there_are_no_languages() -> None:
    for entries in ([], [("a", "Hello")], [("a.en", "Hello"), ("b.de", "Hallo")]):
        found = Languages(entries)
        assert (found.home, found.of("Hallo"), set(found.entries) - {""}) == ("", "", set())


def test_without_english_the_first_is_at_home() -> None:
    assert Languages([("a.fr", "Bonjour"), ("a.de", "Hallo")]).home == "de"
