"""The OpenAPI document. FastAPI writes its own pages into it; the hot endpoints are described here.

The schemas say what Weir itself insists on. Everything else is an upstream's business and travels on untouched,
so they are open.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi

from contracts.ports import Keyring
from router.access import Operators

_ERRORS = {
    "400": "The request is wrong; `param` names the field.",
    "401": "No key, or one that is not known here.",
    "402": "A budget in dollars has not enough left.",
    "403": "A good key, but not for this.",
    "404": "No such model for this key.",
    "413": "The body is too large.",
    "429": "A budget is used up, or the upstream takes no more for now; see Retry-After.",
    "502": "The upstream failed.",
    "503": "Overloaded, or a part that must not fail is down; see Retry-After.",
    "504": "No answer within the route's deadline.",
}
_MODEL = {"type": "string", "minLength": 1, "description": "A route, such as `support` or `auto`, or a model."}
_TEXTS = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "minItems": 1, "items": {"type": "string"}},
        {"type": "array", "minItems": 1, "items": {"type": "integer"}},
    ]
}
_SAMPLING: dict[str, Any] = {
    "stream": {"type": "boolean"},
    "stream_options": {"type": "object", "properties": {"include_usage": {"type": "boolean"}}},
    "n": {"type": "integer", "minimum": 1, "maximum": 128},
    "temperature": {"type": "number", "minimum": 0, "maximum": 2},
    "top_p": {"type": "number", "minimum": 0, "maximum": 1},
    "max_tokens": {"type": "integer", "minimum": 1, "maximum": 10_000_000},
    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
}
_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string", "minLength": 1},
        "content": {
            "anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "items": {"type": "object"}}]
        },
    },
}
_REQUESTS: dict[str, dict[str, Any]] = {
    "chat/completions": {
        "summary": "Answer a conversation",
        "required": ["model", "messages"],
        "properties": {
            "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
            "tools": {"type": "array", "items": {"type": "object"}},
            "response_format": {"type": "object"},
            **_SAMPLING,
        },
    },
    "completions": {
        "summary": "Continue a text",
        "required": ["model", "prompt"],
        "properties": {"prompt": _TEXTS, **_SAMPLING},
    },
    "embeddings": {"summary": "Embed texts", "required": ["model", "input"], "properties": {"input": _TEXTS}},
}


def openapi_page(app: FastAPI, keys: Keyring, operators: Operators) -> APIRouter:
    """`/openapi.json`, for the admin, the staff and any tenant's key."""
    page = APIRouter()
    whole = cache(lambda: document(app))  # an eighth of a second, which no start waits for

    @page.get("/openapi.json", include_in_schema=False)
    async def get_document(request: Request) -> dict[str, Any]:
        operators.reader(request.headers, keys)
        return await asyncio.to_thread(whole)

    return page


def document(app: FastAPI) -> dict[str, Any]:
    """The whole OpenAPI 3.1 document: FastAPI's pages and the hot endpoints."""
    whole = get_openapi(title=app.title, version=app.version, routes=app.routes)
    for endpoint, request in _REQUESTS.items():
        whole["paths"][f"/v1/{endpoint}"] = {"post": _operation(endpoint, request)}
    whole.setdefault("components", {})["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    whole["security"] = [{"key": []}]
    for path in ("/healthz", "/readyz"):
        whole["paths"][path]["get"]["security"] = []
    return whole


def _operation(endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
    schema = {
        "type": "object",
        "required": request["required"],
        "properties": {"model": _MODEL, **request["properties"]},
        "additionalProperties": True,
    }
    return {
        "summary": request["summary"],
        "operationId": endpoint.replace("/", "_"),
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "The answer, or a stream of events where `stream` was asked for.",
                "content": {"application/json": {"schema": {"type": "object"}}, "text/event-stream": {}},
            },
            **{status: {"description": text} for status, text in _ERRORS.items()},
        },
    }
