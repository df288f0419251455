"""Slots hold each key once, in the order of use, whatever comes and goes."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cache.slots import Slots


def number(n: int) -> bytes:
    return n.to_bytes(16, "big")


def test_an_empty_one_has_no_oldest_key() -> None:
    slots = Slots()
    assert (len(slots), slots.oldest, list(slots.keys())) == (0, b"", [])
    assert slots.slot(number(1)) is None
    with pytest.raises(KeyError):
        slots.remove(number(1))


class SlotsStory(RuleBasedStateMachine):
    """A list of the keys in the order of their use says the same."""

    def __init__(self) -> None:
        super().__init__()
        self.slots = Slots()
        self.keys: list[bytes] = []
        self.most = 0

    @rule(n=st.integers(0, 6))
    def use(self, n: int) -> None:
        key = number(n)
        if key in self.keys:
            self.slots.touch(self.slots.slot(key) or 0)
            self.keys.remove(key)
        else:
            slot = self.slots.add(key)
            assert self.slots.notes[slot] == 0
            self.slots.notes[slot] = n + 1
        self.keys.append(key)
        self.most = max(self.most, len(self.keys))

    @rule(n=st.integers(0, 6))
    def remove(self, n: int) -> None:
        if number(n) in self.keys:
            self.slots.remove(number(n))
            self.keys.remove(number(n))

    @invariant()
    def books_are_right(self) -> None:
        slots = self.slots
        assert list(slots.keys()) == self.keys
        assert len(slots) == len(self.keys)
        assert slots.oldest == (self.keys[0] if self.keys else b"")
        taken = [slots.slot(key) or 0 for key in self.keys]
        assert [slots.key(slot) for slot in taken] == self.keys
        assert [slots.notes[slot] for slot in taken] == [int.from_bytes(key, "big") + 1 for key in self.keys]
        assert all(1 <= slot <= self.most for slot in taken)


TestSlotsStory = SlotsStory.TestCase
