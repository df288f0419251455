"""A prompt loses what does not matter and keeps what does, in few calls, and the same ones each time."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from evals.cases import Case
from evals.records import Answer
from evals.scorers.contains_facts import Fact
from evals.suite import read_suite
from prompts.optimise.ports import CallFailed, Marked, Parts, Search, SearchEnded
from prompts.optimise.shorten import Shorten
from prompts.prompt import BookedPrompt, Contract, Demonstration, Section
from router.upstreams.scripted_answers import reply
from router.upstreams.scripted_behaviours import script
from router.upstreams.scripted_knowledge import Knowledge
from tests.evals.made_runs import made_case

SUPPORT = Path(__file__).parents[3] / "examples/support"
PADDING = "We are proud of our beans. Our roastery was founded in a barn."
TEXT = f"""{PADDING}

- Say ALPHA where it helps. It is a fine word.
- Say BETA where it helps.

Coffee is a fruit, as few people know. Say GAMMA where it helps!"""
KEPT = """- Say ALPHA where it helps.
- Say BETA where it helps.

Say GAMMA where it helps!"""


@dataclass
class RuleLine:
    """Implements Line. An answer has the words in capitals that stand in its instructions or demonstrations.

    `rewritten` is what the reflecting model says. The call after `most` ends the search.
    """

    rewritten: str = ""
    most: int = 1_000_000
    failing: frozenset[str] = frozenset()
    asked: list[tuple[str, str]] = field(default_factory=list)
    reflected: list[str] = field(default_factory=list)
    spent: Decimal = Decimal(0)
    ended: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        told = " ".join(str(message["content"]) for message in messages[:-1])
        with self.lock:
            if len(self.asked) >= self.most:
                self.ended = "enough"
                raise SearchEnded(self.ended)
            self.asked.append((case.id, told))
        if case.id in self.failing:
            raise CallFailed("down")
        return Answer(text=" ".join(sorted({word.strip(".!,") for word in told.split() if word.isupper()})))

    def model(self, messages: Sequence[Mapping[str, Any]], temperature: float | None = None) -> str:
        self.reflected.append(str(messages[-1]["content"]))
        return self.rewritten

    def mark(self, case: Case, answer: Answer) -> Marked:
        missing = [word for word in case.expected["facts"] if word not in answer.text]
        return Marked(0.0 if missing else 1.0, f"missing: {missing}")


class AttentiveLine(RuleLine):
    """Answers as the scripted model does that does what its prompt asks for."""

    def __init__(self) -> None:
        super().__init__()
        self._knowledge = Knowledge.load(SUPPORT / "knowledge.jsonl")

    def task(
        self, case: Case, messages: Sequence[Mapping[str, Any]], temperature: float | None = None, *, version: str
    ) -> Answer:
        self.asked.append((case.id, ""))
        return Answer(text=reply(script("attentive"), {"messages": list(messages)}, self._knowledge).text)

    def mark(self, case: Case, answer: Answer) -> Marked:
        facts = [Fact.parse(text) for text in case.expected["facts"]]
        return Marked(float(all(fact.stated_in(answer.text) for fact in facts)), "")


def cases(words: Sequence[str], each: int, first: int = 0) -> tuple[Case, ...]:
    return tuple(
        made_case(first + place * each + number, expected={"facts": [word]})
        for place, word in enumerate(words)
        for number in range(each)
    )


def search(
    prompt: BookedPrompt, line: Any, words: Sequence[str] = ("ALPHA", "BETA", "GAMMA"), **other: Any
) -> Search:
    fields: dict[str, Any] = {
        "prompt": prompt,
        "slots": {},
        "parts": Parts(cases(words, 2), cases(words, 10, 100), ()),
        "line": line,
        "unfit": lambda _: "",
        "told": lambda *_: None,
        "effort": "light",
        "seed": 0,
        "concurrency": 4,
        "most_demonstrations": 4,
    }
    return Search(**{**fields, **other})


def test_what_nobody_misses_goes_and_the_rest_stays() -> None:
    line = RuleLine()
    found = Shorten().best(search(BookedPrompt.plain(TEXT, "prepend"), line))
    assert found.text == KEPT


def test_so_do_demonstrations() -> None:
    useful, useless = Demonstration("hi", "DELTA it is"), Demonstration("hello", "good day to you")
    prompt = BookedPrompt.plain("Say ALPHA.", "prepend").tuned({}, [useless, useful])
    found = Shorten().best(search(prompt, RuleLine(), ("ALPHA", "DELTA")))
    assert found.demonstrations == (useful,)


def test_a_locked_section_and_the_contract_stay() -> None:
    prompt = BookedPrompt(
        sections=(
            Section(name="law", text=PADDING, locked=True),
            Section(name="style", text=f"{PADDING} Say ALPHA."),
        ),
        rule="prepend",
        contract=Contract(text="Never mention tea."),
    )
    found = Shorten().best(search(prompt, RuleLine(), ("ALPHA",)))
    assert found.text == f"{PADDING}\n\nSay ALPHA.\n\nNever mention tea."


def test_what_is_unfit_is_never_asked() -> None:
    line = RuleLine()
    wanted = search(
        BookedPrompt.plain(TEXT, "prepend"),
        line,
        unfit=lambda prompt: "" if "proud" in prompt.text else "not proud",
    )
    assert Shorten().best(wanted).text == f"We are proud of our beans.\n\n{KEPT}"
    assert all("proud" in told for _, told in line.asked)


def test_nor_is_what_becomes_unfit_together_or_in_other_words() -> None:
    long = (
        f"Our beans are good. Our beans are fine. {PADDING} Say ALPHA, as it is a very fine word to be said by all."
    )
    line = RuleLine(rewritten="```\nSay ALPHA.\n```")
    prompt = BookedPrompt.plain(long, "prepend")
    wanted = search(prompt, line, ("ALPHA",), unfit=lambda one: "" if len(one.text) > 90 else "too short")
    assert 90 < len(Shorten().best(wanted).text) < len(long)
    assert all(len(told) > 90 for _, told in line.asked)


def test_a_bullet_goes_with_its_mark() -> None:
    prompt = BookedPrompt.plain("- We love beans.\n- Say ALPHA.\n  2) Beans love us!", "prepend")
    assert Shorten().best(search(prompt, RuleLine(), ("ALPHA",))).text == "- Say ALPHA."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Coffee is a\nfruit. Say ALPHA, BETA and GAMMA\nin time.", "Say ALPHA, BETA and GAMMA\nin time."),
        ("# Words\nSay ALPHA, BETA and GAMMA.\nNo more.", "Say ALPHA, BETA and GAMMA."),
        (
            "- Say ALPHA, BETA\n  in time. It is\n  late.\n- Be kind\n- Say GAMMA.",
            "- Say ALPHA, BETA\n  in time.\n- Say GAMMA.",
        ),
    ],
    ids=["text", "heading", "list"],
)
def test_a_sentence_that_was_wrapped_goes_or_stays_as_a_whole(text: str, left: str) -> None:
    found = Shorten().best(search(BookedPrompt.plain(text, "prepend"), RuleLine()))
    assert found.text == left


def test_a_loss_of_just_the_margin_is_none() -> None:
    """29 of 100 cases, where 0.29 * 100 is less than 29 in a computer's numbers."""
    validation = (*cases(("ONE",), 29, 100), *cases(("ALPHA",), 71, 1000))
    parts = Parts(cases(("ALPHA",), 3), validation, ())
    prompt = BookedPrompt.plain("Say ONE. Say ALPHA.", "prepend")
    assert Shorten().best(search(prompt, RuleLine(), parts=parts, margin=0.29)).text == "Say ALPHA."


