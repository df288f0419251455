"""Files to chunks with offsets in the text as it was read."""

from __future__ import annotations

from contracts.retrieval import ChunkRules
from rag.ingesting.cutting import Cut, Job, Refusal, chunker_of, cut
from rag.retrieval.words import counted
from tests.rag.ingesting.counting import words


def _job(content: str, filename: str = "a.md", *, most_chunks: int = 1000, context: bool = True) -> Job:
    return Job(
        filename=filename,
        content=content.encode(),
        rules=ChunkRules(size=100, overlap=0),
        context=context,
        seconds=10.0,
        memory=1 << 30,
        most_chunks=most_chunks,
    )


def test_chunks_count_in_the_whole_text_and_leave_the_front_matter_out() -> None:
    text = f"---\ntitle: The guide\n---\n\n# Part\n\n{words(40, 'rain')}\n"
    made = cut(_job(text))
    assert isinstance(made, Cut)
    assert made.text == text
    assert len(made.chunks) > 3
    body = text.index("# Part")
    assert min(chunk.start for chunk in made.chunks) >= body
    covered = " ".join(text[chunk.start : chunk.end] for chunk in made.chunks)
    assert covered.split() == text[body:].split()
    assert all(chunk.context.startswith("The guide") for chunk in made.chunks)
    assert made.tokens == sum(chunk.tokens for chunk in made.chunks)
    first = made.chunks[0]
    assert made.words[0] == counted(f"{first.context}\n{text[first.start : first.end]}")


def test_a_file_without_a_title_goes_by_its_name() -> None:
    made = cut(_job("Plain words.", "rules/house_rules-2026.txt"))
    assert isinstance(made, Cut)
    assert made.chunks[0].context == "house rules 2026"


def test_without_context_chunks_have_none() -> None:
    made = cut(_job("# A\n\nPlain words.", context=False))
    assert isinstance(made, Cut)
    assert {chunk.context for chunk in made.chunks} == {""}


def test_more_chunks_than_a_store_takes_are_refused_before_they_are_encoded() -> None:
    refused = cut(_job(words(200, "rain"), most_chunks=3))
    assert isinstance(refused, Refusal)
    assert refused.code == "invalid_file"
    assert "a store takes 3 (rag.max_store_chunks)" in refused.message


def test_the_chunker_says_all_that_decides_how_a_document_is_cut() -> None:
    rules = ChunkRules(size=100, overlap=0)
    assert (
        len({chunker_of(None, context=True), chunker_of(None, context=False), chunker_of(rules, context=True)}) == 3
    )
