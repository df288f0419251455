"""The file of a head: content comes back, equal content is equal bytes, and nothing else is taken."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from heads.artefact import dumps, loads, read, version_of, write


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "head.npz"
    version = write(path, "quality", {"b": np.arange(6).reshape(2, 3), "a": np.float16([1.5])}, {"models": ["x"]})
    artefact = read(path, "quality")
    assert artefact.version == version == version_of(path.read_bytes())
    assert artefact.card == {"models": ["x"], "kind": "quality"}
    assert artefact.arrays["b"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert artefact.arrays["a"].dtype == np.float16


def test_equal_content_is_equal_bytes_and_other_content_another_version() -> None:
    one = dumps("k", {"a": np.zeros(3), "b": np.ones(2)}, {"x": 1, "y": 2})
    same = dumps("k", {"b": np.ones(2), "a": np.zeros(3)}, {"y": 2, "x": 1})
    other = dumps("k", {"a": np.zeros(3), "b": np.ones(2)}, {"x": 1, "y": 3})
    assert one == same
    assert version_of(one) != version_of(other)


def test_another_kind_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'intents', not 'quality'"):
        loads(dumps("intents", {}, {}), "quality")


@pytest.mark.parametrize("data", [b"", b"no zip", dumps("k", {"a": np.zeros(99)}, {})[:-40]])
def test_what_is_no_artefact_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no artefact"):
        loads(data, "k")


def test_objects_are_never_unpickled() -> None:
    file = BytesIO(dumps("k", {}, {}))
    held = BytesIO()
    np.save(held, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert pickle.dumps({"a": 1})[:2] in held.getvalue()
    with ZipFile(file, "a") as archive:
        archive.writestr("evil.npy", held.getvalue())
    with pytest.raises(ValueError, match="allow_pickle"):
        loads(file.getvalue(), "k")


def test_a_card_holds_no_numbers_that_json_has_not() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps("k", {}, {"share": float("nan")})
