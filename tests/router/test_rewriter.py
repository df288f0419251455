"""A model puts the last turn of a conversation, and its words are searched for where they can be used."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from contracts.errors import ServerFault
from contracts.ports import WholeAnswer
from contracts.retrieval import Turn
from router.retrieving import Retrieving
from router.rewriter import LONGEST, Rewriter, line_in
from router.setup import RetrievalRules
from tests.router.plain import PlainUpstream, plan, setup_over, whole, works_over
from tests.router.plain import Turn as Step
from tests.router.plain_library import PlainLibrary

RULES = RetrievalRules(stores=("help",), rewriter="small")
TALK = [
    {"role": "user", "content": "Tell me of returns"},
    {"role": "assistant", "content": "Gladly."},
    {"role": "user", "content": "How long do they take?"},
]


async def searched(
    folder: Path, step: Step, talk: list[dict[str, str]] = TALK
) -> tuple[PlainLibrary, PlainUpstream]:
    """What is searched for in the end, where the model `small` takes `step` when it is asked to rewrite."""
    library, small = PlainLibrary(returns="Returns take 30 days"), PlainUpstream("small", step)
    setup = setup_over(
        {"m": PlainUpstream("m", whole("Yes [1].")), "small": small}, plan("help", "m", retrieval=RULES)
    )
    retrieving = Retrieving(library.open)
    async with works_over(setup, folder, retrieving=retrieving) as weir:
        retrieving.rewriter = Rewriter(weir.pipeline.answer, deadline_s=5)
        await weir.ask({"model": "help", "messages": talk})
        (event,) = [event for event in weir.told if event.purpose == "serve"]
        assert event.retrieval is not None
        assert event.retrieval.rewritten == (library.searches[0].rewriting == "off")
        assert [each.tenant for each in weir.told] == ["acme"] * len(weir.told)
        assert [each.purpose for each in weir.told if each is not event] == ["rewrite"] * bool(small.calls)
    return library, small


async def test_its_line_is_searched_for(tmp_path: Path) -> None:
    library, small = await searched(tmp_path, whole(" How long do returns take?\n"))
    (search,) = library.searches
    assert (search.turns, search.rewriting) == ((Turn("user", "How long do returns take?"),), "off")
    assert "Tell me of returns" in small.calls[0].body["messages"][1]["content"]


async def test_what_it_thought_is_not_searched_for(tmp_path: Path) -> None:
    thought = whole("How long do returns take?")
    thought.data["choices"][0]["message"]["reasoning_content"] = "The user means returns.\nSo:"
    library, _ = await searched(tmp_path, WholeAnswer(body=orjson.dumps(thought.data), data=thought.data))
    assert library.searches[0].turns == (Turn("user", "How long do returns take?"),)


@pytest.mark.parametrize("step", [whole("a\nb"), whole(""), whole("x" * (LONGEST + 1)), ServerFault("down")])
async def test_else_what_was_said_before_is(tmp_path: Path, step: Step) -> None:
    library, _ = await searched(tmp_path, step)
    (search,) = library.searches
    assert ([turn.text for turn in search.turns], search.rewriting) == (
        [each["content"] for each in TALK],
        "history",
    )


async def test_a_turn_that_stands_alone_costs_no_call(tmp_path: Path) -> None:
    library, small = await searched(tmp_path, whole("never"), TALK[:1])
    assert not small.calls
    assert library.searches[0].rewriting == "history"


def test_a_line() -> None:
    assert line_in(" a question? \n") == "a question?"
    assert line_in("x" * LONGEST) == "x" * LONGEST
    assert line_in("one\u2028two") is None
