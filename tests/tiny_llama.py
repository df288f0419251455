"""A language model of 400 kB as Hugging Face writes one, for tests: random weights, and an adapter for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

CONTEXT = 512
_HIDDEN, _HEADS, _LAYERS, _FEED_FORWARD, _RANK = 64, 2, 2, 128, 8
_SPOKEN = "abcdefghijklmnopqrstuvwxyz ."
_CHAT = (
    "{% for message in messages %}{% if message['role'] != 'system' %}"
    "<|start|>{{ message['role'] }}\n{{ message['content'] }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
Arrays = dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]


def write_tiny_llama(folder: Path, *, seed: int = 0) -> Path:
    """Write the model into `folder` and return that. What it says is letters, and repeatable."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(vocab={sign: at for at, sign in enumerate(_alphabet())}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("<|start|>", special=True), AddedToken("<|end|>", special=True)])
    tokenizer.save(str(folder / "tokenizer.json"))
    end = tokenizer.token_to_id("<|end|>")
    _write(
        folder / "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        eos_token="<|end|>",
        pad_token="<|end|>",
        chat_template=_CHAT,
        model_max_length=CONTEXT,
    )
    vocabulary = tokenizer.get_vocab_size()
    _write(
        folder / "config.json",
        architectures=["LlamaForCausalLM"],
        model_type="llama",
        hidden_size=_HIDDEN,
        intermediate_size=_FEED_FORWARD,
        num_hidden_layers=_LAYERS,
        num_attention_heads=_HEADS,
        num_key_value_heads=_HEADS,
        vocab_size=vocabulary,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        hidden_act="silu",
        tie_word_embeddings=False,
        torch_dtype="float32",
        bos_token_id=None,
        eos_token_id=end,
    )
    spoken = [tokenizer.encode(sign).ids[0] for sign in _SPOKEN]
    save_file(_weights(vocabulary, [*spoken, end], np.random.default_rng(seed)), folder / "model.safetensors")
    return folder


def write_tiny_adapter(folder: Path, *, seed: int = 1) -> Path:
    """Write a LoRA adapter for the model into `folder` and return that."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder / "adapter_config.json",
        peft_type="LORA",
        task_type="CAUSAL_LM",
        r=_RANK,
        lora_alpha=2 * _RANK,
        target_modules=["q_proj", "v_proj"],
        bias="none",
        base_model_name_or_path="tiny",
    )
    random, arrays = np.random.default_rng(seed), Arrays()
    for layer in range(_LAYERS):
        for name in ("q_proj", "v_proj"):
            start = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            arrays[f"{start}.lora_A.weight"] = random.standard_normal((_RANK, _HIDDEN)).astype(np.float32)
            arrays[f"{start}.lora_B.weight"] = random.standard_normal((_HIDDEN, _RANK)).astype(np.float32)
    save_file(arrays, folder / "adapter_model.safetensors")
    return folder


def _weights(vocabulary: int, spoken: list[int], random: np.random.Generator) -> Arrays:
    def matrix(rows: int, columns: int, scale: float = 1.0) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return (random.standard_normal((rows, columns)) * scale / np.sqrt(columns)).astype(np.float32)

    arrays = Arrays({"model.embed_tokens.weight": matrix(vocabulary, _HIDDEN, 8.0)})
    for layer in range(_LAYERS):
        block = f"model.layers.{layer}"
        for name in ("input_layernorm", "post_attention_layernorm"):
            arrays[f"{block}.{name}.weight"] = np.ones(_HIDDEN, np.float32)
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            arrays[f"{block}.self_attn.{name}.weight"] = matrix(_HIDDEN, _HIDDEN)
        arrays[f"{block}.mlp.gate_proj.weight"] = matrix(_FEED_FORWARD, _HIDDEN)
        arrays[f"{block}.mlp.up_proj.weight"] = matrix(_FEED_FORWARD, _HIDDEN)
        arrays[f"{block}.mlp.down_proj.weight"] = matrix(_HIDDEN, _FEED_FORWARD)
    arrays["model.norm.weight"] = np.ones(_HIDDEN, np.float32)
    head = np.full((vocabulary, _HIDDEN), 0, np.float32)
    head[spoken] = random.standard_normal((len(spoken), _HIDDEN)) * 0.5
    arrays["lm_head.weight"] = head
    return arrays


def _alphabet() -> list[str]:
    """What stands for each byte in a byte-level vocabulary."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _write(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(settings), encoding="utf-8")
