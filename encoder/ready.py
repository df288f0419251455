"""A ready-made ONNX network, as models are often handed out, gets the inputs and the output of Weir's own.

It is taken as it is, be it quantised or not: only what goes in and what comes out is put in order around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from encoder.card import EncoderFault

_PLACES = ("model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx")
_TAKEN = ("input_ids", "attention_mask")
_SEGMENTS = "token_type_ids"
_AXES_ARE_INPUTS = 13  # the opset since which
_BY_TEXT, _BY_TOKEN = 2, 3  # axes of the output


def find(source: Path) -> Path | None:
    """The network in the folder `source`, if there is one."""
    return next((source / place for place in _PLACES if (source / place).is_file()), None)


def adapt(path: Path) -> tuple[bytes, int]:
    """The network in `path` with int32 inputs and rows of length one, and the number of their dimensions.

    Its first output is a vector for each token, whose mean is taken, or for each text. Raises EncoderFault.
    """
    try:
        model = onnx.load(path)
    except Exception as error:  # protobuf has a class of its own for what is no message
        raise EncoderFault(f"{path} cannot be read as ONNX: {error}.") from error
    _check(path, model)
    graph = model.graph
    result, asked = graph.output[0], {given.name for given in graph.input}
    axes = [axis.dim_value for axis in result.type.tensor_type.shape.dim]
    if len(axes) not in (_BY_TEXT, _BY_TOKEN) or not axes[-1]:
        raise EncoderFault(f"{path}: its output {result.name} is neither a vector a token nor a vector a text.")
    for node in graph.node:
        node.input[:] = [_wide(name) if name in asked else name for name in node.input]
    nodes = [*_widened(), *graph.node, *_pooled(result.name, by_token=len(axes) == _BY_TOKEN)]
    rows = [helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "tokens"]) for name in _TAKEN]
    vectors = helper.make_tensor_value_info("weir.vectors", TensorProto.FLOAT, ["texts", axes[-1]])
    whole = helper.make_graph(nodes, "encoder", rows, [vectors], graph.initializer)
    whole.initializer.append(helper.make_tensor("weir.one", TensorProto.INT64, [1], [1]))
    graph.CopyFrom(whole)
    return model.SerializeToString(deterministic=True), axes[-1]


def _check(path: Path, model: onnx.ModelProto) -> None:
    strange = {given.name for given in model.graph.input} - {*_TAKEN, _SEGMENTS}
    if strange:
        raise EncoderFault(f"{path} asks for {', '.join(sorted(strange))}, which a text encoder is not given.")
    opset = max((each.version for each in model.opset_import if not each.domain), default=0)
    if opset < _AXES_ARE_INPUTS:
        raise EncoderFault(f"{path} is of opset {opset}; export it with {_AXES_ARE_INPUTS} or newer.")


def _widened() -> Iterator[onnx.NodeProto]:
    """What the network asks for, int64, from what it is given. All of a text is one segment, number zero."""
    for name in _TAKEN:
        yield helper.make_node("Cast", [name], [_wide(name)], to=TensorProto.INT64)
    yield helper.make_node("Sub", [_wide("input_ids"), _wide("input_ids")], [_wide(_SEGMENTS)])


def _pooled(result: str, *, by_token: bool) -> Iterator[onnx.NodeProto]:
    if by_token:
        yield helper.make_node("Cast", ["attention_mask"], ["weir.real"], to=TensorProto.FLOAT)
        yield helper.make_node("Unsqueeze", ["weir.real", "weir.one"], ["weir.row"])
        yield helper.make_node("MatMul", ["weir.row", result], ["weir.summed"])
        yield helper.make_node("Squeeze", ["weir.summed", "weir.one"], ["weir.flat"])
    inner = "weir.flat" if by_token else result
    yield helper.make_node("LpNormalization", [inner], ["weir.vectors"], axis=-1, p=2)


def _wide(name: str) -> str:
    return f"weir.{name}"
