"""Weights as Hugging Face stores them: each kind read exactly, bfloat16 rounded as it should be, damage seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from distill.student.compressing.weights import WeightsFault, read_tensors, write_bfloat16
from tests.distill.student.worked_llama import save_weights

VALUES = np.array([[1.0, -2.5, 0.1], [65504.0, 6.1e-5, 0.0]], dtype=np.float32)


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_what_is_read_is_what_was_written(tmp_path: Path, kind: str) -> None:
    save_weights(tmp_path, {"a": VALUES, "b": VALUES[0]}, kind)
    tensors = read_tensors(tmp_path)
    expected = VALUES.astype({"F32": np.float32, "F16": np.float16}[kind]).astype(np.float32)
    assert np.array_equal(tensors["a"].values(), expected)
    assert np.array_equal(tensors["b"].values(), expected[0])
    assert tensors["a"].shape == (2, 3)


def test_several_files_are_one_model(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path, {name: VALUES})
        (tmp_path / "model.safetensors").rename(tmp_path / f"{name}.safetensors")
    index = {"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(read_tensors(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (1 + 2**-8, 0x3F80),  # half way: to the even one, below
        (1 + 3 * 2**-8, 0x3F82),  # and above
        (1 + 2**-8 + 2**-20, 0x3F81),
        (3.4e38, 0x7F80),  # beyond the largest
        (np.inf, 0x7F80),
        (np.nan, 0x7FC0),
        (1e-40, 0x0001),
        (-0.0, 0x8000),
    ],
)
def test_bfloat16_is_rounded_to_the_nearest(tmp_path: Path, value: float, bits: int) -> None:
    save_weights(tmp_path, {"a": np.array([value], np.float32)}, "F32")
    (tmp_path / "bf16").mkdir()
    write_bfloat16(tmp_path / "bf16" / "model.safetensors", read_tensors(tmp_path).values())
    there = read_tensors(tmp_path / "bf16")["a"]
    assert there.kind == "BF16"
    assert (there.values().view(np.uint32) >> 16).tolist() == [bits]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsFault, match=r"has no model\.safetensors: save the model as safetensors"):
        read_tensors(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(WeightsFault, match="is no safetensors file"):
        read_tensors(tmp_path)
    path.write_bytes((10).to_bytes(8, "little") + b"not JSON..")
    with pytest.raises(WeightsFault, match="is no safetensors file"):
        read_tensors(tmp_path)
    save_weights(tmp_path, {"a": VALUES})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsFault, match="a is not all there"):
        read_tensors(tmp_path)
    save_weights(tmp_path, {"a": VALUES})
    path.write_bytes(path.read_bytes().replace(b'"F16"', b'"I16"'))
    with pytest.raises(WeightsFault, match=r"a in .* is I16: weights in F32, F16 or BF16 can be compressed"):
        read_tensors(tmp_path)
