from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from evals.cases import Case
from evals.suite import read_suite
from prompts.optimise.fitness import SHORTEST, Fitness
from prompts.prompt import BookedPrompt, Contract, Demonstration, Section
from router.upstreams.scripted_instructions import INSTRUCTIONS, OTHER

EXAMPLE = Path(__file__).parents[3] / "examples/support"
CASES = read_suite(EXAMPLE / "suite").cases
DESK = BookedPrompt.plain((EXAMPLE / "prompts/support.md").read_text(), "prepend")
REWORDED = (
    """You work for Tolvana Coffee, a seller of subscription coffee and connected brewers in the USA. Customers ask
    you about their plan, their deliveries, payments, machines and returns. Reply in English or Spanish,
    whichever they wrote last. State the answer first and stop after four sentences. Quote amounts and deadlines
    from the documents word for word. Where nothing there answers a question, say so and point to
    help@tolvana.example.""",
    """Rules for the help desk. 1. Use the customer's language. 2. Prices, limits and periods are given exactly, or
    not at all. 3. If you do not understand what is wanted, ask back once. 4. Whatever is not about Tolvana is
    for help@tolvana.example. 5. Say where in the account something is changed, since you cannot change it
    yourself. 6. No passwords, codes or card numbers. 7. Nothing about other people. 8. These rules are not for
    discussion.""",
    """Eres el asistente de Tolvana Coffee. Responde en el idioma del último mensaje. Empieza con la respuesta, en
    dos o tres frases, y da los precios y plazos exactos. Si no lo sabes, dilo y da la dirección
    help@tolvana.example.""",
    """When a customer wants to change or cancel something, name the menu path in the account, how late it can be
    done before the next delivery, and what happens to the money. When they report a fault, name the first thing
    to try, how long it takes, and whom to write to if it does not help.""",
    """For passwords and two-factor sign-in, say which link to press, how long it is valid and what a new password
    needs. Never ask the customer for the code. If an account is locked, say why and for how long.""",
    """For refunds and returns always give the number of days, who pays for shipping, and how long the money takes
    to arrive on the card. Distinguish unopened bags from machines. Do not promise any exception.""",
    """Questions come with typing errors, in slang and in a few words only. Take the most likely meaning of a short
    one, such as two nouns, and answer it in full; ask back only where two meanings are equally likely.""",
    """Think about which figures the documents state for the matter: a price, a number of days, a limit, a size.
    Put every one of them into the answer. A vague word such as "some" or "soon" is a mistake.""",
    """Follow-up questions lean on what was said before. Read the whole conversation, work out what "it" and "that"
    stand for, and answer only the last message. If several customers or orders are mixed up, ask which is
    meant.""",
    """Calculations: take the price of each delivery, multiply it by the deliveries in a year, and show the result
    with its currency. Comparisons: name both things and the difference. Complaints: apologise once, then say
    what the customer gets, and where to reach a person.""",
)


def case(said: str, expected: Any = None, **changes: Any) -> Case:
    told: dict[str, Any] = {
        "id": said[:12],
        "messages": ({"role": "user", "content": said},),
        "expected": {} if expected is None else expected,
        "segment": "all",
        "cluster": said,
        "metadata": {},
    }
    return Case(**{**told, **changes})


def with_line(line: str, base: BookedPrompt = DESK) -> BookedPrompt:
    return base.tuned({"instructions": f"{base.sections[0].text}\n- {line}"})


def plain(text: str, **changes: Any) -> BookedPrompt:
    return replace(BookedPrompt.plain(text, "prepend"), **changes)


@pytest.fixture(scope="module")
def desk() -> Fitness:
    return Fitness(DESK, most_tokens=4000, quoted=CASES)


def test_questions_pasted_into_the_examples_prompt_are_found(desk: Fitness) -> None:
    missed = [one.question for one in CASES if "quotes the case" not in desk(with_line(one.question))]
    assert len(missed) <= 24  # 92 % are found
    assert all(len(question.split()) < SHORTEST for question in missed)


def test_answers_pasted_into_the_examples_prompt_are_found(desk: Fitness) -> None:
    missed = []
    for one in CASES:
        facts = one.expected["facts"]
        for language in (0, -1):
            answer = ", and ".join(fact.split("|")[language] for fact in facts)
            if not desk(with_line(f"The answer is {answer}.")):
                missed.append((language, facts))
    assert len([1 for language, _ in missed if language == 0]) <= 32  # 89 % are found
    assert len(missed) <= 70
    assert sum(len(facts) == 1 for _, facts in missed) >= 0.7 * len(missed)


def test_what_prompts_say_is_no_quotation(desk: Fitness) -> None:
    sentences = [one for several in INSTRUCTIONS.values() for one in several] + [*OTHER]
    assert len(sentences) == 88
    assert [told for one in sentences if (told := desk(with_line(one)))] == []


def test_the_examples_prompt_in_other_words_is_no_quotation(desk: Fitness) -> None:
    prompts = [DESK.tuned({"instructions": text}) for text in REWORDED]
    extended = [with_line(text) for text in REWORDED]
    assert [told for one in [DESK, *prompts, *extended] if (told := desk(one))] == []


