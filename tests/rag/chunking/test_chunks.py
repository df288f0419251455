from itertools import pairwise
from random import Random
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.retrieval import ChunkRules
from rag.chunking.chunks import OWN_RULES, chunks_of
from rag.chunking.sizes import tokens_in

LINES = st.one_of(
    st.sampled_from(
        [
            "# Returns",
            "## How long",
            "= Valkyria =",
            "Title\n===",
            "- an item. With two sentences",
            "2) numbered",
            "  goes on",
            "| a | b |",
            "|---|---|",
            "one | two",
            "```",
            "~~~~",
            "x = 1",
            'Dr. Who said "No." Then he left',
            "退货很容易。三十天内可以。",
            "wörter überall",
            "x" * 90,
            "",
            "\t ",
        ]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
)
TEXTS = st.lists(LINES, max_size=30).flatmap(
    lambda lines: st.sampled_from(["\n", "\n\n", "\r\n"]).map(lambda end: end.join(lines))
)
RULES = st.builds(lambda size, share: ChunkRules(size, int(size * share)), st.integers(4, 60), st.floats(0, 0.5))
NAMES = st.sampled_from(["markdown", "plain"])


@given(TEXTS, RULES, NAMES)
def test_all_but_white_space_is_in_a_chunk_and_none_is_too_long(text: str, rules: ChunkRules, name: str) -> None:
    chunks = chunks_of(text, name=name, rules=rules)

    covered = bytearray(len(text))
    for chunk in chunks:
        covered[chunk.start : chunk.end] = b"\1" * (chunk.end - chunk.start)
        assert tokens_in(text[chunk.start : chunk.end]) == tokens_in(text, chunk.start, chunk.end) == chunk.tokens
        assert 0 < chunk.tokens <= rules.size
    assert not "".join(sign for sign, within in zip(text, covered, strict=True) if not within).strip()
    assert all(first.start < second.start and first.end < second.end for first, second in pairwise(chunks))
    assert chunks_of(text, name=name, rules=rules) == chunks


@given(TEXTS, NAMES)
def test_without_overlap_no_character_is_in_two_chunks(text: str, name: str) -> None:
    chunks = chunks_of(text, name=name, rules=ChunkRules(20, 0))

    assert all(first.end <= second.start for first, second in pairwise(chunks))
    assert all(text[chunk.start : chunk.end].strip() == text[chunk.start : chunk.end] for chunk in chunks)


@given(TEXTS, TEXTS, TEXTS)
def test_a_change_in_one_section_leaves_the_others_as_they_were(before: str, changed: str, after: str) -> None:
    def sections(middle: str) -> str:
        parts = [part.replace("```", "").replace("~~~", "") for part in (before, middle, after)]
        return f"{parts[0]}\n\n# Second\n\n{parts[1]}\n\n# Third\n\n{parts[2]}"

    def outside(text: str) -> list[str]:
        second, third = text.index("# Second\n"), text.rindex("# Third\n")
        found = chunks_of(text, name="markdown", rules=ChunkRules(40, 0))
        return [text[each.start : each.end] for each in found if each.end <= second or each.start >= third]

    assert outside(sections("As it was.")) == outside(sections(changed))


def test_a_change_in_one_paragraph_leaves_far_ones_as_they_were() -> None:
    random = Random(7)
    words = ["river", "weir", "flow", "gate", "rain", "stone", "level", "water", "bank", "lock"]
    sentences = [" ".join(random.choices(words, k=9)) + "." for _ in range(3000)]
    old = "\n\n".join(" ".join(sentences[at : at + 4]) for at in range(0, 3000, 4))
    at = len(old) // 2
    new = old[:at] + " Now there is more to say, about this and about that." * 5 + old[at:]

    def texts(text: str) -> set[str]:
        return {text[chunk.start : chunk.end] for chunk in chunks_of(text, name="plain")}

    assert len(texts(old)) > 200
    assert len(texts(new) - texts(old)) < 30


def test_chunks_end_where_the_author_paused() -> None:
    text = "# Returns\n\n" + "\n\n".join(
        " ".join(f"Sentence {at} of paragraph {number} says a little about it all." for at in range(6))
        for number in range(8)
    )

    chunks = chunks_of(text, name="markdown")

    assert len(chunks) > 2
    assert chunks[0].start == 0
    assert all(text[chunk.end - 1] == "." for chunk in chunks)
    assert all(text[chunk.end : chunk.end + 2] in ("\n\n", "") for chunk in chunks)


def test_a_sentence_is_parted_only_where_it_is_longer_than_a_chunk() -> None:
    short = "He met Dr. Smith, i.e. the U.S. envoy, at 5 p.m. on Monday."
    long = ", ".join(f"the item with the number {number}" for number in range(100))

    (one,) = chunks_of(short, name="plain", rules=ChunkRules(40, 0))
    parts = chunks_of(f"{short} {long}.", name="plain", rules=ChunkRules(40, 0))

    assert (one.start, one.end) == (0, len(short))
    assert parts[0].end == len(short)
    assert all(f"{short} {long}."[part.end - 1] == "," for part in parts[1:-1])


def test_the_context_says_where_a_chunk_stands() -> None:
    text = (
        "# Shop\n\n## Returns\n\nWithin thirty days.\n\n## Prices\n\n| item | price |\n|---|---|\n"
        + "\n".join(f"| thing number {number} | {number} EUR |" for number in range(60))
        + "\n\n## End\n\nGoodbye."
    )

    chunks = chunks_of(text, name="markdown", title="The shop")

    contexts = [chunk.context for chunk in chunks]
    assert contexts[0] == "The shop > Shop > Returns"
    assert contexts[1] == "The shop > Shop > Prices"
    assert contexts[2] == "The shop > Shop > Prices > | item | price |"
    assert contexts[-1] == "The shop > Shop > End"
    assert {chunk.context for chunk in chunks_of(text, name="markdown", title="shop")} >= {"Shop > End"}
    assert {chunk.context for chunk in chunks_of(text, name="markdown", context=False)} == {""}


@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("markdown", "Title\n-----\n\nText.", "Title"),
        ("markdown", "```\n# a comment\n```\n", ""),
        ("markdown", "####### seven\n\nText.", ""),
        ("plain", "# a comment\nx = 1", ""),
        ("plain", " = = History = = \n Text .", "History"),
        ("plain", "== History ==\nText.", "History"),
    ],
)
def test_headings_are_told_from_their_like(name: str, text: str, path: str) -> None:
    assert chunks_of(text, name=name)[-1].context == path


def test_overlap_is_whole_sentences_under_the_same_heading() -> None:
    text = "# A\n\n" + " ".join(f"Sentence {at:02} is here." for at in range(20)) + "\n\n# B\n\nAnother one."

    chunks = chunks_of(text, name="markdown", rules=ChunkRules(40, 14))

    shared = [text[second.start : first.end] for first, second in pairwise(chunks[:-1])]
    assert shared
    assert all(part.startswith("Sentence ") and part.endswith("here.") for part in shared)
    assert text[chunks[-1].start :] == "# B\n\nAnother one."


def test_nothing_makes_no_chunks_and_one_long_word_makes_many() -> None:
    assert chunks_of(" \n\n\t", name="plain") == ()
    chunks = chunks_of("x" * 100_000, name="plain")
    assert max(chunk.tokens for chunk in chunks) == OWN_RULES.size
    assert sum(chunk.end - chunk.start for chunk in chunks) == 100_000


@pytest.mark.parametrize("text", ["." * 300_000 + "x", ".)" * 150_000 + "x", "a. " * 100_000])
def test_a_page_of_full_stops_is_no_long_work(text: str) -> None:
    began = process_time()
    assert chunks_of(text, name="plain")
    assert process_time() - began < 20
