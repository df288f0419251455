"""The registry keeps what was put, whole and under its name, and writes down what was done."""

from __future__ import annotations

import stat
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.artefacts import PRODUCTION
from registry.faults import Busy, Damaged, NotAccepted, NotThere, RegistryFault
from registry.store import Registry
from tests.registry.putting import FILES, KIND, NAME, WHY, damage, everything, put


class TestPut:
    def test_what_was_put_is_got(self, registry: Registry) -> None:
        card = {"summary": "köpfe", "evidence": [{"metric": "quality", "value": 0.5}]}
        version = registry.put(KIND, NAME, FILES, card)
        artefact = registry.get(KIND, NAME, version)
        assert (artefact.kind, artefact.name, artefact.version) == (KIND, NAME, version)
        assert artefact.card == card
        assert artefact.files == ("check.npz", "quality.npz")
        assert {name: (artefact.folder / name).read_bytes() for name in artefact.files} == FILES
        assert len(version) == 16

    def test_the_same_again_changes_nothing(self, registry: Registry) -> None:
        first = registry.put(KIND, NAME, FILES, {"a": 1, "b": 2})
        before = everything(registry.folder)
        assert registry.put(KIND, NAME, dict(reversed(FILES.items())), {"b": 2, "a": 1}) == first
        assert everything(registry.folder) == before

    @pytest.mark.parametrize(
        ("files", "card"),
        [
            ({"a": b"12", "b": b"3"}, {}),
            ({"a": b"1", "b": b"23", "c": b""}, {}),
            ({"a": b"1", "c": b"23"}, {}),
            ({"a": b"1b23"}, {}),
            ({"a": b"1", "b": b"23"}, {"x": 1}),
        ],
    )
    def test_names_contents_and_card_make_the_version(
        self, registry: Registry, files: dict[str, bytes], card: dict[str, Any]
    ) -> None:
        assert registry.put(KIND, NAME, files, card) != registry.put(KIND, NAME, {"a": b"1", "b": b"23"}, {})

    def test_its_files_cannot_be_written_to(self, registry: Registry) -> None:
        folder = registry.get(KIND, NAME, put(registry)).folder
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o400}

    @pytest.mark.parametrize("name", ["../x", "card.json", "a/b", "", ".hidden", "A.npz", "x\n"])
    def test_a_file_cannot_have_any_name(self, registry: Registry, name: str) -> None:
        with pytest.raises(NotAccepted):
            registry.put(KIND, NAME, {name: b""}, {})
        assert not registry.folder.exists()

    @pytest.mark.parametrize("card", [{"value": float("nan")}, {"value": {1, 2}}, {"text": "\ud800"}])
    def test_a_card_is_plain_json(self, registry: Registry, card: dict[str, Any]) -> None:
        with pytest.raises(NotAccepted, match="plain JSON"):
            registry.put(KIND, NAME, FILES, card)

    def test_an_artefact_has_a_file(self, registry: Registry) -> None:
        with pytest.raises(NotAccepted, match="at least one file"):
            registry.put(KIND, NAME, {}, {})

    def test_a_damaged_one_is_mended(self, registry: Registry) -> None:
        version = put(registry)
        damage(registry, version)
        assert put(registry) == version
        assert registry.get(KIND, NAME, version).files == ("check.npz", "intents.npz", "quality.npz")
        assert [path.name for path in registry.get(KIND, NAME, version).folder.parent.iterdir()] == [version]


