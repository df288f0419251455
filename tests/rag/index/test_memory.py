"""A store's index in step with its store: what was added, changed and taken out, in whatever segments it lies."""

from __future__ import annotations

import asyncio
import random

import numpy as np
import pytest

from rag.index.memory import StoreIndex
from rag.index.snapshot import Snapshot
from tests.rag.index.loading import Shop

WORDS = ("a", "b", "c", "d")
QUERY = np.asarray([1, 0, 0, 0, 0, 0, 0, 0], np.float32)


def answers(snapshot: Snapshot) -> list[object]:
    words = {"a": 1.0, "c": 2.0}
    few = {"type": "gt", "key": "n", "value": 1}
    near = snapshot.by_meaning(QUERY, 9)
    return [
        snapshot.counts(WORDS),
        snapshot.by_words(words, 9),
        snapshot.by_words(words, 9, few),
        [(one.chunk, round(one.score, 5)) for one in near],
        [(one.chunk, round(one.score, 5)) for one in snapshot.by_meaning(QUERY, 9, few)],
    ]


async def fresh(shop: Shop) -> Snapshot:
    return await StoreIndex(shop.load).fresh(shop.revision)


@pytest.mark.parametrize("chunks", [3, 900])
async def test_whatever_was_done_it_answers_as_one_that_is_loaded_anew(chunks: int) -> None:
    draw = random.Random(chunks)
    shop = Shop(chunks)
    index = StoreIndex(shop.load)
    for turn in range(25):
        for _ in range(draw.choice((1, 1, 4))):
            if shop.documents and draw.random() < 0.3:
                shop.drop(draw.choice(list(shop.documents)))
            else:
                shop.put(f"f{draw.randint(0, 12)}", *draw.sample(WORDS, draw.randint(0, 4)))
        snapshot = await index.fresh(shop.revision)
        assert answers(snapshot) == answers(await fresh(shop))
        if turn % 5 == 0:
            await index.settled()
            merged = await index.fresh(shop.revision)
            assert answers(merged) == answers(snapshot)
    await index.settled()
    assert len((await index.fresh(shop.revision)).parts) <= 6


async def test_only_what_is_new_is_loaded() -> None:
    shop = Shop()
    index = StoreIndex(shop.load)
    for at in range(5):
        shop.put(f"f{at}", "a")
    await index.fresh(shop.revision)
    shop.put("f1", "b")
    await index.fresh(shop.revision)
    await index.fresh(shop.revision)
    shop.drop("f2")
    await index.fresh(shop.revision)
    assert shop.loads == [5, 1, 0]


async def test_words_that_nothing_has_any_more_are_forgotten() -> None:
    shop = Shop()
    index = StoreIndex(shop.load, spare_words=10)
    for at in range(40):
        shop.put("f", f"word{at}", "a")
        snapshot = await index.fresh(shop.revision)
        assert answers(snapshot) == answers(await fresh(shop))
        assert index.words <= 30


async def test_those_who_wait_share_a_load_and_it_goes_on_without_them() -> None:
    shop = Shop()
    shop.put("f", "a")
    shop.held = asyncio.Event()
    index = StoreIndex(shop.load)
    waiting = [asyncio.create_task(index.fresh(1)) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    shop.held.set()
    assert (await waiting[1]) is (await waiting[2])
    assert shop.loads == [1]


async def test_a_change_during_a_load_is_loaded_after_it() -> None:
    shop = Shop()
    shop.put("f", "a")
    shop.held = asyncio.Event()
    index = StoreIndex(shop.load)
    first = asyncio.create_task(index.fresh(1))
    await asyncio.sleep(0)
    shop.held.set()
    await first
    shop.held = None
    shop.put("g", "a")
    assert len((await index.fresh(2)).by_words({"a": 1.0}, 9)) == 2


async def test_a_load_that_fails_is_told_and_tried_again() -> None:
    shop = Shop()
    shop.put("f", "a")
    shop.broken = True
    index = StoreIndex(shop.load)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await index.fresh(1)
    shop.broken = False
    assert len((await index.fresh(1)).by_words({"a": 1.0}, 9)) == 1


async def test_an_old_snapshot_stays_what_it_was() -> None:
    shop = Shop()
    shop.put("f", "a")
    index = StoreIndex(shop.load)
    old = await index.fresh(1)
    before = answers(old)
    shop.drop("f")
    shop.put("g", "a", "b")
    await index.fresh(shop.revision)
    assert answers(old) == before


async def test_the_encoder_is_that_of_the_newest_document() -> None:
    shop = Shop()
    shop.put("f", "a", encoder="e1")
    shop.put("g", "a", encoder="e2")
    index = StoreIndex(shop.load)
    snapshot = await index.fresh(2)
    assert snapshot.encoder == "e2"
    assert [one.chunk for one in snapshot.by_meaning(QUERY, 9)] == sorted(
        [4, 5, 6], key=lambda chunk: -_near(shop, chunk)
    )
    assert len(snapshot.by_words({"a": 1.0}, 9)) == 2
    shop.drop("g")
    assert (await index.fresh(3)).encoder == "e1"


def _near(shop: Shop, chunk: int) -> float:
    document, _, packed = shop.documents["g"]
    return float(np.frombuffer(packed, "<f2").reshape(3, 8)[chunk - document.first_chunk] @ QUERY)
