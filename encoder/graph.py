"""The encoder's network as an ONNX graph: BERT, the mean over its tokens, and a row of length one.

It is written down node by node, so that neither torch nor transformers is needed to make it. The large products are
of eight-bit integers, and each token's row has a scale of its own: the usual dynamic quantisation takes one for a
whole batch, and a text's vector would depend on the texts that happened to be encoded beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Weights = Mapping[str, NDArray[np.float32]]

_HERE = "com.microsoft"  # the fused operations that onnxruntime adds to the standard's
_OPSETS = (("", 17), (_HERE, 1))
_IR_VERSION = 9
_INPUTS = ("input_ids", "attention_mask")
_LARGEST, _ZERO = 127, 128  # of activations, in unsigned bytes
_LARGEST_WEIGHT = 64
"""Processors without VNNI add up two byte products in sixteen bits: 255 * 64 * 2 fits, so none ever saturates, and
all processors count alike. That costs 0.001 of the likeness to the unquantised network."""
_TINY = np.float32(1e-12)


class Shape(Struct, frozen=True, kw_only=True):
    """What config.json says of the network."""

    layers: int
    heads: int
    hidden: int
    epsilon: float
    positions: int


def bert(weights: Weights, shape: Shape, *, quantised: bool = True) -> onnx.ModelProto:
    """The model: `input_ids` and `attention_mask`, int32 (texts, tokens), to `vectors`, float32 (texts, hidden).

    `weights` are named as in a BertModel's state, float32. Unquantised, it is the yardstick of the other.
    Raises KeyError where a weight is missing.
    """
    return _Graph(weights, shape, quantised).model()


class _Graph:
    def __init__(self, weights: Weights, shape: Shape, quantised: bool) -> None:
        self._weights = weights
        self._shape = shape
        self._quantised = quantised
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}
        self._names = (f"v{number}" for number in count())

    def model(self) -> onnx.ModelProto:
        hidden = self._embedding()
        for layer in range(self._shape.layers):
            hidden = self._layer(f"encoder.layer.{layer}", hidden)
        self._pooling(hidden)
        rows = [helper.make_tensor_value_info(name, TensorProto.INT32, ["texts", "tokens"]) for name in _INPUTS]
        vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", self._shape.hidden])
        graph = helper.make_graph(self._nodes, "encoder", rows, [vectors], list(self._constants.values()))
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="weir")

    def _embedding(self) -> str:
        """Words, positions and the one type of segment there is, summed and normalised: (texts, tokens, hidden)."""
        words = self._weights["embeddings.word_embeddings.weight"]
        if self._quantised:
            scales = np.maximum(np.abs(words).max(axis=1, keepdims=True), _TINY) / np.float32(_LARGEST)
            rows = self._constant("words", np.rint(words / scales).astype(np.int8))
            looked_up = self._add("Cast", [self._add("Gather", [rows, "input_ids"])], to=TensorProto.FLOAT)
            scale = self._add("Gather", [self._constant("words.scales", scales), "input_ids"])
            embedded = self._add("Mul", [looked_up, scale])
        else:
            embedded = self._add("Gather", [self._constant("words", words), "input_ids"])
        segment = self._weights["embeddings.token_type_embeddings.weight"][0]
        places = self._weights["embeddings.position_embeddings.weight"][: self._shape.positions] + segment
        tokens = self._add("Shape", ["input_ids"], start=1, end=2)
        zero, first = self._constant("zero", np.array([0], np.int64)), self._constant("places", places)
        placed = self._add("Slice", [first, zero, tokens, zero])
        return self._normalised("embeddings.LayerNorm", self._add("Add", [embedded, placed]))

    def _layer(self, name: str, hidden: str) -> str:
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        weight = np.concatenate([self._weights[f"{part}.weight"] for part in parts])
        bias = np.concatenate([self._weights[f"{part}.bias"] for part in parts])
        projected = self._product(f"{name}.attention.self", hidden, weight, bias)
        thirds = [self._name() for _ in parts]
        self._nodes.append(helper.make_node("Split", [projected], thirds, axis=2))
        attended = self._add(
            "MultiHeadAttention",
            [*thirds, "", "attention_mask"],
            domain=_HERE,
            num_heads=self._shape.heads,
        )
        hidden = self._sublayer(f"{name}.attention.output", attended, hidden)
        dense = f"{name}.intermediate.dense"
        grown = self._product(dense, hidden, self._weights[f"{dense}.weight"], None)
        bias_name = self._constant(f"{dense}.bias", self._weights[f"{dense}.bias"])
        active = self._add("BiasGelu", [grown, bias_name], domain=_HERE)
        return self._sublayer(f"{name}.output", active, hidden)

    def _sublayer(self, name: str, inner: str, around: str) -> str:
        """Project `inner` back, add what went around it, normalise."""
        dense = f"{name}.dense"
        projected = self._product(dense, inner, self._weights[f"{dense}.weight"], None)
        return self._normalised(f"{name}.LayerNorm", projected, around, self._weights[f"{dense}.bias"])

    def _product(self, name: str, left: str, weight: NDArray[np.float32], bias: NDArray[np.float32] | None) -> str:
        """`left` times `weight` (columns, rows: as a torch layer keeps it)."""
        if self._quantised:
            product = self._product_of_bytes(name, left, weight)
        else:
            product = self._add("MatMul", [left, self._constant(f"{name}.weight", np.ascontiguousarray(weight.T))])
        return product if bias is None else self._add("Add", [product, self._constant(f"{name}.bias", bias)])

    def _product_of_bytes(self, name: str, left: str, weight: NDArray[np.float32]) -> str:
        scales = np.maximum(np.abs(weight).max(axis=1), _TINY) / np.float32(_LARGEST_WEIGHT)
        whole = np.ascontiguousarray(np.rint(weight / scales[:, None]).astype(np.int8).T)
        step = self._constant("step", np.array(1 / _LARGEST, np.float32))
        middle = self._constant("middle", np.array(_ZERO, np.uint8))
        largest = self._add("ReduceMax", [self._add("Abs", [left])], axes=[-1], keepdims=1)
        rows = self._add("QuantizeLinear", [self._add("Div", [left, largest]), step, middle])
        factors = [self._constant(f"{name}.weight", whole), step, self._constant(f"{name}.scales", scales), middle]
        product = self._add("MatMulIntegerToFloat", [rows, *factors], domain=_HERE)
        return self._add("Mul", [product, largest])

    def _normalised(
        self, name: str, hidden: str, skip: str | None = None, bias: NDArray[np.float32] | None = None
    ) -> str:
        scale = self._constant(f"{name}.weight", self._weights[f"{name}.weight"])
        shift = self._constant(f"{name}.bias", self._weights[f"{name}.bias"])
        if skip is None:
            return self._add("LayerNormalization", [hidden, scale, shift], axis=-1, epsilon=self._shape.epsilon)
        names = [hidden, skip, scale, shift]
        if bias is not None:
            names.append(self._constant(f"{name}.added", bias))
        return self._add("SkipLayerNormalization", names, domain=_HERE, epsilon=self._shape.epsilon)

    def _pooling(self, hidden: str) -> None:
        """The sum over real tokens points where their mean does, and only its direction is kept."""
        real = self._add("Cast", ["attention_mask"], to=TensorProto.FLOAT)
        one = self._constant("one", np.array([1], np.int64))
        summed = self._add("MatMul", [self._add("Unsqueeze", [real, one]), hidden])
        flat = self._add("Squeeze", [summed, one])
        self._nodes.append(helper.make_node("LpNormalization", [flat], ["vectors"], axis=-1, p=2))

    def _add(self, operation: str, inputs: Sequence[str], *, domain: str = "", **attributes: Any) -> str:
        output = self._name()
        node = helper.make_node(operation, inputs, [output], domain=domain or None, **attributes)
        self._nodes.append(node)
        return output

    def _name(self) -> str:
        return next(self._names)

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self._constants[name] = numpy_helper.from_array(value, name)
        return name
