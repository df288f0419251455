"""What becomes of a client's messages under each merge rule."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompts.render import MergeRule, render

OURS = "Be brief."
RULES: tuple[MergeRule, ...] = get_args(MergeRule)
HELLO = {"role": "user", "content": "hello"}
ANSWER = {"role": "assistant", "content": "hi"}


def system(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "system", "content": content, **more}


def developer(content: Any) -> dict[str, Any]:
    return {"role": "developer", "content": content}


OWN = system(OURS)
PART = {"type": "text", "text": "Be kind."}

TABLE = [
    ("prepend", [HELLO], [OWN, HELLO]),
    ("prepend", [], [OWN]),
    ("prepend", [system("Be kind."), HELLO], [system("Be brief.\n\nBe kind."), HELLO]),
    ("prepend", [developer("Be kind."), HELLO], [developer("Be brief.\n\nBe kind."), HELLO]),
    ("prepend", [system("A", name="n")], [system("Be brief.\n\nA", name="n")]),
    ("prepend", [system([PART])], [system([{"type": "text", "text": "Be brief.\n\n"}, PART])]),
    ("prepend", [system("A"), developer("B"), HELLO], [system("Be brief.\n\nA"), developer("B"), HELLO]),
    ("prepend", [HELLO, system("late")], [OWN, HELLO, system("late")]),
    ("prepend", [system(None), HELLO], [OWN, HELLO]),
    ("prepend", [system(""), HELLO], [OWN, HELLO]),
    ("prepend", [system([]), HELLO], [OWN, HELLO]),
    ("append", [HELLO], [OWN, HELLO]),
    ("append", [system("Be kind."), HELLO], [system("Be kind.\n\nBe brief."), HELLO]),
    ("append", [developer([PART])], [developer([PART, {"type": "text", "text": "\n\nBe brief."}])]),
    ("append", [system("A"), developer("B"), HELLO], [system("A"), developer("B\n\nBe brief."), HELLO]),
    (
        "append",
        [system("A"), HELLO, system("late"), ANSWER],
        [system("A\n\nBe brief."), HELLO, system("late"), ANSWER],
    ),
    ("append", [HELLO, system("late")], [OWN, HELLO, system("late")]),
    ("replace", [HELLO], [OWN, HELLO]),
    ("replace", [system("A"), HELLO, developer("B"), ANSWER], [OWN, HELLO, ANSWER]),
    ("replace", [HELLO, developer("B")], [developer(OURS), HELLO]),
    ("only-if-absent", [HELLO, ANSWER], [OWN, HELLO, ANSWER]),
]
UNCHANGED = [
    ("only-if-absent", [system("A"), HELLO]),
    ("only-if-absent", [HELLO, developer("late")]),
    ("replace", [OWN, HELLO]),
]


@pytest.mark.parametrize(("rule", "before", "after"), TABLE)
def test_each_rule(rule: MergeRule, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    assert render(before, OURS, rule) == after


@pytest.mark.parametrize(("rule", "messages"), UNCHANGED)
def test_messages_come_back_as_they_are_where_nothing_changes(rule: MergeRule, messages: list[Any]) -> None:
    assert render(messages, OURS, rule) is messages


contents = st.none() | st.text(max_size=5) | st.lists(st.just(PART), max_size=2)
conversations = st.lists(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(["system", "developer", "user", "assistant", "tool"]),
        contents,
    ),
    max_size=6,
)


@given(conversations, st.sampled_from(RULES))
def test_the_client_keeps_what_it_sent(messages: list[dict[str, Any]], rule: MergeRule) -> None:
    before = copy.deepcopy(messages)
    rendered = render(messages, OURS, rule)
    assert messages == before
    assert (rendered is messages) == (rendered == messages)

    spoken = [message for message in rendered if message["role"] not in ("system", "developer")]
    assert spoken == [message for message in before if message["role"] not in ("system", "developer")]


@given(conversations, st.sampled_from(RULES))
def test_the_prompt_is_there_once_and_opens_the_conversation(
    messages: list[dict[str, Any]], rule: MergeRule
) -> None:
    rendered = render(messages, OURS, rule)
    holders = [place for place, message in enumerate(rendered) if OURS in repr(message["content"])]
    if rule == "only-if-absent" and any(m["role"] in ("system", "developer") for m in messages):
        assert holders == []
    else:
        assert len(holders) == 1
        assert all(m["role"] in ("system", "developer") for m in rendered[: holders[0] + 1])


SHOWN = ({"role": "user", "content": "who?"}, {"role": "assistant", "content": "me"})


@given(conversations, st.sampled_from(RULES))
def test_demonstrations_follow_the_opening_instructions_and_nothing_else_moves(
    messages: list[dict[str, Any]], rule: MergeRule
) -> None:
    before = copy.deepcopy(messages)
    plain, rendered = render(messages, OURS, rule), render(messages, OURS, rule, SHOWN)
    assert messages == before
    if rule == "only-if-absent" and any(m["role"] in ("system", "developer") for m in messages):
        assert rendered is messages
        return
    opening = 0
    while opening < len(plain) and plain[opening]["role"] in ("system", "developer"):
        opening += 1
    assert list(rendered) == [*plain[:opening], *SHOWN, *plain[opening:]]


def test_a_rule_adds_a_message_only_where_there_is_none_to_join() -> None:
    for rule in RULES:
        assert len(render([system("A"), HELLO], OURS, rule)) == 2
