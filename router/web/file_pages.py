"""`/v1/files`: what tenants upload, as OpenAI has it.

The non-obvious decision: the form is read by hand and described to OpenAPI by hand, since FastAPI asks for the
parser of forms as soon as a page declares one, and Weir starts without the extra that brings it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from contracts.errors import InvalidRequest, RequestTooLarge
from contracts.ports import Keyring
from contracts.retrieval import Corpus
from router.web.listing import LongPage, listed, with_one_more
from router.web.store_bodies import Upload
from router.web.store_names import known_file
from router.web.store_views import deleted_view, file_view
from router.web.tenant import Tenant, tenant_route

_FORM_BYTES = 64 * 1024
"""What a form may take beside the file in it."""
_AT_ONCE = 4
"""Uploads that are whole in memory at a time."""
_Purpose = Annotated[str, Query(pattern="^[a-z_-]{0,64}$", description="Only those that were uploaded for it.")]
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "contentMediaType": "application/octet-stream"},
                        "purpose": Upload.model_json_schema()["properties"]["purpose"],
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2_592_000},
                    },
                }
            }
        },
    }
}


def file_pages(keys: Keyring, open_corpus: Callable[[], Awaitable[Corpus]], *, max_file_bytes: int) -> APIRouter:
    """`open_corpus` is asked each time, so that the corpus may be opened late."""
    pages = APIRouter(prefix="/v1/files", route_class=tenant_route(keys, max_file_bytes + _FORM_BYTES))
    turns = asyncio.Semaphore(_AT_ONCE)

    @pages.post("", summary="Upload a file", openapi_extra=_FORM)
    async def upload_file(request: Request, tenant: Tenant) -> dict[str, Any]:
        corpus = await open_corpus()
        async with request.form(max_files=1, max_fields=8, max_part_size=_FORM_BYTES) as form:
            file, upload = _file(form, max_file_bytes), _fields(form)
            async with turns:
                stored = await corpus.add_file(
                    tenant,
                    checked_filename(file.filename or ""),
                    await file.read(),
                    purpose=upload.purpose,
                    expires_after_s=upload.expires_after.seconds if upload.expires_after else None,
                )
        return file_view(stored)

    @pages.get("", summary="Files of this tenant")
    async def list_files(tenant: Tenant, page: LongPage, purpose: _Purpose = "") -> dict[str, Any]:
        files = await (await open_corpus()).files(tenant, with_one_more(page), purpose=purpose)
        return listed(files, page, file_view)

    @pages.get("/{file_id}", summary="One file")
    async def get_file(file_id: str, tenant: Tenant) -> dict[str, Any]:
        return file_view(await (await open_corpus()).file(tenant, known_file(file_id)))

    @pages.delete("/{file_id}", summary="Delete a file, out of all stores too")
    async def delete_file(file_id: str, tenant: Tenant) -> dict[str, Any]:
        await (await open_corpus()).delete_file(tenant, known_file(file_id))
        return deleted_view(file_id, "file")

    @pages.get("/{file_id}/content", summary="The bytes of a file, as they came", response_class=Response)
    async def get_content(file_id: str, tenant: Tenant) -> Response:
        corpus = await open_corpus()
        file = await corpus.file(tenant, known_file(file_id))
        name = quote(file.filename.rpartition("/")[2], safe="")
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{name}",
            "x-content-type-options": "nosniff",
        }
        content = await corpus.content(tenant, file_id)
        return Response(content, media_type="application/octet-stream", headers=headers)

    return pages


def checked_filename(name: str) -> str:
    """A name, or a path below wherever it is put. Raises InvalidRequest."""
    if "\\" in name or any(part.strip() in ("", ".", "..") for part in name.split("/")):
        raise InvalidRequest(
            "The name of a file may have folders before it, as in 'guides/returns.md', but no other path.",
            param="file",
        )
    return name


def _file(form: FormData, most_bytes: int) -> UploadFile:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise InvalidRequest("Send the file as multipart/form-data, in the field 'file'.", param="file")
    if not file.size:
        raise InvalidRequest("The file is empty.", param="file")
    if file.size > most_bytes:
        raise RequestTooLarge(f"A file may have {most_bytes} bytes at most.", param="file")
    return file


def _fields(form: FormData) -> Upload:
    """All of the form but the file. OpenAI's clients send `{"a": {"b": 1}}` as a field `a[b]`."""
    fields: dict[str, Any] = {}
    for name, value in form.multi_items():
        outer, bracket, inner = name.partition("[")
        if name == "file":
            continue
        if not isinstance(value, str):
            raise InvalidRequest(f"'{name}' cannot be a file.", param=name)
        if bracket and isinstance(fields.setdefault(outer, {}), dict):
            fields[outer][inner.removesuffix("]")] = value
        else:
            fields[outer] = value
    return _checked(fields)


def _checked(fields: Mapping[str, Any]) -> Upload:
    try:
        return Upload.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"'{where}': {first['msg']}.", param=where) from None
