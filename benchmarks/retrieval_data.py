"""The test sets of retrieval: passages with questions that they answer, and documents with the characters that do.

The layout of the folder is BEIR's: `corpus.jsonl`, `queries.dev.jsonl` and `qrels.dev.tsv` for each set, and for
chunkers `chunking/corpora/*.md` with `chunking/questions.dev.jsonl`. Questions may come from another folder of that
form, where files end in `holdout` for `dev`; corpora are always those of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from contracts.retrieval import Turn

SETS = ("clapnq", "mtragun/cloud", "mtragun/govt", "mtragun/wiki")
MULTI_TURN = SETS[1:]
CHUNKING = "chunking"


class Questions(Struct, frozen=True):
    """Where questions are, and the part of them that is there."""

    folder: Path
    part: str


class Asked(Struct, frozen=True):
    """A question, the last of `turns`, with the passages that answer it: numbers in the corpus. `group` is what
    intervals are resampled by."""

    turns: tuple[Turn, ...]
    right: frozenset[int]
    group: str


class PassageSet(Struct, frozen=True):
    """`passages` are titles, which may be empty, and texts."""

    name: str
    passages: tuple[tuple[str, str], ...]
    asked: tuple[Asked, ...]


class SpanQuestion(Struct, frozen=True):
    """Characters of one document that answer a question, as (start, end)."""

    text: str
    document: str
    spans: tuple[tuple[int, int], ...]
    group: str


def questions_of(data: Path, other: Path | None) -> Questions:
    return Questions(data, "dev") if other is None else Questions(other, "holdout")


def passage_set(data: Path, questions: Questions, name: str) -> PassageSet:
    """Of those questions that some passage answers. Raises OSError and ValueError."""
    corpus = _lines(data / name / "corpus.jsonl")
    number = {passage["_id"]: place for place, passage in enumerate(corpus)}
    right: dict[str, set[int]] = {}
    qrels = (questions.folder / name / f"qrels.{questions.part}.tsv").read_text("utf-8").splitlines()
    for line in qrels[1:]:
        query, passage, relevance = line.split("\t")
        if int(relevance) > 0:
            right.setdefault(query, set()).add(number[passage])
    asked = [
        Asked(_turns(query), frozenset(right[query["_id"]]), query["group"])
        for query in _lines(questions.folder / name / f"queries.{questions.part}.jsonl")
        if query["_id"] in right
    ]
    return PassageSet(name, tuple((each.get("title") or "", each["text"]) for each in corpus), tuple(asked))


def span_questions(questions: Questions) -> tuple[SpanQuestion, ...]:
    """Raises OSError."""
    return tuple(
        SpanQuestion(
            line["text"],
            line["corpus_id"],
            tuple((each["start"], each["end"]) for each in line["references"]),
            line.get("group") or f"{line['corpus_id']}/{line['references'][0]['start'] // 2000}",
        )
        for line in _lines(questions.folder / CHUNKING / f"questions.{questions.part}.jsonl")
    )


def documents(data: Path) -> Mapping[str, str]:
    """The texts that spans are in, by name."""
    found: dict[str, str] = {}
    for path in sorted((data / CHUNKING / "corpora").glob("*.md")):
        with path.open(encoding="utf-8", newline="") as file:
            found[path.stem] = file.read()
    return found


def interrupted(asked: Sequence[Asked]) -> tuple[Asked, ...]:
    """The same questions, each after a conversation about another one: none of them needs what was said before."""
    halfway = len(asked) // 2
    return tuple(
        Asked(
            (*other.turns, Turn("assistant", f"About {other.turns[-1].text}: that is all I know."), each.turns[-1]),
            each.right,
            each.group,
        )
        for each, other in zip(asked, (*asked[halfway:], *asked[:halfway]), strict=True)
    )


def _turns(query: Mapping[str, Any]) -> tuple[Turn, ...]:
    said = query.get("messages") or [{"role": "user", "content": query["text"]}]
    return tuple(Turn(each["role"], each["content"]) for each in said)


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open("rb") as file:
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in file if line.strip()]
