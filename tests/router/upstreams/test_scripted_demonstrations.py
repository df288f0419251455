"""An attentive model picks up habits from answers that it is shown, and is not led astray by them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evals.scorers.contains_facts import Fact
from evals.suite import read_suite
from prompts.prompt import BookedPrompt, Demonstration
from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_attention import attended, attention
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_demonstrations import Exchange, habits, split
from router.upstreams.scripted_instructions import INSTRUCTIONS, PHRASES, Instruction
from router.upstreams.scripted_knowledge import Entry, Knowledge

SUPPORT = Path(__file__).parents[3] / "examples/support"
KNOWLEDGE = Knowledge.load(SUPPORT / "knowledge.jsonl")
CASES = read_suite(SUPPORT / "suite").cases
DESK = "help@tolvana.example"
SPANISH = Exchange(
    "¿Cómo puedo cambiar mi dirección?", "Ve a Cuenta > Direcciones, hasta 48 horas antes del despacho."
)
IN_ENGLISH = Exchange(SPANISH.user, "Go to Account > Addresses, up to 48 hours before dispatch.")
PRICE = Exchange("How much is standard shipping?", "It is free from $40, otherwise $5.")
NO_PRICE = Exchange(PRICE.user, "It is free from some on, and otherwise costs some.")
REFUSED = Exchange("Which team won the cup?", f"I'm afraid I can't help with that. Please write to {DESK}.")
REFUSED_IN_SPANISH = Exchange(
    "¿Cuántos años tiene el presidente?", f"Lo siento, no puedo ayudarte. Escribe a {DESK}."
)
GUESSED = Exchange(REFUSED.user, "Yes, that should normally be possible.")
ASKED_BACK = Exchange("can you stop it", "Do you mean your plan, or a delivery?")
ASSUMED = Exchange("can you stop it", "Choose Pause under Account > Plan.")
STRANGE = "Which mushrooms grow in dark forests?"


def taught(*examples: Exchange) -> set[Instruction]:
    return {name for name, share in habits(examples, KNOWLEDGE).shares.items() if share > 0}


@pytest.mark.parametrize(
    ("shows", "contrary", "habit"),
    [
        (SPANISH, IN_ENGLISH, "language"),
        (PRICE, NO_PRICE, "exactness"),
        (REFUSED, GUESSED, "refusal"),
        (REFUSED_IN_SPANISH, GUESSED, "refusal"),
        (ASKED_BACK, ASSUMED, "question"),
    ],
)
def test_a_habit_is_picked_up_where_it_is_shown_and_not_where_its_contrary_is(
    shows: Exchange, contrary: Exchange, habit: Instruction
) -> None:
    assert habit in taught(shows)
    assert habit not in taught(contrary)
    assert habit not in taught(shows, contrary)


def test_short_answers_teach_brevity_and_ones_that_say_all_do_not() -> None:
    entry = next(entry for entry in map(KNOWLEDGE.find, [["How do I reset my password?"]]) if entry is not None)[0]
    whole = Exchange("How do I reset my password?", entry.answer)
    first = Exchange(whole.user, entry.answer.partition(". ")[0] + ".")
    assert "brevity" in taught(first)
    assert "brevity" not in taught(whole)
    assert habits([first], KNOWLEDGE).sentences == 1


def test_more_pairs_teach_more_and_never_as_much_as_an_instruction() -> None:
    risen = [habits([PRICE] * many, KNOWLEDGE).shares["exactness"] for many in range(9)]
    assert risen == sorted(set(risen))
    assert risen[0] == 0
    assert risen[4] == pytest.approx(2 / 3, abs=0.05)
    assert risen[8] < attention(INSTRUCTIONS["exactness"][0]).shares["exactness"]


def test_what_is_shown_adds_to_what_is_told_and_takes_nothing_away() -> None:
    told = attention("Say how long things take and what the limits are.")
    both = told.shown(habits([PRICE, REFUSED], KNOWLEDGE))
    assert 0 < told.shares["exactness"] < both.shares["exactness"] < 1
    assert (both.contact, told.contact) == (DESK, "")
    clear = attention(f"{INSTRUCTIONS['exactness'][0]} Answer in one sentence.")
    assert clear.shown(habits([NO_PRICE, PRICE], KNOWLEDGE)) == clear


def test_a_shown_refusal_is_given_with_its_address_in_the_language_of_the_question() -> None:
    answers = {attended("", [REFUSED] * 30, STRANGE, KNOWLEDGE)[0], attended("", [], STRANGE, KNOWLEDGE)[0]}
    words = PHRASES["en"]
    assert answers == {f"{words['refusal']} {words['contact'].format(contact=DESK)}", words["guess"]}


def test_examples_are_no_context_and_the_conversation_is_no_example() -> None:
    examples = [SPANISH, PRICE, REFUSED]
    begun = Exchange(
        "My machine shows a red light.", "Check the water tank, and switch the machine off for a minute."
    )
    assert split(examples, "How do I change my e-mail address?") == (examples, [])
    assert split([*examples, begun], "The water tank is full.") == (examples, [begun])
    assert split([begun], "and then?") == ([], [begun])
    assert split([*examples, begun], "and then?") == ([*examples, begun], [])
    unanswered = Exchange("My machine shows a red light.", "")
    assert split([unanswered], "How do I change my e-mail address?") == ([], [unanswered])
    assert split([unanswered, PRICE], "How do I change my e-mail address?") == ([PRICE], [])


def test_a_vague_message_after_examples_is_asked_about() -> None:
    told = INSTRUCTIONS["question"][0]
    assert attended(told, [PRICE, REFUSED], "can you stop it", KNOWLEDGE)[0] == PHRASES["en"]["question"]
    assert attended(told, [PRICE], "can you stop it", KNOWLEDGE)[0] != PHRASES["en"]["question"]


def test_no_answer_on_file_is_taken_for_a_refusal_or_a_guess() -> None:
    lines = (SUPPORT / "knowledge.jsonl").read_bytes().splitlines()
    shown = [Exchange(STRANGE, json.loads(line)["answer"]) for line in lines]
    assert [exchange for exchange in shown if "refusal" in taught(exchange)] == []
    assert [exchange for exchange in shown if "refusal" not in taught(REFUSED, exchange)] == []


def test_files_without_entries_will_do() -> None:
    nothing = Knowledge(())
    assert habits([PRICE, ASKED_BACK], nothing).shares["exactness"] > 0
    assert habits([SPANISH], Knowledge([Entry("a", ("Hello?",), "Hi.")])).shares["language"] == 0


def good_of(prompt: BookedPrompt) -> dict[str, str]:
    """The answers that state all facts of their cases, by case."""
    answers = {}
    for case in CASES:
        body = prompt.filled().apply({"messages": list(case.messages)}, "chat/completions")
        answers[case.id] = reply(script("attentive"), body, KNOWLEDGE).text
    return {
        case.id: answers[case.id]
        for case in CASES
        if all(Fact.parse(fact).stated_in(answers[case.id]) for fact in case.expected["facts"])
    }


def demonstrated(prompt: BookedPrompt, step: int) -> BookedPrompt:
    """`prompt` with four of its own good answers, `step` apart."""
    good = good_of(prompt)
    alone = [case for case in CASES if len(case.messages) == 1 and case.id in good]
    shown = [Demonstration(case.messages[0]["content"], good[case.id]) for case in alone[::step][:4]]
    return prompt.tuned({}, shown)


def read(name: str) -> BookedPrompt:
    return BookedPrompt.plain((SUPPORT / f"prompts/{name}.md").read_text(encoding="utf-8"), "append")


@pytest.mark.parametrize("step", [1, 7, 13])
def test_its_own_good_answers_make_a_hasty_prompt_better(step: int) -> None:
    bare = read("bare")
    assert len(good_of(demonstrated(bare, step))) > len(good_of(bare)) + 10


def test_demonstrations_do_not_spoil_a_good_prompt() -> None:
    support = read("support")
    assert abs(len(good_of(demonstrated(support, 7))) - len(good_of(support))) <= 2


def test_two_instructions_more_are_worth_more_than_four_demonstrations() -> None:
    bare = read("bare")
    added = BookedPrompt.plain(
        f"{bare.text}\n{INSTRUCTIONS['exactness'][0]} {INSTRUCTIONS['language'][0]}", "append"
    )
    quality = [len(good_of(prompt)) for prompt in (bare, demonstrated(bare, 7), added, read("support"))]
    assert quality == sorted(set(quality))