def test_losses_do_not_add_up_beyond_the_margin() -> None:
    """Each of four sentences is worth two of a hundred cases: one may go."""
    words = ("ONE", "TWO", "THREE", "FOUR")
    text = " ".join(f"Say {word}." for word in (*words, "ALPHA"))
    validation = (*cases(words, 2, 100), *cases(("ALPHA",), 92, 1000))
    parts = Parts(cases(("ALPHA",), 3), validation, ())
    prompt = BookedPrompt.plain(text, "prepend")
    for margin, left in ((0.019, 5), (0.02, 4), (0.05, 3)):
        found = Shorten().best(search(prompt, RuleLine(), parts=parts, margin=margin))
        assert len(found.text.split(". ")) == left


def test_a_prompt_that_is_clearly_worse_is_asked_few_cases() -> None:
    line = RuleLine()
    words = ("ALPHA",)
    parts = Parts(cases(("BETA",), 1), cases(words, 200, 100), ())
    Shorten().best(search(BookedPrompt.plain("Say ALPHA. Say BETA.", "prepend"), line, parts=parts))
    without = [case for case, told in line.asked if "ALPHA" not in told]
    assert 0 < len(without) <= 17


def test_a_shorter_text_is_taken_where_it_is_as_good() -> None:
    long = "Say ALPHA and BETA and then of course also say GAMMA, which is the third of these words."
    line = RuleLine(rewritten="Here you are:\n```\nSay ALPHA BETA GAMMA.\n```")
    found = Shorten().best(search(BookedPrompt.plain(long, "prepend"), line))
    assert found.text == "Say ALPHA BETA GAMMA."
    assert f"```\n{long}\n```" in line.reflected[0]


