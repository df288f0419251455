"""Prompts in the registry: what promoting one leaves behind, whatever was there before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from contracts.artefacts import FILE
from contracts.ports import PromptStore
from registry.faults import NotThere
from registry.prompts import PROMPT, StoredPrompts, content_of, promote, put
from registry.store import Registry

OLD_FILE, NEW_FILE = b'{"file": 1}', b'{"file": 2}'


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def stored(registry: Registry, *contents: bytes) -> list[str]:
    return [put(registry, "support", content, "test") for content in contents]


def serve(registry: Registry, file: bytes, version: str, alias: str = "production") -> bool:
    return promote(registry, "support", file, version, alias=alias, by="test", reason="a test")


def aliases(registry: Registry) -> dict[str, str]:
    return registry.aliases(PROMPT, "support")


def test_the_first_promotion_can_be_rolled_back_to_the_file(registry: Registry) -> None:
    better, old = stored(registry, b"better", OLD_FILE)
    assert serve(registry, OLD_FILE, better)
    assert aliases(registry) == {"production": better, "previous": old, "file": old}
    assert registry.rollback(PROMPT, "support", "test", "a test") == old


def test_the_second_is_rolled_back_to_the_first(registry: Registry) -> None:
    better, best, old = stored(registry, b"better", b"best", OLD_FILE)
    serve(registry, OLD_FILE, better)
    serve(registry, OLD_FILE, best)
    assert aliases(registry) == {"production": best, "previous": better, "file": old}


def test_over_an_edited_file_nothing_comes_back_that_was_promoted_over_the_old_one(registry: Registry) -> None:
    better, risky, best, new = stored(registry, b"better", b"risky", b"best", NEW_FILE)
    serve(registry, OLD_FILE, better)
    serve(registry, OLD_FILE, risky, "canary")
    serve(registry, NEW_FILE, best)
    assert aliases(registry) == {"production": best, "previous": new, "file": new}


def test_no_move_on_the_way_would_serve_anything_else(registry: Registry) -> None:
    """As the book sees it with the new file: the file's version until the last move, and then what was promoted."""
    better, risky, best, new = stored(registry, b"better", b"risky", b"best", NEW_FILE)
    serve(registry, OLD_FILE, better)
    serve(registry, OLD_FILE, risky, "canary")
    known = len(list(registry.log.entries()))
    serve(registry, NEW_FILE, best)
    moves = [entry.aliases for entry in registry.log.entries()][known:]
    served = [(found.get("production"), found.get("canary")) for found in moves if found and found.get(FILE) == new]
    assert served == [(new, None), (best, None)]


def test_a_canary_leaves_production_with_the_file(registry: Registry) -> None:
    risky, old = stored(registry, b"risky", OLD_FILE)
    assert serve(registry, OLD_FILE, risky, "canary")
    assert aliases(registry) == {"production": old, "canary": risky, "file": old}
    assert not serve(registry, OLD_FILE, risky, "canary")


def test_a_canary_over_an_edited_file_leaves_nothing_older_to_go_back_to(registry: Registry) -> None:
    better, risky, new = stored(registry, b"better", b"risky", NEW_FILE)
    serve(registry, OLD_FILE, better)
    serve(registry, NEW_FILE, risky, "canary")
    assert aliases(registry) == {"production": new, "canary": risky, "file": new}


def test_what_is_not_stored_is_refused_before_anything_moves(registry: Registry) -> None:
    stored(registry, b"better")
    with pytest.raises(NotThere):
        serve(registry, OLD_FILE, "0" * 16)
    assert aliases(registry) == {}
    assert len(registry.versions(PROMPT, "support")) == 1


def test_the_stamp_is_another_whenever_an_alias_moved(registry: Registry) -> None:
    store: PromptStore = StoredPrompts(registry)
    better, best = stored(registry, b"better", b"best")
    stamps = [store.stamp()]
    serve(registry, OLD_FILE, better)
    stamps.append(store.stamp())
    serve(registry, OLD_FILE, best)
    stamps.append(store.stamp())
    assert store.stamp() == stamps[-1]
    registry.rollback(PROMPT, "support", "test", "a test")
    stamps.append(store.stamp())
    assert stamps[0] is None
    assert len(set(stamps)) == 4
    assert (store.aliases("support")["production"], store.aliases("none")) == (better, {})


def test_two_moves_within_a_step_of_the_file_systems_clock_are_told_apart(registry: Registry) -> None:
    store = StoredPrompts(registry)
    (better,) = stored(registry, b"better")
    serve(registry, OLD_FILE, better)
    file = registry.folder / "revision"
    now = time.time_ns() + 10**12  # whatever the test waits for, it is young
    os.utime(file, ns=(now, now))
    before = store.stamp()
    held = file.read_text()
    file.write_text(str(int(held) + 1))
    os.utime(file, ns=(now, now))
    assert store.stamp() != before
    os.utime(file, ns=(1, 1))
    assert store.stamp() == store.stamp() != before


def test_a_revision_that_cannot_be_read_is_no_reason_to_fail(registry: Registry) -> None:
    (registry.folder / "revision").mkdir(parents=True)
    assert StoredPrompts(registry).stamp() is None


def test_what_is_damaged_is_told_as_the_port_says(registry: Registry) -> None:
    store = StoredPrompts(registry)
    (better,) = stored(registry, b"better")
    assert store.content("support", better) == content_of(registry, "support", better) == b"better"
    with pytest.raises(ValueError, match="no version"):
        store.content("support", "0" * 16)
    file = registry.get(PROMPT, "support", better).folder / "prompt.json"
    file.chmod(0o600)
    file.write_bytes(b"worse!")
    with pytest.raises(ValueError, match="is damaged"):
        store.content("support", better)
    serve_file = file.parents[2] / "aliases.json"
    serve_file.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        store.aliases("support")
