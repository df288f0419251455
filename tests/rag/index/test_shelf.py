"""Which stores are in memory."""

from __future__ import annotations

from contracts.retrieval import StoreState
from rag.index.memory import Load
from rag.index.shelf import Key, Shelf
from tests.rag.index.loading import Shop

FIRST = StoreState(id="vs_1", revision=1, version="")


async def test_those_searched_last_stay_as_far_as_they_fit() -> None:
    shops = {("acme", str(at)): Shop() for at in range(3)}
    for shop in shops.values():
        shop.put("f", "a")

    def load(key: Key) -> Load:
        return shops[key].load

    one = Shelf(1 << 30, load)
    await one.snapshot(("acme", "0"), FIRST)
    shelf = Shelf(int(one.bytes * 2.5), load)
    for name in ("0", "1", "0", "2", "0", "1"):
        await shelf.snapshot(("acme", name), FIRST)
        assert shelf.bytes <= one.bytes * 2.5
    assert [len(shop.loads) for shop in shops.values()] == [2, 2, 1]  # the first one also by `one`
    assert len(shelf) == 2


async def test_one_that_is_too_large_by_itself_is_kept_while_it_is_in_use() -> None:
    shops = {("acme", str(at)): Shop() for at in range(2)}
    for shop in shops.values():
        shop.put("f", "a")
    shelf = Shelf(1, lambda key: shops[key].load)
    for key in shops:
        snapshot = await shelf.snapshot(key, FIRST)
        assert len(snapshot.by_words({"a": 1.0}, 5)) == 1
        assert len(shelf) == 1
    shelf.drop(("acme", "1"))
    assert len(shelf) == 0
