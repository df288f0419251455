"""The whole cache is opened and closed, and what it knew is there again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from cache.room import CacheRoom, CacheSettings
from contracts.ports import Encoder, Filing
from tests.cache.semantics import RULES, SCOPE, WELCOME, chat_body, stored
from tests.router.plain_encoder import WordEncoder


def settings(folder: Path, **more: object) -> CacheSettings:
    return CacheSettings(max_bytes=10**7, max_answer_bytes=10**5, folder=folder, **more)  # type: ignore[arg-type]


async def keep(room: CacheRoom, text: str, answer: str) -> bytes:
    key = room.answers.key(SCOPE, "chat/completions", chat_body(text))
    assert room.semantic is not None
    finding = await room.semantic.recall(SCOPE, "chat/completions", chat_body(text), RULES, WELCOME)
    room.answers.store(key, stored(answer), Filing(ttl_s=60, owner="acme", writer="acme", asked=True))
    room.semantic.learn(finding, key, stored(answer))
    await room.semantic.idle()
    return key


async def test_a_warm_start_has_answers_questions_and_evidence(tmp_path: Path) -> None:
    room = CacheRoom(settings(tmp_path / "cache"), WordEncoder())
    await room.open()
    key = await keep(room, "how do I pay by card", "Choose card.")
    await keep(room, "by card how do I pay", "Choose card.")
    revision = await room.control.invalidate("globex", "faq")
    await room.close()

    again = CacheRoom(settings(tmp_path / "cache"), WordEncoder())
    await again.open()
    assert again.semantic is not None
    found = again.answers.find(key)
    assert found is not None
    assert found.answer == stored("Choose card.")
    assert again.answers.revision == revision
    assert len(again.semantic.questions) == 2
    assert again.semantic.evidence("acme", "support").labels == 1
    await again.close()
    assert (tmp_path / "cache/0.snapshot").stat().st_mode & 0o077 == 0


async def test_without_warm_start_nothing_is_written(tmp_path: Path) -> None:
    room = CacheRoom(settings(tmp_path / "cache", warm_start=False), WordEncoder())
    await room.open()
    await keep(room, "how do I pay by card", "Choose card.")
    await room.close()
    assert not (tmp_path / "cache").exists()


async def test_a_damaged_snapshot_costs_what_is_damaged(tmp_path: Path) -> None:
    room = CacheRoom(settings(tmp_path), WordEncoder())
    await room.open()
    first = await keep(room, "how do I pay by card", "Choose card.")
    await keep(room, "close my account", "Choose close.")
    await room.close()
    file = tmp_path / "0.snapshot"
    file.write_bytes(file.read_bytes()[:-300])
    again = CacheRoom(settings(tmp_path), WordEncoder())
    await again.open()
    assert again.answers.find(first) is not None
    await again.close()


@pytest.mark.parametrize("encoder", [WordEncoder(), None])
async def test_a_verifier_that_cannot_be_read_leaves_exact_hits(
    tmp_path: Path, encoder: Encoder | None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "verifier.npz").write_bytes(b"PK nonsense")
    with caplog.at_level(logging.WARNING, "weir.cache"):
        room = CacheRoom(settings(tmp_path, verifier=tmp_path / "verifier.npz"), encoder)
    assert room.semantic is None
    assert ("exact hits only" in caplog.text) == (encoder is not None)
    await room.open()
    room.answers.store(bytes(16), stored("x"), Filing(ttl_s=60))
    await room.close()
    again = CacheRoom(settings(tmp_path), None)
    await again.open()
    assert again.answers.find(bytes(16)) is not None
    await again.close()


async def test_workers_of_one_machine_share_invalidations_and_not_answers(tmp_path: Path) -> None:
    first, second = (CacheRoom(settings(tmp_path, worker=n, workers=2), WordEncoder()) for n in (0, 1))
    await first.open()
    await second.open()
    keys = [await keep(room, "how do I pay by card", "Choose card.") for room in (first, second)]
    await first.control.invalidate("acme", "*")
    assert first.answers.find(keys[0]) is None
    await first.close()
    await second.close()
    third = CacheRoom(settings(tmp_path, worker=1, workers=2), WordEncoder())
    await third.open()
    assert third.answers.find(keys[1]) is None
    await third.close()
