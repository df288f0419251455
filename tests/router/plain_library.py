"""A library in memory that finds the documents which share a word with the question, for tests of the router."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from contracts.errors import NotFound, RetrievalUnavailable
from contracts.retrieval import Findings, Library, Passage, Search, StoreState, Turn

UPDATED = datetime(2026, 9, 5, 12, tzinfo=UTC)
STORE = "vs_1"


def passage(text: str, file: str = "returns.md", *, revision: int = 1, **more: object) -> Passage:
    told = {"tokens": len(text.split()), "document_tokens": 10 * len(text.split()), "score": 0.9, **more}
    return Passage(
        store_id=STORE,
        file_id=f"file-{file}",
        filename=file,
        revision=revision,
        updated_at=UPDATED,
        start=0,
        end=len(text),
        text=text,
        **told,  # type: ignore[arg-type]
    )


class PlainLibrary:
    """Of acme. `documents` are texts by file name; each change is a new revision of its file.

    While `down`, nothing can be told. With a `gate`, no search ends before it is set.
    """

    def __init__(self, **documents: str) -> None:
        self.revision = len(documents)
        self.documents = {f"{name}.md": (text, place) for place, (name, text) in enumerate(documents.items(), 1)}
        self.searches: list[Search] = []
        self.asked: list[tuple[str, ...]] = []
        self.down = False
        self.degraded = ""
        self.gate: asyncio.Event | None = None

    async def open(self) -> Library:
        return self

    def put(self, file: str, text: str) -> None:
        self.revision += 1
        self.documents[file] = (text, self.revision)

    def delete(self, file: str) -> None:
        self.revision += 1
        del self.documents[file]

    async def search(self, tenant: str, search: Search) -> Findings:
        self.searches.append(search)
        self._check(tenant)
        if self.gate is not None:
            await self.gate.wait()
        if unknown := set(search.stores) - {STORE, "help"}:
            raise NotFound(f"There is no vector store '{unknown.pop()}'.")
        words = set(" ".join(turn.text for turn in search.turns).lower().split())
        found = [
            passage(text, file, revision=revision)
            for file, (text, revision) in self.documents.items()
            if words & set(text.lower().split())
        ]
        state = StoreState(id=STORE, revision=self.revision, version=f"v{self.revision}")
        return Findings(
            passages=tuple(found[: search.most]),
            stores=(state,),
            answerable=0.9 if found else 0.01,
            queries=(search.turns[-1].text,),
            degraded=self.degraded,
        )

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        self._check(tenant)
        self.asked.append(tuple(basis))
        known = {f"{STORE}/file-{file}@{revision}" for file, (_, revision) in self.documents.items()}
        return set(basis) <= known | {f"{STORE}@{self.revision}"}

    async def rewrite(self, tenant: str, turns: Sequence[Turn]) -> str | None:
        return " ".join(turn.text for turn in turns) if len(turns) > 1 else None

    def _check(self, tenant: str) -> None:
        assert tenant == "acme"
        if self.down:
            raise RetrievalUnavailable("The storage cannot be reached.")