@pytest.mark.parametrize(
    "rewritten", ["```\nSay ALPHA.\n```", "```\n" + "ALPHA BETA GAMMA " * 20 + "\n```", "```\n\n```"]
)
def test_one_that_loses_or_is_longer_or_empty_is_not(rewritten: str) -> None:
    long = "Say ALPHA and BETA and then of course also say GAMMA, which is the third of these words."
    found = Shorten().best(search(BookedPrompt.plain(long, "prepend"), RuleLine(rewritten=rewritten)))
    assert found.text == long


def test_slots_go_behind_what_all_tenants_share() -> None:
    slotted = Section(name="who", text="Say ALPHA for {{ company }}.")
    fixed = Section(name="law", text="Say BETA.", locked=True)
    prompt = BookedPrompt(sections=(slotted, fixed), rule="prepend", slots={"company": "Tolvana"})
    line = RuleLine()
    found = Shorten().best(search(prompt, line, ("ALPHA", "BETA"), slots={"company": "ACME"}))
    assert [section.name for section in found.sections] == ["law", "who"]
    assert "for ACME." in line.asked[0][1]


def test_where_a_locked_section_varies_first_nothing_moves() -> None:
    locked = Section(name="law", text="{{ company }} says BETA.", locked=True)
    prompt = BookedPrompt(
        sections=(locked, Section(name="a", text="{{ company }} ALPHA."), Section(name="b", text="GAMMA.")),
        rule="prepend",
        slots={"company": "X"},
    )
    assert Shorten().best(search(prompt, RuleLine())).sections == prompt.sections


def test_what_was_found_before_the_calls_ended_counts() -> None:
    prompt = BookedPrompt.plain(TEXT, "prepend")
    rewritten = "```\nALPHA BETA GAMMA.\n```"
    line = RuleLine(rewritten=rewritten)
    assert Shorten().best(search(prompt, line)).text == "ALPHA BETA GAMMA."
    cut = RuleLine(rewritten=rewritten, most=len(line.asked) - 1)
    assert Shorten().best(search(prompt, cut)).text == KEPT
    with pytest.raises(SearchEnded):
        Shorten().best(search(prompt, RuleLine(most=20)))


def test_a_case_without_an_answer_counts_for_nothing() -> None:
    failing = frozenset(case.id for case in cases(("ALPHA", "BETA", "GAMMA"), 10, 100)[:4])
    found = Shorten().best(search(BookedPrompt.plain(TEXT, "prepend"), RuleLine(failing=failing)))
    assert found.text == KEPT


def test_each_answer_is_told_with_its_prompt() -> None:
    told: list[tuple[str, str, float]] = []
    line = RuleLine()
    prompt = BookedPrompt.plain(TEXT, "prepend")
    Shorten().best(search(prompt, line, told=lambda one, case, value: told.append((one.version, case.id, value))))
    assert len(told) == len(line.asked)
    assert sum(version == prompt.version for version, _, _ in told) == 36


def test_the_same_seed_makes_the_same_calls_whatever_the_concurrency() -> None:
    prompt = BookedPrompt.plain(TEXT, "prepend")
    calls = []
    for concurrency in (1, 7):
        line = RuleLine()
        Shorten().best(search(prompt, line, concurrency=concurrency))
        calls.append(sorted(line.asked))
    assert calls[0] == calls[1]


def test_another_seed_asks_in_another_order() -> None:
    orders = []
    for seed in (0, 1):
        line = RuleLine()
        Shorten().best(search(BookedPrompt.plain(TEXT, "prepend"), line, seed=seed, concurrency=1))
        orders.append([case for case, _ in line.asked[:36]])
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])


def test_about_as_many_calls_are_made_as_it_says() -> None:
    line = RuleLine(rewritten="nothing")
    wanted = search(BookedPrompt.plain(TEXT, "prepend"), line)
    expected = Shorten().expected(wanted)
    Shorten().best(wanted)
    assert expected.task / 2 <= len(line.asked) <= 2 * expected.task
    assert len(line.reflected) == expected.reflection


def test_the_prompt_of_the_example_loses_its_padding() -> None:
    suite = read_suite(SUPPORT / "suite")
    padding = "We love coffee and everybody who drinks it. The sun rises over our plantations every morning."
    written = (SUPPORT / "prompts/support.md").read_text(encoding="utf-8")
    prompt = BookedPrompt.plain(f"{padding}\n\n{written}", "prepend")
    parts = Parts(suite.cases[::10], tuple(case for place, case in enumerate(suite.cases) if place % 10), ())
    line = AttentiveLine()
    right: dict[tuple[str, str], float] = {}

    def told(one: BookedPrompt, case: Case, value: float) -> None:
        right[one.version, case.id] = value

    found = Shorten().best(search(prompt, line, parts=parts, told=told))
    assert "plantations" not in found.text
    assert "help@tolvana.example" in found.text
    assert len(found.text) < 0.5 * len(prompt.text)
    lost = [right[prompt.version, case.id] - right[found.version, case.id] for case in parts.validation]
    assert sum(lost) <= 0.02 * len(lost)
