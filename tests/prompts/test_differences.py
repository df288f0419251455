"""How two versions differ: to the letter where they are put together again, and readable where a person looks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prompts.differences import Passage, difference, passages
from prompts.prompt import BookedPrompt, Contract, Demonstration, Section

TEXTS = st.lists(st.sampled_from(["be", "kind", "brief.", " ", "\n\n", "the", "ü"]), max_size=12).map(" ".join)
LEAK = Demonstration("It leaks.", "See Help > Leaks.")
LATE = Demonstration("It is late.", "See Help > Delivery.")


def prompt(**parts: object) -> BookedPrompt:
    whole = {"sections": (Section(name="role", text="You help."),), "rule": "prepend", **parts}
    return BookedPrompt(**whole)  # type: ignore[arg-type]


@given(TEXTS, TEXTS)
def test_both_texts_can_be_read_from_the_passages(before: str, after: str) -> None:
    found = passages(before, after)
    assert "".join(each.text for each in found if each.change != "added") == before
    assert "".join(each.text for each in found if each.change != "removed") == after
    assert all(each.text for each in found)


@given(TEXTS)
def test_nothing_differs_from_itself(text: str) -> None:
    assert {each.change for each in passages(text, text)} <= {"same"}


def test_words_that_were_changed_stand_alone() -> None:
    assert passages("Be brief. Never promise a refund.", "Be brief. Never promise a gift.") == (
        Passage("same", "Be brief. Never promise a "),
        Passage("removed", "refund."),
        Passage("added", "gift."),
    )


def test_a_word_between_two_changes_is_part_of_them() -> None:
    found = passages("You may be very curt with all customers.", "You must be most kind with all customers.")
    assert [(each.change, each.text) for each in found] == [
        ("same", "You "),
        ("removed", "may be very curt "),
        ("added", "must be most kind "),
        ("same", "with all customers."),
    ]


def test_sections_are_compared_by_name() -> None:
    rules, tone = Section(name="rules", text="No refunds.", locked=True), Section(name="tone", text="Kind.")
    role = Section(name="role", text="You help.")
    opened = Section(name="rules", text="No refunds.")
    found = difference(prompt(sections=(rules, role)), prompt(sections=(tone, opened)))
    assert [(each.name, each.change, each.locked) for each in found.sections] == [
        ("tone", "added", (None, False)),
        ("rules", "changed", (True, False)),
        ("role", "removed", (False, None)),
    ]
    assert not found.reordered


def test_what_moved_is_said() -> None:
    role, rules = Section(name="role", text="You help."), Section(name="rules", text="No refunds.")
    assert difference(prompt(sections=(role, rules)), prompt(sections=(rules, role))).reordered
    assert difference(prompt(demonstrations=(LEAK, LATE)), prompt(demonstrations=(LATE, LEAK))).reordered


def test_demonstrations_slots_contract_and_rule_are_compared() -> None:
    before = prompt(demonstrations=(LEAK,), slots={"a": "1", "b": "2"}, contract=Contract(most_words=9))
    after = prompt(demonstrations=(LATE,), slots={"b": "3"}, contract=Contract(matches="^x"), rule="append")
    found = difference(before, after)
    assert (found.demonstrations_removed, found.demonstrations_added) == ((LEAK,), (LATE,))
    assert found.slots == {"a": ("1", None), "b": ("2", "3")}
    assert found.contract == {"most_words": (9, None), "matches": (None, "^x")}
    assert found.rule == ("prepend", "append")
