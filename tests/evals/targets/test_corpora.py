"""What an evaluation in this process searches: a copy of the state folder's documents, declared stores in step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from contracts.retrieval import Page
from evals.targets.corpora import copy_corpora, corpora_version
from rag.storage.sqlite import SqliteStorage
from router.config.load import load
from tests.evals.targets.test_in_process import config_in, started, target_in

PAGES = {
    "returns.md": "# Returns\n\nA machine can be returned within 45 days.\n",
    "care.md": "# Care\n\nIt costs $29.\n",
}
LOOKED_UP: Mapping[str, Any] = {
    "models": {"reader": {"upstream": "scripted", "name": "unmarked", "price": {"input": "1", "output": "1"}}},
    "prompts": {},
    "routes": {
        "help": {
            "candidates": ["reader"],
            "retrieval": {"stores": ["pages"], "floor": 0},
            "cache": {"enabled": False},
        },
        "plain": {"candidates": ["reader"]},
    },
    "stores": {
        "pages": {"folder": "pages", "tenants": ["acme"]},
        "others": {"folder": "pages", "tenants": ["acme"]},
    },
    "tenants": {"acme": {}},
}
ASKED = {"messages": [{"role": "user", "content": "Within how many days can a machine be returned?"}]}


def desk(folder: Path) -> Path:
    pages = folder / "pages"
    pages.mkdir(exist_ok=True)
    for name, text in PAGES.items():
        (pages / name).write_text(text)
    return config_in(folder, **LOOKED_UP)


async def test_a_declared_store_is_in_step_before_the_first_case(tmp_path: Path) -> None:
    async with started(tmp_path, "help", path=desk(tmp_path)) as target:
        answer = await target.ask(ASKED)
    assert answer.text == "A machine can be returned within 45 days [1]."
    (citation,) = answer.citations
    assert (citation.mark, citation.filename) == ("1", "returns.md")
    assert "within 45 days" in citation.text
    assert answer.evidence["retrieval"] == "found"
    assert not (tmp_path / "state/rag").exists()


async def test_the_version_tells_changed_documents_and_routes_that_look_nothing_up_have_none(
    tmp_path: Path,
) -> None:
    path = desk(tmp_path)

    def version(route: str) -> str:
        return corpora_version(load(path, {}), route, tmp_path / "state")

    before, target = version("help"), target_in(tmp_path, "help", path=path).version
    assert version("help") == before != ""
    assert version("plain") == version("reader") == ""
    (tmp_path / "pages/care.md").write_text("# Care\n\nIt costs $31.\n")
    assert version("help") != before
    assert target_in(tmp_path, "help", path=path).version != target
    changed = version("help")
    database = tmp_path / "state/rag/acme/corpus.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"")
    assert version("help") != changed


async def test_stores_of_the_state_folder_are_copied_and_left_alone(tmp_path: Path) -> None:
    real, own = tmp_path / "real", tmp_path / "own"
    storage = SqliteStorage(real / "rag")
    await storage.prepare()
    kept = await storage.create_store("acme", "kept")
    copy_corpora(real, own)
    await storage.close()
    copy = SqliteStorage(own / "rag")
    await copy.prepare()
    assert (await copy.store("acme", "kept")).id == kept.id
    await copy.create_store("acme", "made")
    await copy.close()
    assert {database.parent.name for database in own.glob("rag/[!.]*/corpus.db")} == {"acme"}
    again = SqliteStorage(real / "rag")
    await again.prepare()
    assert [store.name for store in await again.stores("acme", Page())] == ["kept"]
    await again.close()


def test_a_database_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    database = tmp_path / "real/rag/acme/corpus.db"
    database.parent.mkdir(parents=True)
    database.write_bytes(b"not a database" * 100)
    with pytest.raises(OSError, match=r"corpus\.db cannot be read"):
        copy_corpora(tmp_path / "real", tmp_path / "own")
