"""What an operator does to the cache takes effect here, and reaches the snapshot and other nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from cache.control import CacheControl
from cache.freshness import EVERYONE, EVERYTHING
from cache.sharing.changes import Change, Dropped, Invalidated, Kept, Learned, Quarantined
from contracts.ports import Filing
from tests.cache.semantics import RULES, Scene, stored


class Wire:
    """A `Spread` that hands over to the other end at once."""

    up, sent, received, lost = True, 0, 0, 0

    def __init__(self) -> None:
        self.revision = 0
        self.told: list[Change] = []

    def start(self, apply: Callable[[Change], None], *, position: str = "", revision: int = 0) -> None: ...

    def publish(self, change: Change) -> None:
        self.told.append(change)

    async def next_revision(self) -> int:
        self.revision += 1
        return self.revision

    async def stop(self) -> None: ...


class Node:
    def __init__(self) -> None:
        self.scene, self.wire = Scene(), Wire()
        self.kept: list[Change] = []
        self.control = CacheControl(self.scene.answers, self.scene.cache, self.wire, self.kept.append)


@pytest.fixture
async def node() -> Node:
    node = Node()
    await node.scene.ask("how do I pay by card", "Choose card.")
    return node


async def test_a_kept_answer_is_told_once_with_its_question(node: Node) -> None:
    (kept,) = node.kept
    assert isinstance(kept, Kept)
    assert (kept.text, kept.owner, kept.encoder) == ("how do I pay by card", "acme", "words-1")
    assert node.wire.told == node.kept


async def test_another_node_has_it_then(node: Node) -> None:
    other = Node()
    for change in node.kept:
        other.control.apply(change)
    found = other.scene.answers.find(node.scene.key("how do I pay by card"))
    assert found is not None
    assert (found.answer, found.writer) == (stored("Choose card."), "acme")
    finding = await other.scene.find("by card how do I pay")
    assert finding.near == node.scene.key("how do I pay by card")
    assert other.kept == []


async def test_vectors_of_another_encoder_are_not_taken(node: Node) -> None:
    other = Node()
    other.scene.encoder.version = "words-2"
    other.scene.cache = type(other.scene)(encoder=other.scene.encoder, answers=other.scene.answers).cache
    other.control = CacheControl(other.scene.answers, other.scene.cache, None, other.kept.append)
    other.control.apply(node.kept[0])
    assert other.scene.answers.find(node.scene.key("how do I pay by card")) is not None
    assert len(other.scene.cache.questions) == 0


async def test_invalidation_is_for_its_owner_and_is_told(node: Node) -> None:
    key = node.scene.key("how do I pay by card")
    await node.control.invalidate("globex", EVERYTHING)
    assert node.scene.answers.find(key) is not None
    assert await node.control.invalidate(EVERYONE, EVERYTHING) == 2
    assert node.scene.answers.find(key) is None
    assert node.kept[1:] == [
        Invalidated(owner="globex", tag="*", revision=1),
        Invalidated(owner="", tag="*", revision=2),
    ]


async def test_an_answer_that_comes_late_from_another_node_is_stale(node: Node) -> None:
    other = Node()
    other.control.apply(Invalidated(owner="acme", tag=EVERYTHING, revision=5))
    other.control.apply(node.kept[0])
    assert len(other.scene.answers) == 0


async def test_dropping_asks_for_the_owner(node: Node) -> None:
    key = node.scene.key("how do I pay by card")
    assert not node.control.drop("globex", key)
    assert node.scene.answers.find(key) is not None
    assert node.control.drop("acme", key)
    assert node.kept[-1] == Dropped(key=key, owner="acme")
    other = Node()
    for change in [*node.kept[:1], Dropped(key=key, owner="globex")]:
        other.control.apply(change)
    assert len(other.scene.answers) == 1
    other.control.apply(node.kept[-1])
    assert len(other.scene.answers) == 0


async def test_what_is_not_here_is_dropped_and_quarantined_elsewhere(node: Node) -> None:
    key = node.scene.key("how do I pay by card")
    asked = Node()  # another worker, which never had it
    assert asked.control.report("acme", "support", key, None)
    node.control.apply(asked.kept[-1])
    assert node.scene.answers.find(key) is None
    assert asked.control.drop("acme", key)
    node.control.apply(asked.kept[-1])
    assert node.scene.answers.peek(key) is None
    alone = CacheControl(asked.scene.answers, None, None, asked.kept.append)
    assert not alone.drop("acme", key)
    assert not alone.report("acme", "support", key, None)


async def test_a_reported_entry_is_quarantined_everywhere(node: Node) -> None:
    key = node.scene.key("how do I pay by card")
    assert not node.control.report("globex", "support", key, None)
    assert node.control.report("acme", "support", key, 0.9)
    assert node.scene.answers.find(key) is None
    assert node.kept[-1] == Quarantined(key=key, owner="acme")
    labels = node.scene.cache.evidence("acme", "support").labels
    assert node.control.report("acme", "support", key, 0.9)  # again: nothing new
    assert node.scene.cache.evidence("acme", "support").labels == labels
    other = Node()
    for change in [*node.kept, node.kept[0]]:  # told again, from before the report
        other.control.apply(change)
    assert other.scene.answers.find(key) is None


async def test_a_snapshot_of_it_all_makes_another_one_like_it(node: Node) -> None:
    await node.scene.prove()
    await node.control.invalidate("acme", "faq")
    node.control.report("acme", "support", node.scene.key("how do I pay by card"), None)
    other = Node()
    for change in node.control.changes():
        other.control.apply(change)
    assert other.scene.answers.revision == node.scene.answers.revision
    assert len(other.scene.answers) == len(node.scene.answers)
    assert len(other.scene.cache.questions) == len(node.scene.cache.questions)
    (here,), (there,) = (each.control.stats(lambda *_: RULES)["scopes"] for each in (node, other))
    assert (there["owner"], there["route"]) == (here["owner"], here["route"])
    for name in ("lookups", "near", "labels", "served", "threshold", "would_serve"):
        assert there[name] == pytest.approx(here[name], rel=1e-3, abs=0.1)
    assert other.scene.answers.find(node.scene.key("how do I pay by card")) is None
    assert [type(change) for change in node.control.evidence()] == [Learned]


async def test_inspection_shows_entries_to_their_owner(node: Node) -> None:
    key = node.scene.key("how do I pay by card")
    node.scene.answers.store(bytes(16), stored("x"), Filing(ttl_s=60, owner="globex", tags=("faq",)))
    (shown,) = node.control.inspect("acme")
    assert (shown["id"], shown["question"], shown["answer"]) == (key.hex(), "how do I pay by card", "Choose card.")
    assert (shown["right"], shown["wrong"], shown["quarantined"], shown["stale"]) == (0, 0, False, False)
    assert [entry["owner"] for entry in node.control.inspect(EVERYONE)] == ["globex", "acme"]
    assert [entry["id"] for entry in node.control.inspect(EVERYONE, tag="faq")] == [bytes(16).hex()]
    assert [entry["id"] for entry in node.control.inspect(EVERYONE, key=key)] == [key.hex()]
    assert node.control.inspect("globex", key=key) == []
    assert len(node.control.inspect(EVERYONE, most=1)) == 1


async def test_without_a_semantic_cache_answers_are_told_too() -> None:
    node = Node()
    kept: list[Change] = []
    control = CacheControl(node.scene.answers, None, None, kept.append)
    node.scene.answers.store(bytes(16), stored("x"), Filing(ttl_s=60, owner="acme"))
    assert kept == []  # its client comes first
    await asyncio.sleep(0)
    assert [type(change) for change in kept] == [Kept]
    assert control.stats(lambda *_: None)["scopes"] == []
    assert await control.invalidate("acme", "faq") == 1
    assert control.report("acme", "support", bytes(16), None)
