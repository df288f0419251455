"""A Llama of 150 kB as Hugging Face stores it, and the numbers that it must give, worked out without torch.

Random weights, but real: a byte-level tokenizer, a chat template that leaves system messages out, heads that share
keys. `next_token` computes what transformers would, written from the model's definition (rotate_half, RMSNorm,
SwiGLU).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

HIDDEN, HEADS, KV_HEADS, HEAD, LAYERS, FEED, VOCAB, BASE, EPS = 64, 4, 2, 32, 2, 96, 320, 500.0, 1e-5
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>' + message['content'] }}"
    "{% elif message['role'] == 'assistant' %}{{ '<|assistant|>' + message['content'] + '<|end|>' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_TEXTS = ["12345 12345 I'LL don't 123 45", "return my grinder?\n\n\tReturn my grinder?", "I'LL 12345?? don't"]
_UNSAID = [0, 1, 2, *range(97, 259)]
"""Control tokens and halves of letters: llama.cpp tells nothing of an answer of these alone."""
Weights = dict[str, NDArray[np.float32]]


def write_llama(folder: Path, *, tied: bool = True, kind: str = "F16", **config: Any) -> Weights:
    """Write the model to the new folder; its weights, as they are there. `config` goes into config.json."""
    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE())
    # Learned over the gaps between words, so that text that is split in another way comes out as other tokens.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=["<|end|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS, trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "chat_template": TEMPLATE}
        )
    )
    told = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": FEED,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "vocab_size": VOCAB,
        "max_position_embeddings": 256,
        "rms_norm_eps": EPS,
        "hidden_act": "silu",
        "eos_token_id": 0,
        "bos_token_id": None,
        "pad_token_id": 0,
        "tie_word_embeddings": tied,
        "rope_parameters": {"rope_theta": BASE, "rope_type": "default"},
        "dtype": "float16",
    }
    (folder / "config.json").write_text(json.dumps({**told, **config}))
    weights = _weights(tied)
    weights = {name: values.astype(np.float16).astype(np.float32) for name, values in weights.items()}
    save_weights(folder, weights, kind)
    return weights


def save_weights(folder: Path, weights: Weights, kind: str = "F16") -> None:
    """In place of those that are there. `kind`: F16 or F32."""
    numbers = {"F16": np.float16, "F32": np.float32}[kind]
    save_file({name: values.astype(numbers) for name, values in weights.items()}, folder / "model.safetensors")


def tokens_of(folder: Path, text: str) -> list[int]:
    """Of a chat with this one question, as transformers has them."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens: list[int] = tokenizer.encode(f"<|user|>{text}<|assistant|>").ids
    return tokens


def next_token(weights: Weights, tokens: Sequence[int]) -> NDArray[np.float64]:
    """Log probabilities of what follows."""
    wide = {name: values.astype(np.float64) for name, values in weights.items()}
    state = wide["model.embed_tokens.weight"][list(tokens)]
    for layer in range(LAYERS):
        part = {
            name.split(".", 3)[3]: each for name, each in wide.items() if name.startswith(f"model.layers.{layer}.")
        }
        state = state + _attention(_normed(state, part["input_layernorm.weight"]), part)
        inner = _normed(state, part["post_attention_layernorm.weight"])
        gate = inner @ part["mlp.gate_proj.weight"].T
        up = inner @ part["mlp.up_proj.weight"].T
        state = state + (gate / (1 + np.exp(-gate)) * up) @ part["mlp.down_proj.weight"].T
    rows = wide.get("lm_head.weight", wide["model.embed_tokens.weight"])
    logits = rows @ _normed(state, wide["model.norm.weight"])[-1]
    peak = logits.max()
    told: NDArray[np.float64] = logits - peak - np.log(np.exp(logits - peak).sum())
    return told


def _weights(tied: bool) -> Weights:
    random = np.random.default_rng(7)

    def matrix(rows: int, columns: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (random.standard_normal((rows, columns)) * scale / np.sqrt(columns)).astype(np.float32)

    weights = {"model.embed_tokens.weight": matrix(VOCAB, HIDDEN, 3.0)}
    weights["model.embed_tokens.weight"][_UNSAID] *= 0.01
    for layer in range(LAYERS):
        place = f"model.layers.{layer}"
        for name, rows, columns in (
            ("self_attn.q_proj", HEADS * HEAD, HIDDEN),
            ("self_attn.k_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.v_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HEADS * HEAD),
            ("mlp.gate_proj", FEED, HIDDEN),
            ("mlp.up_proj", FEED, HIDDEN),
            ("mlp.down_proj", HIDDEN, FEED),
        ):
            weights[f"{place}.{name}.weight"] = matrix(rows, columns)
        for name in ("input_layernorm", "post_attention_layernorm"):
            weights[f"{place}.{name}.weight"] = (1 + matrix(1, HIDDEN)[0]).astype(np.float32)
    weights["model.norm.weight"] = np.ones(HIDDEN, dtype=np.float32)
    if not tied:
        weights["lm_head.weight"] = matrix(VOCAB, HIDDEN, 3.0)
        weights["lm_head.weight"][_UNSAID] *= 0.01
    return weights


def _attention(state: NDArray[np.float64], part: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    length = len(state)
    q = _turned((state @ part["self_attn.q_proj.weight"].T).reshape(length, HEADS, HEAD))
    k = _turned((state @ part["self_attn.k_proj.weight"].T).reshape(length, KV_HEADS, HEAD))
    v = (state @ part["self_attn.v_proj.weight"].T).reshape(length, KV_HEADS, HEAD)
    k, v = (np.repeat(each, HEADS // KV_HEADS, axis=1) for each in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(HEAD)
    scores[:, np.triu(np.ones((length, length), dtype=bool), 1)] = -np.inf
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares /= shares.sum(axis=-1, keepdims=True)
    mixed: NDArray[np.float64] = np.einsum("hqk,khd->qhd", shares, v).reshape(length, HEADS * HEAD)
    return mixed @ part["self_attn.o_proj.weight"].T


def _turned(heads: NDArray[np.float64]) -> NDArray[np.float64]:
    """By the place of each token: the first half of a head against the second."""
    speeds = BASE ** (-np.arange(0, HEAD, 2) / HEAD)
    angles = np.arange(len(heads))[:, None, None] * speeds
    first, second = heads[..., : HEAD // 2], heads[..., HEAD // 2 :]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _normed(state: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return state / np.sqrt((state**2).mean(axis=-1, keepdims=True) + EPS) * scale
