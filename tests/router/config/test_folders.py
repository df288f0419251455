"""Folders that a configuration names are found to be there, and a change of what lies in them is a change of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.config.load import load
from router.config.problems import ConfigError


def write(folder: Path, encoder: str | None = None, artefact: str | None = None) -> Path:
    policy: dict[str, Any] = {"kind": "learned", "goal": {"share": 0.5}}
    path = folder / "weir.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "upstreams": {"scripted": {"kind": "scripted"}},
                "models": {"echo": {"upstream": "scripted", "price": {"input": "1", "output": "2"}}},
                "routes": {
                    "auto": {
                        "candidates": ["echo"],
                        "policy": {**policy, "artefact": artefact} if artefact else policy,
                    }
                },
                "encoder": {"path": encoder} if encoder else {},
                "tenants": {"acme": {}},
            }
        )
    )
    return path


@pytest.mark.parametrize("setting", ["encoder", "artefact"])
def test_a_folder_that_is_there_may_be_named(tmp_path: Path, setting: str) -> None:
    (tmp_path / "made/deeper").mkdir(parents=True)
    (tmp_path / "made/card.json").write_text("{}")
    found = load(write(tmp_path, **{setting: "made"}), {})
    assert {tmp_path / "weir.yaml", tmp_path / "made", tmp_path / "made/card.json"} == set(found.files)


@pytest.mark.parametrize(
    ("setting", "place"), [("encoder", "encoder.path"), ("artefact", "routes.auto.policy.artefact")]
)
def test_what_is_no_folder_is_told(tmp_path: Path, setting: str, place: str) -> None:
    (tmp_path / "file").write_text("")
    for name, problem in (("missing", "is not there"), ("file", "is a file")):
        with pytest.raises(ConfigError) as refusal:
            load(write(tmp_path, **{setting: name}), {})
        (told,) = refusal.value.problems
        assert (told.path, problem in told.message, "folder" in told.message) == (place, True, True)


def test_a_changed_file_in_the_folder_is_another_configuration(tmp_path: Path) -> None:
    file = tmp_path / "made/quality.npz"
    file.parent.mkdir()
    file.write_bytes(b"one")
    path = write(tmp_path, artefact="made")
    digests = [load(path, {}).digest]
    assert load(path, {}).digest == digests[0]
    os.utime(file, ns=(1, 1))
    digests.append(load(path, {}).digest)
    file.write_bytes(b"other")
    digests.append(load(path, {}).digest)
    (tmp_path / "made/check.npz").write_bytes(b"")
    digests.append(load(path, {}).digest)
    assert len(set(digests)) == 4
