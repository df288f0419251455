"""Which student an upstream finds in the registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.artefacts import PRODUCTION
from contracts.students import CONTENT, STUDENT
from registry.routers import artefact_name
from registry.store import Registry
from registry.students import StoredStudents


def put(registry: Registry, owner: str, *, says: str | None = None) -> str:
    name = artefact_name("support", owner)
    card = {"route": "support", "owner": owner if says is None else says}
    version = registry.put(STUDENT, name, {CONTENT: owner.encode() or b"everyone"}, card)
    registry.point(STUDENT, name, PRODUCTION, version, by="a test", reason="a test")
    return version


def test_each_owner_has_its_own(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for owner in ("", "acme"):
        students = StoredStudents(registry, "support", owner, PRODUCTION)
        with pytest.raises(ValueError, match=r"weir distill run"):
            students.promoted()
        version = put(registry, owner)
        assert students.promoted() == version
        assert (students.folder(version) / CONTENT).read_bytes() == (owner.encode() or b"everyone")


def test_an_alias_that_was_dropped_is_told_from_a_registry_that_is_gone(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "registry")
    students = StoredStudents(registry, "support", "", PRODUCTION)
    version = put(registry, "")
    registry.drop(STUDENT, "support", PRODUCTION, by="a test", reason="a test")
    assert students.promoted() == ""
    registry.point(STUDENT, "support", PRODUCTION, version, by="a test", reason="a test")
    (tmp_path / "registry").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="has no student support"):
        students.promoted()


def test_what_is_damaged_or_another_ones_is_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    students = StoredStudents(registry, "support", "acme", PRODUCTION)
    with pytest.raises(ValueError, match="another route or tenant"):
        students.folder(put(registry, "acme", says="globex"))
    version = put(registry, "acme")
    (students.folder(version) / CONTENT).write_bytes(b"changed")
    with pytest.raises(ValueError, match="is damaged"):
        students.folder(version)
    with pytest.raises(ValueError, match="no version"):
        students.folder("0" * 16)
