"""Aliases move one at a time, to what is whole, and back again."""

from __future__ import annotations

import pytest

from contracts.artefacts import PREVIOUS, PRODUCTION
from registry.faults import Damaged, NotAccepted, NotThere
from registry.store import Registry
from tests.registry.putting import KIND, NAME, WHY, damage, everything, put


class TestAliases:
    def test_production_leaves_its_old_version_as_previous(self, registry: Registry) -> None:
        first, second = put(registry, b"1"), put(registry, b"2")
        assert registry.point(KIND, NAME, PRODUCTION, first, **WHY)
        assert registry.aliases(KIND, NAME) == {PRODUCTION: first}
        assert registry.point(KIND, NAME, PRODUCTION, second, **WHY)
        assert registry.aliases(KIND, NAME) == {PRODUCTION: second, PREVIOUS: first}
        assert registry.get(KIND, NAME).version == second
        assert registry.get(KIND, NAME, PREVIOUS).version == first

    def test_pointing_to_the_same_changes_nothing(self, registry: Registry) -> None:
        first, second = put(registry, b"1"), put(registry, b"2")
        for version in (first, second):
            registry.point(KIND, NAME, PRODUCTION, version, **WHY)
        before = everything(registry.folder)
        assert not registry.point(KIND, NAME, PRODUCTION, second, **WHY)
        assert everything(registry.folder) == before

    def test_other_aliases_do_not_touch_each_other(self, registry: Registry) -> None:
        first, second = put(registry, b"1"), put(registry, b"2")
        registry.point(KIND, NAME, "canary", first, **WHY)
        registry.point(KIND, NAME, "canary", second, **WHY)
        assert registry.aliases(KIND, NAME) == {"canary": second}
        assert registry.aliases(KIND, "support/globex") == {}

    def test_only_a_whole_version_can_be_pointed_to(self, registry: Registry) -> None:
        version = put(registry)
        damage(registry, version)
        before = everything(registry.folder)
        with pytest.raises(Damaged):
            registry.point(KIND, NAME, PRODUCTION, version, **WHY)
        with pytest.raises(NotThere):
            registry.point(KIND, NAME, PRODUCTION, "0123456789abcdef", **WHY)
        assert everything(registry.folder) == before

    @pytest.mark.parametrize("alias", ["", "Production", "../x", "deadbeefdeadbeef", "x" * 33])
    def test_an_alias_cannot_have_any_name(self, registry: Registry, alias: str) -> None:
        with pytest.raises(NotAccepted):
            registry.point(KIND, NAME, alias, put(registry), **WHY)

    @pytest.mark.parametrize("version", ["production", "0123456789ABCDEF", ""])
    def test_a_version_is_one(self, registry: Registry, version: str) -> None:
        with pytest.raises(NotAccepted, match="is no version"):
            registry.point(KIND, NAME, "canary", version, **WHY)

    def test_an_alias_may_be_dropped(self, registry: Registry) -> None:
        version = put(registry)
        registry.point(KIND, NAME, "canary", version, **WHY)
        assert registry.drop(KIND, NAME, "canary", **WHY)
        assert not registry.drop(KIND, NAME, "canary", **WHY)
        registry.point(KIND, NAME, PRODUCTION, version, **WHY)
        assert registry.drop(KIND, NAME, PRODUCTION, **WHY)
        assert registry.aliases(KIND, NAME) == {PREVIOUS: version}

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"production":1}', b'{"production":"\xff"}'])
    def test_damaged_aliases_are_said(self, registry: Registry, content: bytes) -> None:
        registry.point(KIND, NAME, PRODUCTION, put(registry), **WHY)
        (path,) = registry.folder.rglob("aliases.json")
        path.write_bytes(content)
        with pytest.raises(Damaged, match="delete the file"):
            registry.get(KIND, NAME)

    def test_the_revision_changes_with_every_move_and_with_nothing_else(self, registry: Registry) -> None:
        other = Registry(registry.folder)
        first, second = put(registry, b"1"), put(registry, b"2")
        seen = [other.revision()]
        registry.point(KIND, NAME, PRODUCTION, first, **WHY)
        seen.append(other.revision())
        registry.point(KIND, NAME, PRODUCTION, second, **WHY)
        seen.append(other.revision())
        registry.verdict(KIND, NAME, second, passed=True, evidence={}, **WHY)
        assert other.revision() == seen[-1]
        registry.rollback(KIND, NAME, **WHY)
        seen.append(other.revision())
        assert seen == sorted(set(seen))


class TestRollback:
    def test_it_brings_back_what_was_before_once(self, registry: Registry) -> None:
        first, second = put(registry, b"1"), put(registry, b"2")
        for version in (first, second):
            registry.point(KIND, NAME, PRODUCTION, version, **WHY)
        assert registry.rollback(KIND, NAME, "watcher", "worse") == first
        assert registry.aliases(KIND, NAME) == {PRODUCTION: first}
        with pytest.raises(NotThere, match="nothing to roll"):
            registry.rollback(KIND, NAME, "watcher", "worse")
        assert registry.aliases(KIND, NAME) == {PRODUCTION: first}

    def test_a_second_watcher_of_the_same_harm_does_nothing(self, registry: Registry) -> None:
        first, second, third = (put(registry, content) for content in (b"1", b"2", b"3"))
        for version in (first, second, third):
            registry.point(KIND, NAME, PRODUCTION, version, **WHY)
        for _ in range(2):
            assert registry.rollback(KIND, NAME, "watcher", "worse", of=third) == second
        assert [entry.what for entry in registry.log.entries()].count("rollback") == 1

    def test_it_does_not_bring_back_what_is_damaged(self, registry: Registry) -> None:
        first, second = put(registry, b"1"), put(registry, b"2")
        for version in (first, second):
            registry.point(KIND, NAME, PRODUCTION, version, **WHY)
        damage(registry, first)
        with pytest.raises(Damaged):
            registry.rollback(KIND, NAME, **WHY)
        assert registry.get(KIND, NAME).version == second
