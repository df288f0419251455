from datetime import UTC, datetime

from contracts.retrieval import Passage
from rag.retrieval.packing import joined, packed


def passage(start: int, text: str, *, score: float, file_id: str = "file-1", tokens: int = 100) -> Passage:
    return Passage(
        store_id="vs_1",
        file_id=file_id,
        filename=f"{file_id}.md",
        revision=1,
        updated_at=datetime(2026, 1, 1, tzinfo=UTC),
        start=start,
        end=start + len(text),
        text=text,
        score=score,
        tokens=tokens,
    )


RIVER = passage(0, "The weir holds back the river.", score=0.9)
GATES = passage(200, "Gates are opened when rain falls.", score=0.6)
LOCKS = passage(400, "Boats pass through two locks.", score=0.3, file_id="file-2")
MARSH = passage(600, "Frogs live in a marsh.", score=0.01)


def test_the_budget_is_kept_and_the_best_come_first() -> None:
    assert packed([LOCKS, RIVER, GATES], 250, 10) == (RIVER, GATES)
    assert packed([LOCKS, RIVER, GATES], 5000, 10) == (RIVER, GATES, LOCKS)
    assert packed([LOCKS, RIVER, GATES], 5000, 1) == (RIVER,)
    assert packed([LOCKS, RIVER, GATES], 50, 10) == ()
    assert packed([], 5000, 10) == ()


def test_what_hardly_helps_is_left_out_unless_it_is_the_best() -> None:
    assert packed([RIVER, MARSH], 5000, 10) == (RIVER,)
    assert packed([MARSH], 5000, 10) == (MARSH,)


def test_what_repeats_others_is_not_worth_its_tokens() -> None:
    again = passage(900, "The weir holds back the river.", score=0.8, file_id="file-3")

    assert packed([RIVER, again, GATES, LOCKS], 5000, 10) == (RIVER, GATES, LOCKS)


def test_a_short_passage_goes_before_a_long_one_that_is_little_better() -> None:
    long = passage(0, "Everything about the weir and its river and its keepers.", score=0.65, tokens=400)

    assert packed([long, GATES], 420, 10) == (GATES,)


def test_those_that_overlap_become_one() -> None:
    text = "One sentence here. Another one there. And a third."
    first = passage(0, text[:37], score=0.4, tokens=8)
    second = passage(19, text[19:], score=0.7, tokens=8)
    apart = passage(19, text[19:], score=0.7, file_id="file-2")

    (one,) = joined([second, first])

    assert (one.start, one.end, one.text, one.score) == (0, len(text), text, 0.7)
    assert 8 < one.tokens < 16
    assert joined([first, apart]) == [first, apart]
    assert joined([first, passage(5, text[5:20], score=0.9)])[0].text == first.text