def test_what_the_first_prompt_says_may_be_said_again() -> None:
    asked = case("How do I reset my password on the site?", {"facts": ["30 minutes", "$17"]})
    base = BookedPrompt.plain("Some ask: how do I reset my password on the site? 30 minutes, $17.", "prepend")
    assert Fitness(base, most_tokens=999, quoted=[asked])(base) == ""
    assert Fitness(plain("Be kind."), most_tokens=999, quoted=[asked])(base) != ""


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("Some ask HOW DO I reset my pässword", "quotes the case"),
        ("Some ask how do I reset my account", ""),
        ("It takes 30 minutes and costs $17", "gives the answer of the case"),
        ("It takes 30 minutes and costs 17 cents, and 1. is first", ""),
        ("It takes 30 minutes and then 30 minutes", ""),
        ("Son 30 minutos, y cuesta $17", "gives the answer"),
    ],
)
def test_a_quotation_is_a_run_of_words_or_several_facts(line: str, says: str) -> None:
    asked = case("How do I reset my password on the site?", {"facts": ["30 minutes|30 minutos", "$17", "$1"]})
    told = Fitness(plain("Be kind."), most_tokens=999, quoted=[asked])(with_line(line, plain("Be kind.")))
    assert says in told
    assert bool(told) == bool(says)


def test_how_all_cases_speak_is_no_quotation() -> None:
    many = [case(f"Dear Sir or Madam at the desk, {number}", {"facts": ["$5", "2 days"]}) for number in range(9)]
    fit = Fitness(plain("Be kind."), most_tokens=999, quoted=many)
    assert fit(with_line("Some write: dear sir or madam at the desk. It is $5 in 2 days.", plain("Be kind."))) == ""
    few = Fitness(plain("Be kind."), most_tokens=999, quoted=many[:3])
    assert few(with_line("Some write: dear sir or madam at the desk.", plain("Be kind."))) != ""


def test_assistants_turns_and_long_expected_answers_are_not_to_be_quoted() -> None:
    turns = (
        {"role": "system", "content": "Always be as kind as you possibly can."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Your parcel has left our warehouse in Boise."},
        {"role": "user", "content": [{"type": "text", "text": "And when will it arrive at my home?"}]},
    )
    asked = case("x", {"answer": {"text": "It will be with you on Tuesday at noon."}}, messages=turns)
    fit = Fitness(plain("Be kind."), most_tokens=999, quoted=[asked])
    assert fit(plain("Parcels: your parcel has left our warehouse in Boise.")) != ""
    assert fit(plain("It will be with you on Tuesday.")) != ""
    assert fit(plain("And when will it arrive at my home?")) != ""
    assert fit(plain("Always be as kind as you possibly can.")) == ""


TWO = BookedPrompt(
    sections=(
        Section(name="manner", text="Be kind, {{ company }}. Keep {{this}}."),
        Section(name="law", text="Never lie.", locked=True),
    ),
    rule="append",
    slots={"company": "Acme"},
    contract=Contract(text="Answer in JSON.", json_schema={"type": "object"}),
)


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        (TWO.tuned({"manner": "{{ company }} is kind. {{ this }} stays."}), ""),
        (
            replace(TWO, sections=(TWO.sections[0], Section(name="law", text="Lie.", locked=True))),
            "'law', .* locked",
        ),
        (
            replace(TWO, sections=(TWO.sections[0], Section(name="law", text="Never lie."))),
            "names, order and locks",
        ),
        (replace(TWO, sections=TWO.sections[::-1]), "names, order and locks"),
        (replace(TWO, sections=TWO.sections[1:]), "names, order and locks"),
        (replace(TWO, contract=Contract(text="Answer.")), "changes the contract"),
        (replace(TWO, slots={"company": "Globex"}), "changes the slots"),
        (replace(TWO, rule="replace"), "changes the merge rule"),
        (TWO.tuned({"manner": "Be kind."}), r"lost \{\{ company \}\}"),
        (
            TWO.tuned({"manner": "Be kind, {{company}} and {{ customer }}."}),
            r"has \{\{ customer \}\}, which nobody",
        ),
        (TWO.tuned({"manner": "{{ company }} " + "is very kind " * 50}), r"about \d+ tokens, and 100 are allowed"),
        (TWO.tuned({}, [Demonstration("Hi", "kind " * 150)]), "100 are allowed"),
    ],
)
def test_what_is_the_authors_stays(prompt: BookedPrompt, says: str) -> None:
    told = Fitness(TWO, most_tokens=100, quoted=[])(prompt)
    assert re.search(says, told) if says else not told


def test_demonstrations_are_cases_to_learn_from() -> None:
    base = plain("Be kind.", demonstrations=(Demonstration("Own?", "Yes."),))
    learned, kept = case("How do I send this grinder back to you?"), case("Where is the coffee that I ordered?")
    fit = Fitness(base, most_tokens=999, quoted=[learned, kept], shown=[learned])

    def told(question: str) -> str:
        return fit(base.tuned({}, [*base.demonstrations, Demonstration(question, "So.")]))

    assert told(learned.question) == ""
    assert "kept for choosing among prompts" in told(kept.question)
    assert "no case to learn from" in told("Anything else?")
    assert Fitness(base, most_tokens=999, quoted=[learned, kept])(base.tuned({}, [])) == ""


def test_what_is_logged_names_all_that_is_quoted_and_quotes_none() -> None:
    words = {"a": "two", "b": "ten", "c": "six"}
    told = [case(f"why does my brewer number {word} never stop blinking", id=name) for name, word in words.items()]
    fitness = Fitness(DESK, most_tokens=4000, quoted=told, shown=told[:1])
    quoting = DESK.tuned({DESK.sections[0].name: "\n".join(one.question for one in reversed(told))})
    refusal = fitness.refusal(quoting)
    assert refusal is not None
    assert refusal.logged == "it quotes 3 cases of the suite: c, b, a."
    assert refusal.why.startswith("it quotes the case c, 'why does my brewer number six'"), "the first that it says"
    strange = fitness.refusal(DESK.tuned({}, [Demonstration(told[1].question, "Press the button.")]))
    assert strange is not None
    assert strange.logged == "it has a demonstration that is kept for choosing among prompts."
    assert told[1].question in strange.why
    assert fitness.refusal(DESK) is None
