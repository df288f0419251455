"""The answer itself, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evals.scorers.scoring import lacks, right, scored, scorer, unhurried


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("Paris", "Paris"),
        (" Paris ", "\nParis "),
        (["Paris", "Lutetia"], "Lutetia"),
        (7, "7"),
        (0.5, "0.5"),
        ([1, 2], "2"),
    ],
)
def test_an_accepted_answer_is_right(answer: Any, text: str) -> None:
    assert right("exact", {"answer": answer}, text)


@pytest.mark.parametrize(
    ("answer", "text"), [("Paris", "paris"), ("Paris", "Paris."), ("Paris", ""), (7, "7.0"), (["a", "b"], "a b")]
)
def test_any_other_is_wrong(answer: Any, text: str) -> None:
    assert not right("exact", {"answer": answer}, text)


def test_the_reason_quotes_both() -> None:
    assert scored("exact", {"answer": "Paris"}, "Rome\nor Milan").why == 'says "Rome or Milan", not "Paris"'
    assert scored("exact", {"answer": "Paris"}, " ").why == 'says nothing, not "Paris"'
    assert len(scored("exact", {"answer": "Paris"}, "x" * 5000).why) < 200


@pytest.mark.parametrize("wrong", ["", "  ", [], ["a", ""], None, True, {"a": 1}, [["a"]]])
def test_an_answer_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^expected\.answer: "):
        lacks("exact", {"answer": wrong})


def test_a_case_without_an_answer_cannot_be_judged() -> None:
    assert lacks("exact", {"facts": ["x"]}) == "`expected.answer`"


def test_a_name_changes_no_score_and_so_no_version() -> None:
    assert (scorer("exact").name, scorer("exact", name="mine").name) == ("exact", "mine")
    assert scorer("exact").version == scorer("exact", name="mine").version


@unhurried
@given(st.text().filter(str.strip))
def test_every_text_is_its_own_answer(text: str) -> None:
    assert right("exact", {"answer": text}, text)
