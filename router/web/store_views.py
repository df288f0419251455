"""Files and vector stores as OpenAI's clients read them.

The non-obvious decision: what OpenAI has no word for stands in a member `weir` of each object, such as when a
document last changed, or where in it a passage stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.retrieval import Counts, Document, Findings, Passage, Store, StoredFile, StoreState

Json = dict[str, Any]


def file_view(file: StoredFile) -> Json:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": _seconds(file.created_at),
        "expires_at": _seconds_or_none(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "weir": {"digest": file.digest, "updated_at": file.updated_at.isoformat()},
    }


def store_view(store: Store) -> Json:
    days = store.expires_after_days
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": _seconds(store.created_at),
        "name": store.name,
        "usage_bytes": store.bytes,
        "file_counts": counts_view(store.counts),
        "status": "in_progress" if store.counts.in_progress else "completed",
        "expires_after": {"anchor": "last_active_at", "days": days} if days is not None else None,
        "expires_at": _seconds_or_none(store.expires_at),
        "last_active_at": _seconds(store.last_active_at),
        "metadata": dict(store.metadata),
        "weir": {**_state(store.state), "chunks": store.chunks},
    }


def document_view(document: Document) -> Json:
    error = {"code": document.error_code or "server_error", "message": document.error}
    return {
        "id": document.file_id,
        "object": "vector_store.file",
        "usage_bytes": document.bytes,
        "created_at": _seconds(document.created_at),
        "vector_store_id": document.store_id,
        "status": document.status,
        "last_error": error if document.status == "failed" else None,
        "chunking_strategy": _chunking(document),
        "attributes": dict(document.attributes),
        "weir": {
            "filename": document.filename,
            "updated_at": document.updated_at.isoformat(),
            "revision": document.revision,
            "chunks": document.chunks,
            "tokens": document.tokens,
        },
    }


def _chunking(document: Document) -> Json:
    """`other` is OpenAI's word for a way that it has no settings for, here Weir's own."""
    rules = document.rules
    if rules is None:
        return {"type": "other"}
    return {
        "type": "static",
        "static": {"max_chunk_size_tokens": rules.size, "chunk_overlap_tokens": rules.overlap},
    }


def batch_view(batch: str, store_id: str, created_at: datetime, counts: Counts) -> Json:
    return {
        "id": batch,
        "object": "vector_store.files_batch",
        "created_at": _seconds(created_at),
        "vector_store_id": store_id,
        "status": _batch_status(counts),
        "file_counts": counts_view(counts),
    }


def _batch_status(counts: Counts) -> str:
    if counts.in_progress:
        return "in_progress"
    if counts.cancelled:
        return "cancelled"
    return "failed" if counts.failed and not counts.completed else "completed"


def counts_view(counts: Counts) -> Json:
    told = {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }
    return {**told, "total": sum(told.values())}


def deleted_view(thing_id: str, kind: str) -> Json:
    return {"id": thing_id, "object": kind, "deleted": True}


def text_view(text: str) -> Json:
    """All that was read out of a document, as one part."""
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text}],
        "has_more": False,
        "next_page": None,
    }


def list_view(entries: Sequence[Mapping[str, Any]], *, has_more: bool) -> Json:
    return {
        "object": "list",
        "data": list(entries),
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
        "has_more": has_more,
    }


def findings_view(findings: Findings) -> Json:
    return {
        "object": "vector_store.search_results.page",
        "search_query": list(findings.queries),
        "data": [_passage(passage) for passage in findings.passages],
        "has_more": False,
        "next_page": None,
        "weir": {
            "answerable": findings.answerable,
            "rewritten": findings.rewritten,
            "degraded": findings.degraded or None,
            "stores": [{"id": state.id, **_state(state)} for state in findings.stores],
        },
    }


def _passage(passage: Passage) -> Json:
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "attributes": dict(passage.attributes),
        "content": [{"type": "text", "text": passage.text}],
        "weir": {
            "start": passage.start,
            "end": passage.end,
            "context": passage.context or None,
            "updated_at": passage.updated_at.isoformat(),
            "revision": passage.revision,
            "words": passage.words,
            "meaning": passage.meaning,
        },
    }


def _state(state: StoreState) -> Json:
    return {"revision": state.revision, "version": state.version}


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _seconds_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else _seconds(moment)