class TestNames:
    @given(
        st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,40}", fullmatch=True), min_size=2, max_size=5),
    )
    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_each_has_a_folder_of_its_own(self, tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
        registry = Registry(tmp_path_factory.mktemp("names"))
        homes = {}
        for name in names:
            folder = registry.get(KIND, name, registry.put(KIND, name, FILES, {})).folder.resolve()
            assert folder.is_relative_to(registry.folder.resolve() / KIND)
            homes[name] = folder.parent.parent.name.lower()
        assert len(set(homes.values())) == len(set(names))
        assert registry.names(KIND) == sorted(set(names))

    def test_nor_do_names_that_look_alike_share_one(self, registry: Registry) -> None:
        names = ["a/b", "a-b", "a.b", "A-b", "x" * 299, "x" * 300]
        versions = {name: put(registry, name.encode(), name=name) for name in names}
        assert all(registry.versions(KIND, name) == [version] for name, version in versions.items())
        homes = {path.parent.name.lower() for path in registry.folder.rglob("versions")}
        assert len(homes) == len(names)

    @pytest.mark.parametrize("name", ["..", "../x", "/etc", "", "a b", "é", "a\n", "x" * 301])
    def test_others_are_refused(self, registry: Registry, name: str) -> None:
        for ask in (put, lambda registry, name: registry.get(KIND, name)):
            with pytest.raises(NotAccepted):
                ask(registry, name=name)
        with pytest.raises(NotAccepted):
            registry.put("../router", NAME, FILES, {})

    def test_the_longest_is_accepted(self, registry: Registry) -> None:
        assert registry.get(KIND, "X" * 300, put(registry, name="X" * 300)).name == "X" * 300


class TestGet:
    def test_what_is_not_there_is_said(self, registry: Registry) -> None:
        with pytest.raises(NotThere, match="aliases: none"):
            registry.get(KIND, NAME)
        registry.point(KIND, NAME, "canary", put(registry), **WHY)
        with pytest.raises(NotThere, match="aliases: canary"):
            registry.get(KIND, NAME)
        with pytest.raises(NotThere, match="no version 0123456789abcdef"):
            registry.get(KIND, NAME, "0123456789abcdef")

    @pytest.mark.parametrize("how", ["changed", "added", "removed", "renamed", "card", "no card"])
    def test_what_was_damaged_is_found(self, registry: Registry, how: str) -> None:
        version = put(registry)
        damage(registry, version, how)
        with pytest.raises(Damaged, match="Put the same content again"):
            registry.get(KIND, NAME, version)

    def test_reading_makes_nothing(self, registry: Registry) -> None:
        assert (registry.names(KIND), registry.kinds(), registry.versions(KIND, NAME)) == ([], [], [])
        assert (registry.aliases(KIND, NAME), registry.revision(), registry.log.verify()) == ({}, 0, [])
        assert not registry.folder.exists()

    def test_versions_are_told_the_oldest_first(self, registry: Registry) -> None:
        put_ones = [put(registry, bytes([content])) for content in range(6)]
        assert registry.versions(KIND, NAME) == put_ones
        assert registry.kinds() == [KIND]


class TestWrittenDown:
    def test_every_change_has_its_entry(self, registry: Registry) -> None:
        first, second = put(registry, b"1"), put(registry, b"2")
        registry.verdict(KIND, NAME, first, passed=True, by="gate", reason="better", evidence={"quality": 0.1})
        registry.point(KIND, NAME, PRODUCTION, first, by="jane", reason="first", evidence={"n": 5})
        registry.point(KIND, NAME, PRODUCTION, second, by="jane", reason="second")
        registry.rollback(KIND, NAME, "watcher", "worse", evidence={"errors": 3})
        registry.drop(KIND, NAME, PRODUCTION, by="jane", reason="done")
        entries = [(entry.what, entry.by, entry.version, entry.before) for entry in registry.log.entries()]
        assert entries == [
            ("put", "test", first, ""),
            ("put", "test", second, ""),
            ("verdict", "gate", first, ""),
            ("point", "jane", first, ""),
            ("point", "jane", second, first),
            ("rollback", "watcher", first, second),
            ("drop", "jane", "", first),
        ]
        assert [entry.evidence for entry in registry.log.entries()][2:6] == [
            {"quality": 0.1, "passed": True},
            {"n": 5},
            {},
            {"errors": 3},
        ]
        assert registry.log.verify() == []

    def test_evidence_that_cannot_be_written_moves_nothing(self, registry: Registry) -> None:
        version = put(registry)
        with pytest.raises(NotAccepted):
            registry.point(KIND, NAME, PRODUCTION, version, evidence={"p": float("nan")}, **WHY)
        assert registry.aliases(KIND, NAME) == {}
        assert [entry.what for entry in registry.log.entries()] == ["put"]


def test_all_faults_are_of_one_tree() -> None:
    assert all(issubclass(fault, RegistryFault) for fault in (Busy, Damaged, NotAccepted, NotThere))
