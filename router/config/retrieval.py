"""Documents, and how routes search in them: sections of `weir.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from router.config.values import FolderPath, Name, Secret, Section

_Share = Annotated[float, Field(ge=0, le=1)]


class Rag(Section):
    """Where files and stores are kept, and how much of them."""

    url: Secret | None = Field(
        None,
        description="URL of a PostgreSQL with pgvector as an environment reference, for several replicas. Left "
        "out, SQLite in the state folder.",
    )
    max_file_bytes: PositiveInt = Field(32 * 1024 * 1024, description="Largest file; more is a 413.")
    max_store_chunks: PositiveInt = Field(
        200_000, description="Most chunks in one store. A file that does not fit fails, and says so."
    )
    max_stores: PositiveInt = Field(1000, description="Most stores of one tenant.")
    max_tenant_bytes: PositiveInt = Field(
        4 * 1024**3, description="Most bytes of one tenant's files and chunks together."
    )
    read_seconds: PositiveFloat = Field(60, description="How long reading one file may take before it fails.")
    read_bytes: PositiveInt = Field(1024**3, description="Memory that reading one file may take before it fails.")
    context: Literal["headings", "off"] = Field(
        "headings", description="Index each chunk with the title and the headings above it."
    )
    deadline_seconds: PositiveFloat = Field(2, description="How long a request waits for its search.")


class DeclaredStore(Section):
    """A store that is kept in step with a folder."""

    folder: FolderPath = Field(
        description="Markdown, text, HTML, PDF and DOCX files in it are documents; relative to this config."
    )
    tenants: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Tenants that have this store, each one its own."
    )
    look_seconds: PositiveFloat = Field(10, description="How often the folder is looked at for changes.")


class Retrieval(Section):
    """What a route looks up before a model answers."""

    stores: tuple[Name, ...] = Field(
        (),
        description="Stores that each request is searched in, by name, of the tenant that asks. Left out, only "
        "those that a request names.",
    )
    token_budget: PositiveInt = Field(1500, description="Most tokens of passages in a prompt.")
    most: PositiveInt = Field(20, le=50, description="Most passages.")
    floor: _Share = Field(
        0.2,
        description="Probability that the passages hold the answer, below which Weir says that it found nothing.",
    )
    nothing: Literal["tell", "refuse"] = Field(
        "tell",
        description="What becomes of a request for which nothing was found: the model is told so, and to say so; "
        "or Weir answers with `refusal`, and no model is called.",
    )
    refusal: str = Field(
        "I found nothing about this in the documents that I have.",
        min_length=1,
        max_length=2000,
        description="What Weir answers where `nothing` is `refuse`.",
    )
    rewriting: Literal["history", "off"] = Field(
        "history",
        description="Search a last turn that cannot stand alone with what was said before it.",
    )
    rewriter: Name | None = Field(
        None,
        description="One of `models`, asked to put such a turn so that it can stand alone. Left out, none is.",
    )
    rerank: bool = Field(True, description="Order what was found once more, by what learned heads make of it.")
    word_weight: _Share | None = Field(None, description="Share of the ranking by words. Left out, as tuned.")
    meaning_weight: _Share | None = Field(None, description="Share of the ranking by meaning. Left out, as tuned.")
    unavailable: Literal["refuse", "answer"] = Field(
        "refuse",
        description="What becomes of requests while documents cannot be searched: a 503, or an answer without "
        "documents, with a header that says so.",
    )
