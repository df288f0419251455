"""What counts as a citation in an answer, and where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.grounding.citing import citations_in
from tests.router.plain_library import passage

THREE = tuple(passage(f"Text {n}", f"{n}.md") for n in (1, 2, 3))


@pytest.mark.parametrize(
    ("text", "numbers", "stray"),
    [
        ("A day [1].", [1], 0),
        ("[1][3]", [1, 3], 0),
        ("so [1, 3]; and [2;3]", [1, 3, 2, 3], 0),
        ("both [1-3]", [1, 2, 3], 0),
        ("both [1–2]", [1, 2], 0),
        ("so 【2】 or 【3†source】", [2, 3], 0),
        ("no [4] and [0], but [1, 9]", [1], 3),
        ("twice [2, 2]", [2], 0),
        ("the year [2024], [x], [], [ 1 ]", [], 0),
        ("a link [1](https://example.com)", [], 0),
        ("`list[1]` and [2]", [2], 0),
        ("```python\nx[1]\n```\nSo [3].", [3], 0),
        ("~~~\nx[1]\n", [], 0),
        ("it costs 5` or [1]", [1], 0),
        ("a ` here [1].\n \nAnd [2] ` there", [1, 2], 0),
        ("``` x[1] ``` and [2]\n\nmore [3]", [2, 3], 0),
        ("```\na\n```python\nx[1]\n``` \nSo [3].", [3], 0),
    ],
)
def test_markers(text: str, numbers: list[int], stray: int) -> None:
    found = citations_in(text, THREE)
    assert [note["file_citation"]["number"] for note in found.annotations] == numbers
    assert (found.cited, found.stray) == (frozenset(numbers), stray)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ('{"counts": [1, 2], "said": "A day [3]."}', [3]),
        ("[1]", []),
        (r'{"said": "\"Thirty\" [1]", "list": [2], "code": "`x[3]`"}', [1]),
        ('{"one": "a ` [1]", "other": "b ` [2]"}', [1, 2]),
        ('{"said": "cut off [2', []),
        ('{"said": "cut off [2] \\', [2]),
    ],
)
def test_in_json_only_its_strings_cite(text: str, numbers: list[int]) -> None:
    found = citations_in(text, THREE, is_json=True)
    assert [note["file_citation"]["number"] for note in found.annotations] == numbers
    assert all(text[note["start_index"] : note["end_index"]] == note["text"] for note in found.annotations)


def test_what_is_cited_without_end_is_not_told_without_end() -> None:
    found = citations_in("[1-3]" * 5_000, THREE)
    assert (len(found.annotations), found.cited) == (1_000, frozenset({1, 2, 3}))


def test_an_annotation_says_what_and_where() -> None:
    source = passage("x" * 400, "returns.md", score=0.87654)
    (note,) = citations_in("So 𝔘🙂 it is [1].", [source]).annotations
    assert note == {
        "type": "file_citation",
        "text": "[1]",
        "start_index": 12,
        "end_index": 15,
        "file_citation": {
            "number": 1,
            "file_id": "file-returns.md",
            "filename": "returns.md",
            "vector_store_id": "vs_1",
            "start": 0,
            "end": 400,
            "quote": "x" * 300,
            "updated_at": "2026-09-05T12:00:00+00:00",
            "score": 0.8765,
        },
    }
    (whole,) = citations_in("[1]", [source], whole=True).annotations
    assert whole["file_citation"]["quote"] == source.text


@given(
    st.lists(
        st.text(max_size=20) | st.sampled_from(["[1]", "[2, 3]", "【3】", "`", "```", "[7]", "🙂"]), max_size=12
    )
)
def test_places_are_those_of_the_markers_in_any_text(said: list[str]) -> None:
    text = "".join(said)
    found = citations_in(text, THREE)
    for note in found.annotations:
        assert text[note["start_index"] : note["end_index"]] == note["text"]
    assert {note["file_citation"]["number"] for note in found.annotations} == found.cited <= {1, 2, 3}


def test_time_is_linear_in_what_a_model_writes() -> None:
    """A pattern that goes back over its text would take minutes here."""
    for text in (
        "[1, " * 50_000,
        "`" * 100_000,
        "` " * 50_000,
        "```\n" * 30_000,
        "【1†" * 30_000,
        "~~~\n" * 30_001,
        "`\n \n" * 30_000,
        '\\"' * 50_000 + "\\",
    ):
        citations_in(text, THREE)
        citations_in(text, THREE, is_json=True)
