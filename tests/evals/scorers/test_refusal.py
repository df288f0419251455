"""Who says that they do not know, in which words, and whether they should have."""

from __future__ import annotations

from typing import Any

import pytest

from router.upstreams.scripted_instructions import PHRASES
from router.upstreams.scripted_passages import NOT_FOUND
from tests.evals.scorers.scoring import case, lacks, right, scored, scorer

REFUSALS = [
    NOT_FOUND,
    "I found nothing about this in the documents that I have.",
    "I'm sorry, but I couldn't find an answer to that.",
    "Sorry! The documents do not say how long that takes.",
    "Hello. The passages don't mention hotels. They are about coffee [1].",
    "There is no information about hotels in the help pages.",
    "No information on that was found.",
    "Nothing about shares could be found in the documents.",
    "Opening hours are not mentioned in the passages [1].",
    "The provided context contains no details on salaries.",
    "Unfortunately, we have no information on that.",
    "No he encontrado nada sobre eso.",
    "Lo siento, no encontré la respuesta en los documentos.",
    "Los documentos no mencionan hoteles.",
    "No hay información sobre eso en las páginas de ayuda.",
    "Eso no se menciona en los documentos.",
    "Dazu habe ich in den Dokumenten nichts gefunden.",
    "Je n'ai rien trouvé à ce sujet.",
]
ANSWERS = [
    "It costs $29 [1]. How long that takes I could not find.",
    "You can return it within 45 days [1]. The documents do not say what happens later.",
    "No, you cannot return it after 45 days [1].",
    "There is no charge for returns [2].",
    "Nothing is charged before the box leaves [1].",
    "Decaf is not available in Hawaii [1].",
    "No se puede devolver pasados 45 días [1].",
    "No hay gastos de envío [1].",
    "A replacement is provided if no parcel was found [1].",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_a_refusal_is_right_where_there_is_no_answer_and_wrong_where_there_is(text: str) -> None:
    assert right("refusal", {"refuse": True}, text)
    assert not right("refusal", {"refuse": False}, text)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_is_none_though_it_says_no(text: str) -> None:
    assert right("refusal", {"refuse": False}, text)
    assert not right("refusal", {"refuse": True}, text)


@pytest.mark.parametrize("language", sorted(PHRASES))
def test_refusals_of_the_stand_in_are_known(language: str) -> None:
    assert right("refusal", {"refuse": True}, PHRASES[language]["refusal"])


def test_a_weir_that_asked_no_model_refused_in_whatever_words() -> None:
    def refused(retrieval: str, tokens: int) -> bool:
        told = {"retrieval": retrieval}
        return right("refusal", {"refuse": True}, "Call 1-800-555-0142.", evidence=told, tokens=tokens)

    assert refused("nothing", 0)
    assert not refused("nothing", 9)
    assert not refused("found", 0)


def test_phrases_of_a_suite_count_too() -> None:
    said = "Det vet jag inte."
    assert not right("refusal", {"refuse": True}, said)
    assert right("refusal", {"refuse": True}, said, phrases=["vet jag INTE"])


def test_why_names_the_sentence_that_tells() -> None:
    assert scored("refusal", {"refuse": True}, "Hello! It is 9.").why == 'answers what has none: "It is 9."'
    assert scored("refusal", {"refuse": False}, NOT_FOUND).why == f'refuses what has an answer: "{NOT_FOUND}"'
    assert scored("refusal", {"refuse": True}, "").why == "answers what has none, and says nothing"


def test_what_it_needs() -> None:
    assert lacks("refusal", {}) == "`expected.refuse`"
    with pytest.raises(ValueError, match=r"expected\.refuse: must be true or false"):
        scorer("refusal").lacks(case({"refuse": "yes"}))


@pytest.mark.parametrize("phrases", [["("], [""]])
def test_a_phrase_that_is_no_expression_is_refused(phrases: Any) -> None:
    with pytest.raises(ValueError, match=r"phrases"):
        scorer("refusal", phrases=phrases)
