"""Writes a Llama that Hugging Face stored as one GGUF file for llama.cpp: F16, Q8_0 or Q4_0.

The non-obvious decision: the rows of queries and keys change places. transformers turns the first half of a head
against its second (`rotate_half`), llama.cpp each even row against the odd one after it; the model is the same.
Torch is not needed, and one tensor at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from distill.student.compressing.gguf_tokenizer import NotConvertible, Vocabulary, read_part, read_vocabulary
from distill.student.compressing.weights import Tensor, read_tensors

if TYPE_CHECKING:
    import gguf

Precision = Literal["f16", "q8_0", "q4_0"]
_BLOCK = 32
"""Numbers of a row that share a scale, in Q8_0 and Q4_0. Rows that it does not divide stay F16."""
_OUTER = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_INNER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_READ_ALL = "{% for message in messages %}{% set unread = message['content'] %}{% endfor %}"
"""Before a chat template. Of one that leaves system messages out, llama.cpp thinks that it knows none, and puts
them into the user's first turn; where their content is looked at, it does as the template says, as vLLM does."""


class _Shape(Struct, frozen=True):
    """Of a Llama, as `config.json` names it; what is missing there has the value that transformers gives it."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int
    max_position_embeddings: int = 2048
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rms_norm_eps: float = 1e-6
    tie_word_embeddings: bool = False

    @property
    def kv_heads(self) -> int:
        return self.num_key_value_heads or self.num_attention_heads

    @property
    def head(self) -> int:
        """Numbers of a head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads


def write_gguf(model: Path, path: Path, precision: Precision) -> str:
    """Write the model in the folder `model` to the new file `path`; returns what is worth knowing about it.

    In Q4_0, the tokens' own vectors are Q8_0, as llama.cpp keeps them finer too. Raises NotConvertible,
    WeightsFault, OSError.
    """
    import gguf

    config = read_part(model / "config.json")
    shape, base = _shape_of(config), _rope_base(config)
    vocabulary = read_vocabulary(model, config)
    tensors = _renamed(read_tensors(model), shape)
    writer = gguf.GGUFWriter(str(path), "llama")
    _add_shape(writer, shape, base)
    _add_vocabulary(writer, vocabulary)
    forms = {name: _form(name, tensor, precision) for name, tensor in tensors.items()}
    kinds = {form: gguf.GGMLQuantizationType[form] for form in forms.values()}
    for name, tensor in tensors.items():
        size = _bytes_of(tensor, kinds[forms[name]])
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), size, kinds[forms[name]])
    writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{precision.upper()}"])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, tensor in tensors.items():
        values = _paired(name, tensor.values(), shape)
        writer.write_tensor_data(gguf.quantize(values, kinds[forms[name]]))
    writer.close()
    wide = sorted(name for name, form in forms.items() if form == "F16" and precision != "f16")
    return f"{len(wide)} of its matrices stay F16: their rows are no multiples of {_BLOCK}" if wide else ""


def _shape_of(config: Mapping[str, Any]) -> _Shape:
    if config.get("architectures") != ["LlamaForCausalLM"]:
        raise NotConvertible(f"it is a {', '.join(config.get('architectures') or ['model of no known kind'])}")
    if config.get("hidden_act", "silu") != "silu" or config.get("quantization_config"):
        raise NotConvertible("it is a Llama with another activation, or one that is compressed already")
    try:
        return msgspec.convert(config, _Shape)
    except msgspec.ValidationError as error:
        raise NotConvertible(f"its config.json is odd ({error})") from error


def _rope_base(config: Mapping[str, Any]) -> float:
    """What places are told apart by. transformers 5 has it in `rope_parameters`, earlier ones had it beside."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise NotConvertible("it stretches its context (`rope_parameters`)")
    return float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)


def _renamed(tensors: Mapping[str, Tensor], shape: _Shape) -> dict[str, Tensor]:
    """By llama.cpp's names. Raises NotConvertible where one is missing, or one is left that it has no place for."""
    names = dict(_OUTER)
    for layer in range(shape.num_hidden_layers):
        for name, theirs in _INNER.items():
            names[f"model.layers.{layer}.{name}.weight"] = f"blk.{layer}.{theirs}.weight"
    if shape.tie_word_embeddings:  # without output rows of its own, llama.cpp takes the tokens' vectors
        del names["lm_head.weight"]
    known = {name for name in tensors if not name.endswith("rotary_emb.inv_freq")}
    if shape.tie_word_embeddings:
        known.discard("lm_head.weight")
    if odd := sorted(known ^ set(names)):
        raise NotConvertible(
            f"it is no plain Llama: {odd[0]} is {'missing' if odd[0] in names else 'one too many'}"
        )
    return {theirs: tensors[name] for name, theirs in names.items()}


def _form(name: str, tensor: Tensor, precision: Precision) -> str:
    if len(tensor.shape) == 1:
        return "F32"
    if precision == "f16" or tensor.shape[-1] % _BLOCK:
        return "F16"
    return "Q8_0" if name in ("token_embd.weight", "output.weight") else precision.upper()


def _bytes_of(tensor: Tensor, kind: gguf.GGMLQuantizationType) -> int:
    import gguf

    numbers, size = gguf.GGML_QUANT_SIZES[kind]
    return int(tensor.size // numbers * size)


def _paired(name: str, values: NDArray[np.float32], shape: _Shape) -> NDArray[np.float32]:
    """Rows of queries and keys in llama.cpp's order."""
    if not name.endswith((".attn_q.weight", ".attn_k.weight")):
        return values
    heads = shape.num_attention_heads if ".attn_q." in name else shape.kv_heads
    halves = values.reshape(heads, 2, shape.head // 2, values.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)


def _add_shape(writer: gguf.GGUFWriter, shape: _Shape, base: float) -> None:
    writer.add_name("student")
    writer.add_context_length(shape.max_position_embeddings)
    writer.add_embedding_length(shape.hidden_size)
    writer.add_block_count(shape.num_hidden_layers)
    writer.add_feed_forward_length(shape.intermediate_size)
    writer.add_head_count(shape.num_attention_heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head)
    writer.add_value_length(shape.head)
    writer.add_rope_dimension_count(shape.head)
    writer.add_rope_freq_base(base)
    writer.add_layer_norm_rms_eps(shape.rms_norm_eps)
    writer.add_vocab_size(shape.vocab_size)


def _add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.split)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.kinds)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.begin)
    for add, end in zip(
        (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), vocabulary.ends, strict=False
    ):
        add(end)
    if vocabulary.padding is not None:
        writer.add_pad_token_id(vocabulary.padding)
    writer.add_add_bos_token(False)  # where a chat begins with one, its template says so
    writer.add_chat_template(_READ_ALL + vocabulary.template)
