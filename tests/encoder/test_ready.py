"""A network that somebody else exported: by token or by text, with segments or without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from encoder.build import build
from encoder.card import EncoderFault
from encoder.session import Session

WORDS = np.random.default_rng(3).normal(size=(9, 6)).astype(np.float32)
SEGMENTS = np.array([[1, 0, 0, 0, 0, 0], [9, 9, 9, 9, 9, 9]], np.float32)


def network(inputs: tuple[str, ...], *, by_token: bool, opset: int = 17) -> onnx.ModelProto:
    """The sum of a word's row and its segment's: for each token, or of a text's first."""
    nodes = [helper.make_node("Gather", ["words", "input_ids"], ["looked_up"])]
    result = "looked_up"
    if "token_type_ids" in inputs:
        nodes += [
            helper.make_node("Gather", ["segments", "token_type_ids"], ["of_segment"]),
            helper.make_node("Add", ["looked_up", "of_segment"], ["summed"]),
        ]
        result = "summed"
    if not by_token:
        nodes.append(helper.make_node("Gather", [result, "first"], ["text"], axis=1))
        result = "text"
    constants = {"words": WORDS, "segments": SEGMENTS, "first": np.array(0, np.int64)}
    graph = helper.make_graph(
        nodes,
        "exported",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
        [
            helper.make_tensor_value_info(
                result, TensorProto.FLOAT, ["batch", "length", 6] if by_token else ["batch", 6]
            )
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


@pytest.fixture
def source(tiny: Path) -> Path:
    """With a tokenizer, and no weights but those of the network that a test saves there."""
    (tiny / "model.safetensors").unlink()
    (tiny / "onnx").mkdir()
    return tiny


def unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize("by_token", [False, True])
def test_it_becomes_an_encoder(source: Path, tmp_path: Path, segments: bool, by_token: bool) -> None:
    inputs = ("input_ids", "attention_mask", "token_type_ids") if segments else ("input_ids", "attention_mask")
    onnx.save(network(inputs, by_token=by_token), source / "onnx/model.onnx")
    card = build(source, tmp_path / "built")
    assert (card.dimensions, card.max_tokens) == (6, 8)
    vectors = Session(tmp_path / "built").encode(["river weir", "water"])
    for vector, numbers in zip(vectors, ([2, 4, 5, 3], [2, 6, 3]), strict=True):
        rows = WORDS[numbers] + (SEGMENTS[0] if segments else 0)
        assert np.allclose(vector, unit(rows.mean(axis=0) if by_token else rows[0]), atol=1e-6)


def test_weights_come_before_a_network_beside_them(tiny: Path, tmp_path: Path) -> None:
    onnx.save(network(("input_ids",), by_token=True), tiny / "model.onnx")
    assert build(tiny, tmp_path / "built").dimensions == 32


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (network(("input_ids", "pixel_values"), by_token=True), "asks for pixel_values"),
        (network(("input_ids",), by_token=True, opset=11), "is of opset 11"),
    ],
)
def test_what_does_not_fit_is_refused(source: Path, tmp_path: Path, model: onnx.ModelProto, told: str) -> None:
    onnx.save(model, source / "model.onnx")
    with pytest.raises(EncoderFault, match=told):
        build(source, tmp_path / "built")


def test_so_is_what_is_no_network(source: Path, tmp_path: Path) -> None:
    (source / "model.onnx").write_text("nothing of the kind")
    with pytest.raises(EncoderFault, match="cannot be read as ONNX"):
        build(source, tmp_path / "built")
