"""A whole Weir that looks documents up: while their storage is down, and beside one that never needs them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from tests.router.web.houses import ask, house_in

LOOKING: dict[str, Any] = {
    "rag": {"url": "${LEDGER}", "deadline_seconds": 1},
    "routes": {
        "help": {"candidates": ["echo"], "retrieval": {"stores": ["help"]}},
        "kind": {"candidates": ["echo"], "retrieval": {"stores": ["help"], "unavailable": "answer"}},
        "plain": {"candidates": ["echo"]},
    },
}


def asked(model: str) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]}


async def test_a_storage_that_is_down_closes_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    async with house_in(tmp_path, **LOOKING) as (house, front):
        refused = await ask(front, "POST", "/v1/chat/completions", "sk-acme", asked("help"))
        assert (refused.status, orjson.loads(refused.body)["error"]["code"]) == (503, "retrieval_unavailable")
        answered = await ask(front, "POST", "/v1/chat/completions", "sk-acme", asked("kind"))
        assert (answered.status, answered.headers["x-weir-retrieval"]) == (200, "unavailable")
        assert "retrieval" in answered.headers["x-weir-degraded"]
        plain = await ask(front, "POST", "/v1/chat/completions", "sk-acme", asked("plain"))
        assert (plain.status, "x-weir-retrieval" in plain.headers) == (200, False)
        page = house.metrics.page().decode()
        assert 'weir_searches_total{outcome="unavailable",route="help"} 1.0' in page
        assert 'weir_degraded_total{part="retrieval"}' in page


async def test_one_that_looks_nothing_up_starts_nothing_for_it(tmp_path: Path) -> None:
    async with house_in(tmp_path) as (house, front):
        answered = await ask(front, "POST", "/v1/chat/completions", "sk-acme", asked("auto"))
        assert answered.status == 200
        assert (house.encoder, house.ingest) == (None, None)
        assert "rag" not in os.listdir(tmp_path / "state")  # noqa: PTH208 - names alone
        listed = await ask(front, "GET", "/v1/vector_stores", "sk-acme")
        assert (listed.status, orjson.loads(listed.body)["data"]) == (200, [])
        assert house.encoder is not None
        assert house.ingest is not None
