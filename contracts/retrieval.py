"""Documents and what is found in them, in the words that the rag room, the router and the evals share.

A file is what somebody uploaded and never changes; a store holds files as documents; a document is cut into chunks;
a passage is a chunk that a search found. The non-obvious decision: everything is asked for under its tenant's name,
first of all arguments, because that is part of the key that it is kept under. So what another tenant has is not
refused, it is not there: NotFound.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol

from msgspec import Struct

Attributes = Mapping[str, str | float | bool]
"""Of a document, at most 16 (OpenAI's bound): what filters ask for."""
Status = Literal["in_progress", "completed", "failed", "cancelled"]
Rewriting = Literal["history", "off"]
"""`history`: a last turn that cannot stand alone is searched with what was said before it."""


class StoredFile(Struct, frozen=True, kw_only=True):
    """What was uploaded. `digest` is a hash of its bytes; `updated_at` when its content last changed, as far as
    known."""

    id: str
    filename: str
    purpose: str
    bytes: int
    digest: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None


class ChunkRules(Struct, frozen=True):
    """How a document is cut, in tokens of OpenAI's `static` strategy."""

    size: int
    overlap: int


class Counts(Struct, frozen=True, kw_only=True):
    """Documents of a store or a batch, by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0


class StoreState(Struct, frozen=True, kw_only=True):
    """What a store is at a moment. `revision` grows with each change of what a search could find in it;
    `version` is a hash of just that, so that equal contents have equal versions."""

    id: str
    revision: int
    version: str


class Store(Struct, frozen=True, kw_only=True):
    """A vector store. `bytes` is what its chunks take; `expires_after_days` counts from `last_active_at`."""

    id: str
    name: str
    created_at: datetime
    last_active_at: datetime
    state: StoreState
    counts: Counts
    bytes: int = 0
    chunks: int = 0
    metadata: Mapping[str, str] = {}
    expires_after_days: int | None = None
    expires_at: datetime | None = None


class Document(Struct, frozen=True, kw_only=True):
    """A file in a store. `revision` is that of the store's change which made it what it is.

    `tokens` are those of its whole text, `bytes` what its chunks take. `error` says what the owner can do about a
    document that failed; `error_code` is one of OpenAI's: `server_error`, `unsupported_file`, `invalid_file`.
    """

    store_id: str
    file_id: str
    filename: str
    status: Status
    created_at: datetime
    updated_at: datetime
    revision: int = 0
    bytes: int = 0
    chunks: int = 0
    tokens: int = 0
    attributes: Attributes = {}
    rules: ChunkRules | None = None
    """None: what Weir finds right."""
    batch: str = ""
    error_code: str = ""
    error: str = ""


class Page(Struct, frozen=True, kw_only=True):
    """Part of a list that is ordered by creation. `after` and `before` are ids, not included; both may be empty."""

    limit: int = 20
    after: str = ""
    before: str = ""
    newest_first: bool = True


class Passage(Struct, frozen=True, kw_only=True):
    """A chunk that was found. Its text is characters `start` to `end` of its document's text.

    `score` is the probability that it helps to answer, calibrated; `words` and `meaning` are what it was found by:
    BM25, and the cosine with the query, None where it was not found that way. `context` is the line that says where
    in the document it stands. `document_tokens` are those of the whole document.
    """

    store_id: str
    file_id: str
    filename: str
    revision: int
    """Of the document."""
    updated_at: datetime
    start: int
    end: int
    text: str
    context: str = ""
    score: float = 0.0
    words: float | None = None
    meaning: float | None = None
    tokens: int = 0
    document_tokens: int = 0
    attributes: Attributes = {}

    @property
    def basis(self) -> str:
        """What an answer that was built on this depends on: see `Library.current`."""
        return f"{self.store_id}/{self.file_id}@{self.revision}"


class Turn(Struct, frozen=True):
    """What was said in a conversation, as plain text."""

    role: str
    text: str


class Search(Struct, frozen=True, kw_only=True):
    """What is searched for. The last of `turns` is what is asked, those before it what it may refer to.

    `filters` are OpenAI's, as they came. `score_threshold` drops passages below it. `word_weight` and
    `meaning_weight` are shares of the two rankings; None: as tuned. With a `token_budget`, in tokens, passages are
    chosen to be useful within it, and neighbours that overlap are joined; else the best `most` come.
    """

    stores: tuple[str, ...]
    """Ids or names."""
    turns: tuple[Turn, ...]
    more: tuple[str, ...] = ()
    """Other wordings of the last turn, searched too."""
    most: int = 10
    filters: Mapping[str, Any] | None = None
    score_threshold: float = 0.0
    word_weight: float | None = None
    meaning_weight: float | None = None
    rerank: bool = True
    rewriting: Rewriting = "history"
    token_budget: int | None = None


class Findings(Struct, frozen=True, kw_only=True):
    """What a search found, the best first, in the stores as they were then.

    `answerable` is the probability that the passages hold what was asked for, calibrated. `queries` are what was
    searched for in the end, the first one the question; `rewritten` says whether that is not the turn as it came.
    `degraded` names the part that failed: `encoder` means that words alone were compared.
    """

    passages: tuple[Passage, ...]
    stores: tuple[StoreState, ...]
    answerable: float
    queries: tuple[str, ...]
    rewritten: bool = False
    degraded: str = ""

    @property
    def tokens(self) -> int:
        return sum(passage.tokens for passage in self.passages)

    @property
    def whole_tokens(self) -> int:
        """What the same documents would have taken whole."""
        documents = {(passage.store_id, passage.file_id): passage.document_tokens for passage in self.passages}
        return sum(documents.values())

    @property
    def basis(self) -> tuple[str, ...]:
        """What an answer depends on that was built on these passages; without any, on all that the stores hold."""
        if self.passages:
            return tuple(dict.fromkeys(passage.basis for passage in self.passages))
        return tuple(f"{store.id}@{store.revision}" for store in self.stores)


class Library(Protocol):
    """Where passages come from."""

    async def search(self, tenant: str, search: Search) -> Findings:
        """Raises NotFound where a store is not this tenant's, InvalidRequest for filters that cannot be read, and
        RetrievalUnavailable. A search counts as activity of its stores."""

    async def current(self, tenant: str, basis: Sequence[str]) -> bool:
        """Whether all that an answer was built on is still there, unchanged. Raises RetrievalUnavailable."""

    async def rewrite(self, tenant: str, turns: Sequence[Turn]) -> str | None:
        """The last turn as it would be searched for, where it cannot stand alone; None where it can."""


class Corpus(Protocol):
    """Files and stores, as their owners manage them.

    All of it raises NotFound for what is not this tenant's, InvalidRequest for a name, attributes or a page that
    cannot be, StoreFull beyond a bound, and RetrievalUnavailable where the storage cannot be reached. What has
    expired is not there.
    """

    async def add_file(
        self,
        tenant: str,
        filename: str,
        content: bytes,
        *,
        purpose: str = "assistants",
        updated_at: datetime | None = None,
        expires_after_s: int | None = None,
    ) -> StoredFile: ...

    async def file(self, tenant: str, file_id: str) -> StoredFile: ...

    async def content(self, tenant: str, file_id: str) -> bytes: ...

    async def files(self, tenant: str, page: Page, *, purpose: str = "") -> Sequence[StoredFile]: ...

    async def delete_file(self, tenant: str, file_id: str) -> None:
        """Out of all stores too, in one step."""

    async def create_store(
        self,
        tenant: str,
        name: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        expires_after_days: int | None = None,
    ) -> Store: ...

    async def store(self, tenant: str, store: str) -> Store:
        """By its id, or its name; of several that have it, the oldest."""

    async def stores(self, tenant: str, page: Page) -> Sequence[Store]: ...

    async def change_store(self, tenant: str, store_id: str, changes: Mapping[str, Any]) -> Store:
        """`changes` may hold `name`, `metadata` and `expires_after_days`; what it leaves out stays."""

    async def delete_store(self, tenant: str, store_id: str) -> None:
        """Its files stay."""

    async def attach(
        self,
        tenant: str,
        store_id: str,
        file_ids: Sequence[str],
        *,
        attributes: Attributes | None = None,
        rules: ChunkRules | None = None,
        batch: str = "",
    ) -> Sequence[Document]:
        """Documents that are `in_progress` until they have been ingested. One that is there is ingested anew, and
        the old one is found until then."""

    async def document(self, tenant: str, store_id: str, file_id: str) -> Document: ...

    async def documents(
        self, tenant: str, store_id: str, page: Page, *, status: Status | None = None, batch: str = ""
    ) -> Sequence[Document]: ...

    async def set_attributes(
        self, tenant: str, store_id: str, file_id: str, attributes: Attributes
    ) -> Document: ...

    async def detach(self, tenant: str, store_id: str, file_id: str) -> None: ...

    async def text(self, tenant: str, store_id: str, file_id: str) -> str:
        """What was read out of the file. Offsets of passages count in it."""

    async def batch(self, tenant: str, store_id: str, batch: str) -> Counts:
        """Of the documents that were attached under this name; NotFound where none were."""

    async def cancel(self, tenant: str, store_id: str, batch: str) -> Counts:
        """Give up those that are still in progress."""
