"""What clients send about files and vector stores, in OpenAI's words.

https://platform.openai.com/docs/api-reference/vector-stores. The non-obvious decision: only the shape is judged
here, and the bounds of what is kept where it is kept. Fields that are not known are refused, with one exception: a
store's `description` is taken and dropped, since OpenAI gives it back nowhere either.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from contracts.retrieval import ChunkRules

MOST_BATCH, MOST_FIRST = 2000, 500
"""Files in a batch, and files that a store is made with."""
MOST_RESULTS = 50

_LONGEST_ID, _LONGEST_QUERY = 256, 16 * 1024


def _readable(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("text", "Text must not hold NUL characters")
    return text


_Attributes = Annotated[
    dict[str, Any], Field(description="At most 16: strings of up to 512 characters, numbers, booleans.")
]
_Metadata = Annotated[dict[str, Any], Field(description="At most 16: strings of up to 512 characters.")]
_FileId = Annotated[str, Field(max_length=_LONGEST_ID)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class FileExpiry(_Body):
    """Counted from the upload."""

    anchor: Literal["created_at"]
    seconds: int = Field(ge=3600, le=2_592_000, strict=False)  # a form has text only


class Upload(_Body):
    """The fields of a form beside the file itself."""

    purpose: Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
    expires_after: FileExpiry | None = None


class StoreExpiry(_Body):
    """Counted from when the store was last searched or changed."""

    anchor: Literal["last_active_at"]
    days: int


class StaticSizes(_Body):
    """In tokens."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int


class AutoChunking(_Body):
    """As Weir finds right."""

    type: Literal["auto"]


class StaticChunking(_Body):
    type: Literal["static"]
    static: StaticSizes


Chunking = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


def rules_of(chunking: AutoChunking | StaticChunking | None) -> ChunkRules | None:
    if not isinstance(chunking, StaticChunking):
        return None
    return ChunkRules(chunking.static.max_chunk_size_tokens, chunking.static.chunk_overlap_tokens)


class NewStore(_Body):
    """`chunking_strategy` is that of `file_ids`."""

    name: str | None = None
    description: str | None = Field(None, max_length=4096, description="Taken, and not kept.")
    metadata: _Metadata | None = None
    expires_after: StoreExpiry | None = None
    file_ids: list[_FileId] = Field(default_factory=list, max_length=MOST_FIRST)
    chunking_strategy: Chunking | None = None


class StoreChanges(_Body):
    """What is left out stays; null is none."""

    name: str | None = None
    metadata: _Metadata | None = None
    expires_after: StoreExpiry | None = None

    def given(self) -> dict[str, Any]:
        """As `Corpus.change_store` takes it."""
        changes: dict[str, Any] = {}
        if "name" in self.model_fields_set:
            changes["name"] = self.name or ""
        if "metadata" in self.model_fields_set:
            changes["metadata"] = self.metadata or {}
        if "expires_after" in self.model_fields_set:
            changes["expires_after_days"] = self.expires_after.days if self.expires_after else None
        return changes


class NewDocument(_Body):
    file_id: _FileId
    attributes: _Attributes | None = None
    chunking_strategy: Chunking | None = None


class NewAttributes(_Body):
    attributes: _Attributes | None


class NewBatch(_Body):
    """`file_ids`, to which the other fields apply; or `files`, each with its own."""

    file_ids: list[_FileId] | None = Field(None, min_length=1, max_length=MOST_BATCH)
    files: list[NewDocument] | None = Field(None, min_length=1, max_length=MOST_BATCH)
    attributes: _Attributes | None = None
    chunking_strategy: Chunking | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> NewBatch:
        if (self.file_ids is None) == (self.files is None):
            raise PydanticCustomError("batch", "Send either 'file_ids' or 'files'")
        return self

    def documents(self) -> list[NewDocument]:
        if self.files is not None:
            return self.files
        return [
            NewDocument(file_id=file_id, attributes=self.attributes, chunking_strategy=self.chunking_strategy)
            for file_id in self.file_ids or ()
        ]


class HybridWeights(_Body):
    embedding_weight: float = Field(ge=0, le=1000)
    text_weight: float = Field(ge=0, le=1000)

    @model_validator(mode="after")
    def _not_both_zero(self) -> HybridWeights:
        if not self.embedding_weight + self.text_weight:
            raise PydanticCustomError("weights", "One of the two weights should be above 0")
        return self

    @property
    def meaning_share(self) -> float:
        return self.embedding_weight / (self.embedding_weight + self.text_weight)


class RankingOptions(_Body):
    """`hybrid_search` weighs the ranking by meaning and the one by words; left out, as tuned."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(0, ge=0, le=1)
    hybrid_search: HybridWeights | None = None


_Query = Annotated[str, Field(min_length=1, max_length=_LONGEST_QUERY), AfterValidator(_readable)]


def _several(queries: Any) -> Any:
    return [queries] if isinstance(queries, str) else queries


_List = Annotated[list[_Query], Field(min_length=1, max_length=8)]
_Queries = Annotated[_List, BeforeValidator(_several, json_schema_input_type=_Query | _List)]


class NewSearch(_Body):
    """Of several queries, the first is what is asked; the others are other wordings."""

    query: _Queries
    filters: dict[str, Any] | None = Field(None, description="OpenAI's: comparisons, and `and` and `or` of them.")
    max_num_results: int = Field(10, ge=1, le=MOST_RESULTS)
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: bool = False
