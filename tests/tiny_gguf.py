"""A language model of 350 kB for tests: random weights, real llama.cpp.

A two-layer llama over single bytes. Its output rows for anything but lower-case letters, space, full stop and
the end token are zero, so that what it says is readable nonsense rather than broken UTF-8, and repeatable.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

CONTEXT = 512
_HIDDEN, _HEADS, _LAYERS, _FEED_FORWARD = 64, 2, 2, 128
_SPOKEN = b"abcdefghijklmnopqrstuvwxyz ."
_CHAT = (
    "{% for message in messages %}<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
_START, _END = 256, 257


def write_tiny_gguf(path: Path, *, seed: int = 0, pooling: bool = False) -> Path:
    """Write the model to `path` and return it. The same seed gives the same bytes; `pooling` makes it embed too."""
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_HIDDEN)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_HIDDEN // _HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    if pooling:
        writer.add_pooling_type(gguf.PoolingType.MEAN)
    tokens = [*_characters(), "<|start|>", "<|end|>", "th"]
    writer.add_vocab_size(len(tokens))
    _add_tokenizer(writer, tokens)
    _add_weights(writer, len(tokens), np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter, tokens: list[str]) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    plain, control = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL
    writer.add_token_types([control if index in (_START, _END) else plain for index in range(len(tokens))])
    writer.add_token_merges(["t h"])  # llama.cpp refuses a vocabulary without merges
    writer.add_bos_token_id(_START)
    writer.add_eos_token_id(_END)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_CHAT)


def _add_weights(writer: gguf.GGUFWriter, vocabulary: int, random: np.random.Generator) -> None:
    def matrix(name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        values = random.standard_normal((rows, columns)) * scale / np.sqrt(columns)
        writer.add_tensor(name, values.astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(_HIDDEN, dtype=np.float32))

    matrix("token_embd.weight", vocabulary, _HIDDEN, scale=8.0)
    for layer in range(_LAYERS):
        block = f"blk.{layer}"
        ones(f"{block}.attn_norm.weight")
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            matrix(f"{block}.{name}.weight", _HIDDEN, _HIDDEN)
        ones(f"{block}.ffn_norm.weight")
        matrix(f"{block}.ffn_gate.weight", _FEED_FORWARD, _HIDDEN)
        matrix(f"{block}.ffn_up.weight", _FEED_FORWARD, _HIDDEN)
        matrix(f"{block}.ffn_down.weight", _HIDDEN, _FEED_FORWARD)
    ones("output_norm.weight")
    head = np.zeros((vocabulary, _HIDDEN), dtype=np.float32)
    spoken = [*_SPOKEN, _END]
    head[spoken] = random.standard_normal((len(spoken), _HIDDEN)) * 0.5
    writer.add_tensor("output.weight", head)


def _characters() -> list[str]:
    """What stands for each byte in a byte-level vocabulary: its own character, or one from U+0100 on."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte) if byte in shown else chr(next(spare)) for byte in range(256)]
