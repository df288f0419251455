"""What serves while the registry is damaged, or while a file is edited as another version is promoted over it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from registry.store import Registry
from tests.e2e.prompt_load import (
    BAD,
    FIRST,
    ask,
    config_in,
    in_force,
    listed,
    load_on,
    promote,
    stored,
    version_of,
)
from tests.e2e.running import RunningWeir, eventually, running_weir

OLD, NEW = version_of(FIRST), version_of(BAD)
MOVES = 3
"""Of aliases, when something is promoted over a file that was edited: see `registry.prompts.promote`."""
UNREADABLE = f"cannot be read, so {OLD} stays in force"


def served(weir: RunningWeir, times: int = 5) -> set[tuple[str, str]]:
    """Versions and prompts of so many answers."""

    async def asked() -> set[tuple[str, str]]:
        async with weir.async_client() as client:
            seen = [await ask(client, "support", f"Question {number}") for number in range(times)]
            return {(one.version, one.said) for one in seen}

    return asyncio.run(asked())


@pytest.mark.parametrize("what", [f"versions/{NEW}/prompt.json", "aliases.json"])
def test_damage_changes_nothing_for_clients_and_is_said_once(
    tmp_path: Path, what: str, capfd: pytest.CaptureFixture[str]
) -> None:
    config, state = config_in(tmp_path, reload_seconds=3600), tmp_path / "state"
    with running_weir(config, state) as weir:
        stored(weir, BAD)
        assert served(weir) == {(OLD, FIRST)}
        promote(weir, NEW)
        (damaged,) = state.glob(f"registry/prompt/support*/{what}")
        content = damaged.read_bytes()
        damaged.write_bytes(content[:-9])
        for _ in range(3):
            assert served(weir) == {(OLD, FIRST)}
            assert in_force(weir) == {(OLD, "file")}
            time.sleep(0.6)  # it looks again each second, and says nothing new
        assert capfd.readouterr().err.count(UNREADABLE) == 1
        damaged.write_bytes(content)
        eventually(lambda: served(weir) == {(NEW, BAD)})
        assert in_force(weir) == {(NEW, "registry")}

        damaged.write_bytes(b"\xff")
        assert served(weir) == {(NEW, BAD)}, "what is in force was read already"
        assert in_force(weir) == {(NEW, "registry")}
        assert UNREADABLE not in capfd.readouterr().err
    with running_weir(config, state) as weir:
        assert served(weir) == {(OLD, FIRST)}
        assert in_force(weir) == {(OLD, "file")}
    assert capfd.readouterr().err.count(UNREADABLE) == 1


def test_a_file_that_is_edited_during_a_promotion_serves_or_what_was_promoted_does(tmp_path: Path) -> None:
    """The edit comes as the command begins, and then after each of the moves that it makes in the registry."""
    outcomes: list[str] = []
    registry = Registry(tmp_path / "state/registry")

    async def edit(text: str, moves: int, promotion: asyncio.Future[Any]) -> None:
        (tmp_path / "edited").write_text(text)
        seen = [registry.revision()]
        while len(seen) <= moves and not promotion.done():
            if (now := registry.revision()) != seen[-1]:
                seen.append(now)
            await asyncio.sleep(0.001)
        (tmp_path / "edited").replace(tmp_path / "support.md")

    async def used(weir: RunningWeir) -> None:
        async with load_on(weir, clients=4) as load:
            for moves in range(MOVES + 1):
                edited, promoted = f"Edited, {moves}.", f"Promoted, {moves}."
                version = stored(weir, promoted)
                promotion = asyncio.ensure_future(asyncio.to_thread(promote, weir, version))
                await edit(edited, moves, promotion)
                await promotion
                row = await asyncio.to_thread(listed, weir)
                now = row["in_force"]
                outcomes.append({version_of(edited): "edited", version: "promoted"}[now])
                settled = {(now, row["source"])}
                await asyncio.to_thread(eventually, lambda settled=settled: in_force(weir) == settled, 30)
                moment = time.monotonic()
                await load.more(moment, 64)
                assert {one.version for one in load.since(moment)} == {now}
        assert load.broken == []
        assert all(one.whole for one in load.seen)
        print(f"\n{len(load.seen)} requests, each of one version; what came to serve: {', '.join(outcomes)}")

    with running_weir(config_in(tmp_path), tmp_path / "state", workers=2) as weir:
        asyncio.run(used(weir))
    assert outcomes[1:] == ["edited"] * MOVES, "the command had read the file by then"
