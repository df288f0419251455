"""A storage on SQLite, and a workshop whose encoder counts what it is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rag.ingesting.embedding import Embedding
from rag.ingesting.preparing import Workshop
from rag.ingesting.reading import Reading
from rag.ports import Limits, Storage
from rag.storage.opening import open_storage
from tests.rag.ingesting.counting import DIMENSIONS, VERSION, CountingEncoder

LIMITS = Limits(read_s=20.0)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[Storage]:
    opened = open_storage("", tmp_path / "rag", LIMITS)
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
async def workshop(storage: Storage, encoder: CountingEncoder) -> AsyncIterator[Workshop]:
    reading = Reading(LIMITS)
    yield Workshop(reading, Embedding(storage, encoder, VERSION, DIMENSIONS))
    await reading.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "docs"
    made.mkdir()
    return made
