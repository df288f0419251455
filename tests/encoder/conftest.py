"""The built encoder, and a tiny one in the shape that sentence-transformers keeps a BERT in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import orjson
import pytest
from safetensors.numpy import save_file

from encoder.card import BUILT, CARD
from encoder.session import Session

HIDDEN, LAYERS, WORDS = 32, 2, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "river", "weir", "water", "flow", "over")


@pytest.fixture(scope="session")
def built() -> Path:
    if not (BUILT / CARD).exists() and not os.environ.get("CI"):
        pytest.skip("the encoder is not built: weir encoder build")
    return BUILT


@pytest.fixture(scope="session")
def session(built: Path) -> Session:
    return Session(built)


@pytest.fixture
def state() -> Iterator[Path]:
    """A folder whose name is short enough for a socket, as pytest's own may not be."""
    with TemporaryDirectory(prefix="weir-") as folder:
        yield Path(folder)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A network of random weights, always the same."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "layer_norm_eps": 1e-12,
        "max_position_embeddings": 16,
    }
    (folder / "config.json").write_bytes(orjson.dumps(config))
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 8}')
    (folder / "tokenizer.json").write_bytes(orjson.dumps(_tokenizer()))
    save_file(_weights(), folder / "model.safetensors")
    return folder


def _tokenizer() -> dict[str, Any]:
    marks = [{"SpecialToken": {"id": mark, "type_id": 0}} for mark in ("[CLS]", "[SEP]")]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    numbers = {word: number for number, word in enumerate(WORDS)}
    named = {mark: {"id": mark, "ids": [numbers[mark]], "tokens": [mark]} for mark in ("[CLS]", "[SEP]")}
    single = [marks[0], text, marks[1]]
    return {
        "version": "1.0",
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": None,
        "added_tokens": [],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": named},
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": numbers, "unk_token": "[UNK]"},
    }


def _weights() -> dict[str, np.ndarray]:
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), HIDDEN),
        "embeddings.position_embeddings.weight": (16, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
        "embeddings.LayerNorm.weight": (HIDDEN,),
        "embeddings.LayerNorm.bias": (HIDDEN,),
    }
    for layer in range(LAYERS):
        sizes = {
            "attention.self.query": (HIDDEN, HIDDEN),
            "attention.self.key": (HIDDEN, HIDDEN),
            "attention.self.value": (HIDDEN, HIDDEN),
            "attention.output.dense": (HIDDEN, HIDDEN),
            "intermediate.dense": (4 * HIDDEN, HIDDEN),
            "output.dense": (HIDDEN, 4 * HIDDEN),
        }
        for name, size in sizes.items():
            shapes[f"encoder.layer.{layer}.{name}.weight"] = size
            shapes[f"encoder.layer.{layer}.{name}.bias"] = size[:1]
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"encoder.layer.{layer}.{name}.weight"] = (HIDDEN,)
            shapes[f"encoder.layer.{layer}.{name}.bias"] = (HIDDEN,)
    random = np.random.default_rng(7)
    return {f"bert.{name}": random.normal(0.0, 0.5, size).astype(np.float32) for name, size in shapes.items()}
