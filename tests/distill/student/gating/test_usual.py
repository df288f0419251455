"""What an intent usually gets."""

from __future__ import annotations

from distill.student.examples import Example
from distill.student.gating.usual import LONGEST, MOST, usual_answers
from heads.signals import Signals


def example(intent: str, answer: str, weight: float = 1.0) -> Example:
    asked = ({"role": "user", "content": answer},)
    return Example(id=answer[:9], intent=intent, messages=asked, answer=answer, group=answer[:9], weight=weight)


def test_the_commonest_answer_is_first_and_none_says_what_another_says() -> None:
    rows = [example("a", "Wait two days for it."), example("a", "Look at the tracking page.", 5)]
    rows += [example("a", "wait two days for it"), example("b", "No.")]
    assert usual_answers(rows) == {"a": ("Look at the tracking page.", "Wait two days for it."), "b": ("No.",)}


def test_they_are_few_and_short_and_an_intent_without_any_is_named() -> None:
    words = ("apple", "bridge", "candle", "dragon", "engine", "forest")
    rows = [example("a", f"{word} {word}s") for word in words] + [example("b", "x" * (LONGEST + 1))]
    usual = usual_answers(rows)
    assert (len(usual["a"]), usual["b"]) == (MOST, ())


def test_an_answer_is_held_beside_the_one_it_is_most_like() -> None:
    signals = Signals(answer="Wait two days.").with_usual(("Look at the page.", "wait two days"))
    assert signals.second_agrees is not None and signals.second_agrees > 0.9
    assert Signals(answer="Wait two days.").with_usual(()).second_agrees is None
