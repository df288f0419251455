"""Files too large for memory: copied, read back and checked a piece at a time, and never there by half."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path, PosixPath
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.artefacts import version_of, version_of_chunks
from registry.contents import Draft, require_room, version_of_contents
from registry.faults import Damaged, NotAccepted
from registry.reading import READ_AGAIN, Reader
from registry.store import Registry
from tests.registry.putting import KIND, NAME, everything, put

WEIGHTS = "model-00001-of-00002.safetensors"
OF_A_MODEL = (
    WEIGHTS,
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "adapter_model.safetensors",
    "recipe.yaml",
    "student-q4_0.gguf",
)
KILLED = """
import resource, signal, sys
from pathlib import Path
from registry.store import Registry

registry = Registry(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
registry.put("router", "support/acme", {"a": Path(sys.argv[2])}, {})
"""
"""Its limit has the system kill it in the middle of a file: at the second of three pieces."""


class Watched(PosixPath):
    """Whenever it is read, somebody puts something else, who would be refused after a while if they had to wait."""

    def open(self, *arguments: Any, **options: Any) -> Any:
        put(Registry(Path(self).parent / "registry"), name="other")
        return super().open(*arguments, **options)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """More than a look reads again, and all of it zeros."""
    path = tmp_path / "weights"
    path.touch()
    os.truncate(path, READ_AGAIN + 1)
    return path


class TestPut:
    def test_files_are_copied(self, registry: Registry, tmp_path: Path) -> None:
        content = os.urandom((2 << 20) + 5)
        (tmp_path / "source").write_bytes(content)
        given_files = dict.fromkeys(OF_A_MODEL, b"small") | {WEIGHTS: tmp_path / "source"}
        artefact = registry.get(KIND, NAME, registry.put(KIND, NAME, given_files, {"summary": "a student"}))
        assert artefact.files == tuple(sorted(OF_A_MODEL))
        assert (artefact.folder / WEIGHTS).read_bytes() == content
        assert not (artefact.folder / WEIGHTS).samefile(tmp_path / "source")
        assert registry.put(KIND, NAME, given_files | {WEIGHTS: content}, artefact.card) == artefact.version
        assert registry.versions(KIND, NAME) == [artefact.version]

    @given(st.dictionaries(st.from_regex(r"[a-z]{1,3}", fullmatch=True), st.binary(max_size=9)), st.data())
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_the_version_does_not_tell_how_a_file_was_given(
        self, tmp_path: Path, files: dict[str, bytes], data: st.DataObject
    ) -> None:
        mixed: dict[str, bytes | Path] = dict(files)
        for name in files:
            if data.draw(st.booleans()):
                mixed[name] = tmp_path / name
                (tmp_path / name).write_bytes(files[name])
        assert version_of_contents(mixed) == version_of(files)

    def test_what_is_no_file_is_refused(self, registry: Registry, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "none"):
            with pytest.raises(NotAccepted, match="is no file"):
                registry.put(KIND, NAME, {"a": path}, {})
        assert not registry.folder.exists()

    def test_what_finds_no_room_is_refused_before_anything_is_copied(
        self, registry: Registry, tmp_path: Path
    ) -> None:
        (tmp_path / "huge").touch()
        os.truncate(tmp_path / "huge", shutil.disk_usage(tmp_path).free + (10 << 30))
        for_people = r"needs [\d.e+]+ GB, and the disk of .+ has [\d.e+]+ GB left"
        with pytest.raises(NotAccepted, match=for_people):
            require_room(registry.folder, {"a": tmp_path / "huge"})
        with pytest.raises(NotAccepted, match=for_people):
            registry.put(KIND, NAME, {"a": tmp_path / "huge"}, {})
        assert not registry.folder.exists()

    def test_others_do_not_wait_for_it(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"1")
        version = registry.put(KIND, NAME, {"a": Watched(tmp_path / "source")}, {})
        assert registry.names(KIND) == ["other", NAME]
        assert registry.get(KIND, NAME, version).files == ("a",)

    def test_what_changes_meanwhile_is_not_stored(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"was")
        version = version_of_contents({"a": tmp_path / "a"})
        (tmp_path / "a").write_bytes(b"is ")
        with Draft(tmp_path) as draft, pytest.raises(NotAccepted, match="changed while"):
            draft.write({"a": tmp_path / "a"}, version)
        assert list(everything(tmp_path)) == ["a"]
        with pytest.raises(ValueError, match="not of the size"):
            version_of_chunks({"a": (4, [b"was"])})


class TestKilled:
    def test_half_a_file_is_nothing(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "source").write_bytes(b"1" * 3_000_000)
        root = Path(__file__).parents[2]
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(registry.folder), str(tmp_path / "source")],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(root)},
        )
        assert killed.returncode == -signal.SIGXFSZ
        (left,) = registry.folder.glob(".new-*")
        assert (left / "a").stat().st_size == 1_500_000
        assert (registry.kinds(), list(registry.log.entries())) == ([], [])
        version = registry.put(KIND, NAME, {"a": tmp_path / "source"}, {})
        assert registry.get(KIND, NAME, version).files == ("a",)
        assert not left.exists()

    def test_what_another_still_writes_is_left_alone(self, registry: Registry) -> None:
        put(registry, b"1")
        with Draft(registry.folder) as draft:
            draft.write({"a": b"1"}, version_of({"a": b"1"}))
            (being_written,) = registry.folder.glob(".new-*")
            put(registry, b"2")
            assert (being_written / "a").read_bytes() == b"1"
        assert not being_written.exists()


class TestRead:
    def test_damage_is_found_at_the_first_look_and_where_a_file_was_touched(
        self, registry: Registry, weights: Path
    ) -> None:
        version = registry.put(KIND, NAME, {"a": weights, "b": b"1"}, {})
        folder = registry.get(KIND, NAME, version).folder
        later = Reader(lambda: time.time_ns() + 10**10)
        assert not later.is_quick(folder)
        assert later.version(folder) == version
        assert later.is_quick(folder)
        (weights.parent / "other").write_bytes(b"2")
        (weights.parent / "other").replace(folder / "b")
        assert not later.is_quick(folder)
        assert later.version(folder) != version
        with pytest.raises(Damaged):
            Registry(registry.folder).get(KIND, NAME, version)

    def test_what_was_written_just_now_is_read_again(self, registry: Registry, weights: Path) -> None:
        version = registry.put(KIND, NAME, {"a": weights}, {})
        folder = registry.get(KIND, NAME, version).folder
        at_once = Reader(lambda: (folder / "a").stat().st_ctime_ns)
        assert at_once.version(folder) == version
        assert not at_once.is_quick(folder)

    def test_a_look_reads_no_large_files(self, registry: Registry, weights: Path) -> None:
        small, large = put(registry), registry.put(KIND, NAME, {"a": weights}, {"summary": "large"})
        assert registry.look(KIND, NAME, small).checked
        found = registry.look(KIND, NAME, large)
        assert (found.checked, found.card, found.files) == (False, {"summary": "large"}, ("a",))
        assert registry.get(KIND, NAME, large).checked
